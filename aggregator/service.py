"""The aggregator's service: reads READINGS, drives the folds, publishes what they give.

All input and output of the aggregator happens here. Outputs are acknowledged before the
checkpoint that covers them; what a fold asks for is brought before its next message.
"""

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from aggregator.checkpoint import Checkpoint, Checkpoints
from aggregator.fetching import answer
from aggregator.fold import Fold, Output
from aggregator.frames import Framer
from aggregator.metrics import Metrics
from aggregator.outbox import Outbox, identity
from aggregator.rows import parse_rfc3339
from aggregator.state import VERSION, State
from bus.client import Bus, Message, UnavailableError
from bus.identifiers import TICK_SUBJECT, is_id, live_subject
from bus.messages import Interval, Rejected
from bus.reader import Reader
from bus.reading import RefusalError, parse
from bus.registry import Registry, registry_sequence_of, tick
from bus.stored import Stored

log = structlog.get_logger(__name__)

_TICK_S: Final = 10.0
_BEHIND: Final = 2_000
_CHECKPOINT_S: Final = 5.0
_OUTPUTS: Final = 200
_RECENT: Final = 512
_TOGETHER: Final = 64


@dataclass(frozen=True, slots=True)
class AggregatorOptions:
    """Which communities this process settles: those named, or part `part` of `parts` by hash of the id."""

    communities: tuple[str, ...] = ()
    part: int = 1
    parts: int = 1
    rebuild: tuple[str, ...] = ()
    """Communities whose checkpoint is set aside: all is computed again from the stored readings."""

    def mine(self, community: str) -> bool:
        """Say whether this process settles a community."""
        if self.communities:
            return community in self.communities
        return zlib.crc32(community.encode()) % self.parts == self.part - 1


@dataclass(slots=True)
class _Desk:
    """One community at work: its fold, and where it stands."""

    fold: Fold
    outbox: Outbox
    framer: Framer
    position: int = 0
    saved: int = 0
    beat: bool = False
    """A tick came: a frame goes out even if nothing changed, so that servers see the aggregator alive."""


@dataclass(slots=True)
class _Refused:
    """Readings that belong to no community of the registry."""

    outbox: Outbox
    outputs: list[Output] = field(default_factory=list)
    position: int = 0


