"""Writing to clients that read slowly, not at all or over TLS."""

import datetime
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.client import connect

from server.frames import text_frame
from server.websocket import DirectWebSocketProtocol
from server.wire import Wire
from tests.server import connections
from tests.server.connections import WAIT_S, Quick, Recorder, Server, read
from tests.server.test_frames import client_frame

# Fixtures go by their names in the module.
loop = connections.loop
recorder = connections.recorder
direct = connections.direct


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


def test_a_connection_forgotten_by_a_closed_loop_leaves_its_descriptor_alone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        protocol = DirectWebSocketProtocol.__new__(DirectWebSocketProtocol)
        protocol._socket = socket.SocketType(ours.family, ours.type, ours.proto, ours.fileno())
        del protocol
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


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
