"""A household's load is made of appliances: exact, always there, and the same however it is asked for."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from meters.household import Household
from meters.sun import VIENNA
from meters.weather import Weather

ZONE = ZoneInfo("Europe/Vienna")
START = int(datetime(2026, 3, 27, 11, tzinfo=UTC).timestamp() * 1000)
HOUR = 3_600_000
DAY = 24 * HOUR

_moments = st.lists(st.integers(START, START + 4 * DAY), min_size=3, max_size=8).map(sorted)


def _household(seed: int = 1, name: str = "demo/home-01") -> Household:
    return Household(seed, name, ZONE, VIENNA, Weather(seed, VIENNA.latitude))


@given(_moments)
@settings(deadline=None, max_examples=40)
def test_energies_of_parts_add_up_exactly_over_midnights_and_the_change_of_clocks(moments: list[int]) -> None:
    household = _household()
    parts = [household.energy_wms(a, b) for a, b in pairwise(moments)]
    assert sum(parts) == household.energy_wms(moments[0], moments[-1])
    assert all(part >= 0 for part in parts)


@given(st.lists(st.integers(0, 6 * 24), min_size=1, max_size=5))
@settings(deadline=None, max_examples=15)
def test_it_does_not_matter_in_which_order_one_asks(hours: list[int]) -> None:
    asked = _household()
    for hour in hours:
        at = START + hour * HOUR
        assert asked.energy_wms(at, at + HOUR) == _household().energy_wms(at, at + HOUR)


def test_something_always_draws_power_and_nothing_draws_too_much() -> None:
    for number in range(8):
        household = _household(name=f"demo/home-{number}")
        for minute in range(3 * 24 * 60):
            at = START + minute * 60_000
            power_w = household.energy_wms(at, at + 60_000) / 60_000
            assert 10 < power_w < 40_000


def test_on_the_day_with_25_hours_the_last_one_is_a_night_like_others() -> None:
    household = _household()
    midnight = int(datetime(2026, 10, 25, 22, tzinfo=UTC).timestamp() * 1000) + DAY - HOUR
    night_wh = household.energy_wms(midnight, midnight + HOUR) / HOUR
    assert 20 < night_wh < 3_000


def test_a_day_is_no_mean_profile() -> None:
    household = _household(name="demo/home-05")
    powers = [household.energy_wms(START + s * 1000, START + (s + 5) * 1000) / 5000 for s in range(0, 86_400, 5)]
    mean = sum(powers) / len(powers)
    leaps = sum(abs(b - a) > 1000 for a, b in pairwise(powers))
    assert max(powers) > 4 * mean
    assert leaps > 20, "kettles and thermostats switch at once"


def test_homes_differ_in_what_they_use_and_when() -> None:
    homes = [_household(name=f"home-{number}") for number in range(30)]
    days = [[home.energy_wms(START + d * DAY, START + (d + 1) * DAY) / HOUR / 1000 for d in range(3)] for home in homes]
    kwh = sorted(sum(day) / 3 for day in days)
    assert kwh[0] > 2
    assert kwh[-1] > 3 * kwh[0]
    assert 5 < sum(kwh) / len(kwh) < 30
    assert all(len(set(day)) == 3 for day in days)
