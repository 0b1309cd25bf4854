"""Corrections: homes measured again from their readings, for intervals that are closed.

The readings of a home's meters are fed once more, in stream order, into tracks of their own; the
borders that a late reading moved show which intervals to run again.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from aggregator.measuring import Metered, measure_home, wanted_past
from aggregator.plausibility import Verdict, judge
from aggregator.profile import Past
from aggregator.rows import Measured
from aggregator.track import Crossing, Point, Suspect, Track
from bus.community import Community
from bus.reading import Reading, RefusalError

_NOWHERE: Final = Crossing(None, None)


class Remeasurement:
    """The meters of some homes, read again from READINGS."""

    def __init__(self, community: Community, late: Mapping[str, tuple[int, int]], start: int, interval_ms: int) -> None:
        self._late = late
        self._start = start
        self._interval_ms = interval_ms
        self._homes = {
            home.id: [(meter, Track(next_border=start)) for meter in home.meters]
            for home in community.homes
            if home.id in late
        }
        self._meters = {
            meter.id: (meter.connection_w, track) for meters in self._homes.values() for meter, track in meters
        }

    @property
    def meters(self) -> list[str]:
        """The meters whose readings are wanted."""
        return list(self._meters)

    def feed(self, meter: str, reading: Reading) -> None:
        """Take a reading, in stream order."""
        entry = self._meters.get(meter)
        if entry is None:
            return
        connection_w, track = entry
        at = reading.at_ms
        suspect = Suspect(at, reading.epoch, reading.import_wh, reading.export_wh, "", "", 0, 0, b"")
        try:
            outcome = judge(track, reading, at, connection_w, suspect)
        except RefusalError:
            return
        for point in outcome.points:
            if outcome.verdict is Verdict.NEWEST:
                track.accept(point, self._interval_ms)
            else:
                track.insert(point, self._start, self._interval_ms, correction=outcome.verdict is Verdict.CORRECTION)

    def affected(self) -> dict[int, list[str]]:
        """Return the starts of the intervals that late readings touch, with the homes to measure again."""
        found: dict[int, list[str]] = {}
        for home, meters in self._homes.items():
            low, high = self._late[home]
            starts: set[int] = set()
            for _, track in meters:
                border = self._start
                earlier: Point | None = None
                for before, after in [*track.crossings, Crossing(track.last, None)]:
                    if (before is not None and low <= before.at <= high) or (
                        after is not None and low <= after.at <= high
                    ):
                        starts.update((border - self._interval_ms, border))
                    exchanged = before is not None and earlier is not None and before.epoch != earlier.epoch
                    if exchanged and low <= border and high >= border - self._interval_ms:
                        # A late reading is the old meter's last or the new one's first, far from any border.
                        starts.add(border - self._interval_ms)
                    earlier = after or before
                    border += self._interval_ms
            for start in starts:
                found.setdefault(start, []).append(home)
        return found

    def reaches_back(self, start: int, homes: Iterable[str], first_at: Mapping[str, int]) -> bool:
        """Say whether the readings fed suffice for the interval at `start`; `first_at`: a meter's first reading."""
        for home in homes:
            for meter, track in self._homes[home]:
                if self._crossing(track, start).before is None and first_at.get(meter.id, start) < start:
                    return False
        return start >= self._start

    def wanted_past(self, home: str, start: int) -> set[int]:
        """Return the starts of the settled intervals that `measure` needs for profiles."""
        return wanted_past(self._metered(home, start), start, start + self._interval_ms)

    def measure(self, home: str, start: int, past: Past) -> Measured:
        """Return a home's energy in the interval at `start`."""
        return measure_home(home, self._metered(home, start), start, start + self._interval_ms, past)

    def _metered(self, home: str, start: int) -> list[Metered]:
        end = start + self._interval_ms
        return [
            Metered(meter.role, track, self._crossing(track, start), self._crossing(track, end))
            for meter, track in self._homes[home]
        ]

    def _crossing(self, track: Track, border: int) -> Crossing:
        index = (border - self._start) // self._interval_ms
        if index < 0:
            return _NOWHERE
        return track.crossings[index] if index < len(track.crossings) else Crossing(track.last, None)
