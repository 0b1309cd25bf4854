"""Devices at the MQTT port: their messages become readings, to the watch, and over the death of NATS."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from bus.accounts import Login
from bus.broker import free_port
from bus.client import Bus, Message
from bus.errors import UnavailableError
from bus.reading import Reading
from bus.settings import NatsSettings
from commonwatt.cli import app
from meters.errors import OptionError
from meters.gateways.devices import Device
from meters.gateways.mqtt import DeviceSource, TopicSource
from meters.gateways.source import Given, SourceLostError
from tests.aggregator.service.process import AggregatorProcess, eventually
from tests.aggregator.service.village import held, intervals, register, village
from tests.bus.strict import StrictNats
from tests.commonwatt.tree import command, environment
from tests.meters.gateways.fake_meters import EVERY, MIDNIGHT, FakeMeter
from tests.server.served import ask, serving

PACE_S = 1 / 10
"""Between two messages: a gateway takes twenty a second."""

EM = Device(kind="shelly", topic="shellypro3em-ab", community="demo", meter="h2-grid")
HEAD = Device(kind="tasmota", topic="tasmota_AB", community="demo", meter="h3-grid")
TODAY = """{
  one: home(id: "demo.h1") { live { measuredAt quality today { imported exported } } }
  two: home(id: "demo.h2") { live { measuredAt quality today { imported exported } } }
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictNats]:
    """A nats-server with a meter, two devices and a gateway that hears them."""
    strict = strict_nats(tmp_path_factory.mktemp("nats"))
    yield strict
    strict.end()


def strict_nats(directory: Path) -> StrictNats:
    strict = StrictNats(directory, mqtt=True)
    strict.meters["own"] = strict.accounts.add_meter("demo", "h1-grid", mqtt_only=True)
    strict.meters["shelly"] = strict.accounts.add_device("demo", "em", EM.prefixes)
    strict.meters["tasmota"] = strict.accounts.add_device("demo", "head", HEAD.prefixes)
    strict.accounts.add_gateway("attic", ["demo"])
    strict.start()
    return strict


@pytest.fixture
async def bus(server: StrictNats) -> AsyncIterator[Bus]:
    """The administrator's connection."""
    connected = await Bus.connect(server.settings("administrator"), name="test", patience_s=10)
    yield connected
    await connected.close()


def client(server: StrictNats, who: Login) -> aiomqtt.Client:
    assert server.mqtt_port is not None
    return aiomqtt.Client("127.0.0.1", server.mqtt_port, username=who.user, password=who.password)


async def first_of(source: DeviceSource | TopicSource) -> Given:
    """Return the first thing that a source gives."""
    async with aclosing(source.read()) as givens:  # type: ignore[type-var]  # the protocol names no aclose
        async with asyncio.timeout(30):
            return await anext(givens)


class Talker:
    """A device that says the same again and again, until somebody has heard it."""

    def __init__(self, server: StrictNats, who: Login, topic: str, document: object) -> None:
        self._client = client(server, who)
        self._said = topic, json.dumps(document)
        self._is_heard = False

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._talk())

    async def __aexit__(self, *_: object) -> None:
        self._is_heard = True  # not cancelled: a wait inside the client may swallow that
        await asyncio.wait([self._task], timeout=30)

    async def _talk(self) -> None:
        async with self._client as device:
            while not self._is_heard:
                await device.publish(*self._said, qos=1)
                await asyncio.sleep(0.05)


async def test_a_gateway_hears_the_devices_of_its_file_and_no_other_channel(server: StrictNats, bus: Bus) -> None:
    source = DeviceSource("devices", server.settings("gateway-attic"), [EM, HEAD])
    registers = {"id": 0, "total_act": 1234.9, "total_act_ret": 0}
    async with Talker(server, server.meters["shelly"], "shellypro3em-ab/status/emdata:0", registers):
        given = await first_of(source)
    assert given.reading is not None
    assert (given.device, given.reading.import_wh) == (EM.key, 1234)
    document = {"Time": "2026-11-23T22:00:00", "SML": {"Total_in": 7.5, "Total_out": 0, "Power_curr": 10}}
    async with Talker(server, server.meters["tasmota"], "tele/tasmota_AB/SENSOR", document):
        given = await first_of(source)
    assert given.reading is not None
    assert (given.device, given.reading.import_wh, given.reading.power_import_w) == (HEAD.key, 7500, 10)


