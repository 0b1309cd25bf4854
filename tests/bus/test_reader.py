"""A reader hands out every message once, in stream order, whatever happens to NATS meanwhile."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from bus.client import MAX_BATCH, Bus, Message, connection_of
from bus.reader import Reader
from bus.settings import NatsSettings
from bus.stored import Stored

if TYPE_CHECKING:
    from tests.conftest import NatsServer


async def _fill(bus: Bus, count: int, subject: str = "readings.demo.home-01-grid") -> None:
    for start in range(0, count, MAX_BATCH):
        numbers = range(start, min(start + MAX_BATCH, count))
        await bus.publish_batch([Message(subject, str(number).encode()) for number in numbers])


async def _until(reader: Reader, sequence: int) -> list[Stored]:
    found: list[Stored] = []
    async with asyncio.timeout(30):
        while reader.position < sequence:
            found += await reader.next_batch(5.0)
    return found


@pytest.mark.parametrize("buffer", [2, 100, 1000])
async def test_it_hands_out_all_in_order_and_never_holds_more_than_its_buffer(bus: Bus, buffer: int) -> None:
    await _fill(bus, 2500)
    reader = bus.read("READINGS", buffer=buffer)
    sequences: list[int] = []
    while reader.position < 2500:
        batch = await reader.next_batch(5.0)
        assert 0 < len(batch) <= buffer
        sequences += [message.sequence for message in batch]
    assert sequences == list(range(1, 2501))
    assert reader.pending == 0


async def test_it_begins_after_a_sequence(bus: Bus) -> None:
    await _fill(bus, 10)
    reader = bus.read("READINGS", after=7)
    assert [message.sequence for message in await _until(reader, 10)] == [8, 9, 10]


async def test_it_reads_only_the_subjects_asked_for(bus: Bus) -> None:
    for name in ("a", "b", "c", "a"):
        await _fill(bus, 1, f"readings.demo.{name}")
    reader = bus.read("READINGS", ["readings.demo.a", "readings.demo.c"])
    assert [message.subject[-1] for message in await _until(reader, 4)] == ["a", "c", "a"]


async def test_it_can_begin_with_the_last_message_of_each_subject(bus: Bus) -> None:
    await _fill(bus, 5, "readings.demo.a")
    await _fill(bus, 3, "readings.demo.b")
    reader = bus.read("READINGS", last_per_subject=True)
    assert [message.sequence for message in await _until(reader, 8)] == [5, 8]
    await _fill(bus, 2, "readings.demo.a")
    assert [message.sequence for message in await _until(reader, 10)] == [9, 10], "then with all that come"


async def test_it_can_begin_at_a_jetstream_time(bus: Bus) -> None:
    await _fill(bus, 1)
    last = await bus.last("READINGS", "readings.demo.home-01-grid")
    assert last is not None
    while (await bus.publish(Message("readings.demo.later", b"x"))) < 3:
        pass
    whole = bus.read("READINGS", since_ms=last.time_ms)
    assert [message.sequence for message in await _until(whole, 3)] == [1, 2, 3]
    none = bus.read("READINGS", since_ms=last.time_ms + 3_600_000)
    assert await none.next_batch(0.2) == []


async def test_it_waits_for_what_comes_and_hands_it_out_at_once(bus: Bus) -> None:
    reader = bus.read("READINGS")
    waiting = asyncio.create_task(reader.next_batch(30.0))
    await _fill(bus, 1)
    assert [message.data for message in await asyncio.wait_for(waiting, 5)] == [b"0"]


async def test_nothing_new_is_an_empty_list_after_the_timeout(bus: Bus) -> None:
    reader = bus.read("READINGS")
    assert await reader.next_batch(0.05) == []
    await _fill(bus, 1)
    assert len(await reader.next_batch(5.0)) == 1


async def test_closing_ends_an_iteration_that_waits(bus: Bus) -> None:
    reader = bus.read("READINGS")

    arrived = asyncio.Event()

    async def read() -> None:
        async for _ in reader:
            arrived.set()

    reading = asyncio.create_task(read())
    await _fill(bus, 1)
    await asyncio.wait_for(arrived.wait(), 5)
    await reader.close()
    await asyncio.wait_for(reading, 5)


async def test_it_goes_on_where_messages_were_deleted(bus: Bus) -> None:
    await _fill(bus, 10)
    reader = bus.read("READINGS", buffer=2)
    first = await reader.next_batch(5.0)
    await connection_of(bus).jetstream().purge_stream("READINGS", seq=9)
    rest = await _until(reader, 10)
    sequences = [message.sequence for message in first + rest]
    assert sequences == sorted(set(sequences))
    assert sequences[-2:] == [9, 10]


async def test_it_goes_on_when_its_consumer_is_gone(bus: Bus) -> None:
    await _fill(bus, 3)
    reader = bus.read("READINGS")
    await _until(reader, 3)
    jetstream = connection_of(bus).jetstream()
    waiting = asyncio.create_task(reader.next_batch(30.0))
    for consumer in await jetstream.consumers_info("READINGS"):
        await jetstream.delete_consumer("READINGS", consumer.name)
    await _fill(bus, 1)
    assert [message.sequence for message in await asyncio.wait_for(waiting, 20)] == [4]


async def test_it_misses_and_repeats_nothing_when_nats_is_killed(own_nats: "NatsServer") -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    back = asyncio.Event()

    async def tell() -> None:
        back.set()

    bus.on_reconnect(tell)
    await _fill(bus, 1500)
    reader = bus.read("READINGS", buffer=200)
    found = await reader.next_batch(5.0)
    for _ in range(2):
        back.clear()
        own_nats.kill()
        own_nats.start()
        await asyncio.wait_for(back.wait(), 20)
        await _fill(bus, 500)
        found += await reader.next_batch(10.0)
    found += await _until(reader, 2500)
    assert [message.sequence for message in found] == list(range(1, 2501))
    await bus.close()
