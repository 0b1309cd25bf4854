"""What NATS refuses is said: who, what, and what to do; and a key that is renewed needs no restart."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bus.administration import ReloadError, reload_server
from bus.broker import free_port
from bus.client import Bus, Message, connection_of
from bus.errors import RefusedError, UnavailableError
from bus.nkey import public_nkey
from bus.settings import NatsSettings
from tests.bus.strict import StrictNats
from tests.conftest import NatsServer
from tests.resolvers.frames import eventually


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StrictNats]:
    """A server for one test that changes its users."""
    server = StrictNats(tmp_path)
    server.start()
    yield server
    server.end()


async def connect(server: StrictNats, role: str, name: str) -> Bus:
    return await Bus.connect(server.settings(role), name=name, patience_s=10)


async def test_a_subject_that_is_not_allowed_is_refused_at_once_by_its_name(own: StrictNats) -> None:
    aggregator = await connect(own, "aggregator", "aggregate")
    server = await connect(own, "server", "serve")
    nkey = public_nkey(own.accounts.seed("server"))
    began = asyncio.get_running_loop().time()
    for refused, subject in (
        (server.publish(Message("$KV.registry.demo", b"{}")), "$KV.registry.demo"),
        (server.publish_batch([Message("readings.demo.m1", b"{}")] * 2), "readings.demo.m1"),
        (server.message("KV_checkpoints", 1), "$JS.API.DIRECT.GET.KV_checkpoints"),
        (server.last("REJECTED", "rejected.demo.m1"), "$JS.API.DIRECT.GET.REJECTED.rejected.demo.m1"),
        (server.stream_bounds("KV_checkpoints"), "$JS.API.STREAM.INFO.KV_checkpoints"),
    ):
        with pytest.raises(RefusedError) as caught:
            await refused
        assert f"nkey {nkey}" in str(caught.value)
        assert f"may not publish to {subject}: give this process the key of a role that may" in str(caught.value)
    assert asyncio.get_running_loop().time() - began < 2
    await server.close()
    await aggregator.close()


async def test_what_nobody_waits_for_is_said_in_the_log_and_not_each_time(own: StrictNats) -> None:
    server = await connect(own, "aggregator", "aggregate")
    with capture_logs() as logs:
        for _ in range(3):
            await server.publish_core("readings.demo.m1", b"{}")
        end = await server.subscribe("live.demo", lambda _: None)

        async def are_said() -> bool:
            return len(logs) == 2

        await eventually(are_said, timeout=5)
        await end()
    nkey = public_nkey(own.accounts.seed("aggregator"))
    for said, (subject, action) in zip(
        logs, (("readings.demo.m1", "publish"), ("live.demo", "subscription")), strict=True
    ):
        assert (said["event"], said["log_level"]) == ("NATS refuses a subject", "error")
        assert (said["subject"], said["action"]) == (subject, action)
        assert nkey in said["user"]
        assert "docs/nats.md" in said["what_to_do"]
    await server.close()


async def test_who_may_not_make_the_streams_waits_for_who_may(own: StrictNats) -> None:
    await own.reload()  # so that it is there
    with capture_logs() as logs:
        waiting = asyncio.create_task(Bus.connect(own.settings("simulator"), name="simulate"))

        async def is_said() -> bool:
            return bool(logs) and "stream READINGS is not there yet" in str(logs[-1].get("reason"))

        await eventually(is_said, timeout=10)
    with pytest.raises(UnavailableError, match="stream READINGS is not there yet: the aggregator makes it"):
        await Bus.connect(own.settings("simulator"), name="simulate", patience_s=1)
    aggregator = await connect(own, "aggregator", "aggregate")
    simulator = await asyncio.wait_for(waiting, 10)
    assert await simulator.publish(Message("readings.demo.m1", b"{}")) == 1
    await simulator.close()
    await aggregator.close()


async def test_credentials_that_are_refused_are_named(own: StrictNats, tmp_path: Path) -> None:
    settings = NatsSettings(url=own.url, user="sunfield.m1", password="wrong")
    with capture_logs() as logs, pytest.raises(UnavailableError, match="Authorization Violation"):
        await Bus.connect(settings, name="test", patience_s=1)
    (said,) = [line for line in logs if line["event"] == "NATS refuses the credentials"]
    assert said["user"] == "user 'sunfield.m1'"
    with capture_logs() as logs, pytest.raises(UnavailableError):
        await Bus.connect(NatsSettings(url=own.url), name="test", patience_s=1)
    assert "a client without credentials" in [line.get("user") for line in logs]


async def test_an_inbox_that_is_not_ones_own_is_refused_with_the_setting_that_helps(own: StrictNats) -> None:
    settings = own.settings("server").model_copy(update={"inbox_prefix": "_INBOX"})
    with pytest.raises(RefusedError, match=r"may not listen for answers on .*COMMONWATT_NATS_INBOX_PREFIX"):
        await Bus.connect(settings, name="serve", patience_s=10)


async def test_an_inbox_may_be_chosen(session_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=session_nats.url, inbox_prefix="answers.of.mine"), name="test")
    assert connection_of(bus).new_inbox().startswith("answers.of.mine.")
    await bus.stream_bounds("READINGS")
    await bus.close()


# --- renewed keys, users that come and go ---


async def test_a_renewed_key_is_used_without_a_restart(own: StrictNats) -> None:
    aggregator = await connect(own, "aggregator", "aggregate")
    reader = aggregator.read("READINGS")
    await aggregator.publish(Message("readings.tick", b"1"))
    assert [message.data for message in await reader.next_batch(5)] == [b"1"]
    before = public_nkey(own.accounts.seed("aggregator"))

    own.accounts.keep(["aggregator"], renew=True)
    await own.reload()

    async def is_back() -> bool:
        return aggregator.connected and connection_of(aggregator)._public_nkey != before

    await eventually(is_back, timeout=10)
    assert await aggregator.publish(Message("readings.tick", b"2")) == 2
    assert [message.data for message in await reader.next_batch(10)] == [b"2"]
    await reader.close()
    await aggregator.close()
    assert own.violations() == []


async def test_a_user_that_is_removed_is_shut_out_at_once_and_let_in_again(own: StrictNats) -> None:
    login = own.accounts.add_meter("sunfield", "m1")
    await own.reload()
    settings = NatsSettings(url=own.url, user=login.user, password=login.password, inbox_prefix=login.inbox)
    with capture_logs() as logs:
        meter = await Bus.connect(settings, name="gateway", patience_s=10)
        own.accounts.remove(login.user)
        await own.reload()

        async def is_shut_out() -> bool:
            return not meter.connected and any(line["event"] == "NATS refuses the credentials" for line in logs)

        await eventually(is_shut_out, timeout=10)
    again = own.accounts.add_meter("sunfield", "m1")
    connection_of(meter).options["password"] = again.password
    await own.reload()

    async def is_back() -> bool:
        return meter.connected

    await eventually(is_back, timeout=10)
    await meter.close()


async def test_a_reload_disturbs_nobody_who_stays(own: StrictNats) -> None:
    aggregator = await connect(own, "aggregator", "aggregate")
    reader = aggregator.read("READINGS")
    with capture_logs() as logs:
        for number in range(5):
            own.accounts.add_meter("sunfield", f"m{number}")
            assert await reload_server(own.settings("reloader")) == "commonwatt"
            assert await aggregator.publish(Message("readings.tick", b"%d" % number)) == number + 1
            assert [message.data for message in await reader.next_batch(5)] == [b"%d" % number]
    assert logs == []
    await reader.close()
    await aggregator.close()


async def test_a_configuration_that_nats_does_not_take_is_said(own: StrictNats) -> None:
    await reload_server(own.settings("reloader"))
    own.accounts.configuration.with_name("meters.conf").write_text("users: [ {", "utf-8")
    with pytest.raises(ReloadError, match=r"kept the configuration that it had: .*meters\.conf"):
        await reload_server(own.settings("reloader"))


async def test_only_the_reloader_has_it_reload(own: StrictNats, monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("administrator", "server"):
        with pytest.raises((RefusedError, UnavailableError)):
            await reload_server(own.settings(role))
    monkeypatch.setattr("bus.administration._PATIENCE_S", 0.5)
    with pytest.raises(UnavailableError, match=r"no nats-server at .* that reloads"):
        await reload_server(NatsSettings(url=f"nats://127.0.0.1:{free_port()}"))
    async with own.connected("reloader") as peer:
        assert not await peer.may_publish("$SYS.REQ.SERVER.PING")
        assert not await peer.may_subscribe("$SYS.>")