@pytest.mark.parametrize("topic", ["shellypro3em-ab", "shellypro3em-ab/#", "shellypro3em-ab/status/em1data:1"])
async def test_a_topic_shows_what_whatever_device_says_on_it(server: StrictNats, bus: Bus, topic: str) -> None:
    source = TopicSource(topic, server.settings("gateway-attic"))
    registers = {"id": 1, "total_act_energy": 12.5, "total_act_ret_energy": 3.5}
    async with Talker(server, server.meters["shelly"], "shellypro3em-ab/status/em1data:1", registers):
        given = await first_of(source)
    assert source.name == f"mqtt:{topic}"
    assert given.device == ""
    assert [(one.given, one.becomes) for one in given.registers] == [("12.5 Wh", "12 Wh"), ("3.5 Wh", "3 Wh")]


def test_further_channels_of_a_topic_are_told_apart() -> None:
    source = TopicSource("shellypro3em-ab", NatsSettings())

    def said(number: int) -> list[str]:
        payload = json.dumps({"id": number, "total_act_energy": 1, "total_act_ret_energy": 0}).encode()
        return [one.device for one in source.given(f"shellypro3em-ab/status/em1data:{number}", payload, MIDNIGHT)]

    assert [said(0), said(1), said(0)] == [[""], ["shellypro3em-ab em1:1"], [""]]
    assert list(source.given("shellypro3em-ab/online", b"true", MIDNIGHT)) == []


async def test_a_topic_of_readings_shows_what_is_stored_last_and_what_comes(server: StrictNats, bus: Bus) -> None:
    one = Reading(at=MIDNIGHT, import_wh=1, export_wh=0)
    await bus.publish(Message("readings.demo.h9-grid", one.to_bytes()))
    source = TopicSource("readings/demo/h9-grid", server.settings("operator"))
    async with aclosing(source.read()) as givens, asyncio.timeout(30):  # type: ignore[type-var]
        assert (await anext(givens)).reading == one
        await bus.publish(Message("readings.demo.h9-grid", b'{"at": "2026-11-23T12:00:00Z", "import_wh": -1}'))
        refused = await anext(givens)
    assert refused.refusal is not None
    assert refused.refusal.reason == "negative"


async def test_without_nats_a_source_is_lost_and_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meters.gateways.mqtt._PATIENCE_S", 0.2)
    port = free_port()
    source = DeviceSource("devices", NatsSettings(url=f"nats://127.0.0.1:{port}"), [EM])
    with pytest.raises(SourceLostError, match=f"no NATS with JetStream at nats://127.0.0.1:{port}"):
        await first_of(source)


def test_what_is_no_topic_is_refused_with_what_is_expected() -> None:
    with pytest.raises(OptionError, match="is no topic of a device here"):
        TopicSource("a b", NatsSettings())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("shelly",), "expected --community, --meter and --topic"),
        (("shelly", "--config", "x.toml", "--meter", "m"), "the file says it all"),
        (("tasmota", "--community", "c", "--meter", "m", "--topic", "a b"), "--topic: 'a b' is no topic"),
        (("shelly", "--community", "c", "--meter", "m", "--topic", "a", "--channel", "em"), "--channel: "),
        (("shelly", "--config", "absent.toml"), "absent.toml: not readable"),
    ],
)
def test_a_command_that_cannot_work_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.setattr("commonwatt.running.configure", lambda *_: None)
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "COMMONWATT_DATA_DIR": str(tmp_path)})
    done = runner.invoke(app, ["gateway", *words])
    assert done.exit_code == 2
    assert says in done.output


# --- end to end ---


