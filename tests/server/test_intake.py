"""HTTP connections in a real uvicorn: what is one too many, too large or too slow, and what is just so."""

import asyncio
import json
import queue
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from server.gate import EXTENSION, Gate
from server.intake import MAX_PIPELINED, STUCK_S, Intake
from server.limits import Limits
from tests.server import connections
from tests.server.connections import WAIT_S, Event, Server, to_the_end, upgrade

loop = connections.loop
QUICK = Limits(request_timeout_s=0.3)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class App:
    """Reads the body, then answers `ok`; a WebSocket is echoed. Notes each scope and how it ended."""

    def __init__(self) -> None:
        self.scopes: queue.Queue[Event] = queue.Queue()
        self.bodies: queue.Queue[bytes | None] = queue.Queue()

    async def __call__(self, scope: Event, receive: Any, send: Any) -> None:
        self.scopes.put(scope)
        if scope["type"] == "websocket":
            await connections.echo(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.bodies.put(None)
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.put(body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def guarded(limits: Limits, loop: str = "uvloop", app: Any = None, **options: Any) -> Iterator[tuple[Server, Gate]]:
    """Serve behind a gate; in the end nobody is counted."""
    gate = Gate(limits)
    with Server(app or App(), loop, http=partial(Intake, gate=gate), **options) as server:
        yield server, gate
    assert gate.census.statistics()[:3] == (0, 0, 0)
    assert gate.refused == 0


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), WAIT_S)


