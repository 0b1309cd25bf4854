"""Roles: each does its own work, and NATS itself refuses all else."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from bus.accounts import Login
from bus.client import Bus, Message
from bus.errors import RefusedError
from bus.identifiers import InvalidIdError
from bus.micro import ask, serving
from bus.nkey import public_nkey
from bus.pairing import PairingRequest, Pairings
from bus.permissions import PROCESSES, Permissions, Role, inbox_of, permissions_of
from bus.reading import Reading
from bus.readings import Outgoing, ReadingsWriter
from bus.revocations import Revocations, revoke
from bus.streams import Retention, configurations
from tests.bus.mqtt import SUBSCRIBE_REFUSED, MqttDevice
from tests.bus.strict import StrictNats, allowed
from tests.resolvers.frames import eventually

STREAMS = [str(config.name) for config in configurations(Retention())]
DATA = [
    "readings.sunfield.m1",
    "readings.sunfield.m2",
    "readings.riverside.m1",
    "readings.tick",
    "live.sunfield",
    "intervals.sunfield",
    "alerts.sunfield.home-01",
    "rejected.sunfield.m1",
    "$KV.registry.sunfield",
    "$KV.registry.riverside",
    "$KV.checkpoints.sunfield",
    "$KV.revoked.abc",
    "$KV.pairing.abc",
    "$KV.devices.sunfield.home-01",
    "history.ask",
]
"""A subject of everything that is published."""

WRITES: dict[str, list[str]] = {
    "meter": ["readings.sunfield.m1"],
    "gateway-attic": ["readings.sunfield.m1", "readings.sunfield.m2"],
    "simulator": ["readings.sunfield.m1", "readings.sunfield.m2", "readings.tick", "$KV.registry.sunfield"],
    "aggregator": [
        "readings.tick",
        "live.sunfield",
        "intervals.sunfield",
        "alerts.sunfield.home-01",
        "rejected.sunfield.m1",
        "$KV.checkpoints.sunfield",
    ],
    "server": ["$KV.revoked.abc", "$KV.pairing.abc", "$KV.devices.sunfield.home-01", "history.ask"],
    "history": [],
    "operator": ["readings.tick", "$KV.registry.sunfield", "$KV.registry.riverside", "$KV.revoked.abc", "history.ask"],
    "reloader": [],
}
HEARS = {"server": ["live.sunfield", "live.*"], "history": ["history.ask", "history.>"]}
RULES = [f"$JS.API.STREAM.{verb}.{name}" for verb in ("DELETE", "PURGE", "UPDATE", "SNAPSHOT") for name in STREAMS]
RULES += ["$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE.OTHER", "$SYS.REQ.X"]
RULES += [f"$JS.API.{verb}.{name}.any" for verb in ("STREAM.MSG.DELETE", "CONSUMER.DELETE") for name in STREAMS]
READS = [f"$JS.API.CONSUMER.CREATE.{name}" for name in STREAMS] + [f"$JS.API.DIRECT.GET.{name}" for name in STREAMS]
READ_BY = {
    "aggregator": {"READINGS", "INTERVALS", "ALERTS", "REJECTED", "KV_registry"},
    "server": {"READINGS", "INTERVALS", "ALERTS", "REJECTED", "KV_registry", "KV_revoked"},
    "history": {"INTERVALS", "KV_registry"},
    "operator": {"READINGS", "INTERVALS", "KV_registry", "KV_revoked"},
    "simulator": {"READINGS", "KV_registry"},
}


@pytest.fixture
async def streams(strict: StrictNats) -> AsyncIterator[Bus]:
    """The administrator's connection, with all streams there."""
    bus = await Bus.connect(strict.settings("administrator"), name="test", patience_s=10)
    yield bus
    await bus.close()


def who(role: str, meter: Login) -> str | Login:
    return meter if role == "meter" else role


# --- what is granted ---


@pytest.mark.parametrize("role", [role for role in get_args(Role) if role not in ("administrator", "anybody")])
def test_no_role_may_do_everything_or_hear_what_is_not_for_it(role: Role) -> None:
    permissions = permissions_of(role, inbox_of("UX"), ("sunfield",), "m1")
    assert isinstance(permissions, Permissions)
    assert not {">", "$JS.>", "$JS.API.>", "$KV.>", "$SYS.>", "_INBOX.>"} & set(permissions.publish)
    assert permissions.subscribe[0] == "_INBOX_UX.>"
    assert not {">", "*", "_INBOX.>", "readings.>", "$KV.>"} & set(permissions.subscribe)


