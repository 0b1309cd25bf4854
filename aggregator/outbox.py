"""The outbox: a community's outputs reach their streams once, whatever is killed when.

Every output has an identity. After a restart the fold gives the same outputs again; those that
the streams hold beyond the checkpoint are recognised and left out. Every batch names the
sequences that its subjects must end at, so a second writer is noticed before it can do harm.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from aggregator.fold import Output
from bus.client import MAX_BATCH, Bus, ConflictError, Message, UnavailableError
from bus.identifiers import alerts_subject, intervals_subject, rejected_subject
from bus.messages import (
    Alert,
    Interval,
    decode_alert,
    decode_interval,
    decode_rejected,
    encode,
)
from bus.stored import Stored

log = structlog.get_logger(__name__)

Identity = tuple[str | int, ...]

_BATCH_BYTES: Final = 4 * 1024 * 1024


class FencedError(Exception):
    """Raised when another aggregator writes for the same community; this one must stop."""


def identity(output: Output) -> Identity:
    """Return what makes an output the same as another: interval and revision, alert key, refused message."""
    if isinstance(output, Interval):
        return ("interval", output.start, output.revision)
    if isinstance(output, Alert):
        return ("alert", output.key)
    return ("rejected", output.sequence)


class Outbox:
    """Publishes one community's outputs (`community` None: refusals that belong to none)."""

    def __init__(self, bus: Bus, community: str | None, positions: dict[str, int]) -> None:
        self.positions = positions
        """Per stream the last sequence that is known here; belongs into the checkpoint."""
        self._bus = bus
        self._community = community
        self._tails: dict[str, int] = {}
        self._found: dict[Identity, int] = {}

    async def open(self) -> None:
        """Look at what the streams hold beyond the positions: outputs that need not go out again."""
        for stream in ("INTERVALS", "ALERTS", "REJECTED") if self._community else ("REJECTED",):
            await self._look(stream)

    async def send(self, outputs: Sequence[Output]) -> dict[Identity, int]:
        """Publish outputs in order; return the stream sequence of each, by identity. Waits for NATS.

        Raises FencedError when a subject was written by someone else.
        """
        sequences: dict[Identity, int] = {}
        for stream, of_kind in (("INTERVALS", Interval), ("ALERTS", Alert), ("REJECTED", None)):
            chosen = [
                output
                for output in outputs
                if (isinstance(output, of_kind) if of_kind else not isinstance(output, Interval | Alert))
            ]
            batch: list[tuple[Output, str, bytes]] = []
            size = 0
            for output in chosen:
                data = encode(output)
                if batch and (len(batch) == MAX_BATCH or size + len(data) > _BATCH_BYTES):
                    await self._send_batch(stream, batch, sequences)
                    batch, size = [], 0
                batch.append((output, self._subject(output), data))
                size += len(data)
            if batch:
                await self._send_batch(stream, batch, sequences)
        return sequences

    async def _send_batch(
        self, stream: str, batch: list[tuple[Output, str, bytes]], sequences: dict[Identity, int]
    ) -> None:
        ours = {identity(output) for output, _, _ in batch}
        while True:
            left = []
            for item in batch:
                key = identity(item[0])
                if key in self._found:
                    sequences[key] = self._found.pop(key)
                elif key not in sequences:
                    left.append(item)
            if not left:
                return
            try:
                messages = await self._expecting(left)
                last = await self._bus.publish_batch(messages)
            except UnavailableError as error:
                log.warning("outputs not acknowledged, looking at what is stored", stream=stream, reason=str(error))
                await self._look_again(stream)
            except ConflictError as error:
                before = len(self._found)
                await self._look_again(stream)
                if not (ours & self._found.keys()) and len(self._found) > before:
                    raise FencedError(
                        f"another aggregator writes {stream} of {self._community or 'unknown communities'}: {error}"
                    ) from None
            else:
                first = last - len(left) + 1
                for offset, (output, subject, _) in enumerate(left):
                    sequences[identity(output)] = self._tails[subject] = first + offset
                self.positions[stream] = max(last, self.positions.get(stream, 0))
                return

    async def _expecting(self, items: list[tuple[Output, str, bytes]]) -> list[Message]:
        messages = []
        seen: set[str] = set()
        for _, subject, data in items:
            expected = None
            if subject not in seen:
                seen.add(subject)
                if subject not in self._tails:
                    stored = await self._bus.last(_stream_of(subject), subject)
                    self._tails[subject] = stored.sequence if stored else 0
                expected = self._tails[subject]
            messages.append(Message(subject, data, expected))
        return messages

    async def _look_again(self, stream: str) -> None:
        self._tails.clear()
        while True:
            try:
                return await self._look(stream)
            except UnavailableError as error:
                log.debug("still not available", reason=str(error))
                await self._bus.pause()

    async def _look(self, stream: str) -> None:
        """Take note of this community's outputs in a stream beyond the position."""
        subject = {
            "INTERVALS": f"intervals.{self._community}",
            "ALERTS": f"alerts.{self._community}.*",
            "REJECTED": f"rejected.{self._community or '*'}.*",
        }[stream]
        _, last = await self._bus.stream_bounds(stream)
        after = self.positions.get(stream, 0)
        reader = self._bus.read(stream, [subject], after=after)
        try:
            while reader.position < last:
                batch = await reader.next_batch(1.0)
                for stored in batch:
                    self._tails[stored.subject] = stored.sequence
                    self._found[_identity_of(stream, stored)] = stored.sequence
                if not batch or reader.pending == 0:
                    break
        finally:
            await reader.close()
        self.positions[stream] = max(last, after)

    def _subject(self, output: Output) -> str:
        if isinstance(output, Interval):
            return intervals_subject(output.community)
        if isinstance(output, Alert):
            return alerts_subject(output.community, output.home)
        _, community, meter, *_ = [*output.subject.split("."), "", ""]
        return rejected_subject(community, meter)


def _stream_of(subject: str) -> str:
    return subject.partition(".")[0].upper()


def _identity_of(stream: str, stored: Stored) -> Identity:
    decoders: dict[str, Callable[[bytes], Output]] = {
        "INTERVALS": decode_interval,
        "ALERTS": decode_alert,
        "REJECTED": decode_rejected,
    }
    try:
        return identity(decoders[stream](stored.data))
    except ValueError:
        return ("unreadable", stored.sequence)
