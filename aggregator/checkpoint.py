"""Checkpoints: a community's state and the READINGS sequence that it stands for, in one value.

Saved by compare-and-set, so that a second writer is fenced out; compressed, so that a thousand
homes stay far under NATS's message limit.
"""

import zlib
from typing import Final

import msgspec

from aggregator.flood import Refusals
from aggregator.outbox import FencedError
from aggregator.state import OLDEST, VERSION, State
from bus.client import Bus, Message
from bus.errors import ConfigurationError, ConflictError
from bus.streams import CHECKPOINTS

_STREAM: Final = f"KV_{CHECKPOINTS}"


class CheckpointError(ConfigurationError):
    """Raised when a checkpoint cannot be used; the text says the way out."""


class Checkpoint(msgspec.Struct):
    """`position`: the last READINGS sequence in the state. `positions`: what the outputs' streams held then."""

    version: int
    position: int
    positions: dict[str, int]
    state: State | None
    writer: str = ""
    """The process that saved it: tells a save of one's own, whose acknowledgement was lost, from another's."""
    strays: Refusals | None = None
    """What was refused lately of no community, where it stands for none."""


class Checkpoints:
    """The bucket of checkpoints, with the revision of each that this process saw last."""

    def __init__(self, bus: Bus, writer: str) -> None:
        """`writer` is a name that no other process ever has."""
        self._bus = bus
        self._writer = writer
        self._revisions: dict[str, int] = {}

    async def load(self, key: str, *, ignore: bool = False) -> Checkpoint | None:
        """Return a checkpoint, or None if there is none or it is to be ignored; CheckpointError: not usable."""
        stored = await self._bus.last(_STREAM, _subject(key))
        self._revisions[key] = stored.sequence if stored else 0
        if stored is None or not stored.data or ignore:
            return None
        way_out = (
            f"to compute everything again from the stored readings, start with `commonwatt aggregate --rebuild {key}`"
        )
        try:
            raw = zlib.decompress(stored.data)
            version = msgspec.msgpack.decode(raw, type=_Versioned).version
        except (zlib.error, msgspec.DecodeError) as error:
            raise CheckpointError(f"the checkpoint of {key!r} is not readable ({error}); {way_out}") from None
        if not OLDEST <= version <= VERSION:
            which = "newer" if version > VERSION else "older"
            raise CheckpointError(
                f"the checkpoint of {key!r} has version {version}, this program knows {VERSION}: it was written by a "
                f"{which} Commonwatt; run that one, or, {way_out}"
            )
        try:
            return msgspec.msgpack.decode(raw, type=Checkpoint)
        except msgspec.DecodeError as error:
            raise CheckpointError(f"the checkpoint of {key!r} is not readable ({error}); {way_out}") from None

    async def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Save a checkpoint; raise FencedError when someone else saved one since. UnavailableError passes."""
        checkpoint.writer = self._writer
        data = zlib.compress(msgspec.msgpack.encode(checkpoint), 1)
        subject = _subject(key)
        while True:
            try:
                self._revisions[key] = await self._bus.publish(Message(subject, data, self._revisions.get(key, 0)))
            except ConflictError:
                stored = await self._bus.last(_STREAM, subject)
                if stored is None or _writer_of(stored.data) != self._writer:
                    raise FencedError(f"another aggregator has saved a checkpoint of {key!r}") from None
                self._revisions[key] = stored.sequence
            else:
                return


class _Versioned(msgspec.Struct):
    version: int
    writer: str = ""


def _writer_of(data: bytes) -> str:
    try:
        return msgspec.msgpack.decode(zlib.decompress(data), type=_Versioned).writer
    except (zlib.error, msgspec.DecodeError):
        return ""


def _subject(key: str) -> str:
    return f"$KV.{CHECKPOINTS}.{key}"