class Aggregator:
    """Folds the communities that are its own, until cancelled."""

    def __init__(self, bus: Bus, options: AggregatorOptions, metrics: Metrics) -> None:
        self._bus = bus
        self._options = options
        self._metrics = metrics
        self._registry = Registry()
        self._checkpoints = Checkpoints(bus)
        self._desks: dict[str, _Desk] = {}
        self._refused = _Refused(Outbox(bus, None, {}))
        self._ticked = 0.0
        self._checkpointed = 0.0
        self._folded = 0
        self._source = _Stream(bus)

    async def run(self) -> None:
        """Work until cancelled. Raises FencedError, CheckpointError."""
        reader = await self._start()
        log.info("aggregator ready", communities=len(self._desks), position=reader.position)
        self._bus.on_reconnect(self._frames_again)
        try:
            async with asyncio.TaskGroup() as tasks:
                ticker = tasks.create_task(self._tick_for_ever())
                try:
                    await self._fold_for_ever(reader)
                finally:
                    ticker.cancel()
        finally:
            await reader.close()

    # --- start ---

    async def _start(self) -> Reader:
        await self._registry.load(self._bus)
        refused = await self._checkpoints.load(self._nobody_key())
        if refused is not None:
            self._refused.outbox.positions.update(refused.positions)
            self._refused.position = refused.position
        await self._refused.outbox.open()
        position = self._refused.position
        for community in self._registry.communities:
            if not self._options.mine(community):
                continue
            saved = await self._checkpoints.load(community, ignore=community in self._options.rebuild)
            if saved is None or saved.state is None:
                position = 0  # its first version is announced somewhere in the log
            else:
                await self._open_desk(saved.state, saved.position, saved.positions)
                position = min(position, saved.position)
        subjects: list[str] = []
        if self._options.communities:
            subjects = [TICK_SUBJECT, *(f"readings.{community}.*" for community in self._options.communities)]
        return self._bus.read("READINGS", subjects, after=position, buffer=2000)

    async def _open_desk(self, state: State, position: int, positions: dict[str, int]) -> None:
        """Take up a community; what its streams hold beyond `positions` need not go out again."""
        history = self._registry.communities[state.community].until(state.registry_sequence)
        outbox = Outbox(self._bus, state.community, dict(positions))
        await outbox.open()
        desk = _Desk(Fold(state, history), outbox, Framer(), position)
        self._desks[state.community] = desk
        self._metrics.communities.set(len(self._desks))
        # The claim: whoever held this checkpoint before cannot save over it any more.
        await self._save(desk)

    def _nobody_key(self) -> str:
        return "_" + ("-".join(self._options.communities) or f"{self._options.part}-{self._options.parts}")[:200]

    # --- work ---

    async def _fold_for_ever(self, reader: Reader) -> None:
        self._checkpointed = time.monotonic()
        while True:
            batch = await reader.next_batch(self._wait_s())
            for stored in batch:
                waiting = self._take(stored)
                if waiting is not None:
                    await waiting
            if batch:
                self._metrics.batch.observe(len(batch))
                self._metrics.behind.set(reader.pending)
                await self._flush(self._desks.values())
            behind = reader.pending > _BEHIND
            await self._send_frames(behind=behind)
            if time.monotonic() - self._checkpointed > _CHECKPOINT_S:
                await self._save_all(reader.position)

    def _take(self, stored: Stored) -> Coroutine[Any, Any, None] | None:
        """Fold one message; return what is to be awaited before the next, if anything."""
        subject = stored.subject
        if subject == TICK_SUBJECT:
            return self._take_tick(stored)
        tokens = subject.split(".")
        desk = self._desks.get(tokens[1]) if len(tokens) == 3 else None
        if desk is None:
            self._take_foreign(stored, tokens)
            return None
        if stored.sequence <= desk.position:
            return None
        desk.position = stored.sequence
        fold, meter = desk.fold, tokens[2]
        try:
            reading = parse(stored.data)
            if reading.meter is not None and reading.meter != meter:
                raise RefusalError("meter_mismatch", f"the payload says {reading.meter!r}, the subject {meter!r}")
            fold.take(meter, reading, stored)
        except RefusalError as refusal:
            fold.refuse(stored, refusal.reason, str(refusal))
        self._folded += 1
        if fold.settlement.job is not None or len(fold.outputs) >= _OUTPUTS:
            return self._answer(desk)
        return None

    async def _take_tick(self, stored: Stored) -> None:
        self._ticked = time.monotonic()
        announced = registry_sequence_of(stored.data)
        if announced > self._registry.sequence:
            await self._registry.load(self._bus)
        for community, history in self._registry.communities.items():
            desk = self._desks.get(community)
            if desk is None:
                if self._options.mine(community) and len(known := history.until(announced)):
                    state = State(community, registry_sequence=known.sequence)
                    await self._open_desk(state, stored.sequence, {})
                continue
            if stored.sequence <= desk.position:
                continue
            desk.position = stored.sequence
            desk.beat = True
            desk.fold.settlement.history.learn(history, announced)
            desk.fold.tick(stored.time_ms, min(announced, desk.fold.settlement.history.sequence))
            if desk.fold.job is not None:
                await self._answer(desk)

    def _take_foreign(self, stored: Stored, tokens: list[str]) -> None:
        """Refuse a message of a community that is not registered, if nobody else will."""
        community = tokens[1] if len(tokens) > 1 else ""
        refused = self._refused
        if community in self._registry.communities or not self._options.mine(community):
            return
        if stored.sequence <= refused.position:
            return
        refused.position = stored.sequence
        if len(tokens) != 3 or not is_id(community) or not is_id(tokens[2]):
            reason, detail = "invalid_id", f"{stored.subject[:200]!r} is not readings.<community>.<meter>"
        else:
            reason, detail = "unknown_community", f"no community {community!r} is registered"
        refused.outputs.append(
            Rejected(
                reason=reason,
                detail=detail,
                subject=stored.subject,
                sequence=stored.sequence,
                received_at=stored.time_ms,
                payload=stored.data.decode("utf-8", "backslashreplace"),
            )
        )

    async def _answer(self, desk: _Desk) -> None:
        """Publish a fold's outputs and bring what it asks for, until it asks for nothing more."""
        await self._flush([desk])
        while desk.fold.job is not None:
            await self._flush([desk])
            try:
                await answer(desk.fold, self._source, desk.position)
            except UnavailableError as error:
                log.warning("waiting for old intervals and readings", reason=str(error))
                await self._bus.pause()

    # --- what goes out ---

    async def _flush(self, desks: Iterable[_Desk]) -> None:
        """Publish the outputs of some communities, and what was refused of none; return when acknowledged."""
        for desk in desks:
            outputs, desk.fold.outputs[:] = list(desk.fold.outputs), []
            if not outputs:
                continue
            sequences = await desk.outbox.send(outputs)
            for output in outputs:
                if isinstance(output, Interval):
                    start = parse_rfc3339(output.start)
                    desk.fold.settlement.published(start, sequences[identity(output)])
            self._metrics.count(outputs)
        if self._refused.outputs:
            outputs, self._refused.outputs = self._refused.outputs, []
            await self._refused.outbox.send(outputs)
            self._metrics.count(outputs)
        if self._folded:
            self._metrics.readings.inc(self._folded)
            self._folded = 0

    async def _send_frames(self, *, behind: bool) -> None:
        now = time.monotonic()
        for community, desk in self._desks.items():
            if (desk.fold.changed or desk.beat) and desk.framer.due <= now:
                desk.beat = False
                started = time.monotonic()
                frame = desk.framer.frame(desk.fold)
                desk.framer.next_due(started, time.monotonic(), behind=behind)
                try:
                    await self._bus.publish_core(live_subject(community), frame)
                except UnavailableError:  # the next one carries all again, see _frames_again
                    continue
                self._metrics.frames.inc()

    async def _frames_again(self) -> None:
        """NATS was away, and LIVE is kept in memory: publish everything once more."""
        for desk in self._desks.values():
            desk.framer.again()
            desk.fold.changed.update(desk.fold.homes)

    def _wait_s(self) -> float:
        """Return how long to wait for messages: until the next frame is due, at most a second."""
        now = time.monotonic()
        dues = [desk.framer.due - now for desk in self._desks.values() if desk.fold.changed]
        return min(1.0, max(0.0, min(dues, default=1.0)))

    async def _save_all(self, position: int) -> None:
        for desk in self._desks.values():
            if desk.position != desk.saved:
                await self._save(desk)
        self._refused.position = max(self._refused.position, position)
        checkpoint = Checkpoint(VERSION, self._refused.position, self._refused.outbox.positions, None)
        with contextlib.suppress(UnavailableError):  # it is saved the next time
            await self._checkpoints.save(self._nobody_key(), checkpoint)
        self._checkpointed = time.monotonic()

    async def _save(self, desk: _Desk) -> None:
        state = desk.fold.state
        try:
            await self._checkpoints.save(
                state.community, Checkpoint(VERSION, desk.position, desk.outbox.positions, state)
            )
        except UnavailableError as error:
            log.warning("checkpoint not saved, trying again later", community=state.community, reason=str(error))
            return
        desk.saved = desk.position
        self._metrics.checkpoints.inc()
        skew = max((abs(track.skew_ms) for track in state.tracks.values()), default=0)
        self._metrics.skew.labels(state.community).set(skew / 1000)

    # --- time in the log ---

    async def _tick_for_ever(self) -> None:
        """Put a tick into the log when nobody has for a while."""
        while True:
            if time.monotonic() - self._ticked >= _TICK_S:
                with contextlib.suppress(UnavailableError):
                    await self._bus.publish(Message(TICK_SUBJECT, tick(self._registry.sequence)))
            await asyncio.sleep(_TICK_S / 10)


class _Stream:
    """JetStream as the source of old intervals and readings, with the last intervals at hand."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._recent: dict[int, bytes] = {}

    async def intervals(self, sequences: Iterable[int]) -> dict[int, bytes]:
        wanted = list(sequences)
        missing = [sequence for sequence in wanted if sequence not in self._recent]
        for start in range(0, len(missing), _TOGETHER):
            asked = missing[start : start + _TOGETHER]
            for stored in await asyncio.gather(*(self._bus.message("INTERVALS", one) for one in asked)):
                if stored is not None:
                    self._recent[stored.sequence] = stored.data
        found = {sequence: self._recent[sequence] for sequence in wanted if sequence in self._recent}
        while len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]
        return found

    async def readings(self, community: str, meters: Iterable[str], after: int, until: int) -> AsyncIterator[Stored]:
        reader = self._bus.read("READINGS", [f"readings.{community}.{meter}" for meter in meters], after=after)
        try:
            while True:
                batch = await reader.next_batch(2.0)
                for stored in batch:
                    if stored.sequence > until:
                        return
                    yield stored
                if not batch or reader.pending == 0:
                    return
        finally:
            await reader.close()
