"""What the history answers, as types: sums of settled energy, comparisons, and hours to come.

EnergyTotals shows `Totals` of a home, or of all homes of a community together.
"""

from decimal import Decimal as Exact
from typing import Any, Final

import strawberry

from bus.history import BestHours as Forecast
from bus.history import Totals
from bus.prices import show
from schema.enums import IntervalStatus, Quality
from schema.fields import shows
from schema.scalars import DateTime, Decimal, Ratio, WattHours, Watts

_WORST: Final = ("missing", "estimated", "substituted", "measured")


def _itself(root: Any) -> Any:
    return root


def _status(root: Any) -> Any:
    totals: Totals = root
    return "FINAL" if totals.final == totals.intervals else "PROVISIONAL"


def _quality(root: Any) -> Any:
    return next((name.upper() for name in _WORST if getattr(root, name)), "MISSING")


def _shared_out(root: Any) -> WattHours:
    totals: Totals = root
    return WattHours(totals.export_wh - totals.residual_export_wh)


def _saved(root: Any) -> Decimal | None:
    totals: Totals = root
    if totals.saving is None or totals.credit is None:
        return None
    return Decimal(show(Exact(totals.saving) + Exact(totals.credit)))


@strawberry.type(
    description="How many figures rest on what: of a home its intervals, of a community its intervals times its homes."
)
class QualityCounts:
    measured: int = shows("measured", "From readings.")
    substituted: int = shows("substituted", "Interpolated over a gap of less than two hours.")
    estimated: int = shows("estimated", "Estimated over a longer gap, from comparable days.")
    missing: int = shows("missing", "There was nothing to go by.")


@strawberry.type(
    description="What a home did in the settled intervals of a time, or all homes of a community together."
)
class EnergyTotals:
    start: DateTime = shows("start", "The beginning of the time.")
    end: DateTime = shows("end", "The end of the time.")
    intervals: int = shows("intervals", "How many intervals are settled in it.")
    final_intervals: int = shows("final", "How many of them are FINAL.")
    status: IntervalStatus = strawberry.field(
        resolver=_status, description="FINAL if all of them are; PROVISIONAL if any of them may still change."
    )
    revision: int = shows("revision", "The highest revision among them: 0 where nothing was corrected since.")
    quality: Quality = strawberry.field(resolver=_quality, description="The worst among them.")
    qualities: QualityCounts = strawberry.field(resolver=_itself, description="How many there are of each quality.")
    imported: WattHours = shows("import_wh", "Energy drawn from the grid, in Wh, unsigned.")
    exported: WattHours = shows("export_wh", "Energy injected into the grid, in Wh, unsigned.")
    produced: WattHours = shows("pv_wh", "Energy produced (photovoltaics), in Wh, unsigned.")
    consumed: WattHours = shows("load_wh", "Energy used, whatever its source, in Wh, unsigned.")
    charged: WattHours = shows("charge_wh", "Energy that went into batteries, in Wh, unsigned.")
    discharged: WattHours = shows("discharge_wh", "Energy that came out of batteries, in Wh, unsigned.")
    shared: WattHours = shows(
        "shared_wh",
        "Energy used that other homes of the community gave, in Wh, unsigned: a part of `imported`. Of a community "
        "what it shared.",
    )
    shared_out: WattHours = strawberry.field(
        resolver=_shared_out,
        description="Energy given that other homes of the community used, in Wh, unsigned: a part of `exported`. "
        "0 where the community shares without netting per home.",
    )
    residual_import: WattHours = shows(
        "residual_import_wh", "Energy drawn from the supplier, in Wh, unsigned: `imported` without what was netted."
    )
    residual_export: WattHours = shows(
        "residual_export_wh", "Energy injected that no home of the community used, in Wh, unsigned."
    )
    saving: Decimal | None = shows(
        "saving",
        "What using shared energy saved, in minor units of `currency` (cents): + a gain against having no community, "
        "- a loss; null where the time has several currencies.",
    )
    credit: Decimal | None = shows(
        "credit",
        "What giving shared energy earned more than feeding it in, in minor units of `currency`: + a gain, - a loss; "
        "null as above.",
    )
    saved: Decimal | None = strawberry.field(
        resolver=_saved, description="The sum of both, in minor units of `currency`: + a gain, - a loss; null as above."
    )
    currency: str | None = shows("currency", "An ISO 4217 code such as EUR; null where there are several.")
    co2_avoided: Decimal = shows(
        "co2_avoided_g", "CO2 that the grid did not emit because energy was shared, in g, unsigned."
    )
    self_sufficiency: Ratio | None = shows(
        "self_sufficiency",
        "The part of `consumed` that was not drawn from the grid, 0 to 1; of a community also what it shared counts "
        "as its own. Null without consumption.",
    )
    self_consumption: Ratio | None = shows(
        "self_consumption",
        "The part of `produced` that was not injected, 0 to 1; of a community also what it shared counts as used. "
        "Null without production.",
    )
    peak_import: WattHours = shows(
        "peak_import_wh", "The most that was drawn from the grid in one settled interval, in Wh, unsigned."
    )
    peak_import_at: DateTime = shows("peak_import_at", "The beginning of the first such interval.")


