"""A uvicorn in a thread with WebSocket connections, and those at both ends: applications, a session, raw sockets."""

import asyncio
import base64
import queue
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest
import uvicorn
import uvloop
from websockets.sync.client import ClientConnection, connect

from server.websocket import EXTENSION, DirectWebSocketProtocol
from server.wire import Wire

T = TypeVar("T")
Event = dict[str, Any]
App = Callable[[Event, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Awaitable[None]]
WAIT_S = 20
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


class Quick(DirectWebSocketProtocol):
    """Does not wait for those who never answer."""

    __slots__ = ()
    close_timeout_s = 0.2


class Server:
    """A uvicorn in a thread, and what happens in it."""

    def __init__(self, app: App, loop: str, **config: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        settings: dict[str, Any] = {
            "ws": DirectWebSocketProtocol,
            "http": "httptools",
            "interface": "asgi3",
            "log_config": None,
        } | config
        self.uvicorn = uvicorn.Server(uvicorn.Config(app, lifespan="off", **settings))
        self._factory = LOOPS[loop]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._started.set)
            await self.uvicorn.serve(sockets=[self._listener])

        with asyncio.Runner(loop_factory=self._factory) as runner:
            runner.run(main())

    def __enter__(self) -> "Server":
        self._thread.start()
        assert self._started.wait(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.uvicorn.should_exit = True
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        assert not self.uvicorn.server_state.connections
        self._listener.close()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call the function in the server's loop, and return what it returns."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(function(*arguments))
            except BaseException as error:
                result.set_exception(error)

        assert self._loop is not None
        self._loop.call_soon_threadsafe(run)
        return result.result(WAIT_S)

    def url(self, path: str = "/") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def connect(self, path: str = "/", **options: Any) -> ClientConnection:
        return connect(self.url(path), compression=None, **({"open_timeout": WAIT_S} | options))

    def raw(self, *, receive_bytes: int | None = None) -> socket.socket:
        """Return a socket on which the handshake is done."""
        raw = socket.socket()
        if receive_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        raw.settimeout(WAIT_S)
        raw.connect(("127.0.0.1", self.port))
        raw.sendall(upgrade())
        head = until(raw, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return raw


def upgrade(*changes: tuple[str, str | None], method: str = "GET") -> bytes:
    headers: dict[str, str | None] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    headers.update(changes)
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"{method} / HTTP/1.1", *lines, "", ""]).encode()


def until(raw: socket.socket, mark: bytes) -> bytes:
    data = b""
    while not data.endswith(mark):
        more = raw.recv(1)
        assert more, data
        data += more
    return data


def read(raw: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = raw.recv(size - len(data))
        assert more, f"ended after {len(data)} bytes"
        data += more
    return bytes(data)


def to_the_end(raw: socket.socket) -> bytes:
    data = b""
    while more := raw.recv(65_536):
        data += more
    return data


class Recorder:
    """A session that notes what it is told; `app` hands connections to new ones."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.wires: queue.Queue[Wire] = queue.Queue()
        self.accepts_binary = False
        self.patience_s = 0.0
        self.owing = False
        self.answer: Callable[[Wire, bytes], None] | None = None
        self.wire: Wire | None = None

    async def app(self, scope: Event, receive: Callable[[], Awaitable[Event]], send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        wire: Wire = scope["extensions"][EXTENSION]["wire"]
        wire.take_over(self)
        self.wire = wire
        self.wires.put(wire)

    def on_message(self, data: bytes, /) -> None:
        self.events.put(("message", data))
        if self.answer is not None:
            assert self.wire is not None
            self.answer(self.wire, data)

    @property
    def answering(self) -> bool:
        return self.owing

    def on_drained(self) -> None:
        self.events.put(("drained", None))

    def on_closed(self, code: int, /) -> None:
        self.events.put(("closed", code))

    def next(self) -> tuple[str, Any]:
        return self.events.get(timeout=WAIT_S)

    def ends_with(self, code: int) -> bool:
        """Whether the next event is the end, and none follows by the time the server knows no connection."""
        return self.next() == ("closed", code)


async def echo(scope: Event, receive: Callable[[], Awaitable[Event]], send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    offered = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
    while (event := await receive())["type"] == "websocket.receive":
        await send(event | {"type": "websocket.send"})


@pytest.fixture(params=list(LOOPS))
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def echoing(loop: str) -> Iterator[Server]:
    with Server(echo, loop) as server:
        yield server


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def direct(loop: str, recorder: Recorder) -> Iterator[Server]:
    with Server(recorder.app, loop, ws_ping_interval=None, ws=Quick) as server:
        yield server
    assert recorder.events.empty(), "on_closed comes once, and nothing after it"
