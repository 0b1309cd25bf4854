"""The server under measurement: the real one, on this loop and a loopback port, and a whole document beside it.

Frames are handed to what the server subscribed to, as the bus would; the registry is one community. Beside
/graphql the same port answers /homes/ID with all fields of a home and its community, as a plain REST service would.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast
from unittest.mock import patch

from graphql import GraphQLObjectType, get_named_type
from graphql.execution.values import VariableValues, get_variable_values

from bench.watch_energy.sockets import Ledger, direct_socket
from bus.client import Bus
from bus.community import Community, Version
from bus.identifiers import live_subject, split_home_key
from bus.registry import BEGINNING
from bus.stored import Stored
from resolvers.feed import Counts, Feed
from schema.build import build_schema
from schema.operations import Operations
from schema.projection import Projection, compile_projection
from server.app import create_app
from server.limits import Limits
from server.options import ServerOptions
from server.run import serve

DOCUMENTS: Final = Path(__file__).parents[2] / "watch"
_WAIT_S: Final = 15.0
_ANY: Final = 1_000_000


class LocalBus:
    """As much of a Bus as a server asks for: one registered community, and frames as they are handed in."""

    connected = True

    def __init__(self, community: Community) -> None:
        self._community = community
        self._takers: list[Callable[[bytes], None]] = []
        self._last: Stored | None = None
        self._frames = 0

    def publish(self, frame: bytes, at_ms: int) -> None:
        """Hand a frame to whoever has subscribed, and keep it as the last one."""
        self._frames += 1
        self._last = Stored(live_subject(self._community.id), self._frames, at_ms, frame)
        for take in list(self._takers):
            take(frame)

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Take note of nothing: this connection is never lost."""

    async def stream_bounds(self, stream: str) -> tuple[int, int]:
        """Return the first and last sequence of a stream: of the registry, 1."""
        return (1, 1) if stream == "KV_registry" else (0, 0)

    def read(self, stream: str, *_: Any, after: int = 0, **__: Any) -> "_Reader":
        """Return a reader: of the registry, its one version; else of nothing."""
        version = Version(valid_from=BEGINNING, community=self._community)
        data = version.model_dump_json(exclude_defaults=True).encode()
        known = [Stored(f"$KV.registry.{self._community.id}", 1, 0, data)]
        return _Reader(known if stream == "KV_registry" and not after else [])

    async def subscribe(self, subject: str, take: Callable[[bytes], None]) -> Callable[[], Awaitable[None]]:
        """Hand frames on from now on; return what ends it."""
        self._takers.append(take)

        async def end() -> None:
            self._takers.remove(take)

        return end

    async def last(self, stream: str, subject: str) -> Stored | None:
        """Return the last frame."""
        return self._last if stream == "LIVE" else None


class _Reader:
    def __init__(self, messages: list[Stored]) -> None:
        self._messages = messages

    def __aiter__(self) -> "_Reader":
        return self

    async def __anext__(self) -> list[Stored]:
        return await self.next_batch(0)

    async def next_batch(self, timeout: float) -> list[Stored]:
        if not self._messages:
            await asyncio.get_running_loop().create_future()
        messages, self._messages = self._messages, []
        return messages

    async def close(self) -> None:
        pass


def everything() -> str:
    """Return the document that subscribes to every field of a home and its community."""
    schema = build_schema().core
    return "subscription Everything($home: ID!) { home(id: $home) " + _all_of(schema.type_map["HomeLive"]) + " }"


def _all_of(kind: Any) -> str:
    fields = []
    for name, field in kind.fields.items():
        inner = get_named_type(field.type)
        fields.append(f"{name} {_all_of(inner)}" if isinstance(inner, GraphQLObjectType) else name)
    return "{ " + " ".join(fields) + " }"


class WholeDocument:
    """All fields of a home and its community as JSON, by GET /homes/ID, in front of an ASGI application."""

    def __init__(self, application: Any, feed: Feed) -> None:
        self._application = application
        self._feed = feed
        self._projection = _projection()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request for the document; hand others on."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith("/homes/"):
            await self._application(scope, receive, send)
            return
        parts = split_home_key(path.removeprefix("/homes/"))
        assert parts is not None
        root = self._feed.live_home(parts[1])
        assert root is not None
        body = self._projection.render(self._projection.parts(root, self._projection.memory)[0])
        body = body.removeprefix(b'{"data":{"home":').removesuffix(b"}}")
        headers = [(b"content-type", b"application/json")]
        if (b"accept-encoding", b"gzip") in scope["headers"]:
            body = gzip.compress(body, 6, mtime=0)
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _projection() -> Projection:
    schema = build_schema().core
    operation = Operations(schema).open(everything(), None)
    variables = get_variable_values(schema, operation.node.variable_definitions or (), {"home": "a.b"})
    assert isinstance(variables, VariableValues)
    return compile_projection(schema, operation.node, operation.fragments, variables)


class Site:
    """A running server. `url` is its address; `publish` hands it a frame."""

    def __init__(self, community: Community) -> None:
        self.url = ""
        self.feed = Feed(community.id, Counts())
        self.bus = LocalBus(community)

    def publish(self, frame: bytes, at_ms: int) -> None:
        """Hand on a frame that came at `at_ms`."""
        self.feed.take(frame, at_ms)
        self.bus.publish(frame, at_ms)


@asynccontextmanager
async def serving(community: Community, ledger: Ledger) -> AsyncIterator[Site]:
    """Run the server on a free port of 127.0.0.1."""
    site = Site(community)
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def create(bus: Bus, options: ServerOptions) -> Any:
        app = create_app(bus, options)
        app.middleware_stack = WholeDocument(app.middleware_stack or app.build_middleware_stack(), site.feed)
        return app

    # Sign-in is off, and any document allowed: a token would add some 300 bytes to each poll, and once to a socket.
    # Requests are limited by the system's time, in which a day's come at once.
    limits = Limits(requests_per_second=_ANY)
    options = ServerOptions(development=True, document_directories=(DOCUMENTS,), drain_s=0, limits=limits)
    with patch("server.run.create_app", create), patch("server.writer.SocketType", direct_socket(ledger)):
        running = asyncio.create_task(
            serve(cast(Bus, site.bus), options, "127.0.0.1", 0, on_started=started.set_result)
        )
        try:
            waiting: set[asyncio.Future[Any]] = {running, started}
            await asyncio.wait(waiting, timeout=_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            site.url = started.result()
            yield site
        finally:
            running.cancel()
            await asyncio.wait([running], timeout=_WAIT_S)
