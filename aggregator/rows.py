"""Rows: what every home of a community drew, injected, shared and saved in one interval.

From energy per home to an Interval message. Pure; the same measurements and the same version of
the registry always give the same bytes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from aggregator.sharing import Participant, share
from aggregator.tariff import prices_at, worth
from bus.community import Community
from bus.messages import Interval, IntervalRow, IntervalStatus, Quality
from bus.prices import show

STATUS_FINAL: Final[IntervalStatus] = "FINAL"

_WORSE: Final = {"MEASURED": 0, "SUBSTITUTED": 1, "ESTIMATED": 2, "MISSING": 3, "STALE": 3}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


class Measured(NamedTuple):
    """Energy of one home in one interval, in whole Wh, and how far it was measured."""

    import_wh: int = 0
    export_wh: int = 0
    pv_wh: int = 0
    charge_wh: int = 0
    discharge_wh: int = 0
    quality: Quality = "MISSING"

    def plus(self, role: str, import_wh: int, export_wh: int) -> "Measured":
        """Return the sum with a meter's energy, by its role (domain rule: a PV meter exports what it produced)."""
        if role == "GRID":
            return self._replace(import_wh=self.import_wh + import_wh, export_wh=self.export_wh + export_wh)
        if role == "PV":
            return self._replace(pv_wh=self.pv_wh + export_wh)
        return self._replace(charge_wh=self.charge_wh + import_wh, discharge_wh=self.discharge_wh + export_wh)

    @property
    def load_wh(self) -> int:
        """Load = import - export + PV + discharge - charge, never below 0."""
        return max(0, self.import_wh - self.export_wh + self.pv_wh + self.discharge_wh - self.charge_wh)


def worst(one: Quality, other: Quality) -> Quality:
    """Return the worse of two qualities."""
    return one if _WORSE[one] >= _WORSE[other] else other


def build_interval(
    community: Community,
    start: int,
    end: int,
    measured: Mapping[str, Measured],
    revision: int,
    status: IntervalStatus = "PROVISIONAL",
) -> Interval:
    """Share an interval (start, end in ms since 1970 UTC) and return it with a row per home, by home id."""
    homes = sorted(community.homes, key=lambda home: home.id)
    energy = {home.id: measured.get(home.id, Measured()) for home in homes}
    allocation = share(
        community.allocation_key,
        [
            Participant(home.id, energy[home.id].import_wh, energy[home.id].export_wh, home.key, home.participation)
            for home in homes
        ],
    )
    prices = prices_at(community, start)
    start_text, end_text = rfc3339(start), rfc3339(end)
    rows = []
    for home in homes:
        one = energy[home.id]
        allocated, used = allocation.allocated[home.id], allocation.used[home.id]
        rows.append(
            IntervalRow(
                home=home.id,
                start=start_text,
                end=end_text,
                import_wh=one.import_wh,
                export_wh=one.export_wh,
                pv_wh=one.pv_wh,
                load_wh=one.load_wh,
                charge_wh=one.charge_wh,
                discharge_wh=one.discharge_wh,
                allocated_wh=allocated,
                residual_import_wh=one.import_wh - allocated,
                residual_export_wh=one.export_wh - used,
                saving=show(worth(allocated, prices.saving_per_wh)),
                credit=show(worth(used, prices.credit_per_wh)),
                co2_avoided_g=show(worth(allocated, prices.co2_g_per_wh)),
                quality=one.quality,
            )
        )
    return Interval(
        community=community.id,
        start=start_text,
        end=end_text,
        revision=revision,
        status=status,
        currency=community.tariff.currency,
        shared_wh=allocation.shared_wh,
        rows=rows,
    )


def measured_of(interval: Interval) -> dict[str, Measured]:
    """Return what a settled interval says was measured, by home."""
    return {
        row.home: Measured(row.import_wh, row.export_wh, row.pv_wh, row.charge_wh, row.discharge_wh, row.quality)
        for row in interval.rows
    }


def saved(row: IntervalRow) -> Decimal:
    """Return saving plus credit of a row, in minor units."""
    return Decimal(row.saving) + Decimal(row.credit)


def rfc3339(time_ms: int) -> str:
    """Return a time as RFC 3339 in UTC, with milliseconds only where there are any."""
    at = datetime.fromtimestamp(time_ms // 1000, UTC)
    fraction = f".{time_ms % 1000:03}" if time_ms % 1000 else ""
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def parse_rfc3339(value: str) -> int:
    """Return ms since 1970 UTC of a time that `rfc3339` wrote."""
    return (datetime.fromisoformat(value) - _EPOCH) // _MS
