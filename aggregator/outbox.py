"""The outbox: a community's outputs reach their streams once, whatever is killed when.

Every output has an identity. After a restart the fold gives the same outputs again; those that
the streams hold beyond the checkpoint are recognised and left out. A checkpoint never stands
beyond an output that is yet to be recognised, so a second crash soon after finds it, too. Every
batch names the sequences that its subjects must end at: a second writer is noticed before it
can do harm.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from aggregator.fold import Output
from bus.client import MAX_BATCH, Bus, Message
from bus.errors import ConflictError, UnavailableError
from bus.identifiers import alerts_subject, intervals_subject, rejected_subject
from bus.messages import (
    Alert,
    Interval,
    Rejected,
    decode_alert,
    decode_interval,
    decode_rejected,
    encode,
)
from bus.stored import Stored

log = structlog.get_logger(__name__)

Identity = tuple[str | int, ...]

_BATCH_BYTES: Final = 4 * 1024 * 1024
_PATIENCE_S: Final = 1.0
_CUT_CHARACTERS: Final = 64 * 1024
_STREAMS: Final = ("INTERVALS", "ALERTS", "REJECTED")
_MESSAGE_BYTES: Final = 1000 * 1024
"""What fits into NATS's 1 MiB with subject and headers."""


class FencedError(Exception):
    """Raised when another aggregator writes for the same community; this one must stop."""


def identity(output: Output) -> Identity:
    """Return what makes an output the same as another: interval and revision, alert key, refused message."""
    if isinstance(output, Interval):
        return ("interval", output.start, output.revision)
    if isinstance(output, Alert):
        return ("alert", output.key)
    return ("rejected", output.sequence, output.received_at)


class Outbox:
    """Publishes one community's outputs (`community` None: refusals that belong to none)."""

    def __init__(self, bus: Bus, community: str | None, positions: Mapping[str, int]) -> None:
        self._bus = bus
        self._community = community
        self._seen = dict(positions)
        self._looked: dict[str, int] = {}
        """Per stream up to where all that it holds of this community was looked at."""
        self._tails: dict[str, int] = {}
        self._found: dict[str, dict[Identity, int]] = {stream: {} for stream in _STREAMS}
        """Per stream, in its order: outputs that it holds and that the fold has not given again yet."""

    @property
    def positions(self) -> dict[str, int]:
        """Per stream a sequence up to which the fold has given all outputs; belongs into the checkpoint."""
        return {
            stream: min(seen, min(self._found[stream].values(), default=seen + 1) - 1)
            for stream, seen in self._seen.items()
        }

    async def open(self) -> None:
        """Look at what the streams hold beyond the positions: outputs that need not go out again. Waits for NATS."""
        for stream in _STREAMS if self._community else ("REJECTED",):
            await self._look_again(stream)

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
                data = _encoded(output)
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
        found = self._found[stream]
        ours = {identity(output) for output, _, _ in batch}
        while True:
            left = []
            for item in batch:
                key = identity(item[0])
                if key in found:
                    sequences[key] = found[key]
                elif key not in sequences:
                    left.append(item)
            if len(left) < len(batch):
                known = [item[0] for item in batch if identity(item[0]) in sequences]
                self._forget(stream, known[-1], sequences[identity(known[-1])])
            if not left:
                return
            try:
                messages = await self._expecting(left)
                last = await self._bus.publish_batch(messages)
            except UnavailableError as error:
                log.warning("outputs not acknowledged, looking at what is stored", stream=stream, reason=str(error))
                await self._look_again(stream)
            except ConflictError as error:
                before = len(found)
                await self._look_again(stream)
                # Those that belong to no community share subjects between partitions: nobody's fault.
                if self._community and not (ours & found.keys()) and len(found) > before:
                    raise FencedError(f"another aggregator writes {stream} of {self._community}: {error}") from None
            else:
                first = last - len(left) + 1
                for offset, (output, subject, _) in enumerate(left):
                    sequences[identity(output)] = self._tails[subject] = first + offset
                self._forget(stream, left[-1][0], last)
                self._seen[stream] = max(last, self._seen.get(stream, 0))
                return

    def _forget(self, stream: str, output: Output, sequence: int) -> None:
        """Drop what was found up to an output at `sequence`: it was given again, or never will be.

        A community's outputs always come in the order in which its stream holds them. Refusals that
        belong to none come in the order of READINGS, and several processes may have written them.
        """
        found = self._found[stream]
        if self._community is None:
            assert isinstance(output, Rejected)
            passed = [key for key in found if key[1] <= output.sequence]  # type: ignore[operator]
        else:
            passed = [key for key, where in found.items() if where <= sequence]
        for key in passed:
            del found[key]

    async def _expecting(self, items: list[tuple[Output, str, bytes]]) -> list[Message]:
        messages = []
        seen: set[str] = set()
        for _, subject, data in items:
            expected = None
            if subject not in seen:
                seen.add(subject)
                if subject not in self._tails:
                    stream = _stream_of(subject)
                    stored = await self._bus.last(stream, subject)
                    if stored is not None and stored.sequence > self._looked.get(stream, 0):
                        raise ConflictError(f"{subject} was written since")
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
        """Take note of this community's outputs in a stream beyond what was seen of it."""
        subject = {
            "INTERVALS": f"intervals.{self._community}",
            "ALERTS": f"alerts.{self._community}.*",
            "REJECTED": f"rejected.{self._community or '*'}.*",
        }[stream]
        _, last = await self._bus.stream_bounds(stream)
        seen = self._seen.get(stream, 0)
        reader = self._bus.read(stream, [subject], after=seen)
        try:
            # Asked each time whether there is more: silence may as well mean that NATS is away.
            while await self._bus.next_after(stream, subject, reader.position + 1) is not None:
                for stored in await reader.next_batch(_PATIENCE_S):
                    self._tails[stored.subject] = stored.sequence
                    self._found[stream][_identity_of(stream, stored)] = stored.sequence
                    self._seen[stream] = stored.sequence
        finally:
            await reader.close()
        self._seen[stream] = max(last, self._seen.get(stream, 0))
        self._looked[stream] = max(last, reader.position)

    def _subject(self, output: Output) -> str:
        if isinstance(output, Interval):
            return intervals_subject(output.community)
        if isinstance(output, Alert):
            return alerts_subject(output.community, output.home)
        _, community, meter, *_ = [*output.subject.split("."), "", ""]
        return rejected_subject(community, meter)


def _encoded(output: Output) -> bytes:
    """Return an output's JSON; a refused payload that NATS could not carry once more is cut, and says so."""
    data = encode(output)
    if len(data) <= _MESSAGE_BYTES or not isinstance(output, Rejected):
        return data
    detail = f"{output.detail}; cut here, whole in READINGS at sequence {output.sequence}"
    payload = output.payload[:_CUT_CHARACTERS]
    return encode(msgspec.structs.replace(output, detail=detail, payload=payload))


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
