"""The embedded nats-server: open on loopback as ever, with meters' credentials beside it, or closed."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import aiomqtt
import pytest
from nats.errors import Error

from bus.accounts import Accounts
from bus.broker import Broker, free_port
from bus.client import Bus, Message
from bus.errors import UnavailableError
from bus.settings import NatsSettings
from bus.stored import Stored
from tests.bus.strict import Peer, allowed

Start = Callable[[Broker], None]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start brokers, which end with the test; the one before ends when the next one starts."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(broker: Broker) -> None:
        for process in running:
            process.terminate()
            process.wait(10)
        running.append(subprocess.Popen(broker.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    yield begin
    for process in running:
        process.kill()
        process.wait(10)


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path / "nats", free_port(), users=tmp_path / "users")


async def connect(broker: Broker, **credentials: object) -> Bus:
    return await Bus.connect(NatsSettings(url=broker.url).model_copy(update=credentials), name="test", patience_s=10)


async def test_a_client_without_credentials_does_what_it_always_could(start: Start, broker: Broker) -> None:
    start(broker)
    peer = Peer("_INBOX")
    await peer.connect(broker.url, patient=True)
    bus = await connect(broker)
    jetstream = peer.client.jetstream()
    assert (await jetstream.publish("readings.demo.m1", b"{}")).stream == "READINGS"
    everything = ["live.demo", "intervals.demo", "$KV.registry.demo", "$JS.API.STREAM.INFO.READINGS", "other"]
    assert await allowed(peer, everything) == everything
    assert await peer.may_subscribe(">")
    assert [info.config.name for info in await jetstream.streams_info() if info.config.name == "LIVE"] == ["LIVE"]
    await peer.client.close()
    await bus.close()


async def test_a_process_signs_in_with_the_key_of_its_role(start: Start, broker: Broker) -> None:
    start(broker)
    aggregator = await Bus.connect(
        NatsSettings(url=broker.url, nkey_seed=broker.seed("aggregator")), name="aggregate", patience_s=10
    )
    await aggregator.publish(Message("live.demo", b"{}"))
    await aggregator.close()


async def test_meters_credentials_are_honoured_and_narrow_beside_it(start: Start, broker: Broker) -> None:
    assert broker.users is not None
    start(broker)
    login = Accounts(broker.users).add_meter("demo", "m1")
    start(broker)
    bus = await connect(broker)
    meter = Peer(login.inbox)
    await meter.connect(broker.url, patient=True, user=login.user, password=login.password)
    answer = await meter.client.request("readings.demo.m1", b"{}", timeout=5)
    assert json.loads(answer.data)["stream"] == "READINGS"
    assert await allowed(meter, ["readings.demo.m2", "live.demo", "$JS.API.INFO"]) == []
    await meter.client.close()
    await bus.close()


async def test_a_wrong_password_is_not_taken_for_no_password(start: Start, broker: Broker) -> None:
    start(broker)
    await (await connect(broker)).close()
    with pytest.raises(Error, match="Authorization Violation"):
        await Peer("_INBOX").connect(broker.url, user="demo.m1", password="guessed")


async def test_closed_it_lets_nobody_in_without_credentials(start: Start, tmp_path: Path) -> None:
    broker = Broker(tmp_path / "nats", free_port(), users=tmp_path / "users", closed=True)
    start(broker)
    aggregator = await connect(broker, nkey_seed=broker.seed("administrator"))
    with pytest.raises(UnavailableError, match="Authorization Violation"):
        await Bus.connect(NatsSettings(url=broker.url), name="test", patience_s=1)
    with pytest.raises(Error, match="Authorization Violation"):
        await Peer("_INBOX").connect(broker.url, user="anybody", password="")
    await aggregator.close()


async def test_it_may_be_closed_and_opened_again_and_keeps_its_streams_and_meters(start: Start, tmp_path: Path) -> None:
    logins = set()
    for number, closed in enumerate((False, True, False)):
        broker = Broker(tmp_path / "nats", free_port(), users=tmp_path / "users", closed=closed)
        start(broker)
        bus = await connect(broker, nkey_seed=broker.seed("administrator"))
        assert await bus.publish(Message("readings.tick", b"%d" % number)) == number + 1
        await bus.close()
        logins.add(broker.seed("administrator").read_bytes())
    assert len(logins) == 1


async def test_streams_from_before_there_were_accounts_are_taken_over(start: Start, tmp_path: Path) -> None:
    before = Broker(tmp_path / "nats", free_port())
    start(before)
    bus = await connect(before)
    await bus.publish(Message("readings.demo.m1", b"before"))
    await bus.publish(Message("$KV.registry.demo", b"a version"))
    await bus.close()

    after = Broker(tmp_path / "nats", free_port(), users=tmp_path / "users")
    start(after)
    bus = await connect(after)
    first = await bus.message("READINGS", 1)
    version = await bus.last("KV_registry", "$KV.registry.demo")
    await bus.close()
    assert isinstance(first, Stored)
    assert isinstance(version, Stored)
    assert (first.data, version.data) == (b"before", b"a version")


async def test_devices_publish_by_mqtt_with_credentials_and_on_an_open_one_without(
    start: Start, tmp_path: Path
) -> None:
    broker = Broker(tmp_path / "nats", free_port(), mqtt_port=free_port(), users=tmp_path / "users")
    assert broker.mqtt_port is not None
    assert broker.mqtt_url == f"mqtt://127.0.0.1:{broker.mqtt_port}"
    login = Accounts(tmp_path / "users").add_meter("demo", "m1", mqtt_only=True)
    start(broker)
    bus = await connect(broker)
    async with aiomqtt.Client("127.0.0.1", broker.mqtt_port, username=login.user, password=login.password) as device:
        await device.publish("readings/demo/m1", b"with a password", qos=1)
    async with aiomqtt.Client("127.0.0.1", broker.mqtt_port) as device:
        await device.publish("readings/demo/m2", b"without", qos=1)
    reader = bus.read("READINGS")
    found: list[tuple[str, bytes]] = []
    while len(found) < 2:
        found += [(stored.subject, stored.data) for stored in await reader.next_batch(10)]
    assert found == [("readings.demo.m1", b"with a password"), ("readings.demo.m2", b"without")]
    await bus.close()


async def test_a_closed_one_takes_nothing_from_a_device_without_credentials(start: Start, tmp_path: Path) -> None:
    broker = Broker(tmp_path / "nats", free_port(), mqtt_port=free_port(), users=tmp_path / "users", closed=True)
    assert broker.mqtt_port is not None
    start(broker)
    await (await connect(broker, nkey_seed=broker.seed("administrator"))).close()
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client("127.0.0.1", broker.mqtt_port):
            pass


async def test_it_listens_on_this_machine_alone(start: Start, tmp_path: Path) -> None:
    broker = Broker(tmp_path / "nats", free_port(), mqtt_port=free_port(), users=tmp_path / "users")
    start(broker)
    await (await connect(broker)).close()
    for port in (broker.port, broker.mqtt_port):
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.2", port)
