"""The connection to NATS: publish with an acknowledgement, in atomic batches, read, look up.

What crosses it are subjects, bytes and stored messages; nats-py's own types stay inside. A
connection that is lost comes back by itself, for ever; `on_reconnect` callbacks run after it did.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Self, TypeVar

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, NoRespondersError, OutboundBufferLimitError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import NotFoundError, ServiceUnavailableError
from nats.nuid import NUID

from bus.acknowledgement import stored_at
from bus.connection import Connection, connect_options
from bus.errors import RefusedError, UnavailableError
from bus.permissions import streams_of
from bus.reader import Reader
from bus.refusals import Refusals
from bus.settings import NatsSettings
from bus.stored import Stored, from_direct_get
from bus.streams import Retention, ensure_streams
from bus.waiting import Waiting

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

MAX_BATCH: Final = 500
"""Messages per atomic batch; the server's own limit is 1,000."""

_INFO: Final = "$JS.API.STREAM.INFO."
_CREATE: Final = "$JS.API.STREAM.CREATE."
_LOST: Final = (ConnectionClosedError, OutboundBufferLimitError, OSError)
"""What nats-py raises where the connection breaks while it is written to."""


class Message(NamedTuple):
    """A message to publish. `expected_last` is the stream sequence that its subject must end at."""

    subject: str
    data: bytes
    expected_last: int | None = None

    @property
    def expectation(self) -> dict[str, str]:
        """The headers that say so."""
        return {} if self.expected_last is None else {"Nats-Expected-Last-Subject-Sequence": str(self.expected_last)}


