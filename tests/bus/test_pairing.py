"""What pairing keeps: compare-and-set, a bound that NATS holds, buckets that come back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from nats.js.api import StorageType
from nats.js.errors import NotFoundError

from bus.client import Bus, connection_of
from bus.errors import ConflictError, UnavailableError
from bus.identifiers import InvalidIdError
from bus.pairing import MAX_REQUESTS, FullError, PairedDevice, PairingRequest, Pairings, buckets
from bus.settings import NatsSettings
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


async def test_what_was_never_written_is_not_there(pairings: Pairings) -> None:
    assert await pairings.request("bcdfghjk") is None
    assert await pairings.devices("demo", "home-1") == ((), 0)


async def test_a_request_comes_back_as_it_was_written_with_its_revision(pairings: Pairings) -> None:
    await pairings.write_request("bcdfghjk", REQUEST, after=0)
    found = await pairings.request("bcdfghjk")
    assert found is not None
    assert found[0] == REQUEST
    assert await pairings.request("bcdfghjl") is None


async def test_of_two_who_write_over_the_same_revision_one_is_refused(bus: Bus, pairings: Pairings) -> None:
    await pairings.write_request("bcdfghjk", REQUEST, after=0)
    with pytest.raises(ConflictError):
        await pairings.write_request("bcdfghjk", REQUEST, after=0)
    found = await pairings.request("bcdfghjk")
    assert found is not None
    writers = [Pairings(bus) for _ in range(8)]
    wrote = await asyncio.gather(
        *(one.write_request("bcdfghjk", REQUEST, after=found[1]) for one in writers), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in wrote) == ["ConflictError"] * 7 + ["NoneType"]


async def test_devices_are_kept_for_each_home_in_order(pairings: Pairings) -> None:
    other = PairedDevice(id="d2", name="Ätsch ⌚", member="bob@example.org", approved_ms=6, paired_ms=7, expires_ms=10)
    await pairings.write_devices("demo", "home-1", (DEVICE, other), after=0)
    devices, revision = await pairings.devices("demo", "home-1")
    assert devices == (DEVICE, other)
    assert (await pairings.devices("demo", "home-2"))[0] == ()
    await pairings.write_devices("demo", "home-1", (other,), after=revision)
    assert (await pairings.devices("demo", "home-1"))[0] == (other,)
    with pytest.raises(ConflictError):
        await pairings.write_devices("demo", "home-1", (), after=revision)


async def test_no_key_becomes_a_subject_that_is_no_identifier(pairings: Pairings) -> None:
    for bad in ("", "*", ">", "a.b", "BCDF", "a b"):
        with pytest.raises(InvalidIdError):
            await pairings.request(bad)
        with pytest.raises(InvalidIdError):
            await pairings.devices("demo", bad)
        with pytest.raises(InvalidIdError):
            await pairings.write_devices(bad, "home-1", (), after=0)


async def test_beyond_the_bound_new_requests_are_refused_and_old_ones_can_change(bus: Bus, pairings: Pairings) -> None:
    config = buckets(1)[0]
    assert config.max_msgs == MAX_REQUESTS == 10_000
    config.max_msgs = 3
    await connection_of(bus).jetstream().add_stream(config)
    for code in ("b", "c", "d"):
        await pairings.write_request(code, REQUEST, after=0)
    with pytest.raises(FullError, match="10,000"):
        await pairings.write_request("f", REQUEST, after=0)
    found = await pairings.request("b")
    assert found is not None
    await pairings.write_request("b", REQUEST, after=found[1])


async def test_requests_are_in_memory_and_end_by_themselves_devices_stay(bus: Bus, pairings: Pairings) -> None:
    await pairings.request("bcdfghjk")
    js = connection_of(bus).jetstream()
    requests, devices = (await js.stream_info("KV_pairing")).config, (await js.stream_info("KV_devices")).config
    assert (requests.storage, requests.max_age) == (StorageType.MEMORY, 1200)
    assert (devices.storage, devices.max_age) == (StorageType.FILE, 0)


async def test_devices_survive_nats_and_requests_can_begin_anew(own_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    pairings = Pairings(bus)
    await pairings.write_devices("demo", "home-1", (DEVICE,), after=0)
    await pairings.write_request("bcdfghjk", REQUEST, after=0)
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
    assert (await pairings.devices("demo", "home-1"))[0] == (DEVICE,)
    assert await pairings.request("bcdfghjk") is None
    await pairings.write_request("bcdfghjk", REQUEST, after=0)
    await bus.close()
