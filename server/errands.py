"""Errands: the operations of a session that run as tasks, queries and mutations and subscriptions to events.

An event is sent when the connection has taken the one before, so that none is left out and none
piles up here. States never come this way: they are members of groups.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, NamedTuple, Protocol, cast

import msgspec
from graphql import GraphQLError

from schema.build import make_reference
from schema.context import Context
from schema.errors import translate
from schema.plans import Scope
from server.documents import Request
from server.frames import text_frame

_encode: Final = msgspec.json.encode


class Wire(Protocol):
    """Where frames go."""

    @property
    def paused(self) -> bool:
        """True while it takes no more."""

    def write(self, frame: bytes, messages: int = 1) -> None:
        """Send whole frames, in order; `messages`: how many of them are messages."""


class Work(NamedTuple):
    """How operations are executed."""

    execute: Callable[[str, str | None, dict[str, Any] | None, Context], Awaitable[bytes]]
    """Execute a query or mutation; return its result as JSON."""
    stream: Callable[[str, str | None, dict[str, Any] | None, Context], AsyncIterator[tuple[bytes, bool]]]
    """Execute a subscription to events; yield results as JSON, or errors that end it (True) as a JSON list."""


class Errands:
    """The errands of one session. `stalled` is called while an answer waits for a connection that takes nothing."""

    __slots__ = ("_answering", "_ended", "_resumed", "_scopes", "_stalled", "_tasks", "_wire", "_work")

    def __init__(self, wire: Wire, work: Work, stalled: Callable[[], None]) -> None:
        self._wire = wire
        self._work = work
        self._stalled = stalled
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._scopes: dict[str, tuple[Scope, str]] = {}
        self._answering = 0
        self._resumed: asyncio.Future[None] | None = None
        self._ended = False

    def __contains__(self, id: str) -> bool:
        return id in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def answering(self) -> bool:
        """True while a query or mutation has no answer yet."""
        return self._answering > 0

    @property
    def scopes(self) -> dict[str, tuple[Scope, str]]:
        """What subscriptions to events show, by their ids, where that is to be checked again."""
        return self._scopes

    def start(self, id: str, request: Request, context: Context, scope: tuple[Scope, str] | None) -> None:
        """Begin an errand; `id` is that of no other."""
        if scope is not None:
            self._scopes[id] = scope
        run = self._follow if request.operation.is_subscription else self._answer
        self._tasks[id] = asyncio.ensure_future(run(id, request, context))

    def stop(self, id: str) -> None:
        """End an errand, if there is one of this id."""
        self._scopes.pop(id, None)
        task = self._tasks.pop(id, None)
        if task is not None:
            task.cancel()

    def resume(self) -> None:
        """The connection takes frames again."""
        if self._resumed is not None:
            self._resumed.set_result(None)
            self._resumed = None

    def end(self) -> None:
        """End all errands: nothing more is written."""
        self._ended = True
        for task in self._tasks.values():
            task.cancel()

    # --- inside ---

    async def _answer(self, id: str, request: Request, context: Context) -> None:
        shown = _encode(id)
        self._answering += 1
        try:
            result = await self._work.execute(request.query, request.name, request.variables, context)
            next = text_frame(b'{"id":' + shown + b',"type":"next","payload":' + result + b"}")
            await self._deliver(next + text_frame(b'{"id":' + shown + b',"type":"complete"}'), 2)
        except Exception as error:
            await self._fail(id, error)
        finally:
            self._answering -= 1
            self._forget(id)

    async def _follow(self, id: str, request: Request, context: Context) -> None:
        shown = _encode(id)
        try:
            results = cast(
                AsyncGenerator[tuple[bytes, bool], None],
                self._work.stream(request.query, request.name, request.variables, context),
            )
            async with aclosing(results):
                async for result, over in results:
                    kind = b"error" if over else b"next"
                    frame = b'{"id":' + shown + b',"type":"' + kind + b'","payload":' + result + b"}"
                    await self._deliver(text_frame(frame))
                    if over:
                        return
            await self._deliver(text_frame(b'{"id":' + shown + b',"type":"complete"}'))
        except Exception as error:
            await self._fail(id, error)
        finally:
            self._forget(id)

    async def _deliver(self, frame: bytes, messages: int = 1) -> None:
        """Write frames once the connection takes some."""
        while self._wire.paused and not self._ended:
            if self._resumed is None:
                self._resumed = asyncio.get_running_loop().create_future()
            self._stalled()
            await asyncio.shield(self._resumed)
        if not self._ended:
            self._wire.write(frame, messages)

    async def _fail(self, id: str, error: Exception) -> None:
        """Tell of what nobody expected."""
        masked = translate(GraphQLError(str(error), original_error=error), make_reference).formatted
        await self._deliver(text_frame(_encode({"id": id, "type": "error", "payload": [masked]})))

    def _forget(self, id: str) -> None:
        """Forget a task that ends, unless its id is already another's."""
        if self._tasks.get(id) is asyncio.current_task():
            del self._tasks[id]
            self._scopes.pop(id, None)
