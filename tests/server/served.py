"""A server in the test's own loop, on a free port, and clients of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

from bus.client import Bus
from server.options import ServerOptions
from server.run import serve
from tests.resolvers.frames import eventually

Changes = AsyncGenerator[dict[str, Any], None]


@asynccontextmanager
async def serving(bus: Bus, options: ServerOptions | None = None) -> AsyncIterator[str]:
    """Serve on a free port of loopback; the value is the server's URL."""
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(bus, options or ServerOptions(), "127.0.0.1", 0, on_started=started.set_result))
    task.add_done_callback(lambda _: started.cancel())
    try:
        yield await started
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until_ready(url: str) -> None:
    """Wait until the server says that it is ready."""
    async with httpx.AsyncClient(base_url=url) as http:

        async def is_ready() -> bool:
            return (await http.get("/ready")).status_code == 200

        await eventually(is_ready)


async def ask(url: str, query: str, **variables: Any) -> dict[str, Any]:
    """Return the answer to a query, errors included."""
    async with httpx.AsyncClient(base_url=url) as http:
        response = await http.post("/graphql", json={"query": query, "variables": variables})
    answer: dict[str, Any] = response.json()
    return answer


@asynccontextmanager
async def subscribed(url: str, document: str, **variables: Any) -> AsyncIterator[Changes]:
    """Subscribe with gql over a WebSocket; the value is the stream of data."""
    transport = WebsocketsTransport(url.replace("http", "ws") + "/graphql", subprotocols=["graphql-transport-ws"])
    request = gql(document)
    request.variable_values = variables
    async with Client(transport=transport) as session:
        stream = session.subscribe(request)
        try:
            yield stream
        finally:
            await stream.aclose()


async def next_of(stream: Changes) -> dict[str, Any]:
    """Return the next data of a subscription; fail after a minute."""
    async with asyncio.timeout(60):
        return await anext(stream)


async def metric(url: str, name: str) -> float:
    """Return the value of a metric without labels."""
    async with httpx.AsyncClient(base_url=url) as http:
        text = (await http.get("/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])
