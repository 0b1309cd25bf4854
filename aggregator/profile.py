"""Profiles: what a home usually drew and injected at a time of day, from its own past.

Comparable days are those of the same kind (working day or weekend) among the 14 days before a
gap begins; where there are none, all of them. Only measured or briefly interpolated intervals
count.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from aggregator.rows import Measured, parse_rfc3339
from bus.messages import Interval

DAYS: Final = 14
_DAY_MS: Final = 86_400_000


def comparable_starts(anchor: int, since: int, until: int, border: int, interval_ms: int) -> set[int]:
    """Return the starts of the intervals at the same times of day on the days before `anchor`.

    For the slots between `since` and `until`, aligned with `border`; all in ms since 1970 UTC.
    """
    slots = set()
    slot = since - (since - border) % interval_ms
    while slot < min(until, since + _DAY_MS):
        slots.add(slot)
        slot += interval_ms
    starts = set()
    for slot in slots:
        back = slot - ((slot - anchor) // _DAY_MS + 1) * _DAY_MS if slot >= anchor else slot
        for day in range(DAYS + 1):
            start = back - day * _DAY_MS
            if anchor - DAYS * _DAY_MS <= start and start + interval_ms <= anchor:
                starts.add(start)
    return starts


class Past:
    """Settled intervals of comparable days, from which profiles are made."""

    def __init__(self, zone: ZoneInfo, intervals: Iterable[Interval] = ()) -> None:
        self.zone = zone
        self.intervals: Sequence[tuple[int, Interval]] = [(parse_rfc3339(one.start), one) for one in intervals]
        self._profiles: dict[tuple[str, int], Profile] = {}

    def profile(self, home: str, anchor: int) -> "Profile":
        """Return a home's profile from the 14 days before `anchor`, a gap's beginning."""
        known = self._profiles.get((home, anchor))
        if known is None:
            known = self._profiles[home, anchor] = Profile(home, self, anchor)
        return known


class Profile:
    """Mean energy of one home by kind of day and time of day."""

    def __init__(self, home: str, past: Past, anchor: int) -> None:
        self._zone = past.zone
        self._sums: dict[tuple[bool, int], list[int]] = {}
        self._slots: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for start, interval in past.intervals:
            if not anchor - DAYS * _DAY_MS <= start < anchor:
                continue
            row = next((row for row in interval.rows if row.home == home), None)
            if row is None or row.quality not in ("MEASURED", "SUBSTITUTED"):
                continue
            values = (1, row.import_wh, row.export_wh, row.pv_wh, row.charge_wh, row.discharge_wh)
            sums = self._sums.setdefault(self._slot(start), [0] * 6)
            for index, value in enumerate(values):
                sums[index] += value

    def mean(self, start: int) -> Measured:
        """Return the mean energy of comparable intervals to the one at `start`; all 0 where there are none."""
        weekend, minute = self._slot(start)
        sums = self._sums.get((weekend, minute)) or self._sums.get((not weekend, minute))
        if sums is None:
            return Measured(quality="ESTIMATED")
        count = sums[0]
        drawn, injected, produced, charged, discharged = (round(total / count) for total in sums[1:])
        return Measured(drawn, injected, produced, charged, discharged, "ESTIMATED")

    def until(self, role: str, first: int, time: int, interval_ms: int) -> tuple[int, int]:
        """Return a meter's usual (import, export) from the slot that starts at `first` to `time`, in Wh x ms.

        Sums are kept: a gap of days is asked for at each of its borders.
        """
        sums = self._slots.setdefault((role, first), [(0, 0)])
        whole, part = divmod(time - first, interval_ms)
        while len(sums) <= whole:
            imported, exported = self._of_role(role, first + (len(sums) - 1) * interval_ms)
            sums.append((sums[-1][0] + imported * interval_ms, sums[-1][1] + exported * interval_ms))
        imported, exported = self._of_role(role, first + whole * interval_ms) if part else (0, 0)
        return sums[whole][0] + imported * part, sums[whole][1] + exported * part

    def _of_role(self, role: str, slot: int) -> tuple[int, int]:
        mean = self.mean(slot)
        if role == "GRID":
            return mean.import_wh, mean.export_wh
        if role == "PV":
            return 0, mean.pv_wh
        return mean.charge_wh, mean.discharge_wh

    def _slot(self, start: int) -> tuple[bool, int]:
        local = datetime.fromtimestamp(start / 1000, UTC).astimezone(self._zone)
        return local.weekday() >= 5, local.hour * 60 + local.minute
