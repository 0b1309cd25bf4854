"""Statements of a month, as types: sums, lines at their prices, and links. Statement shows an `Opened`."""

from decimal import Decimal as Exact
from typing import Annotated, Any, NamedTuple

import strawberry

from bus.prices import show
from resolvers.directory import Household
from resolvers.errors import NotReadyError
from resolvers.statement import Line
from resolvers.statement import Statement as Made
from resolvers.statements import StatementLinks
from schema.context import Info
from schema.enums import IntervalStatus, LineKind, Quality
from schema.fields import shows
from schema.scalars import DateTime, Decimal, WattHours


class Opened(NamedTuple):
    """A statement, and where it is to be had."""

    made: Made
    links: StatementLinks


Month = Annotated[
    str, strawberry.argument(name="month", description="A month of the community's time zone, such as 2026-05.")
]


async def statement(root: Any, info: Info, month: Month) -> Any:
    """Return the statement of a home, and links to it."""
    household: Household = root
    context = info.context
    if context.statements is None:
        raise NotReadyError("settled data is not to be had here")
    async with context.turns.turn(context.viewer.subject if context.viewer else ""):
        made = await context.statements.statement(household, month)
    return None if made is None else Opened(made, context.statements.link(household.key, month, context.viewer))


def _price(root: Any) -> Decimal:
    line: Line = root
    return Decimal(show(line.price))


def _line_amount(root: Any) -> Decimal:
    line: Line = root
    return Decimal(show(line.amount))


def _amount(root: Any) -> Decimal | None:
    opened: Opened = root
    amounts = opened.made.amounts
    return Decimal(show(next(iter(amounts.values())))) if len(amounts) == 1 else None


def _money(source: str, description: str) -> Any:
    def resolve(root: Any) -> Decimal | None:
        opened: Opened = root
        value: Exact = getattr(opened.made.sums, source)
        return None if opened.made.currency is None else Decimal(show(value))

    return strawberry.field(resolver=resolve, description=description)


@strawberry.type(description="Energy from one source, or to one goal, at one price.")
class StatementLine:
    kind: LineKind = shows("kind", "Where it came from or went to.")
    energy: WattHours = shows("energy_wh", "How much it was, in Wh, unsigned.")
    price: Decimal = strawberry.field(
        resolver=_price, description="What a kWh of it costs, in units of `currency`; a reduction is below 0."
    )
    amount: Decimal = strawberry.field(
        resolver=_line_amount,
        description="What it costs, exactly, in minor units of `currency` (cents): + the home owes it, - it gets it.",
    )
    currency: str = shows("currency", "An ISO 4217 code such as EUR.")


@strawberry.type(
    description="What a home drew, shared and injected in a month, at what price, as it is settled by now."
)
class Statement:
    month: str = shows("made.month", "The month, such as 2026-05.")
    start: DateTime = shows("made.since", "The local midnight with which it begins.")
    end: DateTime = shows("made.until", "The local midnight with which it ends.")
    intervals: int = shows("made.sums.intervals", "How many of its intervals are settled.")
    expected_intervals: int = shows("made.expected", "How many intervals it has.")
    status: IntervalStatus = shows("made.sums.status", "FINAL if all that are settled are; else it may still change.")
    revision: int = shows("made.sums.revision", "The highest revision among them.")
    quality: Quality = shows("made.sums.quality", "The worst among them.")
    imported: WattHours = shows("made.sums.import_wh", "Energy drawn from the grid, in Wh, unsigned.")
    shared: WattHours = shows("made.sums.shared_wh", "The part of it that other homes gave, in Wh, unsigned.")
    residual_import: WattHours = shows(
        "made.sums.residual_import_wh", "The part of it that the supplier gave, in Wh, unsigned."
    )
    exported: WattHours = shows("made.sums.export_wh", "Energy injected into the grid, in Wh, unsigned.")
    shared_out: WattHours = shows("made.sums.shared_out_wh", "The part of it that other homes used, in Wh, unsigned.")
    residual_export: WattHours = shows(
        "made.sums.residual_export_wh", "The part of it that no home of the community used, in Wh, unsigned."
    )
    lines: list[StatementLine] = shows("made.lines", "All of it at its prices; what has no energy is left out.")
    amount: Decimal | None = strawberry.field(
        resolver=_amount,
        description="The sum of the lines, exactly, in minor units of `currency`: + the home owes it, - it gets it; "
        "null where there are several currencies.",
    )
    saving: Decimal | None = _money(
        "saving",
        "What using shared energy saved, as it was settled, in minor units: + a gain, - a loss; null as above.",
    )
    credit: Decimal | None = _money(
        "credit",
        "What giving shared energy earned more than feeding it in, as it was settled, in minor units: + a gain, "
        "- a loss; null as above.",
    )
    saved: Decimal | None = _money("saved", "The sum of both, in minor units: + a gain, - a loss; null as above.")
    currency: str | None = shows("made.currency", "An ISO 4217 code such as EUR; null where there are several.")
    csv_url: str = shows(
        "links.csv", "Where it is to be had interval by interval, as CSV: an address, or a path on this server."
    )
    html_url: str = shows(
        "links.html", "Where it is to be had as a page to print: an address, or a path on this server."
    )
    links_until: DateTime | None = shows(
        "links.until",
        "Until when both links open without a token; null: sign-in is off, they open always. With a token in the "
        "header Authorization they open as long as it does.",
    )
