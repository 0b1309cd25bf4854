"""Keep-alive in a real uvicorn, against raw sockets."""

import asyncio
import socket
import struct
from functools import partial
from typing import Any

import pytest

from server.frames import TEXT, text_frame
from server.keepalive import Rounds
from tests.server import connections
from tests.server.connections import WAIT_S, Quick, Recorder, Server, read, to_the_end
from tests.server.test_frames import client_frame

# Fixtures go by their names in the module.
loop = connections.loop
recorder = connections.recorder


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


class Pair:
    """Two sessions on one server: the first connection's and the second's."""

    def __init__(self, patience_s: float) -> None:
        self.first, self.second = Recorder(), Recorder()
        self.first.patience_s = patience_s
        self._waiting = [self.first, self.second]

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await self._waiting.pop(0).app(scope, receive, send)


def answer_pings(raw: socket.socket, times: int) -> None:
    for _ in range(times):
        ping = read(raw, 10)
        assert ping[:2] == b"\x89\x08"
        raw.sendall(client_frame(10, ping[2:]))


def test_a_client_that_asks_for_silence_is_not_pinged_while_another_one_is(loop: str) -> None:
    pair = Pair(3600)
    with Server(pair.app, loop, ws_ping_interval=0.05, ws_ping_timeout=5, ws=Quick) as server:
        with server.raw() as quiet, server.raw() as other:
            answer_pings(other, 4)
            quiet.setblocking(False)
            with pytest.raises(BlockingIOError):
                quiet.recv(1)
        assert pair.first.ends_with(1006)


def test_what_goes_out_and_is_confirmed_stands_for_a_ping(loop: str) -> None:
    pair = Pair(0)
    with Server(pair.app, loop, ws_ping_interval=0.2, ws_ping_timeout=5, ws=Quick) as server:
        with server.raw() as busy, server.raw() as other:
            wire = pair.first.wires.get(timeout=WAIT_S)

            def go_on() -> None:
                wire.write(text_frame(b"state"))
                asyncio.get_running_loop().call_later(0.02, go_on)

            server.call(go_on)
            answer_pings(other, 3)
            busy.setblocking(False)
            assert set(busy.recv(1 << 20).split(text_frame(b"state"))) == {b""}
        assert pair.first.ends_with(1006)


def test_what_goes_out_and_is_not_confirmed_is_asked_after_whatever_silence_was_asked_for(loop: str) -> None:
    pair = Pair(3600)
    with (
        Server(pair.app, loop, ws_ping_interval=0.05, ws_ping_timeout=0.2, ws=Quick) as server,
        server.raw(receive_bytes=4096) as raw,
    ):
        wire = pair.first.wires.get(timeout=WAIT_S)
        server.call(wire.write, text_frame(b"x" * 5_000_000))
        assert pair.first.ends_with(1011)
        assert raw.recv(2) == b"\x81\x7f"


def test_no_client_is_trusted_for_longer_than_is_granted(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.service.Rounds", partial(Rounds, most_s=0.1))
    pair = Pair(3600)
    with Server(pair.app, loop, ws_ping_interval=0.05, ws_ping_timeout=0.1, ws=Quick) as server:
        with server.raw() as raw:
            answer_pings(raw, 2)
            assert to_the_end(raw).endswith(b"keepalive ping timeout")
        assert pair.first.ends_with(1011)
