"""Connections taken over by a session: who is told what, and in which order."""

import asyncio
import queue
import struct
import threading
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from server.frames import TEXT, text_frame
from server.websocket import EXTENSION
from server.wire import Wire
from tests.server import connections
from tests.server.connections import WAIT_S, Event, Quick, Recorder, Server, to_the_end
from tests.server.test_frames import client_frame

# Fixtures go by their names in the module.
loop = connections.loop
recorder = connections.recorder
direct = connections.direct


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


def test_an_abort_ends_with_1006(direct: Server, recorder: Recorder) -> None:
    with direct.raw() as raw:
        wire = recorder.wires.get(timeout=WAIT_S)
        direct.call(wire.abort)
        assert raw.recv(1) == b""
        assert recorder.ends_with(1006)
