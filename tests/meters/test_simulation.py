"""Simulated meters: the same for a seed, registers that only rise and agree with power, energy that balances."""

import hashlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.community import Community, Home, Meter
from bus.reading import Reading
from bus.readings import Outgoing
from meters.demo import simulated_community
from meters.simulation import Simulation
from meters.sun import VIENNA, sun_at

SUMMER = datetime(2026, 6, 21, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

_starts = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))
_steps = st.sampled_from([timedelta(seconds=5), timedelta(seconds=30), MINUTE, 15 * MINUTE])


def _until(simulation: Simulation, end: datetime) -> list[Outgoing]:
    return [one for readings in simulation.readings(end.timestamp() * 1000) for one in readings]


def _by_meter(outgoing: Iterable[Outgoing]) -> dict[str, list[Reading]]:
    found: dict[str, list[Reading]] = defaultdict(list)
    for one in outgoing:
        found[one.meter].append(one.reading)
    return dict(found)


def _digest(seed: int) -> str:
    simulation = Simulation(simulated_community(6, seed), seed, SUMMER, MINUTE)
    payloads = [one.reading.to_bytes() for readings in islice(simulation.readings(), 400) for one in readings]
    return hashlib.sha256(b"".join(payloads)).hexdigest()


def test_the_same_seed_and_start_give_the_same_bytes() -> None:
    assert _digest(1) == _digest(1)
    assert _digest(1) != _digest(2)


def test_another_process_gives_the_same_bytes() -> None:
    script = "from tests.meters.test_simulation import _digest; print(_digest(1))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == _digest(1)


@given(st.integers(0, 10**6), _starts, _steps)
@settings(deadline=None, max_examples=25)
def test_registers_only_rise_and_agree_with_power(seed: int, start: datetime, step: timedelta) -> None:
    simulation = Simulation(simulated_community(3, seed), seed, start, step)
    for readings in _by_meter(_until(simulation, start + 40 * step)).values():
        for before, after in pairwise(readings):
            assert after.at > before.at
            gap = after.at - before.at
            assert gap % step == timedelta(0)
            imported, exported = after.import_wh - before.import_wh, after.export_wh - before.export_wh
            assert imported >= 0
            assert exported >= 0
            assert after.power_import_w is not None
            assert after.power_export_w is not None
            if gap == step:
                hours = step / timedelta(hours=1)
                assert abs(imported - after.power_import_w * hours) <= 1 + 0.05 * hours
                assert abs(exported - after.power_export_w * hours) <= 1 + 0.05 * hours


@given(st.integers(0, 10**6), _starts, _steps)
@settings(deadline=None, max_examples=25)
def test_what_comes_into_a_home_is_what_it_uses(seed: int, start: datetime, step: timedelta) -> None:
    community = simulated_community(3, seed)
    simulation = Simulation(community, seed, start, step)
    for together in simulation.readings((start + 20 * step).timestamp() * 1000):
        load_w = 0.0
        for one in together:
            sign = 1 if one.meter.endswith("-grid") else -1
            load_w += sign * ((one.reading.power_import_w or 0) - (one.reading.power_export_w or 0))
        heard = {one.meter for one in together}
        if any(heard == {meter.id for meter in home.meters} for home in community.homes):
            assert load_w > 10, "something is always on"


def test_homes_take_turns_evenly_spread_over_the_step() -> None:
    step = timedelta(seconds=10)
    simulation = Simulation(simulated_community(5, 1), 1, SUMMER, step)
    times = [readings[0].reading.at for readings in islice(simulation.readings(), 20) if readings]
    assert times[0] > SUMMER
    assert {after - before for before, after in pairwise(times)} == {timedelta(seconds=2)}


def test_the_meters_of_a_home_are_read_at_the_same_moment() -> None:
    simulation = Simulation(simulated_community(6, 1), 1, SUMMER, MINUTE)
    for readings in islice(simulation.readings(), 60):
        assert len({one.reading.at for one in readings}) <= 1
        assert len({one.meter.rsplit("-", 1)[0] for one in readings}) <= 1


def test_pv_gives_nothing_at_night_and_something_on_a_summer_day() -> None:
    simulation = Simulation(simulated_community(9, 1), 1, SUMMER.replace(hour=0), 10 * MINUTE)
    meters = _by_meter(_until(simulation, SUMMER.replace(hour=23)))
    for readings in (found for meter, found in meters.items() if meter.endswith("-pv")):
        for reading in readings:
            assert reading.power_import_w == 0
            up = [sun_at((reading.at - part).timestamp(), VIENNA).elevation > 0 for part in (timedelta(0), 10 * MINUTE)]
            if not any(up):
                assert reading.power_export_w == 0
        assert 3_000 < readings[-1].export_wh - readings[0].export_wh < 90_000


def test_a_battery_shows_its_charge_and_only_it_does() -> None:
    simulation = Simulation(simulated_community(6, 1), 1, SUMMER, 10 * MINUTE)
    meters = _by_meter(_until(simulation, SUMMER + timedelta(hours=14)))
    batteries = [readings for meter, readings in meters.items() if meter.endswith("-battery")]
    assert batteries
    for readings in batteries:
        charge = [reading.state_of_charge for reading in readings]
        assert all(value is not None and 0.05 <= value <= 1 for value in charge)
        assert len(set(charge)) > 5
    others = [r for meter, found in meters.items() if not meter.endswith("-battery") for r in found]
    assert {reading.state_of_charge for reading in others} == {None}


