"""Meters as they are heard: by what READINGS and REJECTED hold, and the community's own patience."""

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bus.client import Bus, Message
from bus.community import Home, Meter
from bus.messages import Rejected, encode
from resolvers.live import Live
from resolvers.meters import Meters
from tests.resolvers.frames import community, community_state

HOME = Home(
    id="home-1",
    meters=(Meter(id="grid"), Meter(id="pv", role="PV"), Meter(id="battery", role="BATTERY"), Meter(id="spare")),
)
DEMO = community("demo", homes=("home-2",))
DEMO = DEMO.model_copy(update={"homes": (HOME, *DEMO.homes)})
REPLAYED = DEMO.model_copy(update={"clock": "event"})
QUARTER_S = 900


class Clock:
    """A clock that can be ahead of NATS's."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + int(self.ahead_s * 1000)


class Figures:
    """The live state of a community whose newest reading is of one time."""

    def __init__(self) -> None:
        self.at_ms: int | None = None

    async def community(self, _: str) -> Any:
        return None if self.at_ms is None else community_state(measured_at=self.at_ms)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def figures() -> Figures:
    return Figures()


@pytest.fixture
def meters(bus: Bus, clock: Clock, figures: Figures) -> Meters:
    return Meters(bus, cast(Live, figures), now_ms=clock)


Send = Callable[..., Awaitable[int]]


@pytest.fixture
def send(bus: Bus) -> Send:
    async def send(meter: str, at: datetime | None = None) -> int:
        """Store a reading; return its sequence."""
        reading = {"at": (at or datetime.now(UTC)).isoformat(), "import_wh": 1, "export_wh": 0}
        return await bus.publish(Message(f"readings.demo.{meter}", json.dumps(reading).encode()))

    return send


async def refuse(bus: Bus, meter: str, sequence: int) -> None:
    """Refuse a reading."""
    message = Rejected(
        reason="future", detail="", subject=f"readings.demo.{meter}", sequence=sequence, received_at=77, payload="{}"
    )
    await bus.publish(Message(f"rejected.demo.{meter}", encode(message)))


async def conditions(meters: Meters, of: Any = DEMO) -> dict[str, str]:
    return {heard.meter.id: heard.condition for heard in await meters.look(of)}


async def test_each_meter_of_a_home_has_its_own_condition(bus: Bus, meters: Meters, send: Send) -> None:
    await send("grid")
    await send("home-2-grid")
    await refuse(bus, "pv", await send("pv"))
    await refuse(bus, "battery", await send("battery"))
    await send("battery")
    found = await meters.look(DEMO)
    assert [(one.home.id, one.meter.id, one.condition, one.refused_ms) for one in found] == [
        ("home-1", "grid", "HEARD", None),
        ("home-1", "pv", "REFUSED", 77),
        ("home-1", "battery", "HEARD", 77),
        ("home-1", "spare", "NEVER", None),
        ("home-2", "home-2-grid", "HEARD", None),
    ]
    stored = await bus.last("READINGS", "readings.demo.grid")
    assert stored is not None
    assert [one.heard_ms is None for one in found] == [False, False, False, True, False]
    assert found[0].heard_ms == stored.time_ms


async def test_a_meter_is_silent_after_the_patience_of_its_community_and_three_gaps(
    meters: Meters, send: Send, clock: Clock
) -> None:
    for _ in range(3):
        await send("grid")
    await send("pv")  # heard once: its gap is taken to be 10 minutes
    clock.ahead_s = QUARTER_S - 30
    assert (await conditions(meters))["grid"] == "HEARD"
    clock.ahead_s = QUARTER_S + 30
    assert await conditions(meters) | {"home-2-grid": ""} == {
        "grid": "SILENT",
        "pv": "HEARD",
        "battery": "NEVER",
        "spare": "NEVER",
        "home-2-grid": "",
    }
    clock.ahead_s = 2 * QUARTER_S + 30
    assert (await conditions(meters))["pv"] == "SILENT"


async def test_in_a_replay_time_is_that_of_the_readings(meters: Meters, send: Send, figures: Figures) -> None:
    begin = datetime(2026, 5, 1, tzinfo=UTC)
    for number in range(4):
        await send("grid", begin + timedelta(minutes=15 * number))
    last_ms = int((begin + timedelta(minutes=45)).timestamp() * 1000)
    figures.at_ms = last_ms + 40 * 60_000
    heard = (await meters.look(REPLAYED))[0]
    assert (heard.condition, heard.heard_ms) == ("HEARD", last_ms)  # it comes every quarter of an hour
    figures.at_ms = last_ms + 46 * 60_000
    assert (await conditions(meters, REPLAYED))["grid"] == "SILENT"


async def test_a_meter_of_which_more_is_refused_than_is_told_at_once_is_refused(
    bus: Bus, meters: Meters, send: Send
) -> None:
    await send("grid")
    await refuse(bus, "pv", await send("pv"))
    stored = await bus.last("READINGS", "readings.demo.pv")
    assert stored is not None
    for meter, number in (("grid", 29), ("pv", 30)):
        told = Rejected(
            reason="future", detail="", subject="", sequence=1, received_at=stored.time_ms - 9, payload="{}"
        )
        await bus.publish_batch([Message(f"rejected.demo.{meter}", encode(told))] * number)
        await send(meter)
    assert [heard.condition for heard in await meters.look(DEMO)][:2] == ["HEARD", "REFUSED"]


async def test_what_is_no_reading_was_heard_when_it_came(bus: Bus, meters: Meters, figures: Figures) -> None:
    await bus.publish(Message("readings.demo.grid", b"nonsense"))
    stored = await bus.last("READINGS", "readings.demo.grid")
    assert stored is not None
    heard = (await meters.look(REPLAYED))[0]
    assert (heard.heard_ms, heard.condition) == (stored.time_ms, "REFUSED")


async def test_a_thousand_homes_are_looked_at_in_a_moment(bus: Bus, meters: Meters) -> None:
    many = community("demo", homes=tuple(f"home-{number}" for number in range(1000)))
    names = [f"readings.demo.{home.meters[0].id}" for home in many.homes]
    reading = json.dumps({"at": datetime.now(UTC).isoformat(), "import_wh": 1, "export_wh": 0}).encode()
    for start in (0, 500):
        await bus.publish_batch([Message(name, reading) for name in names[start : start + 500]])
    began = time.monotonic()
    found = await meters.look(many)
    assert len(found) == 1000
    assert {heard.condition for heard in found} == {"HEARD"}
    assert time.monotonic() - began < 5
