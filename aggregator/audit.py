"""Audit: the settled intervals computed again from the stored readings, and compared.

Nothing of a checkpoint is used: every reading that READINGS still holds is folded once more, in
stream order, in memory. Where the stream no longer reaches back to a community's beginning, its
first recomputed intervals have nothing before them and are left out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from aggregator.fetching import StreamSource, answer
from aggregator.fold import Fold
from aggregator.rows import parse_rfc3339
from aggregator.state import State
from bus.client import Bus
from bus.errors import ConfigurationError
from bus.identifiers import TICK_SUBJECT
from bus.messages import Interval, decode_interval, encode
from bus.reading import RefusalError, parse
from bus.registry import History, Registry, registry_sequence_of
from bus.stored import Stored

_WARM_UP: Final = 2


class Difference(NamedTuple):
    """What INTERVALS says and what the readings say; `home` is empty where it concerns the interval itself."""

    community: str
    start: str
    home: str
    field: str
    stored: str
    computed: str


@dataclass(slots=True)
class AuditReport:
    """How many intervals were compared, and in what they differ."""

    intervals: int = 0
    readings: int = 0
    differences: list[Difference] = field(default_factory=list)


class AuditError(ConfigurationError):
    """Raised when there is nothing to audit; the text says why."""


async def audit(
    bus: Bus, *, since: int, until: int, communities: Iterable[str] = (), progress: Callable[[int, int], None]
) -> AuditReport:
    """Compare all intervals that start in [since, until), in ms since 1970 UTC.

    `progress` is called with the messages read and those in all. Raises AuditError.
    """
    registry = Registry()
    await registry.load(bus)
    wanted = set(communities) or set(registry.communities)
    if unknown := wanted - registry.communities.keys():
        raise AuditError(f"no community {min(unknown)!r} is registered; known: {', '.join(registry.communities)}")
    first, last = await bus.stream_bounds("READINGS")
    subjects = [TICK_SUBJECT, *(f"readings.{one}.*" for one in sorted(wanted))] if communities else []
    work = _Recomputation(bus, {one: registry.communities[one] for one in wanted}, since, until)
    reader = bus.read("READINGS", subjects, buffer=2000)
    try:
        while last and reader.position < last:
            batch = await reader.next_batch(2.0)
            for stored in batch:
                if stored.sequence <= last:
                    await work.take(stored)
            progress(max(0, reader.position - first + 1), last - first + 1)
            if not batch and reader.pending == 0:
                break
    finally:
        await reader.close()
    report = AuditReport(readings=work.readings)
    for one in sorted(wanted):
        stored_intervals = await _stored(bus, one, since, until)
        computed = work.intervals(one, complete=first <= 1)
        report.intervals += len(computed)
        report.differences += _compare(one, stored_intervals, computed, whole=first <= 1)
    return report


class _Memory(StreamSource):
    """Old intervals as they were computed here; readings from the stream."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self.held: dict[int, bytes] = {}

    async def intervals(self, sequences: Iterable[int]) -> dict[int, bytes]:
        return {sequence: self.held[sequence] for sequence in sequences if sequence in self.held}


@dataclass(slots=True)
class _Desk:
    fold: Fold
    memory: _Memory
    latest: dict[int, Interval] = field(default_factory=dict)
    first: int | None = None


