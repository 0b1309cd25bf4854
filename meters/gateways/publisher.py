"""The publisher: from the buffer to READINGS, in order, in atomic batches, each message stored once.

Each batch names the stream sequence at which every subject must end. Where it is not known whether
a batch was stored (the connection broke, the process was killed), the last message of each subject
tells: what waits up to that same message is stored. That is all that a gateway may read, and it
does not depend on any meter's clock. Where somebody else writes on a meter's subject just then, a
message may be stored twice; the aggregator counts a reading once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from bus.client import MAX_BATCH, Bus, Message
from bus.errors import BusError, ConfigurationError, ConflictError, UnavailableError
from bus.reading import Reading, RefusalError, parse
from meters.gateways.buffer import Buffer, Waiting

log = structlog.get_logger(__name__)

_STREAM: Final = "READINGS"
_PAUSE_S: Final = 0.25
_LONG_PAUSE_S: Final = 5.0


class Publisher:
    """Publishes what waits in a buffer."""

    def __init__(
        self,
        bus: Bus,
        buffer: Buffer,
        *,
        on_stored: Callable[[int], None] = lambda count: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._bus = bus
        self._buffer = buffer
        self._on_stored = on_stored
        self._sleep = sleep
        self._tails: dict[str, int] = {}
        self._waits = False

    async def run(self) -> None:
        """Publish for ever; raises RefusedError where NATS does not allow it."""
        while True:
            batch = await self._buffer.take(MAX_BATCH)
            await self._store(batch)
            await self._buffer.done(batch[-1].number)
            self._on_stored(len(batch))

    async def newest(self, subject: str) -> Reading | None:
        """Return the reading that is stored last on a subject, or None; waits for NATS."""
        while True:
            try:
                stored = await self._bus.last(_STREAM, subject)
                return None if stored is None else parse(stored.data)
            except RefusalError:
                return None
            except UnavailableError as error:
                self._say_waiting(error)
                await self._sleep(_PAUSE_S)

    async def _store(self, batch: list[Waiting]) -> None:
        while True:
            try:
                left = await self._not_stored(batch)
                if left:
                    last = await self._bus.publish_batch(left)
                    first = last - len(left) + 1
                    self._tails |= {message.subject: first + offset for offset, message in enumerate(left)}
                if self._waits:
                    self._waits = False
                    log.info("NATS takes readings again", waiting=len(self._buffer))
                return
            except ConflictError:
                # Somebody else wrote on a subject, or a batch that was thought lost came through.
                await self._again(_PAUSE_S)
            except UnavailableError as error:
                self._say_waiting(error)
                await self._again(_PAUSE_S)
            except ConfigurationError:
                raise
            except BusError as error:
                self._say_waiting(error)
                await self._again(_LONG_PAUSE_S)

    async def _again(self, pause_s: float) -> None:
        self._tails.clear()
        await self._sleep(pause_s)
        while not self._bus.connected:
            await self._sleep(_PAUSE_S)

    async def _not_stored(self, batch: list[Waiting]) -> list[Message]:
        """Return the messages of a batch that the stream does not hold."""
        through: dict[str, int] = {}
        for subject in dict.fromkeys(waiting.subject for waiting in batch):
            if subject in self._tails:
                continue
            stored = await self._bus.last(_STREAM, subject)
            self._tails[subject] = 0 if stored is None else stored.sequence
            if stored is not None:
                same = (one.number for one in batch if one.subject == subject and one.data == stored.data)
                # The first of several: better twice than never.
                through[subject] = min(same, default=0)
        messages: list[Message] = []
        seen: set[str] = set()
        for number, subject, data in batch:
            if number > through.get(subject, 0):
                messages.append(Message(subject, data, None if subject in seen else self._tails[subject]))
                seen.add(subject)
        return messages

    def _say_waiting(self, error: Exception) -> None:
        if not self._waits:
            self._waits = True
            log.warning("readings wait for NATS", waiting=len(self._buffer), reason=str(error))
