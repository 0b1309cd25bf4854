"""gql's clients: its two WebSocket transports, with the session that reconnects, and two for HTTP."""

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import aiohttp
from gql import Client, GraphQLRequest, gql
from gql.client import AsyncClientSession, ReconnectingAsyncClientSession
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from gql.transport.async_transport import AsyncTransport
from gql.transport.exceptions import (
    TransportConnectionFailed,
    TransportError,
    TransportQueryError,
    TransportServerError,
)
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport
from tenacity import AsyncRetrying, retry, retry_if_exception, stop_after_delay, wait_exponential, wait_fixed
from tenacity.wait import wait_base

from tests.clients.clients import WAIT_S, Known, Operation, operation_of

TRANSPORTS = ("gql-websockets", "gql-aiohttp-websockets", "gql-aiohttp", "gql-httpx")

_Session: TypeAlias = AsyncClientSession | ReconnectingAsyncClientSession


class GqlClient:
    """A session of gql. Its subscriptions are begun again by the application, as gql's documentation has it."""

    def __init__(self, session: _Session, wait: wait_base, stack: AsyncExitStack) -> None:
        self._session = session
        self._wait = wait
        self._stack = stack
        self._ids = map(str, itertools.count(1))
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @classmethod
    async def open(cls, name: str, settings: dict[str, Any]) -> "GqlClient":
        """Connect by one of TRANSPORTS; a WebSocket by the session that reconnects, but with `once`."""
        wait: wait_base = wait_fixed(0.05) if settings["quick"] else wait_exponential(max=60)
        async with AsyncExitStack() as stack:
            client = Client(transport=await _transport(name, settings["url"], settings["token"], stack))
            again: dict[str, Any] = {}
            if "websockets" in name and not settings.get("once"):
                patience = retry(wait=wait, stop=stop_after_delay(WAIT_S))
                again = {"reconnecting": True, "retry_connect": patience, "retry_execute": False}
            async with asyncio.timeout(WAIT_S):
                session = await client.connect_async(**again)  # type: ignore[no-untyped-call]  # gql leaves it so
            stack.push_async_callback(client.close_async)
            return cls(session, wait, stack.pop_all())

    async def start(self, document: str | Known, **variables: Any) -> Operation:
        assert isinstance(document, str), "gql always sends the text of a document"
        request = gql(document)
        request.variable_values = variables
        run = self._follow if operation_of(document) == "subscription" else self._execute
        operation = Operation(next(self._ids))
        self._tasks[operation.id] = asyncio.create_task(self._run(run(request, operation), operation))
        return operation

    async def stop(self, operation: Operation) -> None:
        task = self._tasks[operation.id]
        task.cancel()
        await asyncio.wait([task])

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        await self._stack.aclose()

    async def _run(self, work: Coroutine[Any, Any, None], to: Operation) -> None:
        try:
            await work
            to.see({"complete": True})
        except TransportQueryError as error:
            to.see({"errors": error.errors})
        except TransportError as error:
            to.see({"failure": str(error), "code": error.code if isinstance(error, TransportServerError) else None})

    async def _execute(self, request: GraphQLRequest, to: Operation) -> None:
        to.see({"next": await self._session.execute(request)})

    async def _follow(self, request: GraphQLRequest, to: Operation) -> None:
        patience = AsyncRetrying(
            retry=retry_if_exception(_is_lost), wait=self._wait, stop=stop_after_delay(WAIT_S), reraise=True
        )
        async for attempt in patience:
            with attempt:
                async for data in self._session.subscribe(request):
                    to.see({"next": data})


def _is_lost(error: BaseException) -> bool:
    """Whether to subscribe again. gql gives a lost connection as the reason even to a task that is cancelled."""
    task = asyncio.current_task()
    return isinstance(error, TransportConnectionFailed) and task is not None and not task.cancelling()


async def _transport(name: str, url: str, token: str | None, stack: AsyncExitStack) -> AsyncTransport:
    socket_url = url.replace("http", "ws")
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    if name == "gql-websockets":
        return WebsocketsTransport(socket_url, init_payload={"token": token} if token else {})
    if name == "gql-aiohttp-websockets":
        # One of its own it would leave open where the last attempt to connect failed.
        session = await stack.enter_async_context(aiohttp.ClientSession())
        return AIOHTTPWebsocketsTransport(socket_url, headers=bearer, session=session)
    if name == "gql-aiohttp":
        return AIOHTTPTransport(url, headers=bearer)
    return HTTPXAsyncTransport(url, headers=bearer)
