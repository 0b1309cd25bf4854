"""Chance is a function of seed and names."""

from hypothesis import given, settings
from hypothesis import strategies as st

from meters.chance import Noise, dice


@given(st.integers(), st.text(max_size=20))
@settings(deadline=None)
def test_the_same_seed_and_name_draw_the_same(seed: int, name: str) -> None:
    assert dice(seed, name).random() == dice(seed, name).random()


def test_other_seeds_and_other_names_draw_otherwise() -> None:
    draws = {dice(seed, *names).random() for seed in (1, 2) for names in (("a", "b"), ("ab",), ("b", "a"), ())}
    assert len(draws) == 8


@given(st.integers(0, 2**32), st.floats(-1e9, 1e10))
@settings(deadline=None)
def test_noise_stays_between_0_and_1_and_moves_without_jumps(seed: int, time_s: float) -> None:
    noise = Noise(60.0, seed, "cloud")
    here, soon = noise.at(time_s), noise.at(time_s + 0.1)
    assert 0 <= here <= 1
    assert abs(soon - here) <= 1.5 * 0.1 / 60 + 1e-6
    assert noise.at(time_s) == here


def test_noise_is_half_on_average_and_uses_its_range() -> None:
    values = [Noise(10.0, 1, "n").at(second) for second in range(20_000)]
    assert 0.47 < sum(values) / len(values) < 0.53
    assert min(values) < 0.05
    assert max(values) > 0.95