def test_meters_fall_silent_for_minutes_and_come_back_with_their_registers_right() -> None:
    community = simulated_community(5, 1)
    simulation = Simulation(community, 1, SUMMER, MINUTE)
    meters = _by_meter(_until(simulation, SUMMER + timedelta(days=2)))
    assert set(meters) == set(community.home_of_meter)
    gaps = [
        (before, after)
        for readings in meters.values()
        for before, after in pairwise(readings)
        if after.at - before.at > MINUTE
    ]
    assert 2 <= len(gaps) <= 40
    for before, after in gaps:
        assert 2 * MINUTE <= after.at - before.at <= 16 * MINUTE
        assert after.import_wh >= before.import_wh
    grid = [(b, a) for b, a in gaps if a.power_import_w and b.power_import_w]
    assert any(after.import_wh > before.import_wh for before, after in grid), "energy flowed while they were silent"


@given(st.integers(0, 1000), st.integers(1, 180), st.integers(0, 600))
@settings(deadline=None, max_examples=15)
def test_started_again_no_register_falls_and_time_goes_on(seed: int, ran_min: int, away_min: int) -> None:
    community = simulated_community(4, seed)
    ran = _until(Simulation(community, seed, SUMMER, MINUTE), SUMMER + ran_min * MINUTE)
    last = {meter: readings[-1] for meter, readings in _by_meter(ran).items()}
    again = Simulation(community, seed, SUMMER + (ran_min + away_min) * MINUTE, MINUTE, stored=last)
    for meter, readings in _by_meter(_until(again, SUMMER + (ran_min + away_min + 5) * MINUTE)).items():
        for before, after in pairwise([last[meter], *readings] if meter in last else readings):
            assert after.at > before.at
            assert after.import_wh >= before.import_wh
            assert after.export_wh >= before.export_wh


def test_what_flowed_while_the_process_was_away_is_in_the_registers() -> None:
    community, end = simulated_community(6, 3), SUMMER + timedelta(hours=9)
    whole = _by_meter(_until(Simulation(community, 3, SUMMER, MINUTE), end))
    ran = _by_meter(_until(Simulation(community, 3, SUMMER, MINUTE), SUMMER + timedelta(hours=1)))
    last = {meter: readings[-1] for meter, readings in ran.items()}
    again = _by_meter(_until(Simulation(community, 3, end - 2 * MINUTE, MINUTE, stored=last), end))
    for meter, readings in again.items():
        same = next(reading for reading in reversed(whole[meter]) if reading.at == readings[-1].at)
        if meter.endswith("-pv"):
            flowed = same.export_wh - last[meter].export_wh
            assert abs(readings[-1].export_wh - same.export_wh) <= 0.03 * flowed + 2
        if community.home_of_meter[meter][0].meters[-1].role == "GRID":
            assert abs(readings[-1].import_wh - same.import_wh) <= 1, "a home without PV nets nothing"


def test_a_start_before_what_is_stored_goes_on_from_there() -> None:
    community = simulated_community(2, 1)
    ran = _by_meter(_until(Simulation(community, 1, SUMMER, MINUTE), SUMMER + timedelta(hours=1)))
    last = {meter: readings[-1] for meter, readings in ran.items()}
    again = Simulation(community, 1, SUMMER - timedelta(days=3), MINUTE, stored=last)
    first = next(iter(again.readings()))
    assert first[0].reading.at > max(reading.at for reading in last.values())


def test_stored_readings_of_meters_that_are_gone_do_not_matter() -> None:
    far = Reading(at=SUMMER + timedelta(days=900), import_wh=1, export_wh=1)
    simulation = Simulation(simulated_community(2, 1), 1, SUMMER, MINUTE, stored={"home-99-grid": far})
    assert next(iter(simulation.readings()))[0].reading.at < SUMMER + MINUTE * 2


def test_what_is_skipped_is_in_the_registers_too() -> None:
    community = simulated_community(3, 1)
    straight = _by_meter(_until(Simulation(community, 1, SUMMER, MINUTE), SUMMER + timedelta(hours=2)))
    skipping = Simulation(community, 1, SUMMER, MINUTE)
    first = _until(skipping, SUMMER + 10 * MINUTE)
    skipping.skip_to(int((SUMMER + timedelta(minutes=110)).timestamp() * 1000))
    rest = _by_meter(_until(skipping, SUMMER + timedelta(hours=2)))
    assert len(first) > 0
    for meter, readings in rest.items():
        assert readings[0].at > SUMMER + timedelta(minutes=110)
        assert readings[-1].import_wh == pytest.approx(straight[meter][-1].import_wh, abs=20)


def test_several_meters_of_a_role_share_its_flow() -> None:
    demo = simulated_community(1, 1)
    roofs = (Meter(id="grid"), Meter(id="east", role="PV"), Meter(id="west", role="PV"))
    community = Community.model_validate(
        {**demo.model_dump(), "homes": [Home(id="home-01", meters=roofs)], "members": []}
    )
    meters = _by_meter(_until(Simulation(community, 1, SUMMER, MINUTE), SUMMER + timedelta(hours=1)))
    assert [r.power_export_w for r in meters["east"]][:20] == [r.power_export_w for r in meters["west"]][:20]
    assert max(r.power_export_w or 0 for r in meters["east"]) > 100


def test_in_winter_the_community_takes_and_in_summer_it_gives() -> None:
    def surplus_wh(start: datetime) -> int:
        simulation = Simulation(simulated_community(20, 1), 1, start, 15 * MINUTE)
        meters = _by_meter(_until(simulation, start + timedelta(days=1)))
        grid = [readings for meter, readings in meters.items() if meter.endswith("-grid")]
        return sum(r[-1].export_wh - r[0].export_wh - r[-1].import_wh + r[0].import_wh for r in grid)

    assert surplus_wh(datetime(2026, 6, 20, 22, tzinfo=UTC)) > 20_000
    assert surplus_wh(datetime(2026, 12, 20, 23, tzinfo=UTC)) < -100_000