@pytest.mark.parametrize("community", ["*", ">", "a.b", "", "Sunfield"])
def test_what_is_no_identifier_gets_no_permission(community: str) -> None:
    for role in ("gateway", "simulator", "meter"):
        with pytest.raises(InvalidIdError):
            permissions_of(role, "_INBOX_x", (community,), "m1")


# --- what NATS refuses ---


@pytest.mark.parametrize("role", WRITES)
async def test_a_role_publishes_what_its_work_is_and_nothing_else(
    strict: StrictNats, meter: Login, streams: Bus, role: str
) -> None:
    before = len(strict.violations())
    async with strict.connected(who(role, meter)) as peer:
        assert await allowed(peer, DATA) == WRITES[role]
    refused = [subject for subject in DATA if subject not in WRITES[role]]
    assert strict.violations()[before:] == [("Publish", subject) for subject in refused]


@pytest.mark.parametrize("role", WRITES)
async def test_a_role_hears_its_own_answers_and_nobody_elses(strict: StrictNats, meter: Login, role: str) -> None:
    async with strict.connected(who(role, meter)) as peer:
        assert await peer.may_subscribe(f"{peer.inbox}.answers")
        for subject in (">", "*", "*.>", "$JS.>", "$SYS.>", "$KV.>", "$MQTT.>", "_INBOX.>", "_INBOX_other.>"):
            assert not await peer.may_subscribe(subject), subject
        heard = [subject for subject in (*DATA, "live.*", "history.>") if await peer.may_subscribe(subject)]
        assert sorted(heard) == sorted(HEARS.get(role, []))


@pytest.mark.parametrize("role", WRITES)
async def test_a_role_reads_the_streams_of_its_work_and_changes_none(
    strict: StrictNats, meter: Login, role: str
) -> None:
    async with strict.connected(who(role, meter)) as peer:
        assert await allowed(peer, RULES) == []
        assert {subject.rpartition(".")[2] for subject in await allowed(peer, READS)} == READ_BY.get(role, set())


async def test_what_a_meter_asks_of_jetstream_gets_no_answer(strict: StrictNats, meter: Login, streams: Bus) -> None:
    subjects = [f"$JS.API.{what}" for what in ("INFO", "STREAM.INFO.READINGS", "STREAM.NAMES")]
    subjects += [f"$JS.API.{what}.READINGS" for what in ("CONSUMER.CREATE", "CONSUMER.NAMES", "STREAM.MSG.GET")]
    subjects += ["$JS.API.DIRECT.GET.READINGS.readings.sunfield.m1", "$JS.API.DIRECT.GET.READINGS"]
    async with strict.connected(meter) as peer:
        for subject in subjects:
            with pytest.raises((NatsTimeoutError, NoRespondersError)):
                await peer.client.request(subject, b"", timeout=0.05)
            assert peer.refused.pop().endswith(f'for publish to "{subject.lower()}"')


async def test_the_answer_to_a_meter_goes_nowhere_else(strict: StrictNats, meter: Login, streams: Bus) -> None:
    await streams.publish(Message("live.sunfield", b"a frame"))
    async with strict.connected(meter) as peer:
        await peer.client.publish("readings.sunfield.m1", b"{}", reply="live.sunfield")
        await peer.client.request("readings.sunfield.m1", b"{}", timeout=5)
    stored = await streams.last("LIVE", "live.sunfield")
    assert stored is not None
    assert stored.data == b"a frame"


# --- what each can do ---


async def test_a_meter_hears_that_its_reading_is_stored(strict: StrictNats, meter: Login, streams: Bus) -> None:
    async with strict.connected(meter) as peer:
        answer = json.loads((await peer.client.request("readings.sunfield.m1", b"{}", timeout=5)).data)
    stored = await streams.message("READINGS", answer["seq"])
    assert stored is not None
    assert (stored.subject, stored.data) == ("readings.sunfield.m1", b"{}")


async def test_a_meter_speaks_mqtt_with_the_same_credentials_and_the_same_rights(
    strict: StrictNats, meter: Login, streams: Bus
) -> None:
    assert strict.mqtt_port is not None
    _, before = await streams.stream_bounds("READINGS")
    async with MqttDevice(strict.mqtt_port, meter.user, meter.password) as device:
        assert device.return_code == 0
        await device.publish("readings/sunfield/m2", b"another's")
        for topic in ("#", "readings/#", "readings/sunfield/m1", "live/sunfield", "$MQTT/#"):
            assert await device.subscribe(topic) == SUBSCRIBE_REFUSED
        await device.send("readings/sunfield/m1", b"with QoS 0")
        await device.publish("readings/sunfield/m1", b"with QoS 1")
    async with MqttDevice(strict.mqtt_port, meter.user, "wrong") as device:
        assert device.return_code == 5
    reader = streams.read("READINGS", after=before)
    found: list[tuple[str, bytes]] = []
    while len(found) < 2:
        found += [(message.subject, message.data) for message in await reader.next_batch(5)]
    await reader.close()
    assert found == [("readings.sunfield.m1", b"with QoS 0"), ("readings.sunfield.m1", b"with QoS 1")]


