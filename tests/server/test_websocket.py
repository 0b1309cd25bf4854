"""The WebSocket protocol in a real uvicorn, on uvloop and on asyncio, against websockets and raw sockets."""

import asyncio
import base64
import contextlib
import datetime
import queue
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from server.frames import TEXT, text_frame
from server.websocket import EXTENSION, DirectWebSocketProtocol, Wire
from tests.server.test_frames import client_frame

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


# --- plain ASGI


def test_text_and_bytes_come_back(echoing: Server) -> None:
    messages: list[str | bytes] = ["", "hello", "€" * 100, "x" * 70_000, b"", b"\xff\x00", b"y" * 200_000]
    with echoing.connect() as client:
        for message in messages:
            client.send(message)
            assert client.recv(WAIT_S) == message


def test_the_first_subprotocol_is_agreed_on(echoing: Server) -> None:
    with echoing.connect(subprotocols=[Subprotocol("one"), Subprotocol("two")]) as client:
        assert client.subprotocol == "one"


def test_compression_is_never_agreed_on(echoing: Server) -> None:
    with connect(echoing.url(), compression="deflate") as client:
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers


def test_the_scope_says_what_was_asked_for(loop: str) -> None:
    scopes: queue.Queue[Event] = queue.Queue()

    async def app(scope: Event, receive: Any, send: Any) -> None:
        scopes.put(scope)
        await echo(scope, receive, send)

    with (
        Server(app, loop, root_path="/root", ws_ping_interval=None) as server,
        server.connect("/a%20b?c=%C3%A9", additional_headers={"X-One": "1"}) as client,
    ):
        scope = scopes.get(timeout=WAIT_S)
        assert client.local_address == scope["client"]
        assert scope["server"] == ("127.0.0.1", server.port)
    assert scope["type"] == "websocket"
    assert scope["path"] == "/root/a b"
    assert scope["raw_path"] == b"/root/a%20b"
    assert scope["query_string"] == b"c=%C3%A9"
    assert (b"x-one", b"1") in scope["headers"]
    assert scope["scheme"] == "ws"
    assert scope["http_version"] == "1.1"
    assert scope["subprotocols"] == []
    assert scope["state"] == {}
    assert scope["extensions"]["websocket.http.response"] == {}


def test_headers_of_the_acceptance_are_sent(loop: str) -> None:
    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"x-one", b"1")]})
        await receive()

    with Server(app, loop) as server, server.connect() as client:
        assert client.response is not None
        assert client.response.headers["X-One"] == "1"


def test_a_close_instead_of_an_acceptance_is_403(loop: str) -> None:
    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})
        assert (await receive())["type"] == "websocket.disconnect"

    with Server(app, loop) as server, pytest.raises(InvalidStatus) as raised:
        server.connect()
    assert raised.value.response.status_code == 403


def test_a_denial_is_the_application_s_own_response(loop: str) -> None:
    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-one", b"1")]})
        await send({"type": "websocket.http.response.body", "body": b"short and ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"stout"})

    with Server(app, loop) as server, pytest.raises(InvalidStatus) as raised:
        server.connect()
    response = raised.value.response
    assert (response.status_code, response.body) == (418, b"short and stout")
    assert response.headers["X-One"] == "1"


@pytest.mark.parametrize("fault", ["raises", "returns"])
def test_an_application_that_fails_before_accepting_is_500(loop: str, fault: str) -> None:
    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        if fault == "raises":
            raise ValueError(fault)

    with Server(app, loop) as server, pytest.raises(InvalidStatus) as raised:
        server.connect()
    assert raised.value.response.status_code == 500


@pytest.mark.parametrize(("fault", "code"), [("raises", 1011), ("returns", 1000)])
def test_an_application_that_ends_after_accepting_closes(loop: str, fault: str, code: int) -> None:
    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if fault == "raises":
            raise ValueError(fault)

    with Server(app, loop) as server, server.connect() as client:
        with pytest.raises(ConnectionClosed) as raised:
            client.recv(WAIT_S)
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == code


def test_a_header_with_a_line_break_is_refused(loop: str) -> None:
    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"x-one", b"1\r\nx-two: 2")]})

    with Server(app, loop) as server, pytest.raises(InvalidStatus) as raised:
        server.connect()
    assert raised.value.response.status_code == 500


