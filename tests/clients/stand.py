"""Where clients meet the server: a community for each test, and servers that end, come back or are cut off."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from bus.client import Bus, Message, connection_of
from bus.identifiers import alerts_subject, home_key
from bus.messages import Alert, encode
from bus.settings import NatsSettings
from bus.streams import Retention, ensure_streams
from server.options import ServerOptions
from server.run import serve
from tests.clients.signing import Signing
from tests.resolvers.frames import EVENING_MS, Cable, Publisher, community, eventually, register

_numbers = itertools.count(1)


class Scene(NamedTuple):
    """A community of one test's own, of home-1 and home-2, a server that knows it, and the token to see it with."""

    bus: Bus
    url: str
    community: str
    publisher: Publisher
    token: str | None = None

    @property
    def home(self) -> str:
        return home_key(self.community, "home-1")

    async def raise_alert(self, number: int) -> str:
        """Raise an alert of home-1; return its cursor."""
        key = f"METER_SILENT:home-1:{number}"
        fields: dict[str, Any] = {"home": "home-1", "at": EVENING_MS, "value": None, "limit": None}
        alert = Alert(key=key, kind="METER_SILENT", community=self.community, **fields)
        return str(await self.bus.publish(Message(alerts_subject(self.community, "home-1"), encode(alert))))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Bus]:
    """Connect to NATS, its streams being there."""
    bus = await Bus.connect(NatsSettings(url=url), name="clients", patience_s=10)
    try:
        await ensure_streams(connection_of(bus).jetstream(), Retention())
        yield bus
    finally:
        await bus.close()


async def arrange(bus: Bus, url: str, signing: Signing | None = None) -> Scene:
    """Register a new community, to be seen by its operator, and wait until the server at `url` knows it."""
    key = f"clients-{next(_numbers)}"
    await register(bus, community(key))
    token = signing.operator(key) if signing else None
    request = {"query": "query ($id: ID!) { community(id: $id) { id } }", "variables": {"id": key}}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:

        async def is_known() -> bool:
            return "errors" not in (await http.post("/graphql", json=request)).json()

        await eventually(is_known)
    return Scene(bus, url, key, Publisher(bus, key), token)


class Stand:
    """Servers that follow each other at one address, and a cable to them that can be cut."""

    def __init__(self, bus: Bus, options: ServerOptions) -> None:
        self._bus = bus
        self._options = options
        self._task: asyncio.Task[None] | None = None
        self._port = 0
        self._cable: Cable | None = None

    @property
    def url(self) -> str:
        assert self._cable is not None
        return self._cable.url.replace("nats://", "http://")

    async def start(self) -> None:
        """Serve."""
        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        work = serve(self._bus, self._options, "127.0.0.1", self._port, on_started=started.set_result)
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(lambda _: started.cancel())
        self._port = urlsplit(await started).port or 0
        if self._cable is None:
            self._cable = Cable(self._port)
            await self._cable.plug()

    async def end(self) -> None:
        """End the server in its own good way; return once it is over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def cut(self) -> None:
        """Cut all connections and let none through, until `mend`."""
        if self._cable is not None:
            await self._cable.pull()

    async def mend(self) -> None:
        """Let connections through again."""
        assert self._cable is not None
        await self._cable.plug()


@asynccontextmanager
async def standing(bus: Bus, signing: Signing) -> AsyncIterator[Stand]:
    """A server that requires sign-in and takes all queries."""
    stand = Stand(bus, ServerOptions(development=True, tokens=signing.tokens()))
    try:
        await stand.start()
        yield stand
    finally:
        await stand.end()
        await stand.cut()
