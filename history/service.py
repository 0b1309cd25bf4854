"""The history's service: reads INTERVALS into the file, and answers questions from it over NATS.

All of its input and output happens here. Questions wait until the stream was read to its end once,
so that no answer is made of half of it. A file that is damaged, or was made from another stream, is
set aside, and the next one begins with the stream.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import structlog

from bus.client import Bus
from bus.errors import RefusedError, UnavailableError
from bus.history import SERVICE
from bus.micro import serving
from bus.reader import Reader
from bus.registry import Registry
from bus.stored import Stored
from history.decoding import Entry, MalformedError, decode
from history.desk import Desk
from history.metrics import Metrics
from history.questions import ENDPOINTS, Questions
from history.store import DamagedError, Position, Store, is_damage, set_aside
from history.worker import Worker
from history.writer import Writer

log = structlog.get_logger(__name__)

_STREAM: Final = "INTERVALS"
_ROWS: Final = 100_000
"""Rows that are written at a time, while there are more to come."""
_MESSAGES: Final = 128
"""Messages that are held between NATS and the file: of the largest community, 40 MB."""
_WAIT_S: Final = 1.0
_LOOK_S: Final = 30.0
_SAY_S: Final = 5.0
_FAR: Final = 200
_CLOSE_MS: Final = 2
"""What times of one message may differ by, as JetStream tells them in two ways."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """Where the file lies, and what DuckDB may take."""

    path: Path
    memory_mb: int = 400
    threads: int = 2
    version: str = "0.0.0"
    timeout_s: float = 5.0


class History:
    """Keeps settled intervals, and answers questions about them, until cancelled. `now_ms`: ms since 1970 UTC."""

    def __init__(self, bus: Bus, options: HistoryOptions, metrics: Metrics, *, now_ms: Callable[[], int]) -> None:
        self._bus = bus
        self._options = options
        self._metrics = metrics
        self._now_ms = now_ms
        self._registry = Registry()
        self._desk = Desk(metrics, self._note)
        self._broken: duckdb.Error | None = None
        self._look = False
        self._said = -_SAY_S

    async def run(self) -> None:
        """Work until cancelled. Raises StoreError, and duckdb.Error after which the process is to be started again."""
        await self._insist(lambda: self._registry.load(self._bus))
        self._bus.on_reconnect(self._look_again)
        endpoints = {endpoint: partial(self._desk.answer, endpoint) for endpoint in ENDPOINTS}
        async with (
            asyncio.TaskGroup() as tasks,
            serving(
                self._bus,
                SERVICE,
                endpoints,
                version=self._options.version,
                description="Settled intervals: by period, in sums, compared, and when there will be a surplus",
                timeout_s=self._options.timeout_s,
            ),
        ):
            following = tasks.create_task(self._follow_registry())
            try:
                while True:
                    await self._work()
            finally:
                following.cancel()

    # --- the file ---

    async def _work(self) -> None:
        """Read the stream into the file; return when the file was set aside."""
        store = worker = None
        path = self._options.path
        try:
            store = await asyncio.to_thread(
                Store.open, path, memory_mb=self._options.memory_mb, threads=self._options.threads
            )
            worker = Worker(store.cursor())
            log.info("history open", file=str(path), position=store.position.sequence)
            await self._read(store, worker)
        except (DamagedError, duckdb.Error) as error:
            if isinstance(error, duckdb.Error) and not is_damage(error):
                raise
            reason = str(error).splitlines()[0]
        finally:
            await self._desk.close("the history begins anew, or ends")
            if worker is not None:
                worker.close()
            if store is not None:
                await asyncio.to_thread(store.close)
        self._broken = None
        aside = set_aside(path)
        log.error("history set aside, making it anew from the stream", reason=reason, aside=str(aside))

    async def _check_stream(self, position: Position) -> int:
        """Return where the stream ends; raise DamagedError where it is not the one that the file was made from."""
        first, last = await self._insist(lambda: self._bus.stream_bounds(_STREAM))
        if position.sequence == 0 or position.sequence < first:
            return last
        stored = None
        if position.sequence <= last:
            stored = await self._insist(lambda: self._bus.message(_STREAM, position.sequence))
            if stored is None:  # deleted by hand
                return last
        if stored is None or _digest(stored) != position.digest or abs(stored.time_ms - position.time_ms) > _CLOSE_MS:
            raise DamagedError(
                f"{_STREAM} ends at {last}, or holds another message at {position.sequence}: it is not the stream "
                "that this file was made from"
            )
        return last

    def _note(self, error: duckdb.Error) -> None:
        self._broken = self._broken or error

    async def _look_again(self) -> None:
        self._look = True

    # --- the stream ---

    async def _read(self, store: Store, worker: Worker) -> None:
        """Read the stream for ever; raise DamagedError, or duckdb.Error."""
        end = await self._check_stream(store.position)
        looked = time.monotonic()
        writer = Writer(store, worker.connection)
        reader = self._bus.read(_STREAM, after=store.position.sequence, buffer=_MESSAGES)
        entries: list[Entry] = []
        last: Stored | None = None
        try:
            while True:
                messages = await reader.next_batch(_WAIT_S)
                if self._broken is not None:
                    raise self._broken
                if self._look or time.monotonic() - looked > _LOOK_S:
                    self._look = False
                    await self._check_stream(store.position)
                    looked = time.monotonic()
                await self._rezone(store, writer, worker)
                if messages:
                    entries += await worker.do(partial(self._decode_all, messages))
                    last = messages[-1]
                more = bool(messages) and reader.pending != 0
                if last is not None and not (more and sum(len(entry.rows) for entry in entries) < _ROWS):
                    position = Position(last.sequence, last.time_ms, _digest(last))
                    await worker.do(partial(self._write, writer, entries, position))
                    entries, last = [], None
                self._show(store, reader)
                ended = store.position.sequence >= end or (not messages and reader.pending == 0)
                if ended and not self._desk.is_open:
                    self._desk.open(store, Questions(store, self._now_of))
                    log.info("history ready", position=store.position.sequence, communities=len(store.communities))
        finally:
            await reader.close()

    def _decode_all(self, messages: Sequence[Stored]) -> list[Entry]:
        entries = []
        for message in messages:
            try:
                entries.append(decode(message))
            except MalformedError as error:
                self._metrics.malformed.inc()
                log.warning(
                    "malformed interval skipped",
                    subject=message.subject,
                    sequence=message.sequence,
                    reason=str(error),
                )
        return entries

    def _write(self, writer: Writer, entries: Sequence[Entry], position: Position) -> None:
        began = time.monotonic()
        self._metrics.rows.inc(writer.write(entries, position, self._zone_of))
        self._metrics.writing.observe(time.monotonic() - began)

    def _show(self, store: Store, reader: Reader) -> None:
        self._metrics.position.set(store.position.sequence)
        self._metrics.behind.set(max(0, reader.pending) + reader.position - store.position.sequence)
        if self._options.path.exists():
            self._metrics.bytes.set(self._options.path.stat().st_size)
        now = time.monotonic()
        self._desk.wait_for(f"the history reads what is stored, {max(0, reader.pending)} messages more")
        if reader.pending > _FAR and now - self._said > _SAY_S:
            self._said = now
            log.info("reading what is stored", position=store.position.sequence, left=reader.pending)

    # --- time ---

    async def _rezone(self, store: Store, writer: Writer, worker: Worker) -> None:
        """Count the days anew of communities whose time zone was corrected."""
        for community, zone in list(store.zones.items()):
            wanted = self._zone_of(community)
            if wanted != zone and community in self._registry.communities:
                log.info("counting days by another time zone", community=community, before=zone, now=wanted)
                await worker.do(partial(writer.rezone, community, wanted))

    def _zone_of(self, community: str) -> str:
        """Return a community's time zone as the registry has it; UTC while it has none."""
        history = self._registry.communities.get(community)
        return "UTC" if history is None else history.at(self._now_ms()).timezone

    def _now_of(self, community: str) -> int | None:
        """Return the time that is now for a community; None: the end of its data."""
        history = self._registry.communities.get(community)
        now = self._now_ms()
        return None if history is not None and history.at(now).clock == "event" else now

    async def _follow_registry(self) -> None:
        await self._insist(lambda: self._registry.follow(self._bus))

    async def _insist(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask until NATS answers, and allows it."""
        while True:
            try:
                return await ask()
            except (UnavailableError, RefusedError) as error:
                if time.monotonic() - self._said > _SAY_S:
                    self._said = time.monotonic()
                    log.warning("the history waits for NATS", reason=str(error))
                await self._bus.pause()


def _digest(message: Stored) -> str:
    return hashlib.blake2b(message.data, digest_size=16).hexdigest()