def test_the_application_s_close_reaches_the_client_with_its_reason(loop: str) -> None:
    events: queue.Queue[Event] = queue.Queue()

    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4400, "reason": "no"})
        events.put(await receive())
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.send", "text": "late"})

    with Server(app, loop) as server, server.connect() as client:
        with pytest.raises(ConnectionClosed) as raised:
            client.recv(WAIT_S)
        assert raised.value.rcvd is not None
        assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (4400, "no")
        assert events.get(timeout=WAIT_S) == {"type": "websocket.disconnect", "code": 4400, "reason": "no"}


def disconnects(loop: str, end: Callable[[socket.socket], None]) -> Event:
    events: queue.Queue[Event] = queue.Queue()

    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        events.put(await receive())
        events.put(await receive())
        with contextlib.suppress(OSError):
            await send({"type": "websocket.send", "text": "nobody hears it"})
            events.put({"type": "sent to nobody"})

    with Server(app, loop) as server, server.raw() as raw:
        end(raw)
        event = events.get(timeout=WAIT_S)
        assert events.get(timeout=WAIT_S) == event
    assert events.empty()
    return event


def test_the_client_s_close_reaches_the_application_and_is_echoed(loop: str) -> None:
    def end(raw: socket.socket) -> None:
        raw.sendall(client_frame(8, struct.pack("!H", 4001) + b"enough"))
        assert to_the_end(raw) == b"\x88\x02" + struct.pack("!H", 4001)

    assert disconnects(loop, end) == {"type": "websocket.disconnect", "code": 4001, "reason": "enough"}


def test_a_close_without_a_code_is_1005(loop: str) -> None:
    def end(raw: socket.socket) -> None:
        raw.sendall(client_frame(8, b""))
        assert to_the_end(raw) == b"\x88\x00"

    assert disconnects(loop, end)["code"] == 1005


def test_a_connection_that_is_cut_is_1006(loop: str) -> None:
    assert disconnects(loop, socket.socket.close)["code"] == 1006


def test_a_connection_that_is_reset_is_1006(loop: str) -> None:
    def end(raw: socket.socket) -> None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()

    assert disconnects(loop, end)["code"] == 1006


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x81\x01a", 1002),
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(TEXT, b"a" * 1001) + bytes(300_000), 1009),
    ],
)
def test_a_bad_frame_closes_with_its_code(loop: str, said: bytes, code: int) -> None:
    with Server(echo, loop, ws_max_size=1000) as server, server.raw() as raw:
        raw.sendall(said)
        answer = to_the_end(raw)
    assert answer[0] == 0x88
    assert struct.unpack("!H", answer[2:4]) == (code,)


def test_a_message_too_big_is_1009_at_the_client(loop: str) -> None:
    with Server(echo, loop, ws_max_size=100_000) as server, server.connect() as client:
        client.send("x" * 100_000)
        assert client.recv(WAIT_S) == "x" * 100_000
        with contextlib.suppress(ConnectionClosed):
            for _ in range(50):
                client.send("x" * 100_001)
        with pytest.raises(ConnectionClosed) as raised:
            client.recv(WAIT_S)
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1009


def test_a_ping_is_answered_with_its_payload(echoing: Server) -> None:
    with echoing.connect() as client:
        assert client.ping("abc").wait(WAIT_S)
    with echoing.raw() as raw:
        raw.sendall(client_frame(9, b"xyz"))
        assert read(raw, 5) == b"\x8a\x03xyz"


def test_many_frames_in_one_segment_all_come_back(echoing: Server) -> None:
    payloads = [str(i).encode() for i in range(5000)]
    with echoing.raw() as raw:
        sender = threading.Thread(target=raw.sendall, args=(b"".join(client_frame(TEXT, p) for p in payloads),))
        sender.start()
        expected = b"".join(text_frame(p) for p in payloads)
        assert read(raw, len(expected)) == expected
        sender.join(WAIT_S)


