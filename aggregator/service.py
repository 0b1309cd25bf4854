"""The aggregator's service: reads READINGS, drives the folds, publishes what they give.

All input and output of the aggregator happens here. Outputs are acknowledged before the
checkpoint that covers them; what a fold asks for is brought before its next message.
"""

import asyncio
import contextlib
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import uuid4

import structlog

from aggregator.checkpoint import Checkpoint, CheckpointError, Checkpoints
from aggregator.fetching import StreamSource, answer
from aggregator.fold import Fold
from aggregator.frames import Framer
from aggregator.metrics import Metrics
from aggregator.outbox import Outbox, identity
from aggregator.rows import parse_rfc3339
from aggregator.state import VERSION, State
from aggregator.strays import Strays, wrong_subject
from bus.client import Bus, Message
from bus.errors import UnavailableError
from bus.identifiers import TICK_SUBJECT, is_id, live_subject
from bus.messages import Interval
from bus.reader import Reader
from bus.reading import RefusalError, parse
from bus.registry import Registry, registry_sequence_of, tick
from bus.stored import Stored
from bus.streams import REGISTRY

log = structlog.get_logger(__name__)

_BEAT_TIMEOUT_S: Final = 2.0
_BEHIND: Final = 2_000
_BACKLOG_S: Final = 2.0
_CHECKPOINT_S: Final = 5.0
_OUTPUTS: Final = 200

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AggregatorOptions:
    """Which communities this process settles: those named, or part `part` of `parts` by hash of the id."""

    communities: tuple[str, ...] = ()
    part: int = 1
    parts: int = 1
    rebuild: tuple[str, ...] = ()
    """Communities whose checkpoint is set aside: all is computed again from the stored readings."""
    tick_s: float = 10.0
    """Time without a tick in the log after which this process puts one there; 0: never."""

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
    """A tick came and no frame went out lately: one does now, so that servers see the aggregator alive."""