async def test_a_meter_for_mqtt_alone_does_not_get_in_by_nats_and_once_removed_not_at_all(strict: StrictNats) -> None:
    assert strict.mqtt_port is not None
    login = strict.accounts.add_meter("sunfield", "m3", mqtt_only=True, renew=True)
    await strict.reload()
    with pytest.raises(NatsError, match="Authorization Violation"):
        async with strict.connected(login):
            pass
    async with MqttDevice(strict.mqtt_port, login.user, login.password) as device:
        assert device.return_code == 0
        strict.accounts.remove(login.user)
        await strict.reload()
        with pytest.raises((EOFError, ConnectionError)):
            await device.publish("readings/sunfield/m3", b"too late")
    async with MqttDevice(strict.mqtt_port, login.user, login.password) as device:
        assert device.return_code == 5


async def test_a_gateway_writes_batches_for_its_community_once(strict: StrictNats, streams: Bus) -> None:
    def outgoing(number: int) -> Outgoing:
        at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=number)
        return Outgoing("sunfield", f"g{number % 3}", Reading(at=at, import_wh=1, export_wh=0))

    readings = [outgoing(number) for number in range(30)]
    bus = await Bus.connect(strict.settings("gateway-attic"), name="gateway", patience_s=10)
    try:
        for _ in range(2):
            writer = ReadingsWriter(bus)
            await writer.write(readings)
        assert (writer.stored, writer.skipped) == (0, 30)
        with pytest.raises(RefusedError, match=r"may not publish to readings\.riverside\.g1"):
            await bus.publish(Message("readings.riverside.g1", b"{}"))
    finally:
        await bus.close()


async def test_the_history_answers_what_the_server_asks(strict: StrictNats, streams: Bus) -> None:
    async def answer(question: bytes) -> bytes:
        return b"settled " + question

    history = await Bus.connect(strict.settings("history"), name="history", patience_s=10)
    server = await Bus.connect(strict.settings("server"), name="serve", patience_s=10)
    try:
        async with serving(history, "history", {"ask": answer}, version="1.0.0", description="of the test"):
            assert await ask(server, "history.ask", b"today") == b"settled today"
            assert json.loads(await ask(server, "$SRV.PING.history", b""))["name"] == "history"
            async with strict.connected("history") as peer:
                assert not await peer.may_publish(f"{inbox_of(public_nkey(strict.accounts.seed('server')))}.any")
    finally:
        await server.close()
        await history.close()


async def test_the_server_keeps_pairings_and_revocations(strict: StrictNats, streams: Bus) -> None:
    server = await Bus.connect(strict.settings("server"), name="serve", patience_s=10)
    revocations = Revocations(now_ms=lambda: 0)
    following = asyncio.create_task(revocations.follow(server))
    try:
        pairings = Pairings(server)
        request = PairingRequest(secret="", client="watch", begun_ms=0, expires_ms=1, interval_s=5)
        await pairings.add_request("code", request)
        assert await pairings.request("code") == request
        await pairings.change_devices("sunfield", "home-01", lambda devices: (*devices,))
        await revoke(server, "of-nobody", 10)

        async def is_known() -> bool:
            return "of-nobody" in revocations

        await eventually(is_known, timeout=10)
    finally:
        following.cancel()
        await asyncio.wait([following])
        await server.close()


async def test_the_administrator_may_do_everything_to_the_streams_and_nothing_to_the_server(strict: StrictNats) -> None:
    async with strict.connected("administrator") as peer:
        assert await allowed(peer, DATA) == DATA
        assert await peer.may_subscribe("readings.>")
        with pytest.raises((NatsTimeoutError, NoRespondersError)):
            await peer.client.request("$SYS.REQ.SERVER.PING", b"", timeout=0.2)


async def test_every_process_has_a_key_of_its_own(strict: StrictNats) -> None:
    users = {user.name: user.nkey for user in strict.accounts.users if user.nkey}
    assert set(users) == {*PROCESSES, "simulator", "gateway-attic"}
    assert len(set(users.values())) == len(users)
    for name in users:
        async with strict.connected(name) as peer:
            assert peer.client.is_connected