def test_one_frame_in_many_segments_comes_back(echoing: Server) -> None:
    with echoing.raw() as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in client_frame(TEXT, b"slowly" * 40):
            raw.send(bytes((byte,)))
        assert read(raw, 4 + 240) == text_frame(b"slowly" * 40)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ([("Sec-WebSocket-Version", "8")], 426),
        ([("Sec-WebSocket-Version", None)], 426),
        ([("Sec-WebSocket-Key", None)], 400),
        ([("Sec-WebSocket-Key", "short")], 400),
        ([("Sec-WebSocket-Key", "é")], 400),
        ([("Host", None)], 400),
    ],
)
def test_a_bad_upgrade_is_refused(echoing: Server, changes: list[tuple[str, str | None]], status: int) -> None:
    with socket.create_connection(("127.0.0.1", echoing.port), WAIT_S) as raw:
        raw.sendall(upgrade(*changes))
        answer = to_the_end(raw)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"Sec-WebSocket-Version: 13" in answer) == (status == 426)


def test_an_upgrade_that_is_no_get_is_refused(echoing: Server) -> None:
    with socket.create_connection(("127.0.0.1", echoing.port), WAIT_S) as raw:
        raw.sendall(upgrade(method="POST"))
        assert to_the_end(raw).startswith(b"HTTP/1.1 400 ")


def test_an_application_that_sends_too_fast_waits(loop: str) -> None:
    sent = 0
    payload = "x" * 65_536

    async def app(_: Event, receive: Any, send: Any) -> None:
        nonlocal sent
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        for _number in range(1000):
            await send({"type": "websocket.send", "text": payload})
            sent += 1

    with Server(app, loop) as server, server.raw(receive_bytes=4096) as raw:
        raw.sendall(client_frame(TEXT, b"go"))
        read(raw, 100)
        seen = -1
        while server.call(lambda: sent) != seen:
            seen = sent
        assert seen < 1000
        rest = read(raw, 1000 * (10 + len(payload)) - 100)
        assert rest[-len(payload) :] == payload.encode()
        assert sent == 1000


def test_a_client_that_floods_the_application_is_not_read_on(loop: str) -> None:
    go = threading.Event()

    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.get_running_loop().run_in_executor(None, go.wait)
        for _number in range(5000):
            await send((await receive()) | {"type": "websocket.send"})

    with Server(app, loop, ws_max_queue=4) as server, server.raw() as raw:
        raw.settimeout(0.5)
        said = 0
        with contextlib.suppress(TimeoutError):
            while said < 5000:
                raw.sendall(client_frame(TEXT, b"x" * 60_000)[:60_008])
                said += 1
        assert said < 5000
        go.set()


# --- keep-alive


def test_a_client_is_pinged_and_stays_while_it_answers(loop: str, recorder: Recorder) -> None:
    with Server(recorder.app, loop, ws_ping_interval=0.05, ws_ping_timeout=5, ws=Quick) as server:
        with server.raw() as raw:
            for _ in range(5):
                ping = read(raw, 10)
                assert ping[:2] == b"\x89\x08"
                raw.sendall(client_frame(10, ping[2:]))
            raw.sendall(client_frame(TEXT, b"still here"))
            assert recorder.next() == ("message", b"still here")
        assert recorder.ends_with(1006)


@pytest.mark.parametrize(("interval_s", "timeout_s"), [(0.05, 0.05), (0.1, 0.05), (0.05, 0.2)])
def test_a_client_that_answers_no_ping_is_closed(
    loop: str, recorder: Recorder, interval_s: float, timeout_s: float
) -> None:
    config = {"ws_ping_interval": interval_s, "ws_ping_timeout": timeout_s, "ws": Quick}
    with Server(recorder.app, loop, **config) as server, server.raw() as raw:
        raw.sendall(client_frame(10, b"unasked"))
        answer = to_the_end(raw)
        assert answer[:2] == b"\x89\x08"
        assert answer[10:12] == b"\x88\x18"
        assert answer[12:] == struct.pack("!H", 1011) + b"keepalive ping timeout"
        assert recorder.ends_with(1011)


def test_without_a_timeout_pings_go_on(loop: str, recorder: Recorder) -> None:
    with Server(recorder.app, loop, ws_ping_interval=0.02, ws_ping_timeout=None, ws=Quick) as server:
        with server.raw() as raw:
            assert {read(raw, 10)[:2] for _ in range(5)} == {b"\x89\x08"}
        assert recorder.ends_with(1006)