class StockDevice:
    """A device with a stock client that keeps its session, and sends again what was not acknowledged."""

    def __init__(self, port: int, who: Login, identifier: str) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, identifier, clean_session=False, protocol=paho.MQTTv311)
        self._client.username_pw_set(who.user, who.password)
        self._client.reconnect_delay_set(1, 1)
        self._waiting: list[int] = []
        self._acknowledged: set[int] = set()
        self._client.on_publish = lambda _, __, number, ___, ____: self._acknowledged.add(number)
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def say(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1, now or when the connection is there."""
        self._waiting.append(self._client.publish(topic, payload, qos=1).mid)

    async def acknowledged(self) -> None:
        """Wait until all that was said is acknowledged."""

        async def are() -> bool:
            return self._acknowledged.issuperset(self._waiting)

        await eventually(are, "all messages to be acknowledged", 30)

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def shelly_note(reading: Reading) -> bytes:
    """Return a reading as the device says it."""
    registers = {"id": 0, "total_act": reading.import_wh + 0.25, "total_act_ret": reading.export_wh + 0.75}
    power = {"id": 0, "total_act_power": reading.power_import_w}
    params = {"ts": reading.at.timestamp(), "em:0": power, "emdata:0": registers}
    return json.dumps({"src": EM.topic, "method": "NotifyStatus", "params": params}).encode()


def start_gateway(server: StrictNats, directory: Path) -> "subprocess.Popen[bytes]":
    config = directory / "devices.toml"
    config.write_text(
        f'[[device]]\nkind = "shelly"\ntopic = "{EM.topic}"\ncommunity = "demo"\nmeter = "h2-grid"\nepoch = "1"\n',
        "utf-8",
    )
    words = ("gateway", "shelly", "--config", str(config), "--data-dir", str(directory / "data"))
    signing_in = ("--nats-url", server.url, "--nats-nkey-seed", str(server.accounts.seed("gateway-attic")))
    with (directory / "gateway.log").open("ab") as log:
        return subprocess.Popen(
            command(*words, *signing_in), env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


@pytest.mark.slow
async def test_registers_at_the_api_are_those_that_devices_sent_though_nats_was_killed_in_between(
    tmp_path: Path,
) -> None:
    server = strict_nats(tmp_path / "nats")
    bus = await Bus.connect(server.settings("administrator"), name="test", patience_s=20)
    await register(bus, village(homes=2))
    seed = str(server.accounts.seed("aggregator"))
    aggregator = AggregatorProcess(server.url, tmp_path / "aggregator.log", "--nats-nkey-seed", seed)
    gateway = start_gateway(server, tmp_path)
    assert server.mqtt_port is not None
    own = StockDevice(server.mqtt_port, server.meters["own"], "meter-h1")
    shelly = StockDevice(server.mqtt_port, server.meters["shelly"], EM.topic)
    fakes = FakeMeter("1", 1_000_000, 5_000), FakeMeter("1", 77_000, 300)

    def say(number: int) -> None:
        own.say("readings/demo/h1-grid", fakes[0].reading(number).to_bytes())
        shelly.say(f"{EM.topic}/events/rpc", shelly_note(fakes[1].reading(number)))

    async def stored(number: int) -> bool:
        last = [await bus.last("READINGS", f"readings.demo.{meter}") for meter in ("h1-grid", "h2-grid")]
        at = fakes[0].reading(number).at.isoformat().replace("+00:00", "Z").encode()
        return all(one is not None and at in one.data for one in last)

    async def say_until_stored(number: int) -> None:
        """Say a reading until it is stored: nobody keeps what devices say to a gateway that is not there."""

        async def is_stored() -> bool:
            say(number)
            await asyncio.sleep(0.3)
            with suppress(UnavailableError):
                return await stored(number)
            return False

        await eventually(is_stored, f"reading {number} to be stored: {(tmp_path / 'gateway.log').read_text()}", 30)

    try:
        await aggregator.ready()
        await say_until_stored(0)
        for number in range(1, 12):
            say(number)
            await asyncio.sleep(PACE_S)
        server.end()
        for number in range(12, 24):
            say(number)
            await asyncio.sleep(PACE_S)
        server.start()
        await own.acknowledged()
        await shelly.acknowledged()
        await say_until_stored(24)
        for number in range(25, 36):
            say(number)
            await asyncio.sleep(PACE_S)
        await say_until_stored(36)

        async with serving(bus) as url:

            async def is_shown() -> bool:
                answer = (await ask(url, TODAY)).get("data") or {}
                lives = [(answer.get(key) or {}).get("live") or {} for key in ("one", "two")]
                at = fakes[0].reading(36).at
                return all(
                    live.get("measuredAt") and datetime.fromisoformat(live["measuredAt"]) == at for live in lives
                )

            await eventually(is_shown, f"the last readings at the API: {aggregator.log}", 30)
            shown = (await ask(url, TODAY))["data"]
        for key, fake in zip(("one", "two"), fakes, strict=True):
            first, last = fake.reading(0), fake.reading(36)
            assert shown[key]["live"]["today"] == {
                "imported": last.import_wh - first.import_wh,
                "exported": last.export_wh - first.export_wh,
            }
        kept = {json.loads(one.data)["at"] for one in await held(bus, "READINGS", "readings.demo.h1-grid")}
        assert len(kept) >= 37 - 2  # what was acknowledged in the last moment of NATS may not be on its disk yet

        async def are_settled() -> bool:
            return len({interval.start for interval in await intervals(bus)}) >= 6

        await eventually(are_settled, "the intervals", 30)
        starts = sorted({datetime.fromisoformat(interval.start) for interval in await intervals(bus)})
        assert starts == [MIDNIGHT + number * 5 * EVERY for number in range(len(starts))], "no gap"
        assert starts[-1] - starts[0] >= timedelta(minutes=75)
        gateway.send_signal(signal.SIGINT)
        assert gateway.wait(20) == 0
    finally:
        for device in (own, shelly):
            device.end()
        for process in (gateway,):
            process.kill()
            process.wait(10)
        aggregator.kill()
        await bus.close()
        server.end()
