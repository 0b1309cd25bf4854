"""Revocations: the ids of tokens that count no more, kept in a bucket until the tokens have ended anyway.

A revocation is final. Followers know of it as soon as NATS has delivered it: no clock is involved,
and no polling. What the bucket holds is one JSON object per token: its id and when it ends.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable
from typing import Final

import structlog

from bus.client import Bus, Message
from bus.stored import Stored
from bus.streams import REVOKED, REVOKED_DAYS

log = structlog.get_logger(__name__)

_STREAM: Final = f"KV_{REVOKED}"
_PREFIX: Final = f"$KV.{REVOKED}."
_FIRST_S: Final = 1.0
_LOOK_S: Final = 30.0
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SWEEP: Final = 1024
_DAY_MS: Final = 86_400_000


class Revocations:
    """The tokens that were revoked and have not ended, followed live.

    `now_ms` tells the time in ms since 1970 UTC. After `look_s` without a word the bucket is looked at.
    """

    def __init__(self, *, now_ms: Callable[[], int], look_s: float = _LOOK_S) -> None:
        self._now_ms = now_ms
        self._look_s = look_s
        self._loaded = asyncio.Event()
        self._ends: dict[str, int] = {}
        self._sweep_at = _SWEEP
        self._callbacks: list[Callable[[str], None]] = []

    def __contains__(self, token_id: object) -> bool:
        return token_id in self._ends

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def loaded(self) -> bool:
        """True once all that the bucket held at the start was read."""
        return self._loaded.is_set()

    async def wait_loaded(self) -> None:
        """Wait until all that the bucket held at the start was read."""
        await self._loaded.wait()

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the id of each token that is revoked from now on, and not known to be."""
        self._callbacks.append(callback)

    async def follow(self, bus: Bus) -> None:
        """Read the bucket, then take in revocations as they are written, for ever.

        A bucket that was made anew, or restored to an earlier state, is read from its beginning.
        Raises BusError while NATS does not answer.
        """
        if (await bus.stream_bounds(_STREAM))[1] == 0:
            self._loaded.set()
        while True:
            reader = bus.read(_STREAM, last_per_subject=True)
            try:
                last = 0
                while last >= reader.position:
                    batch = await reader.next_batch(self._look_s if self.loaded else _FIRST_S)
                    for message in batch:
                        self.take(message)
                    if reader.pending == 0:
                        self._loaded.set()
                    last = batch[-1].sequence if batch else (await bus.stream_bounds(_STREAM))[1]
            finally:
                await reader.close()

    def take(self, message: Stored) -> None:
        """Take in one stored revocation; what is not readable revokes the token that its key names."""
        if not message.data:  # deleted by hand
            return
        try:
            value = json.loads(message.data)
            token_id, ends_ms = str(value["id"]), int(value["expires_ms"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            log.error("revocation not readable", key=message.subject.removeprefix(_PREFIX))
            token_id, ends_ms = message.subject.removeprefix(_PREFIX), message.time_ms + REVOKED_DAYS * _DAY_MS
        if ends_ms <= self._now_ms() or self._ends.get(token_id, 0) >= ends_ms:
            return
        known = token_id in self._ends
        self._ends[token_id] = ends_ms
        self._sweep()
        if not known:
            for callback in self._callbacks:
                callback(token_id)

    def _sweep(self) -> None:
        """Forget tokens that have ended, whenever there are twice as many as after the sweep before."""
        if len(self._ends) > self._sweep_at:
            now = self._now_ms()
            self._ends = {token_id: end for token_id, end in self._ends.items() if end > now}
            self._sweep_at = max(_SWEEP, 2 * len(self._ends))


async def revoke(bus: Bus, token_id: str, expires_ms: int) -> None:
    """Revoke a token for good, by its id and when it ends (ms since 1970 UTC).

    Raises BusError: then it is not revoked, or not known to be.
    """
    value = json.dumps({"id": token_id, "expires_ms": expires_ms}).encode()
    await bus.publish(Message(_PREFIX + _key(token_id), value))


def _key(token_id: str) -> str:
    """Return the key of a token: its id, or what stands for one that cannot be part of a subject."""
    if _PLAIN.fullmatch(token_id):
        return token_id
    return f"={hashlib.sha256(token_id.encode(errors='surrogatepass')).hexdigest()}"