# --- the wire


def test_a_session_gets_messages_and_answers_without_a_task(direct: Server, recorder: Recorder) -> None:
    recorder.answer = lambda wire, data: wire.write(text_frame(data.upper()))
    with direct.connect() as client:
        client.send("hello")
        assert client.recv(WAIT_S) == "HELLO"
        assert direct.call(lambda: len(direct.uvicorn.server_state.tasks)) == 0
        assert recorder.next() == ("message", b"hello")
    assert recorder.ends_with(1000)


def test_messages_that_came_before_the_session_reach_it_first(loop: str, recorder: Recorder) -> None:
    class Watched(Quick):
        __slots__ = ()

        def _take_close(self, payload: bytes) -> None:
            super()._take_close(payload)
            ended.set()

    ended = threading.Event()

    async def app(scope: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["text"] == "go"
        await asyncio.get_running_loop().run_in_executor(None, ended.wait)
        scope["extensions"][EXTENSION]["wire"].take_over(recorder)

    with Server(app, loop, ws=Watched) as server, server.raw() as raw:
        raw.sendall(b"".join(client_frame(TEXT, p) for p in (b"go", b"1", b"2")) + client_frame(8, b"\x0f\xa1"))
        assert recorder.next() == ("message", b"1")
        assert recorder.next() == ("message", b"2")
        assert recorder.ends_with(4001)


def test_a_connection_is_given_away_once_and_only_when_accepted(loop: str, recorder: Recorder) -> None:
    refused: queue.Queue[str] = queue.Queue()

    async def app(scope: Event, receive: Any, send: Any) -> None:
        wire: Wire = scope["extensions"][EXTENSION]["wire"]
        await receive()
        with pytest.raises(RuntimeError) as raised:
            wire.take_over(recorder)
        refused.put(str(raised.value))
        await send({"type": "websocket.accept"})
        wire.take_over(recorder)
        with pytest.raises(RuntimeError) as raised:
            await send({"type": "websocket.send", "text": "x"})
        refused.put(str(raised.value))
        with pytest.raises(RuntimeError) as raised:
            await receive()
        refused.put(str(raised.value))
        with pytest.raises(RuntimeError) as raised:
            wire.take_over(recorder)
        refused.put(str(raised.value))

    with Server(app, loop, ws=Quick) as server:
        with server.raw():
            said = [refused.get(timeout=WAIT_S) for _ in range(4)]
        assert recorder.ends_with(1006)
    assert "once" in said[0]
    assert "session" in said[1]


def test_a_binary_message_is_1003_unless_the_session_takes_it(direct: Server, recorder: Recorder) -> None:
    recorder.accepts_binary = True
    with direct.connect() as client:
        client.send(b"\xff")
        assert recorder.next() == ("message", b"\xff")
        recorder.accepts_binary = False
        client.send(b"\xff")
        with pytest.raises(ConnectionClosed) as raised:
            client.recv(WAIT_S)
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1003
    assert recorder.ends_with(1003)


def test_a_session_that_raises_is_closed_with_1011(direct: Server, recorder: Recorder) -> None:
    def fail(_: Wire, data: bytes) -> None:
        raise ValueError(data)

    recorder.answer = fail
    with direct.connect() as client:
        client.send("hello")
        with pytest.raises(ConnectionClosed) as raised:
            client.recv(WAIT_S)
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1011
    assert recorder.next() == ("message", b"hello")
    assert recorder.ends_with(1011)


@pytest.mark.parametrize("limits", [(65_536, 16_384), (0, 0)])
def test_a_client_that_does_not_read_gets_all_in_order_when_it_does(
    direct: Server, recorder: Recorder, limits: tuple[int, int]
) -> None:
    frames = [text_frame(f"{i}:".encode() + b"x" * (i % 3000)) for i in range(6000)]
    with direct.raw(receive_bytes=4096) as raw:
        wire = recorder.wires.get(timeout=WAIT_S)

        def fill() -> tuple[bool, int]:
            wire.set_limits(*limits)
            for frame in frames[:5000]:
                wire.write(frame)
            return wire.paused, wire.buffered

        paused, buffered = direct.call(fill)
        assert paused
        assert buffered > limits[0]
        expected = b"".join(frames)
        got = read(raw, 1000)
        direct.call(wire.write, b"".join(frames[5000:]))
        got += read(raw, len(expected) - len(got))
        assert got == expected
        assert recorder.next() == ("drained", None)
        assert direct.call(lambda: (wire.paused, wire.buffered)) == (False, 0)
        direct.call(wire.write, text_frame(b"last"))
        assert read(raw, 6) == text_frame(b"last")
    assert recorder.ends_with(1006)


def test_pings_of_a_client_that_does_not_read_are_answered_by_the_latest(direct: Server, recorder: Recorder) -> None:
    block = text_frame(b"x" * 8_000_000)
    with direct.raw(receive_bytes=4096) as raw:
        wire = recorder.wires.get(timeout=WAIT_S)
        direct.call(wire.write, block)
        held = direct.call(lambda: wire.buffered)
        raw.sendall(b"".join(client_frame(9, str(i).encode()) for i in range(100)) + client_frame(TEXT, b"."))
        assert recorder.next() == ("message", b".")
        assert direct.call(lambda: wire.buffered) == held
        assert read(raw, len(block)) == block
        assert read(raw, 4) == b"\x8a\x0299"
        assert recorder.next() == ("drained", None)
    assert recorder.ends_with(1006)


def test_writing_to_a_client_that_went_away_ends_quietly(direct: Server, recorder: Recorder) -> None:
    with direct.raw() as raw:
        wire = recorder.wires.get(timeout=WAIT_S)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def reset_and_write() -> None:
            raw.close()
            for _ in range(1000):
                wire.write(text_frame(b"x" * 1000))

        direct.call(reset_and_write)
    assert recorder.ends_with(1006)
    direct.call(wire.write, text_frame(b"late"))
    direct.call(wire.close)
    direct.call(wire.abort)
    direct.call(wire.set_limits, 0, 0)
    assert direct.call(lambda: (wire.buffered, wire.paused)) == (0, False)


def test_our_close_ends_with_our_code_when_the_client_answers(direct: Server, recorder: Recorder) -> None:
    with direct.connect() as client:
        wire = recorder.wires.get(timeout=WAIT_S)
        direct.call(wire.close, 4408, "too late")
        with pytest.raises(ConnectionClosed) as raised:
            client.recv(WAIT_S)
        assert raised.value.rcvd is not None
        assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (4408, "too late")
    assert recorder.ends_with(4408)


def test_our_close_ends_in_time_when_the_client_says_nothing(direct: Server, recorder: Recorder) -> None:
    with direct.raw() as raw:
        wire = recorder.wires.get(timeout=WAIT_S)
        direct.call(wire.close, 4408, "")
        direct.call(wire.write, text_frame(b"late"))
        raw.sendall(client_frame(TEXT, b"not heard"))
        assert to_the_end(raw) == b"\x88\x02" + struct.pack("!H", 4408)
        assert recorder.ends_with(4408)


def test_a_close_behind_a_full_buffer_ends_in_time(direct: Server, recorder: Recorder) -> None:
    with direct.raw(receive_bytes=4096):
        wire = recorder.wires.get(timeout=WAIT_S)
        direct.call(wire.write, bytes(8_000_000))
        direct.call(wire.close)
        assert recorder.ends_with(1000)


def test_a_client_s_close_behind_a_full_buffer_ends_at_once(direct: Server, recorder: Recorder) -> None:
    with direct.raw(receive_bytes=4096) as raw:
        wire = recorder.wires.get(timeout=WAIT_S)
        direct.call(wire.write, bytes(8_000_000))
        raw.sendall(client_frame(8, struct.pack("!H", 1001)))
        assert recorder.ends_with(1001)


def test_an_abort_ends_with_1006(direct: Server, recorder: Recorder) -> None:
    with direct.raw() as raw:
        wire = recorder.wires.get(timeout=WAIT_S)
        direct.call(wire.abort)
        assert raw.recv(1) == b""
        assert recorder.ends_with(1006)


def test_a_bad_frame_ends_the_session_with_its_code(direct: Server, recorder: Recorder) -> None:
    with direct.raw() as raw:
        raw.sendall(client_frame(TEXT, b"good") + b"\x81\x01a")
        answer = to_the_end(raw)
        assert (answer[0], answer[2:4]) == (0x88, struct.pack("!H", 1002))
        assert recorder.next() == ("message", b"good")
        assert recorder.ends_with(1002)


def test_a_shutdown_closes_with_1012(loop: str, recorder: Recorder) -> None:
    with contextlib.ExitStack() as stack:
        with Server(recorder.app, loop, ws_ping_interval=None) as server:
            raw = stack.enter_context(server.raw())
            assert recorder.wires.get(timeout=WAIT_S)
        assert to_the_end(raw) == b"\x88\x02" + struct.pack("!H", 1012)
    assert recorder.ends_with(1012)


def test_frames_sent_before_the_answer_are_kept(loop: str, recorder: Recorder) -> None:
    accept = threading.Event()
    waiting = threading.Event()

    async def app(scope: Event, receive: Any, send: Any) -> None:
        waiting.set()
        await asyncio.get_running_loop().run_in_executor(None, accept.wait)
        await recorder.app(scope, receive, send)

    with (
        Server(app, loop, ws=Quick) as server,
        socket.create_connection(("127.0.0.1", server.port), WAIT_S) as raw,
    ):
        raw.sendall(upgrade())
        assert waiting.wait(WAIT_S)
        raw.sendall(client_frame(TEXT, b"early"))
        (protocol,) = server.uvicorn.server_state.connections
        while not server.call(lambda: protocol._application._early):  # type: ignore[union-attr]
            pass
        accept.set()
        assert recorder.next() == ("message", b"early")


def test_a_connection_forgotten_by_a_closed_loop_leaves_its_descriptor_alone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        protocol = DirectWebSocketProtocol.__new__(DirectWebSocketProtocol)
        protocol._socket = socket.SocketType(ours.family, ours.type, ours.proto, ours.fileno())
        del protocol
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate of localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_over_tls_frames_come_in_order_and_the_close_is_clean(loop: str, recorder: Recorder, certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))

    def answer(wire: Wire, data: bytes) -> None:
        for times in range(1, 201):
            wire.write(text_frame(data * times))

    recorder.answer = answer
    config: dict[str, Any] = {"ssl_certfile": str(certificate), "ssl_keyfile": str(certificate)}
    with Server(recorder.app, loop, ws=Quick, **config) as server:
        with connect(f"wss://localhost:{server.port}/", ssl=trusting, compression=None) as client:
            client.send("x" * 1000)
            for i in range(200):
                assert client.recv(WAIT_S) == "x" * 1000 * (i + 1)
            assert recorder.next()[0] == "message"
        while (event := recorder.next())[0] == "drained":
            pass
        assert event == ("closed", 1000)