def answer(raw: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the one response of a connection that then ends."""
    head, _, body = to_the_end(raw).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in lines}, body


def check_refused(raw: socket.socket, status: int, limit: str, most: float) -> None:
    found, headers, body = answer(raw)
    assert found == status
    assert headers["content-type"].startswith("application/json")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["connection"] == "close"
    (error,) = json.loads(body)["errors"]
    assert (error["extensions"]["limit"], error["extensions"]["most"]) == (limit, most)
    assert limit in error["message"]
    assert headers.get("retry-after") == ("5" if limit.startswith("max_connections") else None)


# --- how many ---


def ask(raw: socket.socket) -> bytes:
    raw.sendall(GET)
    return connections.until(raw, b"ok")


@pytest.mark.parametrize(
    ("limits", "status", "limit"),
    [
        (Limits(connections=2), 503, "max_connections"),
        (Limits(connections_per_address=2), 429, "max_connections_per_address"),
    ],
)
def test_the_limit_itself_is_let_in_and_one_more_is_told_to_come_back(
    loop: str, limits: Limits, status: int, limit: str
) -> None:
    with guarded(limits, loop) as (server, gate), connect(server) as one, connect(server) as other:
        assert ask(one)
        assert ask(other)
        with connect(server) as third:
            third.sendall(GET)
            check_refused(third, status, limit, 2)
        with pytest.raises(InvalidStatus) as denied:
            server.connect()
        assert denied.value.response.status_code == status
        assert denied.value.response.headers["Retry-After"] == "5"
        one.close()
        while server.call(lambda: gate.census.statistics().connections) == 2:
            pass
        with connect(server) as third:
            assert ask(third)


def test_a_websocket_takes_the_place_of_its_connection_along(loop: str) -> None:
    with guarded(Limits(connections=1), loop) as (server, gate):
        for _ in range(3):
            with server.connect() as client:
                client.send("a")
                assert client.recv(WAIT_S) == "a"
                assert server.call(lambda: gate.census.statistics().connections) == 1
            while server.call(lambda: gate.census.statistics().connections):
                pass


def test_who_is_one_too_many_beyond_those_who_are_told_is_dropped(loop: str) -> None:
    with guarded(Limits(connections=1), loop) as (server, gate), connect(server) as one:
        assert ask(one)
        with connect(server) as told:
            while not server.call(lambda: gate.refused):
                pass
            with connect(server) as dropped, suppress(ConnectionResetError):
                assert dropped.recv(1) == b""
            told.sendall(GET)
            check_refused(told, 503, "max_connections", 1)


def test_the_application_is_told_the_place(loop: str) -> None:
    app = App()
    with guarded(Limits(), loop, app) as (server, _), connect(server) as raw:
        assert ask(raw)
        place = app.scopes.get(timeout=WAIT_S)["extensions"][EXTENSION]
        assert place.address == "127.0.0.1"


# --- how large a head ---


def head(size: int) -> bytes:
    """Return a request whose target and headers count so many bytes."""
    rest = size - len("/") - len("hosta") - 4 - len("x-long") - 4
    return b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * rest + b"\r\n\r\n"


def test_a_head_at_the_limit_is_taken_and_one_byte_more_is_431(loop: str) -> None:
    with guarded(Limits(header_bytes=1000), loop) as (server, _):
        with connect(server) as raw:
            raw.sendall(head(1000))
            assert connections.until(raw, b"ok")
            raw.sendall(head(1001))
            check_refused(raw, 431, "max_header_bytes", 1000)
        with connect(server) as raw:
            raw.sendall(b"GET /" + b"x" * 1000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            check_refused(raw, 431, "max_header_bytes", 1000)


@pytest.mark.parametrize("piece", [b"x", b"X: y\r\n"])
def test_a_head_without_end_is_refused(loop: str, piece: bytes) -> None:
    with guarded(Limits(header_bytes=10_000), loop) as (server, _), connect(server) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        sent = 0
        try:
            while sent < 10_000_000:
                raw.sendall(piece * 1000)
                sent += 1000 * len(piece)
        except OSError:
            pass
        assert sent < 10_000_000


def test_a_long_body_and_another_request_in_one_piece_are_no_long_head(loop: str) -> None:
    body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + bytes(20_000)
    with guarded(Limits(header_bytes=1000), loop) as (server, _), connect(server) as raw:
        for _ in range(3):
            raw.sendall(body + GET[:20])
            assert connections.until(raw, b"ok")
            raw.sendall(GET[20:])
            assert connections.until(raw, b"ok")


def test_so_many_requests_may_wait_for_their_answers_and_one_more_may_not(loop: str) -> None:
    with guarded(Limits(), loop) as (server, _):
        with connect(server) as raw:
            raw.sendall(GET * (MAX_PIPELINED + 1))
            for _ in range(MAX_PIPELINED + 1):
                assert connections.until(raw, b"ok")
        with connect(server) as raw:
            raw.sendall(GET * (MAX_PIPELINED + 2))
            said = to_the_end(raw)
        assert said.count(b"HTTP/1.1 200") <= MAX_PIPELINED


# --- how slow ---


def test_a_connection_on_which_nothing_is_asked_ends(loop: str) -> None:
    with guarded(QUICK, loop) as (server, _), connect(server) as raw:
        assert to_the_end(raw) == b""


@pytest.mark.parametrize(
    "begun", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"]
)
def test_a_request_that_does_not_go_on_is_408(loop: str, begun: bytes) -> None:
    app = App()
    with guarded(QUICK, loop, app) as (server, _):
        with connect(server) as raw:
            raw.sendall(begun)
            check_refused(raw, 408, "request_timeout", 0.3)
        if b"POST" in begun:
            assert app.bodies.get(timeout=WAIT_S) is None
    assert app.bodies.empty()


def test_a_second_request_that_does_not_go_on_ends_the_connection(loop: str) -> None:
    with guarded(QUICK, loop) as (server, _), connect(server) as raw:
        assert ask(raw)
        raw.sendall(b"\r\n")
        assert to_the_end(raw) == b""
    with guarded(QUICK, loop) as (server, _), connect(server) as raw:
        assert ask(raw)
        raw.sendall(GET[:10])
        check_refused(raw, 408, "request_timeout", 0.3)


def test_an_answer_may_take_its_time(loop: str) -> None:
    gone = queue.Queue[str]()

    async def app(scope: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        gone.put((await receive())["type"])

    with guarded(QUICK, loop, app) as (server, gate), connect(server) as raw:
        raw.sendall(GET)
        connections.until(raw, b"begun")
        server.call(gate.look, 1e12)
        assert gone.empty()
        raw.close()
        assert gone.get(timeout=WAIT_S) == "http.disconnect"


def narrow(server: Server) -> socket.socket:
    """Return a connection whose system takes little for it."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(WAIT_S)
    raw.connect(("127.0.0.1", server.port))
    return raw


@pytest.mark.parametrize("more", [True, False], ids=["under way", "complete"])
def test_who_takes_nothing_of_an_answer_is_dropped(loop: str, more: bool) -> None:
    ended: queue.Queue[str] = queue.Queue()

    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": bytes(20_000_000), "more_body": more})
        ended.put((await receive())["type"])

    with guarded(Limits(), loop, app) as (server, gate), narrow(server) as raw:
        raw.sendall(GET)
        connections.until(raw, b"\r\n\r\n")
        now_s = server.call(lambda: asyncio.get_running_loop().time())
        server.call(gate.look, now_s)
        server.call(gate.look, now_s + STUCK_S - 5)
        assert server.call(lambda: gate.census.statistics().connections) == 1
        server.call(gate.look, now_s + STUCK_S)
        assert ended.get(timeout=WAIT_S) == "http.disconnect"
        with suppress(ConnectionResetError):
            assert len(to_the_end(raw)) < 20_000_000


def test_a_websocket_is_not_waited_for(loop: str) -> None:
    with guarded(replace(QUICK, idle_timeout_s=100), loop) as (server, gate), server.connect() as client:
        server.call(gate.look, 1.0)
        client.send("a")
        assert client.recv(WAIT_S) == "a"


# --- what is no request ---


def test_what_is_no_http_is_400_with_security_headers(loop: str) -> None:
    with guarded(Limits(), loop) as (server, _), connect(server) as raw:
        raw.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        status, headers, _ = answer(raw)
    assert status == 400
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_a_websocket_that_is_none_gives_its_place_back(loop: str) -> None:
    with guarded(Limits(connections=1), loop) as (server, gate):
        for _ in range(3):
            with connect(server) as raw:
                raw.sendall(upgrade(("Sec-WebSocket-Key", None)))
                assert to_the_end(raw).startswith(b"HTTP/1.1 400 ")
            while server.call(lambda: gate.census.statistics().connections):
                pass
