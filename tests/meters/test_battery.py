"""A battery keeps its limits, and gives back less than it took."""

from hypothesis import given, settings
from hypothesis import strategies as st

from meters.battery import Battery

_steps = st.lists(st.tuples(st.floats(-20_000, 20_000), st.floats(1 / 3600, 1)), max_size=60)


@given(_steps, st.floats(0.05, 1), st.sampled_from([5_120, 10_240]), st.sampled_from([2_500, 5_000]))
@settings(deadline=None)
def test_it_keeps_its_limits_and_loses_what_its_efficiency_says(
    steps: list[tuple[float, float]], level: float, capacity_wh: float, power_w: float
) -> None:
    battery = Battery(capacity_wh, power_w, level=level)
    charged_wh = discharged_wh = 0.0
    for surplus_w, hours in steps:
        flow = battery.exchange(surplus_w, hours)
        assert 0 <= flow.charge_w <= max(0.0, min(surplus_w, power_w)) + 1e-9
        assert 0 <= flow.discharge_w <= max(0.0, min(-surplus_w, power_w)) + 1e-9
        assert battery.reserve - 1e-9 <= battery.level <= 1
        charged_wh += flow.charge_w * hours
        discharged_wh += flow.discharge_w * hours
    one_way = 0.92**0.5
    held_wh = (battery.level - level) * capacity_wh
    assert abs(charged_wh * one_way - discharged_wh / one_way - held_wh) < 1e-6 * max(1.0, charged_wh + discharged_wh)


def test_a_full_cycle_gives_back_the_round_trip() -> None:
    battery = Battery(10_000, 5_000, level=0.05)
    charged = sum(battery.exchange(5_000, 0.1).charge_w * 0.1 for _ in range(50))
    discharged = sum(battery.exchange(-5_000, 0.1).discharge_w * 0.1 for _ in range(50))
    assert round(discharged / charged, 3) == 0.92
    assert round(battery.level, 6) == 0.05


def test_a_full_one_takes_nothing_and_an_empty_one_gives_nothing() -> None:
    assert Battery(5_000, 2_500, level=1.0).exchange(4_000, 0.5) == (0, 0)
    assert Battery(5_000, 2_500, level=0.05).exchange(-4_000, 0.5) == (0, 0)
