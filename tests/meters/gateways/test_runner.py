"""A gateway at work: sources that come and go, NATS that comes and goes, and an end at which nothing is lost."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bus.client import Bus, Message
from bus.reading import RefusalError, parse
from bus.settings import NatsSettings
from meters.errors import OptionError
from meters.gateways.buffer import Buffer
from meters.gateways.feed import Feed, Place
from meters.gateways.metrics import Metrics
from meters.gateways.runner import MOST_METERS, Gateway, Surroundings
from meters.gateways.source import SourceLostError
from tests.bus.stream import stored
from tests.conftest import NatsServer
from tests.meters.gateways.scripted import LOST, Scripted, given, refused, untimed
from tests.meters.passing import Passing
from tests.resolvers.frames import eventually

HOME = Place("demo", "m")


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[Buffer]:
    buffer = Buffer(tmp_path / "buffer.sqlite3")
    yield buffer
    with suppress(Exception):
        buffer.close()


@asynccontextmanager
async def lent(bus: Bus) -> AsyncIterator[Bus]:
    """Hand out a connection that stays open."""
    yield bus


Start = Callable[..., Gateway]


@pytest.fixture
async def start(bus: Bus, buffer: Buffer) -> AsyncIterator[Start]:
    """Start a gateway on the session's NATS, with time that passes at once; it is ended after the test."""
    tasks: list[asyncio.Task[object]] = []

    def begin(
        *feeds: Feed, around: Surroundings | None = None, metrics: Metrics | None = None, per_second: int = 10_000
    ) -> Gateway:
        if around is None:
            around = Surroundings(sleep=Passing().sleep)
        gateway = Gateway(feeds, buffer, lambda: lent(bus), metrics or Metrics(), per_second=per_second, around=around)
        tasks.append(asyncio.create_task(gateway.run()))
        return gateway

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def in_leaps() -> Surroundings:
    """Return surroundings in which time leaps by a minute whenever somebody looks."""
    clock = itertools.count(0.0, 60.0)
    return Surroundings(monotonic=lambda: next(clock), sleep=Passing().sleep)


async def held(bus: Bus, meter: str = "m") -> list[int]:
    """Return the registers of a meter's stored readings."""
    found = await stored(bus, "READINGS")
    return [parse(one.data).import_wh for one in found if one.subject == f"readings.demo.{meter}"]


async def published(gateway: Gateway, count: int) -> None:
    """Wait until a gateway has published so many messages."""

    async def has() -> bool:
        return gateway.report.published >= count

    await eventually(has, timeout=30)


async def test_what_a_source_gives_is_published(bus: Bus, start: Start) -> None:
    source = Scripted(given(number) for number in range(100))
    gateway = start(Feed(source, {"": HOME}))
    await published(gateway, 100)
    assert await held(bus) == list(range(100))
    assert gateway.report == (100, 0, 0, 100, 0, 0)


async def test_a_lost_source_is_connected_to_again_and_its_state_said_once(bus: Bus, start: Start) -> None:
    source = Scripted([LOST, LOST, given(1), given(2), LOST, None, LOST, given(3), given(4)])
    metrics = Metrics()
    with capture_logs() as logs:
        gateway = start(Feed(source, {"": HOME}), metrics=metrics, around=in_leaps())
        await published(gateway, 4)
    assert await held(bus) == [1, 2, 3, 4]
    assert source.opened == 6
    assert source.closed == 5
    said = [(entry["event"], entry.get("reason")) for entry in logs if "source" in entry]
    lost = ("a source is lost, connecting again", str(LOST))
    assert said == [lost, ("a source gives something", None), lost, ("a source gives something", None)]
    gauge = "commonwatt_gateway_source_connected"
    assert metrics.registry.get_sample_value(gauge, {"source": "scripted"}) == 1
    assert metrics.registry.get_sample_value("commonwatt_gateway_source_lost_total", {"source": "scripted"}) == 5


async def test_a_source_that_comes_and_goes_is_said_to_be_lost_once_a_minute_and_at_the_end(start: Start) -> None:
    time = Passing()
    source = Scripted([step for number in range(200) for step in (given(number), LOST)] + [LOST] * 20 + [given(200)])
    with capture_logs() as logs:
        gateway = start(
            Feed(source, {"": HOME}),
            around=Surroundings(monotonic=time.clock, sleep=time.sleep, chance=lambda: 0.9),
        )
        await published(gateway, 201)
    said = [entry["event"] for entry in logs if "source" in entry]
    lost, gives = "a source is lost, connecting again", "a source gives something"
    assert said == [gives, *[lost, gives] * 4]


