"""WebSocket connections of a real uvicorn: frames in, what answers them, and what an idle one costs."""

import contextlib
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from server.frames import TEXT, text_frame
from tests.server import connections
from tests.server.connections import WAIT_S, Recorder, Server, echo, read, to_the_end, until, upgrade
from tests.server.test_frames import client_frame

# Fixtures go by their names in the module.
loop = connections.loop
echoing = connections.echoing
recorder = connections.recorder
direct = connections.direct


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


def test_a_bad_frame_ends_the_session_with_its_code(direct: Server, recorder: Recorder) -> None:
    with direct.raw() as raw:
        raw.sendall(client_frame(TEXT, b"good") + b"\x81\x01a")
        answer = to_the_end(raw)
        assert (answer[0], answer[2:4]) == (0x88, struct.pack("!H", 1002))
        assert recorder.next() == ("message", b"good")
        assert recorder.ends_with(1002)


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


def test_a_shutdown_closes_with_1012(loop: str, recorder: Recorder) -> None:
    with contextlib.ExitStack() as stack:
        with Server(recorder.app, loop, ws_ping_interval=None) as server:
            raw = stack.enter_context(server.raw())
            assert recorder.wires.get(timeout=WAIT_S)
        assert to_the_end(raw) == b"\x88\x02" + struct.pack("!H", 1012)
    assert recorder.ends_with(1012)


IDLE = """
import asyncio, os, sys, threading, socket
sys.path.insert(0, {root!r})
import gc, uvicorn, uvloop
from tests.server.connections import Recorder, Server

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
