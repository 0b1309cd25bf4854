"""What pairing keeps: compare-and-set, a bound that NATS holds, buckets that come back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from nats.js.api import StorageType
from nats.js.errors import NotFoundError

from bus.client import Bus, connection_of
from bus.errors import ConflictError, UnavailableError
from bus.identifiers import InvalidIdError
from bus.pairing import MAX_REQUESTS, FullError, PairedDevice, PairingRequest, Pairings, buckets
from bus.settings import NatsSettings
from tests.bus.strict import StrictNats
from tests.conftest import NatsServer

REQUEST = PairingRequest(secret="0f", client="watch", begun_ms=1, expires_ms=600_001, interval_s=5)
DEVICE = PairedDevice(id="d1", name="Watch", member="ada", approved_ms=5, expires_ms=10)


@pytest.fixture
async def pairings(bus: Bus) -> AsyncIterator[Pairings]:
    """The buckets, made when they are first used."""
    await remove_buckets(bus)
    yield Pairings(bus)
    await remove_buckets(bus)


async def remove_buckets(bus: Bus) -> None:
    for config in buckets(1):
        assert config.name is not None
        with contextlib.suppress(NotFoundError):
            await connection_of(bus).jetstream().delete_stream(config.name)


def renamed(request: PairingRequest | None) -> PairingRequest:
    assert request is not None
    return msgspec.structs.replace(request, client=request.client + "!")


async def test_what_was_never_written_is_not_there(pairings: Pairings) -> None:
    assert await pairings.request("bcdfghjk") is None
    assert await pairings.devices("demo", "home-1") == ()


async def test_a_request_comes_back_as_it_was_written(pairings: Pairings) -> None:
    await pairings.add_request("bcdfghjk", REQUEST)
    assert await pairings.request("bcdfghjk") == REQUEST
    assert await pairings.request("bcdfghjl") is None


async def test_of_all_who_add_a_request_with_one_code_one_does(bus: Bus, pairings: Pairings) -> None:
    await pairings.request("bcdfghjk")
    added = await asyncio.gather(
        *(Pairings(bus).add_request("bcdfghjk", REQUEST) for _ in range(8)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in added) == ["ConflictError"] * 7 + ["NoneType"]


async def test_no_change_is_lost_where_several_change_at_the_same_time(bus: Bus, pairings: Pairings) -> None:
    await pairings.add_request("bcdfghjk", REQUEST)
    await asyncio.gather(*(Pairings(bus).change_request("bcdfghjk", renamed) for _ in range(5)))
    found = await pairings.request("bcdfghjk")
    assert found is not None
    assert found.client == "watch!!!!!"


async def test_a_change_that_is_always_too_late_ends(pairings: Pairings, monkeypatch: pytest.MonkeyPatch) -> None:
    await pairings.add_request("bcdfghjk", REQUEST)
    tries: list[None] = []

    def change(request: PairingRequest | None) -> PairingRequest:
        tries.append(None)
        return renamed(request)

    async def refuse(*_: object) -> None:
        raise ConflictError("somebody else wrote")

    monkeypatch.setattr(pairings, "_write", refuse)
    with pytest.raises(ConflictError):
        await pairings.change_request("bcdfghjk", change)
    assert len(tries) == 10


async def test_what_a_change_leaves_as_it_is_is_not_written(bus: Bus, pairings: Pairings) -> None:
    await pairings.add_request("bcdfghjk", REQUEST)
    await pairings.change_devices("demo", "home-1", lambda _: (DEVICE,))

    def leave(request: PairingRequest | None) -> PairingRequest:
        assert request is not None
        return request

    assert await pairings.change_request("bcdfghjk", leave) == REQUEST
    await pairings.change_devices("demo", "home-1", lambda devices: devices)
    assert await bus.stream_bounds("KV_pairing") == (1, 1)
    assert await bus.stream_bounds("KV_devices") == (1, 1)


async def test_what_a_change_raises_ends_it_and_nothing_is_written(pairings: Pairings) -> None:
    def refuse(_: object) -> PairingRequest:
        raise KeyError("no")

    await pairings.add_request("bcdfghjk", REQUEST)
    with pytest.raises(KeyError):
        await pairings.change_request("bcdfghjk", refuse)
    assert await pairings.request("bcdfghjk") == REQUEST


async def test_devices_are_kept_for_each_home_in_order(pairings: Pairings) -> None:
    other = PairedDevice(id="d2", name="Ätsch ⌚", member="bob@example.org", approved_ms=6, paired_ms=7, expires_ms=10)
    await pairings.change_devices("demo", "home-1", lambda _: (DEVICE,))
    await pairings.change_devices("demo", "home-1", lambda devices: (*devices, other))
    assert await pairings.devices("demo", "home-1") == (DEVICE, other)
    assert await pairings.devices("demo", "home-2") == ()
    await pairings.change_devices("demo", "home-1", lambda devices: devices[1:])
    assert await pairings.devices("demo", "home-1") == (other,)


async def test_no_key_becomes_a_subject_that_is_no_identifier(pairings: Pairings) -> None:
    for bad in ("", "*", ">", "a.b", "BCDF", "a b"):
        with pytest.raises(InvalidIdError):
            await pairings.request(bad)
        with pytest.raises(InvalidIdError):
            await pairings.add_request(bad, REQUEST)
        with pytest.raises(InvalidIdError):
            await pairings.devices("demo", bad)
        with pytest.raises(InvalidIdError):
            await pairings.devices(bad, "home-1")


async def test_beyond_the_bound_new_requests_are_refused_and_old_ones_can_change(bus: Bus, pairings: Pairings) -> None:
    config = buckets(1)[0]
    assert config.max_msgs == MAX_REQUESTS == 10_000
    config.max_msgs = 3
    await connection_of(bus).jetstream().add_stream(config)
    for code in ("b", "c", "d"):
        await pairings.add_request(code, REQUEST)
    with pytest.raises(FullError, match="10,000"):
        await pairings.add_request("f", REQUEST)
    assert (await pairings.change_request("b", renamed)).client == "watch!"


async def test_requests_are_in_memory_and_end_by_themselves_devices_stay(bus: Bus, pairings: Pairings) -> None:
    await pairings.request("bcdfghjk")
    js = connection_of(bus).jetstream()
    requests, devices = (await js.stream_info("KV_pairing")).config, (await js.stream_info("KV_devices")).config
    assert (requests.storage, requests.max_age) == (StorageType.MEMORY, 1200)
    assert (devices.storage, devices.max_age) == (StorageType.FILE, 0)


async def test_devices_survive_nats_and_requests_can_begin_anew(own_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    pairings = Pairings(bus)
    await pairings.change_devices("demo", "home-1", lambda _: (DEVICE,))
    await pairings.add_request("bcdfghjk", REQUEST)
    back = asyncio.Event()

    async def is_back() -> None:
        back.set()

    bus.on_reconnect(is_back)
    own_nats.kill()
    with pytest.raises(UnavailableError):
        await pairings.request("bcdfghjk")
    own_nats.start()
    async with asyncio.timeout(20):
        await back.wait()
    assert await pairings.devices("demo", "home-1") == (DEVICE,)
    assert await pairings.request("bcdfghjk") is None
    await pairings.add_request("bcdfghjk", REQUEST)
    await bus.close()


async def test_a_server_may_do_all_of_it_with_the_permissions_that_it_has(tmp_path: Path) -> None:
    nats = StrictNats(tmp_path)
    nats.start()
    try:
        aggregator = await Bus.connect(nats.settings("aggregator"), name="aggregate", patience_s=20)
        server = await Bus.connect(nats.settings("server"), name="serve", patience_s=20)
        pairings = Pairings(server)
        await pairings.add_request("bcdfghjk", REQUEST)
        assert (await pairings.change_request("bcdfghjk", renamed)).client == "watch!"
        await pairings.change_devices("demo", "home-1", lambda _: (DEVICE,))
        assert await pairings.devices("demo", "home-1") == (DEVICE,)
        await server.close()
        await aggregator.close()
        assert nats.violations() == []
    finally:
        nats.end()
