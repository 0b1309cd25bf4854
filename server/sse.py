"""Event streams: GraphQL over server-sent events, one connection for each operation.

Protocol: https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md, distinct connections mode.
A stream of states is a member of its group as a WebSocket's subscription is, and skips states
while its client takes nothing; a stream of events leaves none out, and numbers them by their
cursors, after which `Last-Event-ID` resumes.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final

import structlog
from graphql import GraphQLError
from starlette.types import Receive, Send

from resolvers.access import Viewer
from resolvers.alerts import Alerts, Event
from schema.build import make_reference
from schema.context import Context
from schema.errors import translate
from schema.operations import OperationError
from schema.receipt import Tally
from server.bursts import Bursts
from server.documents import Request
from server.drain import Leave
from server.execution import Executor, Result, refusal
from server.groups import Member
from server.hub import STALL_S, Hub
from server.session import PHASES
from server.signin import Guard

log = structlog.get_logger(__name__)

_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"vary", b"Accept, Authorization"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]
_NEXT: Final = b"event: next\ndata: "
_END: Final = b"\n\n"
_COMPLETE: Final = b"event: complete\ndata: \n\n"  # without a data line a browser would drop the event
_COMMENT: Final = b":\n\n"
_MAX_ID: Final = 18
"""Digits of the id of an event."""
_RETRY_MS: Final = (500, 5000)  # all clients of a server that ends shall not come back at once


class Streams:
    """Answers requests by event streams."""

    def __init__(
        self,
        hub: Hub,
        executor: Executor,
        guard: Guard,
        keep_alive_s: float,
        tallied: Callable[[Tally], None] = lambda _: None,
    ) -> None:
        """Comment on a silence of `keep_alive_s`; `tallied` takes what has passed on a stream that is over."""
        self._hub = hub
        self._tallied = tallied
        self._guard = guard
        self._executor = executor
        self._keep_alive_s = keep_alive_s
        self._works: set[asyncio.Future[None]] = set()
        self._ended = False

    def leaves(self) -> list[Leave]:
        """Return for each stream what ends it because the server ends; its client is told when to come back."""
        self._ended = True
        return [partial(_end, work) for work in self._works]

    async def run(
        self, opened: Request | Result, context: Context, last_event_id: str | None, receive: Receive, send: Send
    ) -> None:
        """Answer one request, until it is complete, its token ends or the client is gone.

        What cannot be executed is a result with its errors, as the protocol has it.
        """
        stream = _Stream(self._hub, send, context)
        work = asyncio.ensure_future(self._work(stream, opened, last_event_id))
        stream.aborted = work.cancel
        self._works.add(work)
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._guard.leave(stream)
            self._works.discard(work)
            for task in (work, gone):
                task.cancel()
            await asyncio.wait((work, gone))
        try:
            if self._ended and work.cancelled():
                retry_ms = random.randrange(*_RETRY_MS)  # noqa: S311 - spreads load, guards nothing
                await stream.send(b"retry: %d\n\n" % retry_ms, more=False)
            elif stream.last_words is not None and work.cancelled():
                await stream.complete(stream.last_words)
            elif not work.cancelled():
                work.result()
        except TimeoutError:
            log.info("event stream took nothing for too long, ending it", seconds=STALL_S)
        except Exception as error:
            masked = translate(GraphQLError(str(error), original_error=error), make_reference)
            await stream.complete(refusal([masked]).json)
        finally:
            self._tallied(stream.tally)

    async def _work(self, stream: "_Stream", opened: Request | Result, last_event_id: str | None) -> None:
        member = Member(stream, stream, _NEXT, end=_END, framed=False)
        await stream.open()
        try:
            if isinstance(opened, Result):
                await stream.complete(opened.json)
            elif not opened.operation.is_subscription:
                await stream.complete(
                    await self._executor.execute(opened.query, opened.name, opened.variables, stream.context)
                )
            elif opened.operation.events:
                await self._send_events(stream, opened, last_event_id)
            else:
                try:
                    self._look_after(stream, opened)
                    if stream.last_words is not None:
                        return
                    self._hub.subscribe(opened.operation, opened.variables, member, stream.context.directory)
                except OperationError as error:
                    await stream.complete(refusal(error.errors).json)
                else:
                    await stream.follow(member, self._keep_alive_s)
        finally:
            self._hub.leave(member)
            self._hub.flowing(stream)

    def _look_after(self, stream: "_Stream", opened: Request) -> None:
        """Have the stream end when its viewer may not see it any more; it has ended if the token was revoked by now."""
        if stream.viewer is None:
            return
        planner = self._hub.planner
        scope, root = planner.scope(opened.operation, opened.variables)
        stream.check = lambda: planner.check(scope, root, stream.context.directory)
        self._guard.enter(stream)

    async def _send_events(self, stream: "_Stream", opened: Request, last_event_id: str | None) -> None:
        """Send events one by one, each when the client has taken the one before."""
        after: int | None = None
        if last_event_id:
            if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= _MAX_ID):
                wrong = f"Last-Event-ID is {last_event_id!r:.40}; it must be the id of an event of this stream"
                await stream.complete(refusal([GraphQLError(wrong)]).json)
                return
            after = int(last_event_id)
        try:
            self._look_after(stream, opened)
        except OperationError as error:
            await stream.complete(refusal(error.errors).json)
            return
        if stream.last_words is not None:
            return
        marked = _MarkedAlerts(stream.context.alerts, after)
        context = replace(stream.context, alerts=marked)
        results = self._executor.stream(opened.query, opened.name, opened.variables, context)
        waiting: asyncio.Future[tuple[bytes, bool] | None] | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(_following(results))
                done, _ = await asyncio.wait((waiting,), timeout=self._keep_alive_s)
                if not done:
                    await stream.comment()
                    continue
                answer, waiting = waiting.result(), None
                if answer is None:
                    break
                result, over = answer
                if over:
                    await stream.complete(b'{"errors":' + result + b"}")
                    return
                mark = b"" if marked.cursor is None else b"id: %d\n" % marked.cursor
                stream.count(1)
                await stream.send(mark + _NEXT + result + _END)
            stream.count(1)
            await stream.send(_COMPLETE, more=False)
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.wait((waiting,))
            await results.aclose()


class _Stream(Bursts):
    """One response: the wire of its only member, its session, and what the guard looks after."""

    def __init__(self, hub: Hub, send: Send, context: Context) -> None:
        super().__init__()
        self.paused = False
        self.context = context
        self.check: Callable[[], None] = lambda: None
        """Raises OperationError where its viewer may not see any more what it shows."""
        self.last_words: bytes | None = None
        """The result with which it ends, before its time."""
        self._hub = hub
        self._send = send
        self._waiting = b""
        self._written = asyncio.Event()
        self._offset = -1
        self._bytes = self._events = self._comments = 0  # that went out
        self._began_s = asyncio.get_running_loop().time()
        self.aborted: Callable[[], object] = lambda: None
        """Ends the response at once."""

    @property
    def tally(self) -> Tally:
        """What has passed so far, in bytes of blocks: nothing comes in, and comments are its pings."""
        lasted_s = asyncio.get_running_loop().time() - self._began_s
        return Tally(0, self._bytes, 0, self._events, self._comments, self.wakeups, lasted_s)

    # --- called by the group ---

    @property
    def wire(self) -> "_Stream":
        """Where its frames go."""
        return self

    def offset_ms(self, every_ms: int) -> int:
        """Return this device's offset of slots, in ms: one of 16 phases."""
        if self._offset < 0:
            self._offset = random.randrange(PHASES) * every_ms // PHASES  # noqa: S311 - spreads load, guards nothing
        return self._offset

    def write(self, frame: bytes, messages: int = 1) -> None:
        """Send events. Until the server has taken them, there is no more to write: the next ones are skipped."""
        self._waiting += frame
        self._events += messages
        self.paused = True
        self._written.set()

    def abort(self) -> None:
        """End the response at once."""
        self.aborted()

    # --- called by the guard ---

    @property
    def viewer(self) -> Viewer | None:
        """Who it belongs to."""
        return self.context.viewer

    def recheck(self) -> None:
        """End it if its viewer may not see it any more."""
        try:
            self.check()
        except OperationError as error:
            self._end(error.errors)

    def expire(self) -> None:
        """End it: its token has ended or was revoked."""
        code = {"code": "UNAUTHENTICATED"}
        self._end([GraphQLError("the token has ended or was revoked: sign in again", extensions=code)])

    def _end(self, errors: list[GraphQLError]) -> None:
        self.last_words = refusal(errors).json
        self.aborted()

    # --- called by the response ---

    async def open(self) -> None:
        """Begin the response."""
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self.comment()

    def count(self, events: int) -> None:
        """Count events that go out."""
        self._events += events

    async def comment(self) -> None:
        """Show that the stream lives."""
        self._comments += 1
        await self.send(_COMMENT)

    async def send(self, event: bytes, *, more: bool = True) -> None:
        """Send bytes; wait for a client that takes none, but not for ever."""
        self._bytes += len(event)
        self.touch()
        async with asyncio.timeout(STALL_S):
            await self._send({"type": "http.response.body", "body": event, "more_body": more})

    async def complete(self, result: bytes) -> None:
        """Send the last result and end the response."""
        self._events += 2
        await self.send(_NEXT + result + _END + _COMPLETE, more=False)

    async def follow(self, member: Member, keep_alive_s: float) -> None:
        """Send what the group writes, and comments in between, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(keep_alive_s):
                    await self._written.wait()
            except TimeoutError:
                await self.comment()
                continue
            self._written.clear()
            event, self._waiting = self._waiting, b""
            await self.send(event)
            self.paused = False
            self._hub.flowing(self)
            if member.pending and member.group is not None:
                member.group.drained(member)


class _MarkedAlerts(Alerts):
    """Alerts for one stream: they begin after what its client has seen, and the latest cursor is known."""

    def __init__(self, alerts: Alerts, after: int | None) -> None:
        # Nothing of its own: all comes from the alerts of the process.
        self._alerts = alerts
        self._after = after
        self.cursor: int | None = None

    async def stream(self, community: str, home: str, after: int | None) -> AsyncGenerator[Event, None]:
        """Yield a home's alerts and its community's, after the id that the client names if it names one."""
        async with aclosing(self._alerts.stream(community, home, after if self._after is None else self._after)) as all:
            async for event in all:
                self.cursor = event.cursor
                yield event


async def _following(results: AsyncIterator[tuple[bytes, bool]]) -> tuple[bytes, bool] | None:
    return await anext(results, None)


def _end(work: asyncio.Future[None]) -> bool:
    work.cancel()
    return True


async def _disconnected(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
