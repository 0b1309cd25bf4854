"""ASGI applications on connections of a real uvicorn, against websockets and raw sockets."""

import asyncio
import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from server.frames import TEXT
from tests.server import connections
from tests.server.connections import WAIT_S, Event, Quick, Recorder, Server, read, to_the_end, upgrade
from tests.server.test_frames import client_frame

# Fixtures go by their names in the module.
loop = connections.loop
echoing = connections.echoing
recorder = connections.recorder


def test_text_and_bytes_come_back(echoing: Server) -> None:
    messages: list[str | bytes] = ["", "hello", "€" * 100, "x" * 70_000, b"", b"\xff\x00", b"y" * 200_000]
    with echoing.connect() as client:
        for message in messages:
            client.send(message)
            assert client.recv(WAIT_S) == message


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
