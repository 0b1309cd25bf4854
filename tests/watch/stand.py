"""A small stand-in for the server: the vocabulary of the API on Strawberry and uvicorn, in a thread of the test.

State goes in by `set_home` and `set_community`; subscriptions and the watch page come out on 127.0.0.1. It
can be stopped and started again on its port. It knows nothing of NATS: the real server has tests of its own.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator
from enum import Enum
from pathlib import Path
from typing import Any

import strawberry
import uvicorn
from graphql import GraphQLError
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.types.unset import UnsetType

DEADLINE_S = 20.0
WEB = Path(__file__).parents[2] / "watch" / "web"


@strawberry.enum
class Light(Enum):
    GREEN = "GREEN"
    YELLOW = "YELLOW"
    RED = "RED"
    UNKNOWN = "UNKNOWN"


@strawberry.enum
class Trend(Enum):
    RISING = "RISING"
    FALLING = "FALLING"
    STEADY = "STEADY"


@strawberry.enum
class Quality(Enum):
    MEASURED = "MEASURED"
    ESTIMATED = "ESTIMATED"
    STALE = "STALE"


@strawberry.type
class CommunityLive:
    community_id: strawberry.ID
    light: Light
    surplus_power: float | None
    shared_power: float | None
    power_import: float | None
    power_export: float | None
    load: float | None
    trend: Trend | None
    measured_at: str | None
    self_sufficiency: float | None
    homes_reporting: int
    homes_total: int


@strawberry.type
class HomeLive:
    home_id: strawberry.ID
    light: Light
    shared_power: float | None
    net_power: float | None
    measured_at: str | None
    self_sufficiency: float | None
    quality: Quality
    community: CommunityLive


@strawberry.type
class Place:
    id: strawberry.ID
    name: str


@strawberry.type
class Community(Place):
    homes: list[Place]


def a_community(**changes: Any) -> CommunityLive:
    fields: dict[str, Any] = {
        "community_id": strawberry.ID("demo"),
        "light": Light.GREEN,
        "surplus_power": 1240.0,
        "shared_power": 3100.0,
        "power_import": 800.0,
        "power_export": 2040.0,
        "load": 5200.0,
        "trend": Trend.RISING,
        "measured_at": "2026-06-01T10:00:00Z",
        "self_sufficiency": 0.62,
        "homes_reporting": 19,
        "homes_total": 20,
    }
    return CommunityLive(**(fields | changes))


def a_home(**changes: Any) -> HomeLive:
    fields: dict[str, Any] = {
        "home_id": strawberry.ID("demo.home-01"),
        "light": Light.GREEN,
        "shared_power": 320.0,
        "net_power": -410.0,
        "measured_at": "2026-06-01T10:00:00Z",
        "self_sufficiency": 0.71,
        "quality": Quality.MEASURED,
        "community": a_community(),
    }
    return HomeLive(**(fields | changes))


class Stand:
    """The server: one community `demo` with one home `demo.home-01`, both settable."""

    def __init__(self) -> None:
        self.home: HomeLive | Exception = a_home()
        self.community: CommunityLive | Exception = a_community()
        self.token: str | None = None
        self.payloads: list[Any] = []
        self.port = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = threading.Condition()
        self._version = 0
        self._sent: dict[asyncio.Event, int] = {}  # per subscription, the version that it was sent last

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            _app(self), log_level="error", lifespan="off", loop="asyncio", timeout_graceful_shutdown=2
        )
        server, started = uvicorn.Server(config), threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            startup = server.startup

            async def announced(sockets: list[socket.socket] | None = None) -> None:
                await startup(sockets)
                started.set()

            server.startup = announced  # type: ignore[method-assign]  # uvicorn has no hook for "listening"
            await server.serve([listener])

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        self._server = server
        assert started.wait(DEADLINE_S), "the stand-in did not start"

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive(), "the stand-in did not stop"
        self._server = None

    def set_home(self, home: HomeLive | Exception) -> None:
        self._set("home", home)

    def set_community(self, community: CommunityLive | Exception) -> None:
        self._set("community", community)

    def await_subscribers(self, count: int) -> None:
        """Wait until exactly `count` subscriptions are open, and each was sent the present state: none skips it."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: len(self._sent) == count and all(v == self._version for v in self._sent.values()), DEADLINE_S
            )

    async def changes(self, name: str) -> AsyncGenerator[Any, None]:
        woken = asyncio.Event()
        self._note(woken, -1)
        try:
            while True:
                with self._changed:
                    version, state = self._version, getattr(self, name)
                if isinstance(state, Exception):
                    raise state
                yield state
                self._note(woken, version)
                await woken.wait()
                woken.clear()
        finally:
            self._note(woken, None)

    def _set(self, name: str, state: object) -> None:
        with self._changed:
            setattr(self, name, state)
            self._version += 1
        if self._loop is not None and self._server is not None:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for woken in self._sent:
            woken.set()

    def _note(self, woken: asyncio.Event, version: int | None) -> None:
        with self._changed:
            if version is None:
                self._sent.pop(woken)
            else:
                self._sent[woken] = version
            self._changed.notify_all()


def unknown() -> GraphQLError:
    return GraphQLError("No such home or community.", extensions={"code": "NOT_FOUND"})


def _app(stand: Stand) -> Starlette:
    @strawberry.type
    class Query:
        @strawberry.field
        def communities(self) -> list[Community]:
            home = Place(id=strawberry.ID("demo.home-01"), name="The first house")
            return [Community(id=strawberry.ID("demo"), name="Demo", homes=[home])]

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def home(self, id: strawberry.ID) -> AsyncGenerator[HomeLive, None]:
            if id != "demo.home-01":
                raise unknown()
            async for home in stand.changes("home"):
                yield home

        @strawberry.subscription
        async def community(self, id: strawberry.ID) -> AsyncGenerator[CommunityLive, None]:
            if id != "demo":
                raise unknown()
            async for community in stand.changes("community"):
                yield community

    class App(GraphQL[Any, Any]):
        async def on_ws_connect(self, context: Any) -> UnsetType | dict[str, object] | None:
            payload = context["connection_params"]
            stand.payloads.append(payload)
            if stand.token is not None and payload.get("authorization") != f"Bearer {stand.token}":
                raise ConnectionRejectionError
            return await super().on_ws_connect(context)

    api = App(strawberry.Schema(Query, subscription=Subscription))
    page = StaticFiles(directory=WEB, html=True)
    return Starlette(
        routes=[Route("/graphql", api), WebSocketRoute("/graphql", api), Mount("/watch", page)],
    )