class Aggregator:
    """Folds the communities that are its own, until cancelled."""

    def __init__(self, bus: Bus, options: AggregatorOptions, metrics: Metrics) -> None:
        self._bus = bus
        self._options = options
        self._metrics = metrics
        self._registry = Registry()
        self._checkpoints = Checkpoints(bus, uuid4().hex)
        self._desks: dict[str, _Desk] = {}
        self._strays = Strays(bus)
        self._ticked = 0.0
        self._checkpointed = 0.0
        self._folded = 0
        self._started = 0.0
        self._source = StreamSource(bus)

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
        await self._insist(lambda: self._registry.load(self._bus))
        _, last = await self._insist(lambda: self._bus.stream_bounds("READINGS"))
        try:
            strays = await self._load(self._nobody_key(), last)
        except CheckpointError as error:  # all that it spares is looking at the strays once more
            log.warning("reading all strays again", reason=str(error))
            strays = None
        await self._strays.open(strays)
        position = self._strays.position
        for community in self._registry.communities:
            if not self._options.mine(community):
                continue
            saved = await self._load(community, last, ignore=community in self._options.rebuild)
            if saved is None or saved.state is None:
                position = 0  # its first version is announced somewhere in the log
            else:
                await self._open_desk(saved.state, saved.position, saved.positions)
                position = min(position, saved.position)
        named = self._options.communities
        subjects = (
            []
            if not named
            else sorted({TICK_SUBJECT, *(f"readings.{one}{rest}" for one in named for rest in ("", ".>"))})
        )
        return self._bus.read("READINGS", subjects, after=position, buffer=2000)

    async def _load(self, key: str, last: int, *, ignore: bool = False) -> Checkpoint | None:
        """Return a checkpoint; CheckpointError also where READINGS ends before it, at `last`."""
        saved = await self._insist(lambda: self._checkpoints.load(key, ignore=ignore))
        if saved is not None and saved.position > last:
            raise CheckpointError(
                f"the checkpoint of {key!r} stands for reading {saved.position}, but READINGS ends at {last}: it is "
                "not the stream that it was made from; bring that back, or, to compute everything again from the "
                f"readings stored now, start with `commonwatt aggregate --rebuild {key}`"
            )
        return saved

    async def _insist(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask until NATS answers."""
        while True:
            try:
                return await ask()
            except UnavailableError as error:
                log.warning("waiting for NATS", reason=str(error))
                await self._bus.pause()

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
        self._checkpointed = self._started = time.monotonic()
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
            # What was stored meanwhile comes before the first frame: nobody is to see the past as now.
            if reader.pending == 0 or time.monotonic() - self._started > _BACKLOG_S:
                self._started = 0.0
                await self._send_frames(behind=reader.pending > _BEHIND)
            if time.monotonic() - self._checkpointed > _CHECKPOINT_S:
                await self._save_all(reader.position)

    def _take(self, stored: Stored) -> Coroutine[Any, Any, None] | None:
        """Fold one message; return what is to be awaited before the next, if anything."""
        subject = stored.subject
        if subject == TICK_SUBJECT:
            return self._take_tick(stored)
        tokens = subject.split(".")
        desk = self._desks.get(tokens[1])
        if desk is None:
            if self._options.mine(tokens[1]):
                self._strays.take(stored)
            return None
        if stored.sequence <= desk.position:
            return None
        desk.position = stored.sequence
        fold, meter = desk.fold, tokens[-1]
        try:
            if len(tokens) != 3 or not is_id(meter):
                raise RefusalError("invalid_id", wrong_subject(subject))
            reading = parse(stored.data)
            if reading.meter is not None and reading.meter != meter:
                raise RefusalError("meter_mismatch", f"the payload says {reading.meter!r}, the subject {meter!r}")
            fold.take(meter, reading, stored)
        except RefusalError as refusal:
            fold.refuse(stored, refusal.reason, str(refusal), refusal.count)
        self._folded += 1
        if fold.settlement.job is not None or len(fold.outputs) >= _OUTPUTS:
            return self._answer(desk)
        return None

    async def _take_tick(self, stored: Stored) -> None:
        self._ticked = time.monotonic()
        self._strays.tick(stored)
        announced = registry_sequence_of(stored.data)
        if announced > self._registry.sequence:
            await self._insist(lambda: self._registry.load(self._bus))
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
            desk.beat = time.monotonic() - desk.framer.sent > self._options.tick_s / 2
            desk.fold.settlement.history.learn(history, announced)
            desk.fold.tick(stored.time_ms, min(announced, desk.fold.settlement.history.sequence))
            if desk.fold.job is not None:
                await self._answer(desk)

    async def _answer(self, desk: _Desk) -> None:
        """Publish a fold's outputs and bring what it asks for, until it asks for nothing more."""
        await self._flush([desk])
        while desk.fold.job is not None:
            try:
                await answer(desk.fold, self._source, desk.position)
            except UnavailableError as error:
                log.warning("waiting for old intervals and readings", reason=str(error))
                await self._bus.pause()
            else:
                await self._flush([desk])

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
        self._metrics.count(await self._strays.flush())
        if self._folded:
            self._metrics.readings.inc(self._folded)
            self._folded = 0

    async def _send_frames(self, *, behind: bool) -> None:
        now = time.monotonic()
        for community, desk in self._desks.items():
            if (desk.fold.changed or desk.beat) and desk.framer.due <= now and self._bus.connected:
                started = time.monotonic()
                frame = desk.framer.frame(desk.fold)
                desk.framer.next_due(started, time.monotonic(), behind=behind)
                try:
                    if desk.beat:  # acknowledged, so that it is noticed and mended when there is no stream LIVE
                        await self._bus.publish(Message(live_subject(community), frame), timeout=_BEAT_TIMEOUT_S)
                    else:
                        await self._bus.publish_core(live_subject(community), frame)
                except UnavailableError:
                    self._everything_again(desk)
                    continue
                desk.beat = False
                self._metrics.frames.inc()

    async def _frames_again(self) -> None:
        """NATS was away, and LIVE is kept in memory: publish everything once more."""
        for desk in self._desks.values():
            self._everything_again(desk)

    def _everything_again(self, desk: _Desk) -> None:
        desk.framer.again()
        desk.fold.changed.update(desk.fold.homes)
        desk.beat = True

    def _wait_s(self) -> float:
        """Return how long to wait for messages: until the next frame is due, at most a second."""
        if self._started:
            return _BACKLOG_S / 10
        now = time.monotonic()
        dues = [desk.framer.due - now for desk in self._desks.values() if desk.fold.changed]
        return min(1.0, max(0.0, min(dues, default=1.0)))

    async def _save_all(self, position: int) -> None:
        for desk in self._desks.values():
            if desk.position != desk.saved:
                await self._save(desk)
        checkpoint = Checkpoint(VERSION, *self._strays.stand(position), None, strays=self._strays.refusals)
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
        """Put a tick into the log when nobody has for a while, and announce how far the registry has come."""
        while self._options.tick_s:
            if time.monotonic() - self._ticked >= self._options.tick_s:
                with contextlib.suppress(UnavailableError):
                    _, registry = await self._bus.stream_bounds(f"KV_{REGISTRY}")
                    await self._bus.publish(Message(TICK_SUBJECT, tick(registry)))
            await asyncio.sleep(self._options.tick_s / 10)
