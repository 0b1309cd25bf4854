"""Publishing readings so that each is stored exactly once.

The broker's own duplicate window is two minutes, too short for a replay resumed an hour later.
So the writer asks what the stream holds: per meter the last stored reading and its sequence.
What is not newer is left out, and each batch names the sequence that each meter's subject must
end at; a batch whose acknowledgement was lost is then either found stored, or refused, or new.
One writer per meter, readings of a meter in the order of their times.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from bus.client import MAX_BATCH, Bus, ConflictError, Message, UnavailableError
from bus.identifiers import reading_subject
from bus.reading import Reading, RefusalError, parse

log = structlog.get_logger(__name__)


class Outgoing(NamedTuple):
    """A reading and the community and meter that it belongs to."""

    community: str
    meter: str
    reading: Reading


@dataclass(slots=True)
class _Tail:
    """What the stream holds last of one meter."""

    sequence: int = 0
    at_ms: int = -(2**63)


class ReadingsWriter:
    """Stores readings in atomic batches, each once, over lost connections and restarts."""

    def __init__(self, bus: Bus, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.stored = 0
        """Readings stored by this writer."""
        self.skipped = 0
        """Readings that the stream held already."""
        self._bus = bus
        self._sleep = sleep
        self._tails: dict[str, _Tail] = {}

    async def write(self, outgoing: Iterable[Outgoing]) -> None:
        """Store readings in their order; return when all are acknowledged, waiting for NATS if need be."""
        pending = [(reading_subject(o.community, o.meter), o.reading) for o in outgoing]
        for start in range(0, len(pending), MAX_BATCH):
            await self._write_batch(pending[start : start + MAX_BATCH])

    async def last_at_ms(self, community: str, meter: str) -> int | None:
        """Return the time of the last stored reading of a meter, or None if there is none."""
        tail = await self._tail(reading_subject(community, meter))
        return tail.at_ms if tail.sequence else None

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
                uncertain = False
                self._tails.clear()
            except UnavailableError as error:
                log.warning("readings not acknowledged, looking at what is stored", reason=str(error))
                uncertain = True
                self._tails.clear()
                await self._sleep(0.25)

    async def _prepare(self, readings: list[tuple[str, Reading]]) -> tuple[list[Message], dict[str, int], int]:
        messages: list[Message] = []
        latest: dict[str, int] = {}
        skipped = 0
        for subject, reading in readings:
            tail = await self._tail(subject)
            if reading.at_ms <= latest.get(subject, tail.at_ms):
                skipped += 1
                continue
            expected = None if subject in latest else tail.sequence
            messages.append(Message(subject, reading.to_bytes(), expected))
            latest[subject] = reading.at_ms
        return messages, latest, skipped

    async def _tail(self, subject: str) -> _Tail:
        tail = self._tails.get(subject)
        if tail is None:
            stored = await self._bus.last("READINGS", subject)
            tail = _Tail() if stored is None else _Tail(stored.sequence, _time_of(stored.data))
            self._tails[subject] = tail
        return tail


def _time_of(data: bytes) -> int:
    try:
        return parse(data).at_ms
    except RefusalError:  # not ours; it says nothing about what this writer stored
        return -(2**63)
