"""Clients to open, and servers for all tests of a module, which run in one loop."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bus.client import Bus
from server.options import ServerOptions
from tests.clients.clients import Client, NodeProcess
from tests.clients.gql_clients import TRANSPORTS, GqlClient
from tests.clients.packages import install
from tests.clients.signing import Signing
from tests.clients.stand import Scene, arrange, connected
from tests.conftest import NatsServer
from tests.server.served import serving, until_ready

Open = Callable[..., Awaitable[Client]]

SCRIPTS: dict[str, tuple[str, dict[str, Any]]] = {
    "graphql-ws": ("graphql-ws.mjs", {}),
    "graphql-sse": ("graphql-sse.mjs", {}),
    "apollo": ("apollo.mjs", {}),
    "apollo-socket": ("apollo.mjs", {"socketOnly": True}),
    "urql": ("urql.mjs", {}),
    "urql-socket": ("urql.mjs", {"socketOnly": True}),
    "urql-stream": ("urql.mjs", {"stream": True}),
}
ALL = [*SCRIPTS, *TRANSPORTS]
SOCKETS = ["graphql-ws", "apollo", "urql", "gql-websockets", "gql-aiohttp-websockets"]
STREAMS = ["graphql-sse", "urql-stream"]
SUBSCRIBING = [*SOCKETS, *STREAMS]


@pytest.fixture(scope="session")
def packages(request: pytest.FixtureRequest) -> Path:
    """The folder with the npm packages and the scripts that use them."""
    cache = request.config.cache
    assert cache is not None
    return install(cache.mkdir("clients"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_bus(session_nats: NatsServer) -> AsyncIterator[Bus]:
    async with connected(session_nats.url) as bus:
        yield bus


@pytest.fixture(scope="session")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    return Signing(tmp_path_factory.mktemp("signing"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_url(module_bus: Bus, signing: Signing) -> AsyncIterator[str]:
    """The URL of a server that requires sign-in."""
    async with serving(module_bus, ServerOptions(development=True, tokens=signing.tokens())) as url:
        await until_ready(url)
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_url(module_bus: Bus) -> AsyncIterator[str]:
    """The URL of a server where everybody sees everything."""
    async with serving(module_bus, ServerOptions(development=True)) as url:
        await until_ready(url)
        yield url


@pytest_asyncio.fixture(loop_scope="module")
async def scene(module_bus: Bus, module_url: str, signing: Signing) -> Scene:
    """A community of the test's own, at the server that requires sign-in."""
    return await arrange(module_bus, module_url, signing)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def processes() -> AsyncIterator[list[NodeProcess]]:
    """The module's process of clients for JavaScript, from the first such client on."""
    processes: list[NodeProcess] = []
    yield processes
    for process in processes:
        await process.end()


@pytest_asyncio.fixture(loop_scope="module")
async def open_client(request: pytest.FixtureRequest, processes: list[NodeProcess]) -> AsyncIterator[Open]:
    """Opens a client by its name for a scene, with its token; other settings are those of the scripts."""
    async with AsyncExitStack() as stack:

        async def open(name: str, scene: Scene, **settings: Any) -> Client:
            settings = {"url": f"{scene.url}/graphql", "token": scene.token, "quick": True} | settings
            client: Client
            if name in TRANSPORTS:
                client = await GqlClient.open(name, settings)
            else:
                script, more = SCRIPTS[name]
                if not processes:
                    processes.append(await NodeProcess.run(request.getfixturevalue("packages")))
                client = await processes[0].open(script, settings | more)
            stack.push_async_callback(client.close)
            return client

        yield open
