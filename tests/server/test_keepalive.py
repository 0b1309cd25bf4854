"""Keep-alive in a real uvicorn, against raw sockets."""

import struct

import pytest

from server.frames import TEXT
from tests.server import connections
from tests.server.connections import Quick, Recorder, Server, read, to_the_end
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