@strawberry.type(description="What was in a time, beside something else.")
class Comparison:
    totals: EnergyTotals | None = shows("totals", "What was; null where nothing is settled.")
    baseline: EnergyTotals | None = shows(
        "baseline",
        "What it is compared with, an earlier time or the mean of the other homes; null where nothing is settled. "
        "With COMMUNITY_AVERAGE both are of the intervals in which enough other homes were measured.",
    )
    others: int | None = shows("others", "How many other homes are in the mean, at the least; null where it is none.")


@strawberry.type(description="What an hour will probably bring to a community.")
class ExpectedHour:
    start: DateTime = shows("start", "When it begins: a full hour by the local clock.")
    end: DateTime = shows("end", "When it ends.")
    surplus: WattHours = shows(
        "surplus_wh", "Export less import expected, in Wh: + the community gives to the grid, - it takes."
    )
    sure: Ratio = shows("sure", "How probable a surplus is, 0 to 1: the share of comparable days that had one.")


@strawberry.type(
    description='How the forecast did on the last days, beside "as in the same hour yesterday". Less is better.'
)
class ForecastScore:
    days: int = shows("days", "How many days it was held against.")
    hours: int = shows("hours", "How many hours they have.")
    error: Watts = shows("error_wh", "Its mean error, in W (Wh in an hour), unsigned.")
    yesterday_error: Watts = shows("yesterday_error_wh", "The mean error of yesterday, in W (Wh in an hour), unsigned.")
    brier: Ratio = shows(
        "brier", "The mean square of the difference between `sure` and what came, 1 a surplus and 0 none: 0 to 1."
    )
    yesterday_brier: Ratio = shows("yesterday_brier", "The same of yesterday, 0 to 1.")


def _best(root: Any) -> Any:
    forecast: Forecast = root
    hours = [hour for hour in forecast.hours if hour.surplus_wh > 0]
    return max(hours, key=lambda hour: (hour.surplus_wh, -hour.start), default=None)


@strawberry.type(description="When a community will probably have a surplus: the time to use energy.")
class BestHours:
    hours: list[ExpectedHour] = shows(
        "hours",
        "The hours to come, in order of time, the present one first; empty where no forecast is offered.",
    )
    best: ExpectedHour | None = strawberry.field(
        resolver=_best, description="The hour with the most surplus expected; null where none is."
    )
    reason: str | None = shows("reason", "Why no forecast is offered; null where one is.")
    score: ForecastScore | None = shows(
        "score", "How well it did on the last days: it is offered only if it beats yesterday. Null before 14 days."
    )
