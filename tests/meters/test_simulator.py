"""The simulator publishes at its pace, goes on where its meters stood, and refuses what cannot work."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from bus.client import Bus, Message
from bus.community import Community
from bus.reading import Reading, parse
from bus.registry import Registry, apply, load_history
from meters.demo import simulated_community
from meters.errors import OptionError
from meters.simulator import SimulationOptions, registered, run_simulation
from meters.sun import Place
from tests.meters.passing import Passing
from tests.meters.recording import held

NOON = datetime(2026, 6, 21, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def _run(bus: Bus, options: SimulationOptions, passing: Passing | None = None) -> Passing:
    passing = passing or Passing(NOON.timestamp())
    async with asyncio.timeout(60):
        await run_simulation(bus, options, wall=passing.clock, monotonic=passing.clock, sleep=passing.sleep)
    return passing


def _ahead(meters: dict[str, list[Reading]]) -> None:
    """Time and registers of every meter only rise."""
    for readings in meters.values():
        for before, after in pairwise(readings):
            assert after.at > before.at
            assert after.import_wh >= before.import_wh
            assert after.export_wh >= before.export_wh


async def test_it_registers_the_community_and_publishes_for_the_duration(bus: Bus) -> None:
    passing = await _run(bus, SimulationOptions(homes=4, duration=2 * MINUTE))
    history = await load_history(bus, "demo")
    assert history is not None
    assert history.latest.community == simulated_community(4, 1)
    meters = await held(bus, "demo")
    _ahead(meters)
    times = [reading.at for readings in meters.values() for reading in readings]
    assert min(times) > NOON
    assert NOON + 2 * MINUTE - timedelta(seconds=5) < max(times) <= NOON + 2 * MINUTE
    assert max(len(readings) for readings in meters.values()) == 24, "one each five seconds"
    assert passing.now_s == pytest.approx((NOON + 2 * MINUTE).timestamp(), abs=5)


async def test_each_reading_goes_out_when_its_time_has_come(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    passing = Passing(NOON.timestamp())
    publish_batch, late_ms = bus.publish_batch, []

    async def note(messages: Sequence[Message], *, timeout: float = 10.0) -> int:
        for message in messages:
            at_ms = parse(message.data).at_ms
            late_ms.append(passing.now_s * 1000 - at_ms)
        return await publish_batch(messages, timeout=timeout)

    monkeypatch.setattr(bus, "publish_batch", note)
    await _run(bus, SimulationOptions(homes=3, duration=MINUTE), passing)
    assert len(late_ms) > 40
    assert 0 <= min(late_ms) <= max(late_ms) < 50


@pytest.mark.parametrize(("speed", "wall_s"), [(60, 10), (0, 0)])
async def test_faster_than_life_the_meters_time_runs_ahead_of_the_clock(bus: Bus, speed: float, wall_s: float) -> None:
    passing = await _run(bus, SimulationOptions(homes=3, rate=1 / 30, speed=speed, duration=10 * MINUTE))
    assert passing.now_s - NOON.timestamp() == pytest.approx(wall_s, abs=1)
    meters = await held(bus, "demo")
    _ahead(meters)
    assert max(readings[-1].at for readings in meters.values()) > NOON + 9 * MINUTE
    registry = Registry()
    await registry.load(bus)
    assert registry.communities["demo"].latest.community.clock == "event"


@pytest.mark.parametrize("speed", [0, 1, 600])
async def test_started_again_every_meter_goes_on_where_it_stood(bus: Bus, speed: float) -> None:
    options = SimulationOptions(homes=4, rate=1 / 10, speed=speed, duration=5 * MINUTE)
    passing = await _run(bus, options)
    passing.now_s += 3600
    await _run(bus, options, passing)
    meters = await held(bus, "demo")
    _ahead(meters)
    assert max(len(readings) for readings in meters.values()) == 60


async def test_the_same_seed_and_start_store_the_same_readings(bus: Bus) -> None:
    async def run() -> dict[str, list[Reading]]:
        await _run(bus, SimulationOptions(homes=3, rate=0.1, speed=0, start=NOON, duration=10 * MINUTE))
        return await held(bus, "demo")

    first = await run()
    await run()
    both = await held(bus, "demo")
    assert {meter: readings[: len(first[meter])] for meter, readings in both.items()} == first


async def test_junk_on_a_meters_subject_does_not_set_its_registers_back(bus: Bus) -> None:
    options = SimulationOptions(homes=2, duration=MINUTE)
    passing = await _run(bus, options)
    meters = await held(bus, "demo")
    future = Reading(at=NOON + timedelta(days=9), import_wh=7, export_wh=7)
    await bus.publish(Message("readings.demo.home-01-grid", future.to_bytes()))
    await _run(bus, options, passing)
    again = await held(bus, "demo")
    own = [reading for reading in again["home-01-grid"] if reading != future]
    assert len(own) >= 20
    _ahead({"home-01-grid": own})
    assert meters["home-01-grid"] == own[: len(meters["home-01-grid"])]


async def test_a_short_stall_is_caught_up_and_leaves_no_gap(bus: Bus) -> None:
    passing = Passing(NOON.timestamp())
    passing.leap_s = 60
    await _run(bus, SimulationOptions(homes=2, duration=3 * MINUTE), passing)
    longest = max(after.at - before.at for r in (await held(bus, "demo")).values() for before, after in pairwise(r))
    assert longest == timedelta(seconds=5)


async def test_after_a_long_absence_the_meters_go_on_from_now(bus: Bus) -> None:
    passing = Passing(NOON.timestamp())
    passing.leap_s = 3600
    await _run(bus, SimulationOptions(homes=2, duration=timedelta(minutes=62)), passing)
    meters = await held(bus, "demo")
    _ahead(meters)
    assert min(readings[0].at for readings in meters.values()) > NOON + timedelta(hours=1)


async def test_a_community_of_ones_own_is_simulated_as_it_is_registered(bus: Bus) -> None:
    mine = simulated_community(5, 9, "mine")
    await apply(bus, mine, now=NOON)
    await _run(bus, SimulationOptions(community="mine", duration=MINUTE))
    assert set(await held(bus, "mine")) == set(mine.home_of_meter)


async def test_several_communities_go_on_together_and_one_that_only_has_such_a_name_is_left_alone(bus: Bus) -> None:
    mine = simulated_community(5, 9, "mine").model_copy(update={"id": "demo-3"})
    await apply(bus, mine, now=NOON)
    for homes in (1001, None):
        found = await registered(bus, SimulationOptions(homes=homes), now=NOON)
        assert [(one.id, len(one.homes)) for one in found] == [("demo", 501), ("demo-2", 500)]
    told = found[1].model_dump(mode="json", exclude_defaults=True)
    told["homes"][0]["meters"].append({"id": "added", "role": "PV"})
    await apply(bus, Community.model_validate(told), now=NOON)
    assert "added" in (await registered(bus, SimulationOptions(), now=NOON))[1].home_of_meter


async def test_cancelling_ends_it_at_once_and_what_was_acknowledged_stays(bus: Bus) -> None:
    running = asyncio.create_task(run_simulation(bus, SimulationOptions(homes=3, rate=10)))
    reader = bus.read("READINGS", ["readings.demo.*"])
    assert await reader.next_batch(10.0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 2)
    _ahead(await held(bus, "demo"))


async def test_another_number_of_homes_than_registered_is_refused(bus: Bus) -> None:
    await _run(bus, SimulationOptions(homes=2, duration=MINUTE))
    with pytest.raises(OptionError, match="'demo' is registered with 2 homes, not 3: leave --homes out"):
        await _run(bus, SimulationOptions(homes=3, duration=MINUTE))
    await _run(bus, SimulationOptions(duration=MINUTE))


async def test_speed_on_a_community_of_the_wall_clock_is_refused(bus: Bus) -> None:
    await _run(bus, SimulationOptions(homes=2, duration=MINUTE))
    with pytest.raises(OptionError, match="'demo' goes by the wall clock; at speed 60"):
        await _run(bus, SimulationOptions(speed=60, duration=MINUTE))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"homes": 0}, "homes is 0; expected 1 or more"),
        ({"rate": 0.0}, r"rate is 0 readings per second and meter; expected 0\.00028"),
        ({"rate": 100.0}, "rate is 100 .* more homes"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"speed": -1.0}, r"speed is -1; expected 1 \(real time\), more, or 0"),
        ({"speed": float("inf")}, "speed is inf"),
        ({"start": datetime(2026, 1, 1)}, "start is 2026-01-01T00:00:00, without an offset"),
        ({"duration": timedelta(0)}, "duration is 0:00:00; expected more than 0"),
        ({"community": "My Demo"}, "'My Demo' is not an identifier"),
        ({"place": Place(91, 0)}, r"latitude of -90\.\.90"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimulationOptions(**options)  # type: ignore[arg-type]  # one option at a time