async def test_waits_between_attempts_grow_to_a_minute_and_begin_anew_after_something_came(start: Start) -> None:
    time = Passing()
    source = Scripted([*[LOST] * 9, given(1), LOST, LOST, given(2)])
    gateway = start(
        Feed(source, {"": HOME}),
        around=Surroundings(sleep=time.sleep, chance=lambda: 0.5),
    )
    await published(gateway, 2)
    waits = [slept for slept in time.slept if slept != 0.25]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 0.5, 1]


async def test_a_source_that_fails_fails_alone(bus: Bus, start: Start) -> None:
    broken = Scripted([ValueError("a fault of ours"), given(1), ZeroDivisionError(), given(2)], name="broken")
    other = Scripted(given(number) for number in range(50))
    with capture_logs() as logs:
        gateway = start(Feed(broken, {"": HOME}), Feed(other, {"": Place("demo", "n")}), around=in_leaps())
        await published(gateway, 52)
    assert (await held(bus), await held(bus, "n")) == ([1, 2], list(range(50)))
    assert [entry["reason"] for entry in logs if entry["event"] == "a source is lost, connecting again"] == [
        "ValueError('a fault of ours')",
        "ZeroDivisionError()",
    ]


async def test_devices_of_one_source_are_their_meters_and_others_are_counted(bus: Bus, start: Start) -> None:
    metrics = Metrics()
    source = Scripted([given(1, "a"), given(2, "b"), given(3, "?"), given(4, "?"), given(5, "a")])
    with capture_logs() as logs:
        gateway = start(Feed(source, {"a": HOME, "b": Place("demo", "n")}), metrics=metrics)
        await published(gateway, 3)
    assert (await held(bus), await held(bus, "n")) == ([1, 5], [2])
    assert [entry["device"] for entry in logs if entry["event"] == "a device is no meter"] == ["?"]
    refusals = "commonwatt_gateway_refused_total"
    assert metrics.registry.get_sample_value(refusals, {"meter": "", "reason": "unknown_device"}) == 2


async def test_refusals_stand_in_the_log_of_readings_where_the_reading_would(bus: Bus, start: Start) -> None:
    gateway = start(Feed(Scripted([given(1), refused(), given(2)]), {"": HOME}))
    await published(gateway, 3)
    said = []
    for one in await stored(bus, "READINGS"):
        try:
            said.append(str(parse(one.data).import_wh))
        except RefusalError as refusal:
            said.append(f"{refusal.reason}: {refusal}")
    assert said == ["1", "refused_at_gateway: crc: CRC 1234, expected 5678", "2"]


async def test_a_source_that_floods_is_not_read_before_the_next_second(bus: Bus, start: Start) -> None:
    time = Passing(100.0)
    source = Scripted(untimed(number) for number in range(250))
    gateway = start(
        Feed(source, {"": HOME}),
        around=Surroundings(monotonic=time.clock, sleep=time.sleep, chance=lambda: 0.5),
        per_second=20,
    )

    async def is_read() -> bool:
        return gateway.report.readings + gateway.report.refused == 250

    await eventually(is_read, timeout=30)
    assert (gateway.report.readings, gateway.report.refused) == (40, 210)
    assert [slept for slept in time.slept if slept != 0.25] == [1.0]


async def test_a_device_that_floods_holds_up_no_other_of_its_source(bus: Bus, start: Start) -> None:
    time = Passing(100.0)
    source = Scripted([*(untimed(number, "a") for number in range(250)), untimed(1, "b")])
    gateway = start(
        Feed(source, {"a": HOME, "b": Place("demo", "n")}),
        around=Surroundings(monotonic=time.clock, sleep=time.sleep),
        per_second=20,
    )

    async def is_read() -> bool:
        return gateway.report.readings + gateway.report.refused == 251

    await eventually(is_read, timeout=30)
    assert (gateway.report.readings, gateway.report.refused) == (21, 230)
    assert time.slept == []


# --- files ---


async def ran(bus: Bus, buffer: Buffer, *feeds: Feed) -> Gateway:
    """Run a gateway to its end."""
    gateway = Gateway(feeds, buffer, lambda: lent(bus), Metrics())
    await asyncio.wait_for(gateway.run(), 60)
    return gateway


def recorded(seconds: Sequence[int]) -> Feed:
    return Feed(Scripted([*(given(second) for second in seconds), None], name="p1:file:x"), {"": HOME}, ends=True)


