"""A reader of a stream: every message once, in stream order, across reconnects and restarts.

It is an ephemeral pull consumer that acknowledges nothing and is made anew, from the message
after the last one handed out, when a message is missing, heartbeats stop, or NATS came back
(the idea of ADR-17, ordered consumers). Pulling bounds what is held in memory, and nothing
that was received is dropped.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, Self

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from bus.stored import Stored

log = structlog.get_logger(__name__)

_HEARTBEAT_S: Final = 1.0
_PULL_EXPIRES_S: Final = 30.0
_RETRY_S: Final = 0.25
_API_TIMEOUT_S: Final = 2.0
"""A request that was lost with the connection is made again soon, not after the library's five seconds."""


class Reader:
    """Iterate over it to get lists of stored messages: all that have come since the list before."""

    def __init__(
        self,
        client: Client,
        stream: str,
        subjects: Sequence[str] = (),
        *,
        after: int = 0,
        last_per_subject: bool = False,
        since_ms: int | None = None,
        buffer: int = 1000,
    ) -> None:
        self.position = after
        """Stream sequence of the last message handed out."""
        self.pending = -1
        """Messages that the stream holds beyond the last one received; -1 before JetStream has said."""
        self.on_close: Callable[[Reader], None] = lambda _: None
        self._client = client
        self._stream = stream
        self._subjects = list(subjects)
        self._last_per_subject = last_per_subject
        self._since_ms = since_ms
        self._limit = buffer
        self._buffer: list[Stored] = []
        self._arrived = asyncio.Event()
        self._outstanding = 0
        self._delivered = 0
        self._consumer: str | None = None
        self._subscription: Subscription | None = None
        self._generation = 0
        self._heard = 0.0
        self._broken = False
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Stored]:
        """Return the messages that have come, at least one; wait for it as long as it takes."""
        while True:
            batch = await self.next_batch(timeout=3600.0)
            if batch:
                return batch
            if self._closed:
                raise StopAsyncIteration

    async def next_batch(self, timeout: float) -> list[Stored]:
        """Return the messages that have come, in stream order; an empty list after `timeout` seconds."""
        deadline = asyncio.get_running_loop().time() + timeout
        while not self._buffer and not self._closed:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return []
            if (self._broken or self._consumer is None) and not await self._open():
                await asyncio.sleep(min(_RETRY_S, left))
                continue
            await self._pull()
            self._arrived.clear()
            try:
                async with asyncio.timeout(min(left, _HEARTBEAT_S)):
                    await self._arrived.wait()
            except TimeoutError:
                if asyncio.get_running_loop().time() - self._heard > 3 * _HEARTBEAT_S:
                    self._broken = True
        batch, self._buffer = self._buffer, []
        if batch:
            self.position = batch[-1].sequence
            if not self._broken:
                await self._pull()
        return batch

    def restart(self) -> None:
        """Make the consumer anew before more is read: the connection was away."""
        self._broken = True
        self._arrived.set()

    async def close(self) -> None:
        """End reading; an iteration that waits ends."""
        self._closed = True
        self._arrived.set()
        self.on_close(self)
        await self._drop_consumer()

    async def _open(self) -> bool:
        await self._drop_consumer()
        last = self._buffer[-1].sequence if self._buffer else self.position
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=60.0,
            filter_subjects=self._subjects or None,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=last + 1,
        )
        if last == 0:
            config.opt_start_seq = None
            config.deliver_policy = DeliverPolicy.ALL
            if self._last_per_subject:
                config.deliver_policy = DeliverPolicy.LAST_PER_SUBJECT
                config.filter_subjects = self._subjects or [">"]
            elif self._since_ms is not None:
                config.deliver_policy = DeliverPolicy.BY_START_TIME
                config.opt_start_time = datetime.fromtimestamp(self._since_ms / 1000, UTC)
        self._delivered = self._outstanding = 0
        self._broken = False
        self._heard = asyncio.get_running_loop().time()
        try:
            self._generation += 1
            receive = partial(self._receive, self._generation)
            self._subscription = await self._client.subscribe(self._client.new_inbox(), cb=receive)
            info = await self._client.jetstream(timeout=_API_TIMEOUT_S).add_consumer(self._stream, config)
        except (NatsError, NotFoundError, OSError, TimeoutError) as error:
            log.debug("stream not readable yet", stream=self._stream, error=repr(error))
            return False
        self._consumer = info.name
        self.pending = info.num_pending or 0
        return True

    async def _drop_consumer(self) -> None:
        self._consumer = None
        if self._subscription is not None and not self._client.is_closed:
            subscription, self._subscription = self._subscription, None
            try:
                await subscription.unsubscribe()
            except (NatsError, OSError) as error:
                log.debug("unsubscribe failed", error=repr(error))

    async def _pull(self) -> None:
        want = self._limit - len(self._buffer) - self._outstanding
        if self._subscription is None or want <= self._limit // 2:
            return
        ask = {
            "batch": want,
            "expires": int(_PULL_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_S * 1e9),
        }
        self._outstanding += want
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        try:
            await self._client.publish(subject, json.dumps(ask).encode(), reply=self._subscription.subject)
        except (NatsError, OSError):
            self._broken = True

    async def _receive(self, generation: int, message: Msg) -> None:
        if generation != self._generation or self._broken:
            return
        reply = message.reply
        if not reply:
            self._status(message)
            return
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>, and
        # two tokens more in front of the stream where the server names domain and account.
        tokens = reply.split(".")
        first = 5 if len(tokens) == 9 else 7
        self._delivered += 1
        if int(tokens[first + 1]) != self._delivered:
            self.restart()
            return
        self.pending = int(tokens[first + 3])
        self._outstanding -= 1
        self._buffer.append(
            Stored(message.subject, int(tokens[first]), int(tokens[first + 2]) // 1_000_000, message.data)
        )
        if not self._arrived.is_set():
            self._heard = asyncio.get_running_loop().time()
            self._arrived.set()

    def _status(self, message: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status in ("404", "408"):  # the request ran out: some of what it asked for did not come
            self._outstanding -= int(headers.get("Nats-Pending-Messages", self._outstanding))
        elif status != "100":  # consumer deleted, leader changed, or no responders
            self._broken = True
        self._arrived.set()
