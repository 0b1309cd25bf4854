"""The writer stores each reading exactly once: retried, resumed, disturbed, and over a killed nats-server."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from bus.client import Bus, Message
from bus.errors import UnavailableError
from bus.reading import Reading, parse
from bus.readings import Outgoing, ReadingsWriter
from bus.settings import NatsSettings
from tests.bus.stream import stored

if TYPE_CHECKING:
    from tests.conftest import NatsServer

START = datetime(2026, 1, 1, tzinfo=UTC)
METERS = ("home-01-grid", "home-01-pv", "home-02-grid")


def _reading(minute: int) -> Reading:
    return Reading(at=START + timedelta(minutes=minute), import_wh=minute, export_wh=0)


def _minutes(first: int, last: int, meters: Sequence[str] = METERS) -> list[Outgoing]:
    return [Outgoing("demo", meter, _reading(minute)) for minute in range(first, last) for meter in meters]


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)


async def _held(bus: Bus) -> list[tuple[str, int]]:
    """What the stream holds: meter and minute of each reading."""
    return [(message.subject.split(".")[2], parse(message.data).import_wh) for message in await stored(bus, "READINGS")]


def _expected(last: int) -> list[tuple[str, int]]:
    return [(meter, minute) for minute in range(last) for meter in METERS]


async def test_readings_are_stored_in_the_order_given(bus: Bus) -> None:
    writer = ReadingsWriter(bus)
    await writer.write(_minutes(0, 400))
    await writer.write(_minutes(400, 401))
    assert await _held(bus) == _expected(401)
    assert (writer.stored, writer.skipped) == (1203, 0)


async def test_nothing_to_write_is_nothing_written(bus: Bus) -> None:
    await ReadingsWriter(bus).write([])
    assert await _held(bus) == []


async def test_what_is_stored_already_is_left_out(bus: Bus) -> None:
    await ReadingsWriter(bus).write(_minutes(0, 10))
    again = ReadingsWriter(bus)
    await again.write(_minutes(0, 20))
    assert await _held(bus) == _expected(20)
    assert (again.stored, again.skipped) == (30, 30)


async def test_an_older_reading_is_left_out_within_a_batch_too(bus: Bus) -> None:
    writer = ReadingsWriter(bus)
    await writer.write([Outgoing("demo", "m", _reading(minute)) for minute in (1, 3, 3, 2, 4)])
    assert [minute for _, minute in await _held(bus)] == [1, 3, 4]
    assert writer.skipped == 2


async def test_the_last_stored_reading_of_a_meter_is_found(bus: Bus) -> None:
    assert await ReadingsWriter(bus).last("demo", "home-01-pv") is None
    await ReadingsWriter(bus).write(_minutes(0, 7))
    assert await ReadingsWriter(bus).last("demo", "home-01-pv") == _reading(6)


async def test_a_batch_whose_acknowledgement_was_lost_is_found_stored(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_batch, lose = bus.publish_batch, iter([True, False, True, True, False])

    async def publish_and_lose(messages: Sequence[Message], *, timeout: float = 10.0) -> int:
        last = await publish_batch(messages, timeout=timeout)
        if next(lose, False):
            raise UnavailableError("the acknowledgement was lost")
        return last

    monkeypatch.setattr(bus, "publish_batch", publish_and_lose)
    writer = ReadingsWriter(bus, sleep=_at_once)
    for minute in range(6):
        await writer.write(_minutes(minute, minute + 1))
    assert await _held(bus) == _expected(6)
    assert (writer.stored, writer.skipped) == (18, 0)


async def test_a_batch_that_was_not_stored_is_sent_again(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_batch, lose = bus.publish_batch, iter([True, True, False])

    async def lose_and_publish(messages: Sequence[Message], *, timeout: float = 10.0) -> int:
        if next(lose, False):
            raise UnavailableError("lost on the way")
        return await publish_batch(messages, timeout=timeout)

    monkeypatch.setattr(bus, "publish_batch", lose_and_publish)
    writer = ReadingsWriter(bus, sleep=_at_once)
    await writer.write(_minutes(0, 3))
    assert await _held(bus) == _expected(3)
    assert (writer.stored, writer.skipped) == (9, 0)


async def test_a_batch_stored_late_by_the_broken_connection_is_not_stored_again(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try reaches the stream only after the writer looked, and makes its second try conflict."""
    publish_batch, tries = bus.publish_batch, iter(["lost", "late"])

    async def publish_late(messages: Sequence[Message], *, timeout: float = 10.0) -> int:
        match next(tries, ""):
            case "lost":
                raise UnavailableError("not known")
            case "late":
                await publish_batch(messages, timeout=timeout)
        return await publish_batch(messages, timeout=timeout)

    monkeypatch.setattr(bus, "publish_batch", publish_late)
    writer = ReadingsWriter(bus, sleep=_at_once)
    await writer.write(_minutes(0, 4))
    assert await _held(bus) == _expected(4)
    assert (writer.stored, writer.skipped) == (12, 0)