async def test_files_are_read_to_their_end_and_published_then_it_ends(bus: Bus, buffer: Buffer) -> None:
    gateway = await ran(bus, buffer, recorded(range(5000)))
    assert gateway.report == (5000, 0, 0, 5000, 0, 0)
    assert await held(bus) == list(range(5000))


async def test_a_file_that_is_read_again_goes_on_where_the_stream_ends(bus: Bus, buffer: Buffer) -> None:
    await ran(bus, buffer, recorded(range(300)))
    gateway = await ran(bus, buffer, recorded(range(500)))
    assert gateway.report == (200, 0, 300, 200, 0, 0)
    assert await held(bus) == list(range(500))


async def test_refusals_of_a_file_are_all_told_when_it_ends(bus: Bus, buffer: Buffer) -> None:
    gateway = await ran(bus, buffer, Feed(Scripted([*[refused()] * 25, None]), {"": HOME}, ends=True))
    assert gateway.report == (0, 25, 0, 11, 0, 0)


async def test_a_file_that_cannot_be_read_ends_it(bus: Bus, buffer: Buffer) -> None:
    source = Scripted([SourceLostError("p1:file:x: permission denied")])
    with pytest.raises(ExceptionGroup) as caught:
        await ran(bus, buffer, Feed(source, {"": HOME}, ends=True))
    assert caught.group_contains(OptionError, match="permission denied")


# --- the end ---


async def test_nats_may_come_while_it_ends(bus: Bus, buffer: Buffer) -> None:
    there = asyncio.Event()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Bus]:
        await there.wait()
        yield bus

    live = Scripted([given(1)])
    gateway = Gateway([recorded([1]), Feed(live, {"": Place("demo", "n")})], buffer, connect, Metrics())
    running = asyncio.create_task(gateway.run())

    async def is_taken() -> bool:
        return gateway.report.readings == 1

    await eventually(is_taken, timeout=30)
    running.cancel()
    asyncio.get_running_loop().call_soon(there.set)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)
    assert await held(bus, "n") == [1]


async def test_at_the_end_what_was_received_is_published_or_in_the_file(
    bus: Bus, buffer: Buffer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Scripted(given(number) for number in range(100))
    gateway = Gateway([Feed(source, {"": HOME})], buffer, lambda: lent(bus), Metrics(), per_second=1000)
    running = asyncio.create_task(gateway.run())
    await published(gateway, 100)

    async def hang(messages: Sequence[Message], *, timeout: float = 10.0) -> int:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(bus, "publish_batch", hang)
    source.put(*(given(number) for number in range(100, 150)))

    async def is_taken() -> bool:
        return gateway.report.readings == 150

    await eventually(is_taken, timeout=30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)
    buffer.close()
    monkeypatch.undo()
    again = Buffer(tmp_path / "buffer.sqlite3")
    assert len(again) == 50
    await ran(bus, again, recorded([]))
    assert await held(bus) == list(range(150))
    again.close()


async def test_sources_are_read_before_nats_is_there(own_nats: NatsServer, buffer: Buffer) -> None:
    own_nats.kill()
    source = Scripted(given(number) for number in range(100))

    @asynccontextmanager
    async def connect() -> AsyncIterator[Bus]:
        bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test")
        try:
            yield bus
        finally:
            await bus.close()

    gateway = Gateway([Feed(source, {"": HOME})], buffer, connect, Metrics(), per_second=1000)
    running = asyncio.create_task(gateway.run())

    async def is_kept() -> bool:
        return buffer.kept == 100

    try:
        await eventually(is_kept, timeout=30)
        own_nats.start()
        await published(gateway, 100)
        async with connect() as bus:
            assert await held(bus) == list(range(100))
    finally:
        running.cancel()
        await asyncio.wait([running])


# --- what cannot be ---


def test_a_meter_has_one_source(buffer: Buffer) -> None:
    with pytest.raises(OptionError, match=r"'demo\.m' has 2 sources; a meter has one"):
        Gateway([Feed(Scripted(), {"": HOME})] * 2, buffer, None, Metrics())  # type: ignore[arg-type]  # not connected


def test_a_gateway_serves_a_thousand_meters_and_not_one_more(buffer: Buffer) -> None:
    places = {str(number): Place("demo", f"m{number}") for number in range(MOST_METERS + 1)}
    with pytest.raises(OptionError, match="1001 meters; a gateway serves at most 1000: start several"):
        Gateway([Feed(Scripted(), places)], buffer, None, Metrics())  # type: ignore[arg-type]  # not connected
