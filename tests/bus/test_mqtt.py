"""Stock MQTT clients with credentials of meters and devices: what NATS lets them, and by its own protocol, too."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiomqtt
import pytest
from nats.errors import Error as NatsError

from bus.accounts import Accounts, AccountsError, Login
from bus.client import Bus, connection_of
from bus.topics import TopicError, check_prefix, check_topic, listen, subject_of, topic_of
from tests.bus.mqtt import SUBSCRIBE_REFUSED, MqttDevice
from tests.bus.strict import StrictNats
from tests.conftest import absent
from tests.resolvers.frames import eventually

TOPIC = "shellypro3em-0cb815fd1234"
OTHERS = ["readings/sunfield/m2", "readings/riverside/m1", "readings/tick", "live/sunfield", f"{TOPIC}/status/em:0"]
ASKING = ["$JS/API/INFO", "$JS/API/STREAM/INFO/READINGS", "$JS/API/CONSUMER/CREATE/READINGS", "$SYS/REQ/SERVER/PING"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictNats]:
    """A nats-server with a meter, a device, and gateways of two communities."""
    strict = StrictNats(tmp_path_factory.mktemp("mqtt"), mqtt=True)
    strict.meters["meter"] = strict.accounts.add_meter("sunfield", "m1")
    strict.meters["device"] = strict.accounts.add_device("sunfield", "em", [TOPIC])
    strict.accounts.add_gateway("attic", ["sunfield"])
    strict.accounts.add_gateway("elsewhere", ["riverside"])
    strict.start()
    yield strict
    strict.end()


@pytest.fixture
async def streams(server: StrictNats) -> AsyncIterator[Bus]:
    """The administrator's connection, with all streams there."""
    bus = await Bus.connect(server.settings("administrator"), name="test", patience_s=10)
    yield bus
    await bus.close()


def client(server: StrictNats, who: Login, identifier: str = "a-device", **more: object) -> aiomqtt.Client:
    assert server.mqtt_port is not None
    return aiomqtt.Client(
        *("127.0.0.1", server.mqtt_port),
        username=who.user,
        password=who.password,
        identifier=identifier,
        **more,  # type: ignore[arg-type]  # options of aiomqtt's own
    )


async def bounds(streams: Bus) -> int:
    return (await streams.stream_bounds("READINGS"))[1]


# --- a meter ---


async def test_a_reading_by_mqtt_is_stored_as_it_was_sent(server: StrictNats, streams: Bus) -> None:
    before = await bounds(streams)
    async with client(server, server.meters["meter"]) as device:
        for qos in (0, 1):
            await device.publish("readings/sunfield/m1", b'{"by": "aiomqtt"}', qos=qos)
    found = [stored for n in (1, 2) if (stored := await _message(streams, before + n))]
    assert found == [("readings.sunfield.m1", b'{"by": "aiomqtt"}')] * 2


async def _message(streams: Bus, sequence: int) -> tuple[str, bytes]:
    async def is_there() -> bool:
        return await bounds(streams) >= sequence

    await eventually(is_there, timeout=20)
    stored = await streams.message("READINGS", sequence)
    assert stored is not None
    return stored.subject, stored.data