async def test_a_second_writer_of_the_same_readings_stores_none_of_them_twice(bus: Bus) -> None:
    async def write() -> None:
        writer = ReadingsWriter(bus, sleep=_at_once)
        for minute in range(0, 60, 3):
            await writer.write(_minutes(minute, minute + 3))

    await asyncio.gather(write(), write(), write())
    assert await _held(bus) == _expected(60)


async def test_what_is_no_reading_on_its_subject_is_looked_past(bus: Bus) -> None:
    await ReadingsWriter(bus).write(_minutes(0, 5))
    for junk in (b"", b"{}", b'{"at": "never"}'):
        await bus.publish(Message("readings.demo.home-01-grid", junk))
    writer = ReadingsWriter(bus)
    assert await writer.last("demo", "home-01-grid") == _reading(4)
    await writer.write(_minutes(3, 6))
    assert (writer.stored, writer.skipped) == (3, 6)


async def test_a_reading_of_the_future_is_looked_past_where_a_limit_is_given(bus: Bus) -> None:
    await ReadingsWriter(bus).write(_minutes(0, 5))
    await bus.publish(Message("readings.demo.home-01-grid", _reading(10_000).to_bytes()))
    limit = (START + timedelta(minutes=60)).timestamp() * 1000
    assert await ReadingsWriter(bus).last("demo", "home-01-grid") == _reading(10_000)
    assert await ReadingsWriter(bus, latest_ms=lambda: limit).last("demo", "home-01-grid") == _reading(4)


async def test_a_subject_with_nothing_but_junk_has_no_last_reading(bus: Bus) -> None:
    await bus.publish(Message("readings.demo.home-01-grid", b"junk"))
    writer = ReadingsWriter(bus)
    assert await writer.last("demo", "home-01-grid") is None
    await writer.write(_minutes(0, 1))
    assert writer.stored == 3


async def test_a_stranger_on_the_subject_does_not_stop_a_writer_at_work(bus: Bus) -> None:
    writer = ReadingsWriter(bus)
    await writer.write(_minutes(0, 2))
    await bus.publish(Message("readings.demo.home-01-pv", b"junk"))
    await writer.write(_minutes(2, 4))
    assert writer.stored == 12


async def test_an_invalid_id_never_reaches_a_subject(bus: Bus) -> None:
    with pytest.raises(ValueError, match="not an identifier"):
        await ReadingsWriter(bus).write([Outgoing("demo", "home.*", _reading(0))])


@pytest.mark.slow
async def test_a_killed_nats_server_costs_no_reading_and_doubles_none(own_nats: "NatsServer") -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    writer = ReadingsWriter(bus)
    written: asyncio.Queue[int] = asyncio.Queue()

    async def write() -> None:
        for minute in range(0, 6000, 100):
            await writer.write(_minutes(minute, minute + 100))
            written.put_nowait(minute)

    writing = asyncio.create_task(write())
    for _ in range(3):
        for _ in range(5):
            await asyncio.wait_for(written.get(), 20)
        own_nats.kill()
        own_nats.start()
    await asyncio.wait_for(writing, 60)
    assert await _held(bus) == _expected(6000)
    assert (writer.stored, writer.skipped) == (18_000, 0)
    await bus.close()
