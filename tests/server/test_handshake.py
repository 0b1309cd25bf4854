"""The opening handshake in a real uvicorn: which requests are taken, what the application and the client learn."""

import queue
import socket
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.server import connections
from tests.server.connections import WAIT_S, Event, Server, echo, to_the_end, upgrade

# Fixtures go by their names in the module.
loop = connections.loop
echoing = connections.echoing


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


def test_a_header_with_a_line_break_is_refused(loop: str) -> None:
    async def app(_: Event, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"x-one", b"1\r\nx-two: 2")]})

    with Server(app, loop) as server, pytest.raises(InvalidStatus) as raised:
        server.connect()
    assert raised.value.response.status_code == 500


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
    for header in (b"x-content-type-options: nosniff", b"referrer-policy: no-referrer", b"cache-control: no-store"):
        assert header in answer
    assert (b"Sec-WebSocket-Version: 13" in answer) == (status == 426)


def test_an_upgrade_that_is_no_get_is_refused(echoing: Server) -> None:
    with socket.create_connection(("127.0.0.1", echoing.port), WAIT_S) as raw:
        raw.sendall(upgrade(method="POST"))
        assert to_the_end(raw).startswith(b"HTTP/1.1 400 ")