class Bus:
    """One connection to NATS with JetStream."""

    def __init__(self, client: Connection, keep: Retention, refusals: Refusals, streams: Sequence[str]) -> None:
        self._client = client
        self._js = client.jetstream()
        self._keep = keep
        self._refusals = refusals
        self._streams = streams
        self._names = NUID()
        self._readers: set[Reader] = set()
        self._on_reconnect: list[Callable[[], Awaitable[None]]] = []
        self._waiting = Waiting()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(
        cls,
        settings: NatsSettings,
        *,
        name: str,
        keep: Retention | None = None,
        patience_s: float | None = None,
    ) -> Self:
        """Connect, and wait for NATS as long as it takes, saying so every few seconds.

        The streams that a process of this `name` needs are made where they are missing. With
        `patience_s` raise UnavailableError when they could not be reached by then.
        """
        client = Connection()
        bus = cls(client, keep or Retention(), Refusals(settings), streams_of(name))
        options = connect_options(settings, name, bus._say_error, bus._say_disconnected, bus._reconnected)
        try:
            async with asyncio.timeout(patience_s):
                await client.connect(**options)
                await bus._ensure_streams()
        except TimeoutError:
            await client.close()
            reason = bus._waiting.reason and f"; {bus._waiting.reason}"
            raise UnavailableError(
                f"no NATS with JetStream at {settings.url} within {patience_s:g} s: "
                f"start it, or name another with --nats-url{reason}"
            ) from None
        except BaseException:
            await client.close()
            raise
        return bus

    @property
    def connected(self) -> bool:
        """True while the connection stands."""
        return bool(self._client.is_connected)

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Run `callback` each time the connection came back."""
        self._on_reconnect.append(callback)

    async def pause(self) -> None:
        """Wait a moment before asking again what could not be answered."""
        await asyncio.sleep(0.25)

    async def close(self) -> None:
        """Close the connection; what was not acknowledged may be lost."""
        for reader in list(self._readers):
            await reader.close()
        if not self._client.is_closed:
            if not self._client.is_connected:
                # nats-py would write it to the broken connection, fail, and leave its tasks behind.
                self._client._pending.clear()
                self._client._pending_data_size = 0
            with suppress(OSError):
                await self._client.close()
        # nats-py cancels its reconnecting but once, and a wait of its own may swallow that.
        task = self._client._reconnection_task
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.05)

    # --- publishing ---

    async def publish(self, message: Message, *, timeout: float = 5.0) -> int:
        """Store one message and return its stream sequence.

        Raises UnavailableError or ConflictError.
        """
        headers = message.expectation or None
        return stored_at(await self._request(message.subject, message.data, headers, timeout))

    async def publish_batch(self, messages: Sequence[Message], *, timeout: float = 10.0) -> int:
        """Store all messages or none, in order, and return the stream sequence of the last.

        At most MAX_BATCH of them, all of one stream. `expected_last` counts where a subject
        occurs first in the batch. Raises UnavailableError or ConflictError.
        """
        if not 0 < len(messages) <= MAX_BATCH:
            raise ValueError(f"{len(messages)} messages in a batch; 1 to {MAX_BATCH} are allowed")
        if len(messages) == 1:
            return await self.publish(messages[0], timeout=timeout)
        batch = self._names.next().decode()
        try:
            for number, message in enumerate(messages[:-1], 1):
                headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
                await self._client.publish(message.subject, message.data, headers=headers | message.expectation)
        except _LOST as error:
            raise UnavailableError(str(error)) from error
        last = messages[-1]
        headers = {
            "Nats-Batch-Id": batch,
            "Nats-Batch-Sequence": str(len(messages)),
            "Nats-Batch-Commit": "1",
        }
        others = {message.subject for message in messages}
        return stored_at(await self._request(last.subject, last.data, headers | last.expectation, timeout, *others))

    async def publish_core(self, subject: str, data: bytes) -> None:
        """Send without storing or acknowledgement; raise UnavailableError when it cannot even be buffered."""
        try:
            await self._client.publish(subject, data)
        except (ConnectionClosedError, OutboundBufferLimitError) as error:
            raise UnavailableError(str(error)) from error

    # --- reading ---

    def read(
        self,
        stream: str,
        subjects: Sequence[str] = (),
        *,
        after: int = 0,
        last_per_subject: bool = False,
        since_ms: int | None = None,
        buffer: int = 1000,
    ) -> Reader:
        """Return a reader of a stream from the sequence after `after` on, in stream order, for ever.

        `last_per_subject` begins with the last message of each subject instead; `since_ms`
        begins at a JetStream time. At most `buffer` messages are held in memory.
        """
        reader = Reader(
            self._client,
            stream,
            subjects,
            after=after,
            last_per_subject=last_per_subject,
            since_ms=since_ms,
            buffer=buffer,
        )
        self._readers.add(reader)
        reader.on_close = self._readers.discard
        return reader

    async def subscribe(self, subject: str, take: Callable[[bytes], None]) -> Callable[[], Awaitable[None]]:
        """Call `take` with each message on a core subject; return a coroutine function that ends it.

        It is called at once, from within the reading of the connection: nothing is queued here, and
        while it runs nothing more is read. What it raises is logged.
        """

        async def take_early(message: Msg) -> None:
            take(message.data)  # it came before the next line but one was reached

        subscription: Subscription = await self._client.subscribe(subject, cb=take_early)
        self._client.takers[subscription._id] = take

        async def end() -> None:
            self._client.takers.pop(subscription._id, None)
            if not self._client.is_closed:
                await subscription.unsubscribe()

        return end

    async def last(self, stream: str, subject: str) -> Stored | None:
        """Return the last message of a subject, or None."""
        reply = await self._ask(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"")
        return from_direct_get(reply)

    async def message(self, stream: str, sequence: int) -> Stored | None:
        """Return the message at a stream sequence, or None if it is gone."""
        reply = await self._ask(f"$JS.API.DIRECT.GET.{stream}", json.dumps({"seq": sequence}).encode())
        return from_direct_get(reply)

    async def next_after(self, stream: str, subject: str, sequence: int) -> Stored | None:
        """Return the first message of a subject at or after a stream sequence, or None."""
        ask = {"seq": sequence, "next_by_subj": subject}
        return from_direct_get(await self._ask(f"$JS.API.DIRECT.GET.{stream}", json.dumps(ask).encode()))

    async def stream_bounds(self, stream: str) -> tuple[int, int]:
        """Return the first and last sequence of a stream (0, 0 while it is empty and new)."""
        try:
            info = await self._answered(self._js.stream_info(stream), _INFO + stream)
        except (NatsTimeoutError, NoRespondersError, ServiceUnavailableError, *_LOST) as error:
            raise UnavailableError(f"JetStream did not answer: {error!r}") from error
        except NotFoundError:
            raise UnavailableError(
                f"NATS has no stream {stream}: a process that may make it does when it connects"
            ) from None
        return info.state.first_seq, info.state.last_seq

    # --- inside ---

    async def _ask(self, subject: str, data: bytes) -> Msg:
        try:
            return await self._answered(self._client.request(subject, data, timeout=5), subject)
        except (NatsTimeoutError, NoRespondersError, *_LOST) as error:
            raise UnavailableError(f"JetStream did not answer: {error!r}") from error

    async def _request(
        self, subject: str, data: bytes, headers: dict[str, str] | None, timeout: float, *others: str
    ) -> Msg:
        try:
            asking = self._client.request(subject, data, timeout=timeout, headers=headers)
            return await self._answered(asking, subject, *others)
        except NoRespondersError as error:
            await self._ensure_quietly()
            raise UnavailableError(f"no stream takes {subject}") from error
        except (NatsTimeoutError, *_LOST) as error:
            raise UnavailableError(f"{subject} was not acknowledged: {error!r}") from error

    async def _answered(self, asking: Coroutine[Any, Any, Answer], *subjects: str) -> Answer:
        """Return the answer; raise UnavailableError as soon as the connection breaks, which takes it along.

        Raises RefusedError when NATS refuses one of the subjects on which it is asked. It is awaited
        in a task of its own: nats-py waits with asyncio.wait_for, which before Python 3.12 may
        swallow the cancellation of whoever awaits it.
        """
        lost = self._lost
        task = asyncio.ensure_future(asking)
        try:
            with self._refusals.watch(subjects) as refused:
                waiting: set[asyncio.Future[Any]] = {task, lost, refused}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if refused.done():
                raise refused.result()
            raise UnavailableError("the connection was lost before the answer came")
        finally:
            task.cancel()

    async def _ensure_streams(self) -> None:
        while True:
            try:
                return await self._ensure()
            except (NatsTimeoutError, NoRespondersError, ServiceUnavailableError, UnavailableError) as error:
                self._waiting.say(error)
                await asyncio.sleep(0.25)
            except RefusedError as error:
                if (stream := error.subject.removeprefix(_CREATE)) == error.subject:
                    raise
                self._waiting.say(f"stream {stream} is not there yet: the aggregator makes it, this process may not")
                await asyncio.sleep(1.0)

    async def _ensure(self) -> None:
        subjects = [f"{what}{stream}" for what in (_INFO, _CREATE) for stream in self._streams]
        await self._answered(ensure_streams(self._js, self._keep, self._streams), *subjects)

    async def _ensure_quietly(self) -> None:
        try:
            await self._ensure()
        except Exception as error:  # the caller tries again
            log.debug("streams not ensured", error=repr(error))

    async def _say_error(self, error: Exception) -> None:
        if not self._refusals.take(error):
            self._waiting.say(error)
        elif not self._waiting.reason:
            self._waiting.reason = str(error)

    async def _say_disconnected(self) -> None:
        self._lost.set_result(None)
        self._lost = asyncio.get_running_loop().create_future()
        if not self._client.is_closed:
            log.warning("connection to NATS lost, reconnecting")

    async def _reconnected(self) -> None:
        log.info("connection to NATS is back")
        await self._ensure_quietly()
        for reader in list(self._readers):
            reader.restart()
        for callback in self._on_reconnect:
            await callback()


def connection_of(bus: Bus) -> Client:
    """Return nats-py's connection, for modules of this folder, and for tests that look behind the bus."""
    return bus._client
