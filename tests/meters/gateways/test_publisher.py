"""What waits is stored once and in order: acknowledgements lost, batches late, processes killed, strangers about."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bus.client import Bus, Message
from bus.errors import RefusedError, UnavailableError
from bus.reading import parse
from bus.settings import NatsSettings
from meters.gateways.buffer import Buffer
from meters.gateways.publisher import Publisher
from tests.bus.stream import stored
from tests.bus.strict import StrictNats
from tests.conftest import NatsServer
from tests.meters.gateways.scripted import reading

METERS = ("m0", "m1", "m2")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "buffer.sqlite3"


async def at_once(_: float) -> None:
    await asyncio.sleep(0)


def add(buffer: Buffer, numbers: range) -> None:
    """Have readings of all meters wait, numbered by their registers."""
    for number in numbers:
        buffer.add(f"readings.demo.{METERS[number % 3]}", reading(number).to_bytes())


async def held(bus: Bus) -> list[int]:
    """Return the numbers of what is stored, in order."""
    return [parse(message.data).import_wh for message in await stored(bus, "READINGS")]


@asynccontextmanager
async def publishing(bus: Bus, buffer: Buffer) -> AsyncIterator[Publisher]:
    """Run a publisher."""
    publisher = Publisher(bus, buffer, sleep=at_once)
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def publish_all(bus: Bus, buffer: Buffer) -> None:
    """Publish until nothing waits."""
    async with publishing(bus, buffer), asyncio.timeout(30):
        await buffer.below(1)


async def test_what_waits_is_stored_in_its_order(bus: Bus, path: Path) -> None:
    buffer = Buffer(path)
    add(buffer, range(1200))
    async with publishing(bus, buffer), asyncio.timeout(30):
        await buffer.below(1)
        add(buffer, range(1200, 1203))
        await buffer.below(1)
    assert await held(bus) == list(range(1203))
    buffer.close()


def losing(bus: Bus, fates: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have batches meet a fate: `lost` on the way, `unheard` once stored, or `late`, stored after a second look."""
    publish_batch, left, late = bus.publish_batch, iter(fates), list[Sequence[Message]]()

    async def publish(messages: Sequence[Message], *, timeout: float = 10.0) -> int:
        fate = next(left, "")
        if late:
            await publish_batch(late.pop(), timeout=timeout)
        if fate == "late":
            late.append(messages)
        if fate in ("lost", "late"):
            raise UnavailableError("lost on the way")
        last = await publish_batch(messages, timeout=timeout)
        if fate == "unheard":
            raise UnavailableError("the acknowledgement was lost")
        return last

    monkeypatch.setattr(bus, "publish_batch", publish)


@pytest.mark.parametrize(
    "fates",
    [("unheard",), ("lost",), ("late",), ("lost", "unheard"), ("", "unheard", "late", "lost", "unheard", "late")],
    ids=" ".join,
)
async def test_an_uncertain_batch_is_stored_once(
    bus: Bus, path: Path, monkeypatch: pytest.MonkeyPatch, fates: Sequence[str]
) -> None:
    losing(bus, fates, monkeypatch)
    buffer = Buffer(path)
    add(buffer, range(1700))
    await publish_all(bus, buffer)
    assert await held(bus) == list(range(1700))
    buffer.close()


@pytest.mark.parametrize("noted", [0, 1, 499])
async def test_a_process_that_was_killed_before_it_noted_what_is_stored_stores_nothing_twice(
    bus: Bus, path: Path, noted: int
) -> None:
    buffer = Buffer(path)
    add(buffer, range(700))
    batch = await buffer.take(500)
    await bus.publish_batch([Message(subject, data) for _, subject, data in batch])
    if noted:
        await buffer.done(noted)
    buffer.close()
    again = Buffer(path)
    assert len(again) == 700 - noted
    add(again, range(700, 710))
    await publish_all(bus, again)
    assert await held(bus) == list(range(710))
    again.close()


async def test_readings_go_out_in_the_order_in_which_they_came_whatever_the_meters_clock_says(
    bus: Bus, path: Path
) -> None:
    buffer = Buffer(path)
    for number in (5, 90_000, 3, 4):
        buffer.add("readings.demo.m0", reading(number).to_bytes())
    await publish_all(bus, buffer)
    assert await held(bus) == [5, 90_000, 3, 4]
    buffer.close()


async def test_a_stranger_on_a_subject_does_not_stop_it(bus: Bus, path: Path) -> None:
    buffer = Buffer(path)
    add(buffer, range(6))
    async with publishing(bus, buffer), asyncio.timeout(30):
        await buffer.below(1)
        await bus.publish(Message("readings.demo.m1", reading(99).to_bytes()))
        add(buffer, range(6, 12))
        await buffer.below(1)
    assert await held(bus) == [*range(6), 99, *range(6, 12)]
    buffer.close()


async def test_the_newest_reading_of_a_subject_is_found(bus: Bus, path: Path) -> None:
    buffer = Buffer(path)
    publisher = Publisher(bus, buffer)
    assert await publisher.newest("readings.demo.m0") is None
    await bus.publish(Message("readings.demo.m0", reading(7).to_bytes()))
    assert await publisher.newest("readings.demo.m0") == reading(7)
    await bus.publish(Message("readings.demo.m0", b"junk"))
    assert await publisher.newest("readings.demo.m0") is None
    buffer.close()


async def test_that_nats_is_away_is_said_once_and_that_it_is_back(
    bus: Bus, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing(bus, ["lost"] * 5, monkeypatch)
    buffer = Buffer(path)
    add(buffer, range(10))
    with capture_logs() as logs:
        await publish_all(bus, buffer)
    assert [entry["event"] for entry in logs] == ["readings wait for NATS", "NATS takes readings again"]
    buffer.close()


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[StrictNats]:
    """A nats-server that asks who is there, and knows a gateway for one community."""
    server = StrictNats(tmp_path / "strict")
    server.accounts.add_gateway("attic", ["sunfield"])
    server.start()
    yield server
    server.end()


async def test_a_gateway_stores_with_the_rights_of_its_role_and_no_more(strict: StrictNats, path: Path) -> None:
    administrator = await Bus.connect(strict.settings("administrator"), name="test", patience_s=10)
    gateway = await Bus.connect(strict.settings("gateway-attic"), name="gateway", patience_s=10)
    buffer = Buffer(path)
    try:
        _, before = await administrator.stream_bounds("READINGS")
        for number in range(30):
            buffer.add(f"readings.sunfield.p{number % 3}", reading(number).to_bytes())
        await publish_all(gateway, buffer)
        _, after = await administrator.stream_bounds("READINGS")
        assert after - before == 30
        buffer.add("readings.riverside.m1", reading(1).to_bytes())
        with pytest.raises(RefusedError, match=r"readings\.riverside\.m1"):
            await asyncio.wait_for(Publisher(gateway, buffer).run(), 30)
        assert len(buffer) == 1
    finally:
        await gateway.close()
        await administrator.close()
        buffer.close()


@pytest.mark.slow
async def test_a_killed_nats_server_costs_nothing_and_doubles_nothing(own_nats: NatsServer, path: Path) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    buffer = Buffer(path)
    async with publishing(bus, buffer), asyncio.timeout(60):
        for start in range(0, 6000, 2000):
            add(buffer, range(start, start + 1000))
            own_nats.kill()
            add(buffer, range(start + 1000, start + 2000))
            await buffer.spill()
            await buffer.spill()
            own_nats.start()
            await buffer.below(1)
    assert await held(bus) == list(range(6000))
    await bus.close()
    buffer.close()