async def test_a_command_line_client_publishes_too(server: StrictNats, streams: Bus) -> None:
    before = await bounds(streams)
    who = server.meters["meter"]
    words = ["-p", str(server.mqtt_port), "-u", who.user, "-P", who.password, "-q", "1", "-t", "readings/sunfield/m1"]
    try:
        publisher = await asyncio.create_subprocess_exec(
            *("mosquitto_pub", "-h", "127.0.0.1", *words, "-m", "{}"), stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        absent("mosquitto_pub is not there")
        raise
    _, errors = await publisher.communicate()
    assert (publisher.returncode, errors) == (0, b"")
    assert await _message(streams, before + 1) == ("readings.sunfield.m1", b"{}")


async def test_a_meter_publishes_nothing_else_and_reads_nothing_by_mqtt(server: StrictNats, streams: Bus) -> None:
    before, violations = await bounds(streams), len(server.violations())
    async with client(server, server.meters["meter"]) as device:
        for topic in (*OTHERS, *ASKING):
            await device.publish(topic, b"{}", qos=1)  # acknowledged all the same, as MQTT 3.1.1 wants it
        for topic in ("#", "+/+/+", "readings/#", "readings/sunfield/m1", "live/sunfield", f"{TOPIC}/#", "$JS/#"):
            (code,) = await device.subscribe(topic, qos=1)
            assert (code if isinstance(code, int) else code.value) == SUBSCRIBE_REFUSED, topic
        await device.publish("readings/sunfield/m1", b"{}", qos=1)
    assert await _message(streams, before + 1) == ("readings.sunfield.m1", b"{}")
    assert await bounds(streams) == before + 1
    refused = [subject for kind, subject in server.violations()[violations:] if kind == "Publish"]
    assert refused == [topic.replace("/", ".") for topic in (*OTHERS, *ASKING)]


async def test_nor_by_nats_own_protocol(server: StrictNats, streams: Bus) -> None:
    before = await bounds(streams)
    async with server.connected(server.meters["meter"]) as peer:
        for topic in (*OTHERS, *ASKING):
            assert not await peer.may_publish(topic.replace("/", ".")), topic
        for subject in (">", "readings.>", "readings.sunfield.m1", "live.*", f"{TOPIC}.>", "$JS.>", "_INBOX.>"):
            assert not await peer.may_subscribe(subject), subject
    assert await bounds(streams) == before


async def test_a_wrong_password_another_protocol_and_no_password_get_nothing(server: StrictNats) -> None:
    meter = server.meters["meter"]
    for wrong in (meter._replace(password="guessed"), meter._replace(user="sunfield.m2")):
        with pytest.raises(aiomqtt.MqttError):
            async with client(server, wrong):
                pass
    with pytest.raises(aiomqtt.MqttError):
        async with client(server, meter, protocol=aiomqtt.ProtocolVersion.V5):
            pass
    assert "unacceptable protocol version of 5" in server.log


# --- a device with topics of its own ---


async def test_a_device_publishes_below_its_topic_alone_and_what_it_may_not_do_does_not_end_it(
    server: StrictNats, streams: Bus
) -> None:
    before = await bounds(streams)
    heard: list[tuple[str, bytes]] = []
    gateway = await Bus.connect(server.settings("gateway-attic"), name="gateway", patience_s=10)
    stranger = await Bus.connect(server.settings("gateway-elsewhere"), name="gateway", patience_s=10)
    overheard: list[str] = []
    try:
        await listen(gateway, f"{TOPIC}/#", lambda topic, payload: heard.append((topic, payload)))
        await listen(stranger, f"{TOPIC}/#", lambda topic, payload: overheard.append(topic))
        for bus in (gateway, stranger):
            await connection_of(bus).flush(5)
        will = aiomqtt.Will(f"{TOPIC}/online", b"false", qos=1, retain=True)
        async with client(server, server.meters["device"], TOPIC, will=will, clean_session=False) as device:
            for topic in (f"{TOPIC}/rpc", f"{TOPIC}/command", "shellies/command", "cmnd/tasmotas/#"):
                await device.subscribe(topic, qos=1)
            await device.publish(f"{TOPIC}/online", b"true", qos=1, retain=True)
            await device.publish("readings/sunfield/m1", b"{}", qos=1)
            await device.publish(f"{TOPIC}x/status/em:0", b"{}", qos=1)
            await device.publish("tasmota/discovery/4C11AE/config", b"{}", qos=1, retain=True)
            await device.publish(f"{TOPIC}/status/em:0", b'{"id":0}', qos=1)

            async def is_heard() -> bool:
                return len(heard) == 2

            await eventually(is_heard, timeout=20)
        assert heard[:2] == [(f"{TOPIC}/online", b"true"), (f"{TOPIC}/status/em:0", b'{"id":0}')]
    finally:
        await gateway.close()
        await stranger.close()
    assert overheard == []
    assert await bounds(streams) == before
    with pytest.raises(NatsError, match="Authorization Violation"):
        async with server.connected(server.meters["device"]):
            pass


async def test_a_space_in_a_topic_ends_the_connection_and_the_log_says_so(server: StrictNats) -> None:
    who = server.meters["device"]
    assert server.mqtt_port is not None
    async with MqttDevice(server.mqtt_port, who.user, who.password) as device:
        with pytest.raises((EOFError, ConnectionError)):
            await device.publish(f"{TOPIC}/a b", b"{}")
    assert "character not supported for MQTT topics" in server.log


def test_topics_of_devices_do_not_lie_above_or_below_each_other(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    accounts.add_device("sunfield", "one", ["tele/roof", "roof/tele"])
    for topic in ("tele", "tele/roof", "tele/roof/more", "roof/tele"):
        with pytest.raises(AccountsError, match=r"device\.sunfield\.one publishes below"):
            accounts.add_device("riverside", "two", [topic])
    accounts.add_device("sunfield", "two", ["tele/roof-2"])
    with pytest.raises(AccountsError, match="--rotate makes new ones"):
        accounts.add_device("sunfield", "two", ["tele/roof-2"])
    accounts.add_device("sunfield", "one", ["tele/roof"], renew=True)
    assert "roof" not in accounts.configuration.read_text("utf-8")  # but in what can be read again at any time


@pytest.mark.parametrize("topic", ["", "/", "a/", "/a", "a//b", "a b", "a.b", "a/#", "+", "a*", ">", "ä", "a" * 65])
def test_what_is_no_topic_here_is_refused(topic: str) -> None:
    with pytest.raises(TopicError):
        check_topic(topic)


@pytest.mark.parametrize("prefix", ["readings", "readings/sunfield", "live/x", "history", "$JS/API", "_INBOX_x"])
def test_what_is_not_for_devices_is_refused(prefix: str) -> None:
    with pytest.raises(TopicError):
        check_prefix(prefix)


def test_a_topic_and_its_subject_stand_for_each_other() -> None:
    assert subject_of(f"{TOPIC}/status/em:0") == f"{TOPIC}.status.em:0"
    assert topic_of(subject_of("tele/roof/SENSOR")) == "tele/roof/SENSOR"
