"""TLS to NATS: all settings with a real nats-server, and what must not get a connection."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.broker import find_binary, free_port
from bus.client import Bus, Message
from bus.configuration import Tls
from bus.errors import UnavailableError
from bus.settings import NatsSettings
from tests.bus.certificates import Authority, Pair
from tests.bus.strict import StrictNats
from tests.resolvers.frames import eventually

Serve = Callable[..., StrictNats]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def certificate(authority: Authority) -> Pair:
    return authority.sign("server")


@pytest.fixture
def serve(tmp_path: Path, certificate: Pair) -> Iterator[Serve]:
    """Start a nats-server with TLS; with `client_ca` it wants certificates of clients."""
    started: list[StrictNats] = []

    def start(client_ca: Path | None = None) -> StrictNats:
        tls = Tls(str(certificate.cert), str(certificate.key), None if client_ca is None else str(client_ca))
        started.append(StrictNats(tmp_path / "nats", tls=tls))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.end()


async def answered(settings: NatsSettings, *, patience_s: float = 10) -> bool:
    """Connect, store a message, and say that it is acknowledged."""
    bus = await Bus.connect(settings, name="test", patience_s=patience_s)
    try:
        return await bus.publish(Message("$KV.registry.tls", b"{}")) > 0
    finally:
        await bus.close()


def with_authority(server: StrictNats, authority: Authority) -> NatsSettings:
    return server.settings("administrator").model_copy(update={"tls_ca": authority.cert})


async def refused(settings: NatsSettings) -> str:
    """Return why no connection came about within a second."""
    with pytest.raises(UnavailableError) as caught:
        await answered(settings, patience_s=1)
    return str(caught.value)


async def test_a_server_whose_authority_is_known_is_trusted(serve: Serve, authority: Authority) -> None:
    assert await answered(with_authority(serve(), authority))


async def test_a_server_of_another_authority_is_not(serve: Serve, authority: Authority, tmp_path: Path) -> None:
    server = serve()
    assert await answered(with_authority(server, authority))
    other = Authority(tmp_path, "other")
    assert "certificate verify failed" in await refused(with_authority(server, other))
    assert "certificate verify failed" in await refused(server.settings("administrator"))


async def test_a_server_of_another_address_is_not(tmp_path: Path, authority: Authority) -> None:
    elsewhere = authority.sign("elsewhere", address="127.0.0.2")
    server = StrictNats(tmp_path / "nats", tls=Tls(str(elsewhere.cert), str(elsewhere.key)))
    server.start()
    try:
        assert "IP address mismatch" in await refused(with_authority(server, authority))
    finally:
        server.end()


async def test_a_plain_connection_gets_nothing(serve: Serve, authority: Authority) -> None:
    server = serve()
    assert await answered(with_authority(server, authority))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await reader.readline()  # INFO, which is for everybody
    writer.write(b'CONNECT {"verbose":true,"user":"anybody"}\r\nPUB live.demo 0\r\n\r\nPING\r\n')
    async with asyncio.timeout(10):
        assert b"PONG" not in await reader.read()
    writer.close()


async def test_a_server_without_tls_is_refused_where_tls_was_asked_for(tmp_path: Path, authority: Authority) -> None:
    server = StrictNats(tmp_path / "plain")
    server.start()
    try:
        assert await answered(server.settings("administrator"))
        said = await refused(with_authority(server, authority))
        assert "TLS was asked for, and the server does not insist on it" in said
        assert server.log.count("authentication error") == 0  # it was told nothing
    finally:
        server.end()


async def test_clients_show_a_certificate_where_the_server_wants_one(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    server = serve(client_ca=clients.cert)
    own, others = clients.sign("commonwatt"), authority.sign("stranger")
    settings = with_authority(server, authority)
    assert await answered(settings.model_copy(update={"tls_cert": own.cert, "tls_key": own.key}))
    await refused(settings)
    await refused(settings.model_copy(update={"tls_cert": others.cert, "tls_key": others.key}))

    async def says_so() -> bool:
        return "TLS handshake error" in server.log

    await eventually(says_so, timeout=5)


async def test_mqtt_is_behind_the_same_certificate(tmp_path: Path, certificate: Pair, authority: Authority) -> None:
    server = StrictNats(tmp_path / "nats", tls=Tls(str(certificate.cert), str(certificate.key)), mqtt=True)
    server.start()
    try:
        assert await answered(with_authority(server, authority))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.mqtt_port)
        writer.write(bytes([0x10, 12]) + b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
        async with asyncio.timeout(10):
            assert b"\x20" not in (await reader.read())[:1]
        writer.close()
    finally:
        server.end()


def test_the_example_of_the_documents_is_accepted_by_nats_server(tmp_path: Path, certificate: Pair) -> None:
    server = StrictNats(tmp_path / "nats", tls=Tls(str(certificate.cert), str(certificate.key), str(certificate.cert)))
    command = [str(find_binary()), "-t", "--config", str(server.configuration), "--port", str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
