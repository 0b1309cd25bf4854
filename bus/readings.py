"""Publishing readings so that each is stored exactly once.

The broker's own duplicate window is two minutes, too short for a replay resumed an hour later.
So the writer asks what the stream holds: per meter the last stored reading and its sequence.
What is not newer is left out, and each batch names the sequence that each meter's subject must
end at; a batch whose acknowledgement was lost is then either found stored, or refused, or new.
One writer per meter, readings of a meter in the order of their times. What others put on a
meter's subject is looked past where it is no reading, or one of the future.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from bus.client import MAX_BATCH, Bus, Message
from bus.errors import ConflictError, UnavailableError
from bus.identifiers import reading_subject
from bus.reading import Reading, RefusalError, parse
from bus.stored import Stored

log = structlog.get_logger(__name__)

_RETRY_S: Final = 0.25
_PATIENCE_S: Final = 5.0
_LOOK_BACK_MS: Final = (3_600_000, None)
"""How far before a subject's last message a reading of ours is looked for: an hour, then all of it."""


class Outgoing(NamedTuple):
    """A reading and the community and meter that it belongs to."""

    community: str
    meter: str
    reading: Reading


@dataclass(slots=True)
class _Tail:
    """What the stream holds last of one meter: its subject's last sequence, and the last reading of ours."""

    sequence: int = 0
    reading: Reading | None = None

    def holds(self, reading: Reading) -> bool:
        return self.reading is not None and reading.at_ms <= self.reading.at_ms


class ReadingsWriter:
    """Stores readings in atomic batches, each once, over lost connections and restarts.

    With `latest_ms`, stored readings later than what it returns are none of this writer's.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        latest_ms: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.stored = 0
        """Readings stored by this writer."""
        self.skipped = 0
        """Readings that the stream held already."""
        self._bus = bus
        self._latest_ms = latest_ms
        self._sleep = sleep
        self._tails: dict[str, _Tail] = {}

    async def write(self, outgoing: Iterable[Outgoing]) -> None:
        """Store readings in their order; return when all are acknowledged, waiting for NATS if need be."""
        pending = [(reading_subject(o.community, o.meter), o.reading) for o in outgoing]
        for start in range(0, len(pending), MAX_BATCH):
            await self._write_batch(pending[start : start + MAX_BATCH])

    async def last(self, community: str, meter: str) -> Reading | None:
        """Return the last stored reading of a meter, or None if there is none, waiting for NATS if need be."""
        subject = reading_subject(community, meter)
        while True:
            try:
                return (await self._tail(subject)).reading
            except UnavailableError as error:
                log.warning("waiting for what is stored", subject=subject, reason=str(error))
                await self._sleep(_RETRY_S)

    async def _write_batch(self, readings: list[tuple[str, Reading]]) -> None:
        uncertain = False
        while True:
            try:
                messages, latest, skipped = await self._prepare(readings)
                if messages:
                    last = await self._bus.publish_batch(messages)
                    first = last - len(messages) + 1
                    for offset, message in enumerate(messages):
                        self._tails[message.subject] = _Tail(first + offset, latest[message.subject])
                self.stored += len(messages) + (skipped if uncertain else 0)
                self.skipped += 0 if uncertain else skipped
                return
            except ConflictError:
                # Refused whole: someone else wrote on a subject of ours. An uncertain batch may be
                # the one that wrote, and stays uncertain; either way the stream knows.
                self._tails.clear()
            except UnavailableError as error:
                log.warning("readings not acknowledged, looking at what is stored", reason=str(error))
                uncertain = True
                self._tails.clear()
                await self._sleep(_RETRY_S)

    async def _prepare(self, readings: list[tuple[str, Reading]]) -> tuple[list[Message], dict[str, Reading], int]:
        messages: list[Message] = []
        latest: dict[str, Reading] = {}
        skipped = 0
        for subject, reading in readings:
            tail = await self._tail(subject)
            ahead = latest.get(subject)
            if tail.holds(reading) or (ahead is not None and reading.at_ms <= ahead.at_ms):
                skipped += 1
                continue
            expected = None if ahead is not None else tail.sequence
            messages.append(Message(subject, reading.to_bytes(), expected))
            latest[subject] = reading
        return messages, latest, skipped

    async def _tail(self, subject: str) -> _Tail:
        tail = self._tails.get(subject)
        if tail is None:
            stored = await self._bus.last("READINGS", subject)
            tail = _Tail() if stored is None else _Tail(stored.sequence, await self._last_of_ours(subject, stored))
            self._tails[subject] = tail
        return tail

    async def _last_of_ours(self, subject: str, last: Stored) -> Reading | None:
        reading = self._ours(last.data)
        for back_ms in _LOOK_BACK_MS:
            if reading is not None:
                break
            since_ms = None if back_ms is None else last.time_ms - back_ms
            reader = self._bus.read("READINGS", [subject], since_ms=since_ms)
            try:
                while reader.position < last.sequence:
                    batch = await reader.next_batch(_PATIENCE_S)
                    if not batch:
                        raise UnavailableError(f"{subject} was not readable within {_PATIENCE_S:g} s")
                    for message in batch:
                        reading = self._ours(message.data) or reading
            finally:
                await reader.close()
        return reading

    def _ours(self, data: bytes) -> Reading | None:
        try:
            reading = parse(data)
        except RefusalError:
            return None
        if self._latest_ms is not None and reading.at_ms > self._latest_ms():
            return None
        return reading
