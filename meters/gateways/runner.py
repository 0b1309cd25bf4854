"""A gateway at work: sources read for ever, what they give into the buffer, from there to NATS.

A source that is lost is connected to again, for ever, with back-off and full jitter. Nothing waits
for anything else: sources are read while NATS is away, and one that fails fails alone.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from bus.client import Bus
from meters.errors import OptionError
from meters.gateways.buffer import Buffer
from meters.gateways.feed import Feed
from meters.gateways.intake import MOST_A_SECOND, Intake
from meters.gateways.metrics import Metrics
from meters.gateways.publisher import Publisher
from meters.gateways.source import Given, Source, SourceLostError

log = structlog.get_logger(__name__)

MOST_METERS: Final = 1000
"""Meters of one gateway process."""

_BACK_OFF_S: Final = 1.0
_LONGEST_S: Final = 60.0
_SPILL_S: Final = 0.5
_LAST_S: Final = 1.0
"""How long at the end NATS is given to take what waits, before it goes to the file."""
_AHEAD: Final = 2_000
"""Messages that may wait before a file is read on."""
_TURN: Final = 50
"""What is taken of a source that never waits, before others have their turn."""
_MOST_UNKNOWN: Final = 100
_SAY_EVERY_S: Final = 60.0
"""How often a source may be said to be lost: one that comes and goes all the time fills no log."""

Connect = Callable[[], AbstractAsyncContextManager[Bus]]


class Report(NamedTuple):
    """What a gateway did so far; `waiting` is in the buffer, `dropped` was."""

    readings: int
    refused: int
    skipped: int
    published: int
    waiting: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Time and chance, as the gateway meets them."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    """A number from 0 to 1."""


class Gateway:
    """Feeds, a buffer that is the caller's to close, and NATS. Raises OptionError for too many or doubled meters."""

    def __init__(
        self,
        feeds: Sequence[Feed],
        buffer: Buffer,
        connect: Connect,
        metrics: Metrics,
        *,
        per_second: int = MOST_A_SECOND,
        around: Surroundings | None = None,
    ) -> None:
        self._feeds = feeds
        self._buffer = buffer
        self._connect = connect
        self._metrics = metrics
        self._around = around or Surroundings()
        self._published = 0
        self._publisher: asyncio.Future[Publisher] | None = None
        self._unknown: set[str] = set()
        self._intakes: list[dict[str, Intake]] = []
        _check(feeds)
        for feed in feeds:
            limit = None if feed.ends else per_second
            self._intakes.append(
                {
                    device: Intake(
                        place,
                        buffer,
                        metrics,
                        per_second=limit,
                        monotonic=self._around.monotonic,
                        now=self._around.now,
                    )
                    for device, place in feed.places.items()
                }
            )

    @property
    def report(self) -> Report:
        """What was done so far."""
        intakes = [intake for group in self._intakes for intake in group.values()]
        return Report(
            sum(one.readings for one in intakes),
            sum(one.refused for one in intakes),
            sum(one.skipped for one in intakes),
            self._published,
            len(self._buffer),
            self._buffer.dropped,
        )

    async def run(self) -> Report:
        """Read all sources; return when all were files, and are read and stored. Else it runs until it is cancelled.

        What was received until then is stored, or in the buffer. Raises RefusedError where NATS allows
        it nothing, OptionError where a file is not readable.
        """
        self._publisher = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._publish()), group.create_task(self._tidy())]
            try:
                async with asyncio.TaskGroup() as reading:
                    for feed, intakes in zip(self._feeds, self._intakes, strict=True):
                        follow = self._read_once if feed.ends else self._follow
                        reading.create_task(follow(feed, intakes))
                self._settle(end=True)
                await self._buffer.below(1)
            except asyncio.CancelledError:
                self._settle(end=True)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_S):
                        await self._buffer.below(1)
                raise
            for task in tasks:
                task.cancel()
        return self.report

    async def _publish(self) -> None:
        assert self._publisher is not None
        async with self._connect() as bus:
            publisher = Publisher(bus, self._buffer, on_stored=self._count_stored, sleep=self._around.sleep)
            if not self._publisher.done():  # those who waited for it were cancelled, and it with them
                self._publisher.set_result(publisher)
            await publisher.run()

    def _count_stored(self, count: int) -> None:
        self._published += count
        self._metrics.published.inc(count)

    async def _tidy(self) -> None:
        dropped = 0
        while True:
            await asyncio.sleep(_SPILL_S)
            await self._buffer.spill()
            self._settle()
            self._metrics.waiting.set(len(self._buffer))
            self._metrics.bytes.set(self._buffer.size)
            self._metrics.on_disk.set(self._buffer.kept)
            self._metrics.dropped.inc(self._buffer.dropped - dropped)
            dropped = self._buffer.dropped

    def _settle(self, *, end: bool = False) -> None:
        for intakes in self._intakes:
            for intake in intakes.values():
                intake.settle(end=end)

    # --- sources ---

    async def _read_once(self, feed: Feed, intakes: dict[str, Intake]) -> None:
        """Read a file to its end, from where the stream ends, no faster than NATS takes it."""
        await self._buffer.below(1)
        assert self._publisher is not None
        publisher = await self._publisher
        for intake in intakes.values():
            newest = await publisher.newest(intake.subject)
            intake.newest = None if newest is None else newest.at
            if newest is not None:
                log.info(
                    "what is not later than the reading stored last is left out",
                    meter=intake.name,
                    at=newest.at.isoformat(),
                )
        try:
            async with _opened(feed.source) as givens:
                async for given in givens:
                    self._take(feed, intakes, given)
                    await self._buffer.below(_AHEAD)
        except SourceLostError as error:
            raise OptionError(str(error)) from None

    async def _follow(self, feed: Feed, intakes: dict[str, Intake]) -> None:
        """Read a source for ever; say when it is lost and when it is back, however often it was tried."""
        name = feed.source.name
        said: bool | None = None
        said_lost_s = -_SAY_EVERY_S
        failed = 0
        self._metrics.connected.labels(name).set(0)
        while True:
            gives, why, unexpected = False, "it ended", None
            try:
                async with _opened(feed.source) as givens:
                    async for given in givens:
                        if not said:
                            log.info("a source gives something", source=name)
                            said = True
                        if not gives:
                            self._metrics.connected.labels(name).set(1)
                            gives, failed = True, 0
                        rest_s = self._take(feed, intakes, given)
                        if rest_s and len(intakes) == 1:  # others behind the same source would be held up, too
                            await self._around.sleep(rest_s)
            except SourceLostError as error:
                why = str(error)
            except Exception as error:
                why, unexpected = repr(error), error
            self._metrics.connected.labels(name).set(0)
            self._metrics.lost.labels(name).inc()
            if said is not False and self._around.monotonic() - said_lost_s >= _SAY_EVERY_S:
                log.warning("a source is lost, connecting again", source=name, reason=why, exc_info=unexpected)
                said, said_lost_s = False, self._around.monotonic()
            longest = min(_LONGEST_S, _BACK_OFF_S * 2 ** min(failed, 10))
            failed += 1
            await self._around.sleep(longest * self._around.chance())

    def _take(self, feed: Feed, intakes: dict[str, Intake], given: Given) -> float:
        intake = intakes.get(given.device)
        if intake is not None:
            return intake.take(given)
        self._metrics.refuse("", "unknown_device")
        if given.device not in self._unknown and len(self._unknown) < _MOST_UNKNOWN:
            self._unknown.add(given.device)
            log.warning("a device is no meter", device=given.device[:100], source=feed.source.name)
        return 0.0


@asynccontextmanager
async def _opened(source: Source) -> AsyncIterator[AsyncIterator[Given]]:
    """Read a source, letting others have their turn; disconnect it at the end."""
    givens = source.read()
    turns = _in_turns(givens)
    try:
        yield turns
    finally:
        await turns.aclose()
        if isinstance(givens, AsyncGenerator):
            await givens.aclose()


async def _in_turns(givens: AsyncIterator[Given]) -> AsyncGenerator[Given, None]:
    taken = 0
    async for given in givens:
        yield given
        taken += 1
        if taken % _TURN == 0:
            await asyncio.sleep(0)


def _check(feeds: Sequence[Feed]) -> None:
    subjects = [place.subject for feed in feeds for place in feed.places.values()]
    if len(subjects) > MOST_METERS:
        raise OptionError(f"{len(subjects)} meters; a gateway serves at most {MOST_METERS}: start several")
    for subject, count in Counter(subjects).items():
        if count > 1:
            raise OptionError(f"{subject.partition('.')[2]!r} has {count} sources; a meter has one")