# --- cost

IDLE = """
import asyncio, os, sys, threading, socket
sys.path.insert(0, {root!r})
import gc, uvicorn, uvloop
from tests.server.test_websocket import Recorder, Server

def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

recorder = Recorder()
with Server(recorder.app, "uvloop", log_level="warning") as server:
    print(server.port, flush=True)
    marks = []
    for line in sys.stdin:
        gc.collect()
        print(rss(), len(server.uvicorn.server_state.connections), flush=True)
"""


@pytest.mark.slow
def test_an_idle_connection_costs_less_than_12_kib(record_property: Callable[[str, object], None]) -> None:
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", IDLE.format(root=root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, contextlib.ExitStack() as stack:
        try:
            port = int(process.stdout.readline())

            def dial() -> None:
                raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), WAIT_S))
                raw.sendall(upgrade())
                until(raw, b"\r\n\r\n")

            def cost() -> tuple[int, int]:
                assert process.stdin is not None
                assert process.stdout is not None
                print("now", file=process.stdin, flush=True)
                rss, connections = process.stdout.readline().split()
                return int(rss), int(connections)

            for _ in range(100):
                dial()
            before, first = cost()
            for _ in range(2000):
                dial()
            after, second = cost()
            assert second - first == 2000
            each = (after - before) / 2000
            record_property("bytes per idle connection", each)
            print(f"{each / 1024:.2f} KiB per idle connection")
            assert each < 12 * 1024
        finally:
            process.stdin.close()