class _Recomputation:
    """The folds of an audit."""

    def __init__(self, bus: Bus, histories: Mapping[str, History], since: int, until: int) -> None:
        self.readings = 0
        self._bus = bus
        self._histories = histories
        self._range = (since, until)
        self._desks: dict[str, _Desk] = {}
        self._sequence = 0

    async def take(self, stored: Stored) -> None:
        """Fold one message of READINGS."""
        if stored.subject == TICK_SUBJECT:
            return await self._take_tick(stored)
        _, community, meter, *_ = [*stored.subject.split("."), "", ""]
        desk = self._desks.get(community)
        if desk is None:
            return None
        self.readings += 1
        try:
            reading = parse(stored.data)
            if reading.meter in (None, meter):
                desk.fold.take(meter, reading, stored)
        except RefusalError:
            return None
        return await self._settle(desk, stored.sequence)

    def intervals(self, community: str, *, complete: bool) -> dict[int, Interval]:
        """Return the latest revisions computed, by start."""
        desk = self._desks.get(community)
        if desk is None or desk.first is None:
            return {}
        least = desk.first if complete else desk.first + _WARM_UP * desk.fold.settlement.interval_ms
        return {start: one for start, one in desk.latest.items() if start >= least}

    async def _take_tick(self, stored: Stored) -> None:
        announced = registry_sequence_of(stored.data)
        for community, history in self._histories.items():
            desk = self._desks.get(community)
            if desk is None:
                if len(known := history.until(announced)):
                    state = State(community, registry_sequence=known.sequence)
                    self._desks[community] = _Desk(Fold(state, known), _Memory(self._bus))
                continue
            known = desk.fold.settlement.history
            known.learn(history, announced)
            desk.fold.tick(stored.time_ms, min(announced, known.sequence))
            await self._settle(desk, stored.sequence)

    async def _settle(self, desk: _Desk, position: int) -> None:
        self._keep(desk)
        while desk.fold.job is not None:
            await answer(desk.fold, desk.memory, position)
            self._keep(desk)

    def _keep(self, desk: _Desk) -> None:
        """Take the intervals that came out, as INTERVALS would."""
        for output in desk.fold.outputs:
            if not isinstance(output, Interval):
                continue
            self._sequence += 1
            start = parse_rfc3339(output.start)
            settlement = desk.fold.settlement
            desk.memory.held.pop(settlement.sequence_of(start), None)
            settlement.published(start, self._sequence)
            if output.status != "FINAL":
                desk.memory.held[self._sequence] = encode(output)
            desk.first = start if desk.first is None else min(desk.first, start)
            if self._range[0] <= start < self._range[1]:
                desk.latest[start] = output
        desk.fold.outputs.clear()


async def _stored(bus: Bus, community: str, since: int, until: int) -> dict[int, Interval]:
    """Return the latest revisions that INTERVALS holds of a community's intervals."""
    last = await bus.last("INTERVALS", f"intervals.{community}")
    found: dict[int, Interval] = {}
    if last is None:
        return found
    reader = bus.read("INTERVALS", [f"intervals.{community}"], buffer=500)
    try:
        while reader.position < last.sequence:
            for stored in await reader.next_batch(5.0):
                try:
                    interval = decode_interval(stored.data)
                    start = parse_rfc3339(interval.start)
                except (msgspec.DecodeError, ValueError):
                    continue
                earlier = found.get(start)
                if since <= start < until and (earlier is None or interval.revision >= earlier.revision):
                    found[start] = interval
    finally:
        await reader.close()
    return found


def _compare(
    community: str, stored: Mapping[int, Interval], computed: Mapping[int, Interval], *, whole: bool
) -> Iterator[Difference]:
    for start in sorted(stored.keys() | computed.keys() if whole else computed.keys()):
        was, now = stored.get(start), computed.get(start)
        if was is None or now is None:
            one = was or now
            assert one is not None
            there, here = ("absent", "present") if was is None else ("present", "absent")
            yield Difference(community, one.start, "", "interval", there, here)
            continue
        for name in ("end", "status", "currency", "shared_wh"):
            if getattr(was, name) != getattr(now, name):
                yield Difference(community, was.start, "", name, str(getattr(was, name)), str(getattr(now, name)))
        rows, again = {row.home: row for row in was.rows}, {row.home: row for row in now.rows}
        for home in sorted(rows.keys() | again.keys()):
            if home not in rows or home not in again:
                there, here = ("absent", "present") if home not in rows else ("present", "absent")
                yield Difference(community, was.start, home, "row", there, here)
                continue
            for name in rows[home].__struct_fields__:
                before, after = getattr(rows[home], name), getattr(again[home], name)
                if before != after:
                    yield Difference(community, was.start, home, name, str(before), str(after))
