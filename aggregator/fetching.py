"""Fetching: bringing a fold what lies outside its state, from JetStream.

Old intervals by their stream sequence, and the readings of a few meters up to the message that
the fold stands at, so that the answer is the same whenever the question is asked again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, Protocol

from aggregator.corrections import Remeasurement
from aggregator.fold import Fold
from aggregator.profile import Past
from aggregator.rows import Measured
from bus.client import Bus
from bus.messages import Interval, decode_interval
from bus.reading import RefusalError, parse
from bus.stored import Stored

_RECENT_BYTES: Final = 16 * 1024 * 1024
_TOGETHER: Final = 64
_HOUR_MS: Final = 3_600_000
_MARGINS_MS: Final = (3 * _HOUR_MS, 27 * _HOUR_MS, 36 * 24 * _HOUR_MS)


class Source(Protocol):
    """Where old intervals and readings come from: JetStream, or a recomputation's own memory."""

    async def intervals(self, sequences: Iterable[int]) -> dict[int, bytes]:
        """Return the INTERVALS messages at some stream sequences; those that are gone are left out."""

    def readings(self, community: str, meters: Iterable[str], after: int, until: int) -> AsyncIterator[Stored]:
        """Return the readings of some meters with READINGS sequences in (after, until], in order."""


class StreamSource:
    """JetStream as the source, with the last intervals at hand."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._recent: dict[int, bytes] = {}
        self._recent_bytes = 0

    async def intervals(self, sequences: Iterable[int]) -> dict[int, bytes]:
        """Return the INTERVALS messages at some sequences; raise UnavailableError when NATS is away."""
        wanted = list(sequences)
        found = {sequence: self._recent[sequence] for sequence in wanted if sequence in self._recent}
        missing = [sequence for sequence in wanted if sequence not in found]
        for start in range(0, len(missing), _TOGETHER):
            asked = missing[start : start + _TOGETHER]
            for stored in await asyncio.gather(*(self._bus.message("INTERVALS", one) for one in asked)):
                if stored is not None:
                    found[stored.sequence] = stored.data
                    self._keep(stored)
        return found

    async def readings(self, community: str, meters: Iterable[str], after: int, until: int) -> AsyncIterator[Stored]:
        """Yield readings in order, waiting for NATS; UnavailableError before the first one when it is away.

        The message that the fold stands at is read, too: when it comes, nothing before it is missing.
        """
        stands_at = await self._bus.next_after("READINGS", "readings.>", until)
        if stands_at is None:
            return
        subjects = {f"readings.{community}.{meter}" for meter in meters} | {stands_at.subject}
        reader = self._bus.read("READINGS", sorted(subjects), after=after)
        try:
            while True:
                for stored in await reader.next_batch(2.0):
                    if stored.sequence <= until:
                        yield stored
                    if stored.sequence >= stands_at.sequence:
                        return
        finally:
            await reader.close()

    def _keep(self, stored: Stored) -> None:
        self._recent[stored.sequence] = stored.data
        self._recent_bytes += len(stored.data)
        while self._recent_bytes > _RECENT_BYTES:
            self._recent_bytes -= len(self._recent.pop(next(iter(self._recent))))


async def answer(fold: Fold, source: Source, position: int) -> None:
    """Bring what the fold's job asks for, from the stream as it was at READINGS sequence `position`."""
    settlement = fold.settlement
    job = settlement.job
    assert job is not None
    if job.close is not None:
        past = (await _intervals(fold, source, job.past)).values()
        settlement.job = None
        settlement.close(job.close, past)
        settlement.advance()
        return
    measured = await _remeasure(fold, source, position) if job.late else {}
    starts = set(measured)
    if job.reshare_from is not None:
        starts.update(settlement.closed_since(job.reshare_from))
    finals = set(job.finalise)
    for start, old in (await _intervals(fold, source, starts | finals)).items():
        settlement.again(start, old, measured.get(start, {}), final=start in finals)
    settlement.done(job)


async def _remeasure(fold: Fold, source: Source, position: int) -> dict[int, dict[str, Measured]]:
    settlement, state = fold.settlement, fold.state
    job = settlement.job
    assert job is not None
    assert state.base is not None
    earliest = min(low for low, _ in job.late.values())
    oldest = state.base - len(state.settled) * settlement.interval_ms
    first_at = {meter: track.first_at for meter, track in state.tracks.items() if track.last is not None}
    found: dict[int, list[str]] = {}
    again: Remeasurement | None = None
    for margin in _MARGINS_MS:
        start = settlement.border_before(max(earliest, oldest) - margin)
        again = Remeasurement(fold.community, job.late, start, settlement.interval_ms)
        after = settlement.scan_from(start)
        async for stored in source.readings(state.community, again.meters, after, position):
            try:
                again.feed(stored.subject.rpartition(".")[2], parse(stored.data))
            except RefusalError:
                continue
        found = {s: homes for s, homes in again.affected().items() if oldest <= s < state.base}
        if all(again.reaches_back(s, homes, first_at) for s, homes in found.items()):
            break
    assert again is not None
    wanted = {one for s, homes in found.items() for home in homes for one in again.wanted_past(home, s)}
    past = Past(fold.community.zone, (await _intervals(fold, source, wanted)).values())
    return {s: {home: again.measure(home, s, past) for home in homes} for s, homes in sorted(found.items())}


async def _intervals(fold: Fold, source: Source, starts: Iterable[int]) -> dict[int, Interval]:
    """Return the latest revisions of closed intervals, in order of time."""
    sequences = {start: fold.settlement.sequence_of(start) for start in sorted(starts)}
    found = await source.intervals([sequence for sequence in sequences.values() if sequence])
    return {start: decode_interval(found[sequence]) for start, sequence in sequences.items() if sequence in found}
