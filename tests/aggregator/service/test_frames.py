"""Frames: from a reading to LIVE, one message for a late joiner, bounded in rate, back after NATS was away."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus.client import Bus
from bus.errors import UnavailableError
from bus.messages import Frame, HomeState, decode_frame, decode_home
from bus.settings import NatsSettings
from tests.aggregator.service.conftest import Start
from tests.aggregator.service.process import eventually
from tests.aggregator.service.village import frame, publish, reading, register, village
from tests.bus.stream import stored
from tests.conftest import NatsServer


def drawing(home: str, power_w: float, **more: Any) -> tuple[str, bytes]:
    """A home draws so much from the grid, now."""
    return f"readings.demo.{home}-grid", reading(datetime.now(UTC), 1000, power_import_w=power_w, **more)


def homes(of: Frame) -> dict[str, HomeState]:
    return {home: decode_home(raw) for home, raw in of.homes.items()}


async def shown(bus: Bus, power_w: float) -> Frame:
    """Wait for a frame in which the community draws as much."""

    async def is_shown() -> Frame | None:
        try:
            now = await frame(bus)
        except UnavailableError:
            return None
        return now if now is not None and now.state.power_import_w == power_w else None

    found = await eventually(is_shown, f"a frame with {power_w} W")
    assert found is not None
    return found


async def test_the_first_reading_gives_a_frame_with_every_home_of_the_community(
    bus: Bus, nats_url: str, start: Start
) -> None:
    await register(bus, village(homes=3, clock="wall"))
    aggregator = start(nats_url)
    await aggregator.ready()
    await publish(bus, [drawing("h2", 420)])
    now = await shown(bus, 420)
    assert (now.state.homes_reporting, now.state.homes_total, now.state.light) == (1, 3, "UNKNOWN")
    assert {home: (state.power_import_w, state.quality) for home, state in homes(now).items()} == {
        "h1": (None, "MISSING"),
        "h2": (420, "MEASURED"),
        "h3": (None, "MISSING"),
    }


async def test_frames_are_numbered_without_a_gap_and_name_the_homes_that_changed(
    bus: Bus, nats_url: str, start: Start
) -> None:
    await register(bus, village(homes=3, clock="wall"))
    seen: list[Frame] = []

    def take(data: bytes) -> None:
        seen.append(decode_frame(data))

    end = await bus.subscribe("live.demo", take)
    start(nats_url)
    await publish(bus, [drawing(home, 100) for home in ("h1", "h2", "h3")])
    await shown(bus, 300)
    for power_w in (150, 200, 250):
        await publish(bus, [drawing("h2", power_w)])
        now = await shown(bus, 200 + power_w)
        assert now.changed == ["h2"]
        assert {home: state.power_import_w for home, state in homes(now).items()} == {
            "h1": 100,
            "h2": power_w,
            "h3": 100,
        }
    numbers = [one.number for one in seen]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(await stored(bus, "LIVE")) == 1
    await end()


async def test_a_community_has_at_most_ten_frames_a_second_and_at_once_when_idle(
    bus: Bus, nats_url: str, start: Start
) -> None:
    await register(bus, village(clock="wall"))
    seen: list[float] = []

    def take(_: bytes) -> None:
        seen.append(time.monotonic())

    aggregator = start(nats_url)
    await publish(bus, [drawing("h1", 1)])
    await shown(bus, 1)
    end = await bus.subscribe("live.demo", take)
    began = time.monotonic()
    sent = 0
    at = datetime.now(UTC)
    while time.monotonic() - began < 1.5 and sent < 2500:  # of which the last is not too far ahead
        sent += 1
        at += timedelta(milliseconds=100)  # any closer, and they would be a flood
        await publish(bus, [("readings.demo.h1-grid", reading(at, 1000, power_import_w=1 + sent))])
    await shown(bus, 1 + sent)
    took = time.monotonic() - began
    assert sent > 3 * len(seen)
    assert 0.5 * 10 * took <= len(seen) <= 10 * took + 2
    assert aggregator.metric("commonwatt_frames_total") >= len(seen)

    delays = []
    for power_w in (15001, 15002, 15003):
        with pytest.raises(TimeoutError):  # idle for longer than the least time between two frames
            await asyncio.wait_for(asyncio.Event().wait(), 0.15)
        seen.clear()
        began = time.monotonic()
        at += timedelta(milliseconds=100)
        await publish(bus, [("readings.demo.h1-grid", reading(at, 1000, power_import_w=power_w))])
        await eventually(lambda: asyncio.sleep(0, bool(seen)), "the frame")
        delays.append(seen[0] - began)
    assert min(delays) < 0.08
    await end()


@pytest.mark.slow
async def test_frames_are_published_again_when_nats_was_killed_and_is_back(own_nats: NatsServer, start: Start) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    await register(bus, village(homes=3, clock="wall"))
    aggregator = start(own_nats.url)
    await publish(bus, [drawing("h1", 700), drawing("h2", 300)])
    before = await shown(bus, 1000)
    for _ in range(3):
        own_nats.kill()
        own_nats.start()
        await bus.close()  # a request of this connection that was lost would wait for its timeout
        bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
        again = await shown(bus, 1000)
        assert again.number > before.number
        assert again.homes.keys() == {"h1", "h2", "h3"}
        before = again
    assert aggregator.code is None
    await publish(bus, [drawing("h1", 800)])
    await shown(bus, 1100)
    await bus.close()


async def test_an_aggregator_waits_for_nats_and_for_a_community(own_nats: NatsServer, start: Start) -> None:
    own_nats.kill()
    aggregator = start(own_nats.url)

    async def waits() -> bool:
        return "waiting for NATS" in aggregator.log

    await eventually(waits, "a line that says so")
    own_nats.start()
    await aggregator.ready()
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    await register(bus, village(clock="wall"))  # followed without a restart
    await publish(bus, [drawing("h1", 5)])
    await shown(bus, 5)
    more = village(clock="wall", homes=3)
    await register(bus, more)
    await publish(bus, [drawing("h3", 7)])
    assert (await shown(bus, 12)).state.homes_total == 3
    assert aggregator.code is None
    await bus.close()


async def test_a_frame_of_a_community_whose_last_reading_is_old_says_so_after_a_restart(
    bus: Bus, nats_url: str, start: Start
) -> None:
    await register(bus, village(clock="wall"))
    old = datetime.now(UTC) - timedelta(hours=2)
    await publish(bus, [("readings.demo.h1-grid", reading(old, 0, power_import_w=9))])
    start(nats_url)

    async def says() -> bool:
        now = await frame(bus)
        return now is not None and homes(now)["h1"].measured_at == int(old.timestamp() * 1000)

    await eventually(says, "a frame")
