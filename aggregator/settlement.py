"""Settlement: when intervals close, and what goes out when they do.

An interval closes when the meters' own time has passed its end by the community's grace, at
the latest when the community's clock has passed it by the patience. Readings that come later
are noted and answered together, at the next closing or tick: the intervals that they touch are
run again and come out with the next revision, if anything in them differs. After the finality
delay an interval comes out once more, as FINAL, and never again.

What lies outside the state (old intervals, old readings) is asked for by a Job and passed in.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from aggregator.measuring import Metered, measure_home, wanted_past
from aggregator.profile import Past
from aggregator.rows import Measured, build_interval, measured_of
from aggregator.state import State
from aggregator.today import count_interval
from aggregator.track import NEVER, Crossing, Point, Track
from bus.community import Community
from bus.messages import Interval, IntervalStatus
from bus.registry import History

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 86_400_000
_KEEP_HOURS: Final = 36 * 24


class Job(NamedTuple):
    """What the service must bring before the next message.

    `late`: homes to measure again from their readings, with the times of those that came late.
    `close`: the interval that waits for past days. `past`: those days'
    intervals. `finalise`: intervals to come out as FINAL.
    """

    late: Mapping[str, tuple[int, int]]
    reshare_from: int | None
    close: int | None
    finalise: Sequence[int]
    past: Sequence[int]


class Settlement:
    """The settlement part of a community's fold."""

    def __init__(self, state: State, history: History, outputs: list[Any]) -> None:
        self.state = state
        self.history = history
        self.job: Job | None = None
        self._outputs = outputs
        self.waits_since = 0
        """A meter read before this is not waited for when the oldest open interval closes."""
        self._waiting: set[int] = set()
        self._community: Community

    def use(self, community: Community) -> None:
        """Work with a version of the community from now on."""
        self._community = community
        self.interval_ms = int(community.settlement_interval.total_seconds() * 1000)
        self.grace_ms = int(community.grace.total_seconds() * 1000)
        self.patience_ms = int(community.patience.total_seconds() * 1000)
        self.finality_ms = int(community.finality.total_seconds() * 1000)
        self.meters = self._meters_of(community)
        self._tracks = [track for meters in self.meters.values() for _, track in meters]
        self._arm()

    def new_track(self) -> Track:
        """Return the track of a meter that has not been read yet."""
        return Track(next_border=self.state.base or 0)

    def border_before(self, at: int) -> int:
        """Return the start of the interval that `at` lies in; local midnights are borders.

        Zones with offsets of half hours have their full hours elsewhere, so the first border is a
        local one; from then on interval follows interval.
        """
        if self.state.base is not None:
            return at - (at - self.state.base) % self.interval_ms
        offset = datetime.fromtimestamp(at / 1000, self._community.zone).utcoffset()
        shift = 0 if offset is None else int(offset.total_seconds() * 1000)
        return at - (at + shift) % self.interval_ms

    def final_before(self) -> int:
        """Return the time before which every interval is final."""
        horizon = self.state.now - self.finality_ms
        start = self.state.base if self.state.base is not None else self.state.now
        oldest = start - len(self.state.settled) * self.interval_ms
        return min(oldest, self.border_before(horizon))

    # --- called by the fold ---

    def first_reading(self, home: str, track: Track, point: Point, sequence: int) -> None:
        """A meter is read for the first time."""
        state = self.state
        start = self.border_before(point.at)
        if state.base is None:
            state.base = state.first = start
            for other in self._tracks:
                other.next_border = start
        elif start < state.base and not self.lower_base(point.at):
            self.late(home, point.at)
        track.next_border = state.base
        self._note_hour(point.at, sequence)
        self.waits_since = state.base - self.patience_ms

    def lower_base(self, at: int) -> bool:
        """Begin earlier, while nothing has been settled yet; say whether `at` lies in an open interval then."""
        state = self.state
        if state.base is None or state.first != state.base or state.settled:
            return False
        start = self.border_before(at)
        if start < state.now - self.finality_ms:
            return False
        steps = (state.base - start) // self.interval_ms
        for track in self._tracks:
            if track.last is None:
                track.next_border = start
            elif track.crossings:
                first = track.crossings[0]
                track.crossings[:0] = [Crossing(None, first.after)] * steps
            else:
                track.next_border = start
                while track.next_border <= track.first_at:
                    track.crossings.append(Crossing(None, track.last))
                    track.next_border += self.interval_ms
        state.base = state.first = start
        self._arm()
        return True

    def late(self, home: str, at: int) -> None:
        """A reading came that can change a closed interval: it lies in one, or ends a silence that spans one."""
        low, high = self.state.late.get(home, (at, at))
        self.state.late[home] = (min(low, at), max(high, at))

    def crossed(self, track: Track, at: int, sequence: int) -> None:
        """A meter's newest reading has crossed a border."""
        self._note_hour(at, sequence)
        self.heard(track)
        self.advance()

    def heard(self, track: Track) -> None:
        """A meter was read: wait for it, or no longer, when the oldest open interval closes.

        Within the grace readings come in any order, so a meter is safe when its newest reading is
        a grace later than the one that now stands behind the interval's end.
        """
        last = track.last
        if last is None or last.at < self.waits_since:
            return
        after = track.crossings[1].after if len(track.crossings) > 1 else None
        mark = NEVER if after is None else after.at + self.grace_ms
        if last.at >= mark:
            self._waiting.discard(id(track))
            track.safe_mark = NEVER
        else:
            self._waiting.add(id(track))
            track.safe_mark = mark

    def reshare(self, since: int) -> None:
        """The registry changed for closed intervals from `since` on."""
        state = self.state
        if state.base is not None and since < state.base:
            state.reshare_from = since if state.reshare_from is None else min(since, state.reshare_from)

    def advance(self) -> None:
        """Close what is due."""
        state = self.state
        while state.base is not None and self.job is None:
            if self._waiting and state.now < state.base + self.interval_ms + self.patience_ms:
                return
            if not self._waiting and not self._passed():
                return
            self._close()

    def settle_late(self) -> None:
        """Ask for what came late, and for what is final, to be answered now."""
        state = self.state
        if state.base is None or self.job is not None:
            return
        oldest = state.base - len(state.settled) * self.interval_ms
        finals = [oldest + k * self.interval_ms for k in range(self._final_due())]
        if state.late or state.reshare_from is not None or finals:
            self.job = Job(dict(state.late), state.reshare_from, None, finals, ())

    def _final_due(self) -> int:
        """Return how many of the closed intervals, the oldest first, are to become final now."""
        state = self.state
        assert state.base is not None
        oldest = state.base - len(state.settled) * self.interval_ms
        return max(0, min((state.now - self.finality_ms - oldest) // self.interval_ms, len(state.settled)))

    # --- closing ---

    def _passed(self) -> bool:
        """With nobody to wait for, the clock decides: grace after the end."""
        assert self.state.base is not None
        return self.state.now >= self.state.base + self.interval_ms + self.grace_ms

    def _arm(self) -> None:
        """See which meters the oldest open interval waits for."""
        self._waiting.clear()
        if self.state.base is None:
            return
        self.waits_since = self.state.base - self.patience_ms
        for track in self._tracks:
            track.safe_mark = NEVER
            self.heard(track)

    def _close(self) -> None:
        start = self.state.base
        assert start is not None
        wanted = self._settled(
            starts
            for meters in self._metered(start).values()
            for starts in wanted_past(meters, start, start + self.interval_ms)
        )
        if wanted:
            self.job = Job({}, None, start, (), wanted)
        else:
            self.close(start, ())

    def close(self, start: int, past: Iterable[Interval]) -> None:
        """Close the oldest open interval; `past`: the settled intervals that the job asked for."""
        state, community = self.state, self.history.at(start)
        end = start + self.interval_ms
        days = Past(community.zone, past)
        measured = {home: measure_home(home, meters, start, end, days) for home, meters in self._metered(start).items()}
        interval = build_interval(community, start, end, measured, 0)
        self._outputs.append(interval)
        count_interval(state, start, interval, None)
        if end == state.midnight:
            self._note_midnight(end)
        state.base = end
        state.settled.append(0)
        for track in state.tracks.values():  # also of meters that the registry knows no longer
            if track.crossings:
                del track.crossings[0]
            if track.next_border < end:
                track.next_border = end
        self._arm()
        if state.late or state.reshare_from is not None or self._final_due() >= _DAY_MS // self.interval_ms:
            self.settle_late()

    def published(self, start: int, sequence: int) -> None:
        """Note where the latest revision of an interval stands in INTERVALS."""
        index = self._index(start)
        if index is not None:
            self.state.settled[index] = sequence

    def sequence_of(self, start: int) -> int:
        """Return the INTERVALS sequence of a closed interval's latest revision; 0 if it is final or unknown."""
        index = self._index(start)
        return 0 if index is None else self.state.settled[index]

    def closed_since(self, since: int) -> list[int]:
        """Return the starts of the closed intervals from `since` on that are not final."""
        base = self.state.base
        assert base is not None
        oldest = base - len(self.state.settled) * self.interval_ms
        return list(range(max(oldest, self.border_before(since)), base, self.interval_ms))

    def _settled(self, starts: Iterable[int]) -> list[int]:
        return sorted({start for start in starts if self._index(start) is not None})

    def _index(self, start: int) -> int | None:
        state = self.state
        assert state.base is not None
        index = len(state.settled) - (state.base - start) // self.interval_ms
        return index if 0 <= index < len(state.settled) else None

    def scan_from(self, at: int) -> int:
        """Return the READINGS sequence after which the readings around `at` came, three hours of margin included."""
        sequence = 0
        for hour, first in self.state.hours:
            if hour > at - 3 * _HOUR_MS:
                break
            sequence = first - 1
        return sequence

    # --- running again ---

    def again(self, start: int, old: Interval, measured: Mapping[str, Measured], *, final: bool = False) -> None:
        """Run a closed interval again with new measurements of some homes; it comes out if anything differs."""
        community = self.history.at(start)
        merged = measured_of(old) | dict(measured)
        status: IntervalStatus = "FINAL" if final else "PROVISIONAL"
        new = build_interval(community, start, start + self.interval_ms, merged, old.revision + 1, status)
        if final or new.rows != old.rows or new.shared_wh != old.shared_wh:
            self._outputs.append(new)
            count_interval(self.state, start, new, old)

    def done(self, job: Job) -> None:
        """The job was answered."""
        state = self.state
        self.job = None
        if job.close is None:
            for home, span in job.late.items():
                if state.late.get(home) == span:  # else more came since the job was asked for
                    del state.late[home]
            if job.reshare_from is not None:
                state.reshare_from = None
            del state.settled[: len(job.finalise)]
        self.advance()

    # --- inside ---

    def _meters_of(self, community: Community) -> dict[str, list[tuple[str, Track]]]:
        tracks = self.state.tracks
        return {
            home.id: [(meter.role, tracks.get(meter.id) or Track()) for meter in home.meters]
            for home in community.homes
        }

    def _metered(self, start: int) -> dict[str, list[Metered]]:
        """Return every home's meters with the readings around the borders of the oldest open interval."""
        community = self.history.at(start)
        known = self.meters if community is self._community else self._meters_of(community)
        return {home: [self._around(role, track) for role, track in meters] for home, meters in known.items()}

    def _around(self, role: str, track: Track) -> Metered:
        beyond = Crossing(track.last, None)
        crossings = track.crossings
        return Metered(
            role,
            track,
            crossings[0] if crossings else beyond,
            crossings[1] if len(crossings) > 1 else beyond,
        )

    def _note_midnight(self, midnight: int) -> None:
        for track in self._tracks:
            if track.last is not None:
                value = track.energy_at(track.crossings[1], midnight) if len(track.crossings) > 1 else None
                track.midnight = track.cumulative(track.last) if value is None else value

    def _note_hour(self, at: int, sequence: int) -> None:
        hours = self.state.hours
        hour = at - at % _HOUR_MS
        if not hours or hour > hours[-1][0]:
            hours.append((hour, sequence))
            if len(hours) > _KEEP_HOURS:
                del hours[0]
