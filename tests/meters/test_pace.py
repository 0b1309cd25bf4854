"""Time passes as fast as it is told to."""

from math import inf

import pytest

from meters.pace import Pace
from tests.meters.passing import Passing


@pytest.mark.parametrize(("speed", "expected_s"), [(1, 60), (60, 1), (3600, 1 / 60), (0.5, 120)])
async def test_a_minute_takes_as_long_as_the_speed_says(speed: float, expected_s: float) -> None:
    passing = Passing(now_s=1000)
    pace = Pace(5_000_000, speed, clock=passing.clock, sleep=passing.sleep)
    await pace.until(5_060_000)
    assert expected_s - 1e-6 <= passing.now_s - 1000 <= expected_s + 0.001
    assert pace.now_ms >= 5_060_000


async def test_what_is_past_is_not_waited_for_but_others_may_run() -> None:
    passing = Passing()
    pace = Pace(5_000_000, 1, clock=passing.clock, sleep=passing.sleep)
    await pace.until(4_000_000)
    assert passing.slept == [0]


async def test_a_sleep_that_ends_early_is_followed_by_another() -> None:
    passing = Passing()

    async def doze(seconds: float) -> None:
        await passing.sleep(seconds * 0.75)

    pace = Pace(0, 1, clock=passing.clock, sleep=doze)
    await pace.until(8_000)
    assert passing.now_s >= 8 - 1e-6
    assert len(passing.slept) > 2


async def test_as_fast_as_possible_never_waits() -> None:
    passing = Passing()
    pace = Pace(0, 0, clock=passing.clock, sleep=passing.sleep)
    await pace.until(10**15)
    assert passing.now_s == 0
    assert pace.now_ms == inf
