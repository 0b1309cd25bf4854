"""Plausibility: what real meters say wrongly is held, quarantined or refused, and the energy is right afterwards."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.plausibility import TOLERANCE_WH
from bus.reading import REASONS, parse
from tests.aggregator.harness import HOUR, MINUTE, NOON, SECOND, Bench, Said, community, home, said, ticks

START = 5_000_000
PER_MINUTE = 10


def _shows(wh: Sequence[int], *, since: int = 0, meter: str = "a-grid") -> list[Said]:
    """Return a reading a minute with these registers."""
    return [said(meter, NOON + (since + index) * MINUTE, one) for index, one in enumerate(wh)]


def _true(first: int, last: int) -> list[int]:
    """Return what a right meter shows from one minute to another: 600 W."""
    return [START + PER_MINUTE * minute for minute in range(first, last)]


def _fold(shown: Sequence[int]) -> Bench:
    """Return a fold that has taken a reading a minute, then ticks until all is closed."""
    until = NOON + len(shown) * MINUTE
    return Bench(community("a")).run([*_shows(shown), *ticks(until, until + HOUR)])


def _energy(bench: Bench) -> list[int]:
    return [row.import_wh for row in bench.rows("a").values()]


def test_a_duplicate_is_ignored() -> None:
    shown = _true(0, 60)
    doubled = [one for message in _shows(shown) for one in (message, message)]
    bench = Bench(community("a")).run(doubled)
    assert _energy(bench) == [150, 150, 150]
    assert bench.rejected == []


def test_the_same_time_with_another_value_is_refused_unless_marked_as_a_correction() -> None:
    bench = Bench(community("a")).run(_shows(_true(0, 31)))
    bench.run([said("a-grid", NOON + 30 * MINUTE, START + 333)])
    assert bench.reasons == ["conflict"]
    assert str(START + 333) in bench.rejected[0].detail
    bench.run([said("a-grid", NOON + 30 * MINUTE, START + 310, correction=True)])
    bench.run(_shows(_true(32, 70), since=32))
    assert _energy(bench)[:3] == [150, 160, 140]
    assert bench.reasons == ["conflict"]


@pytest.mark.parametrize("fall", [1, 40, TOLERANCE_WH])
def test_a_small_fall_is_held(fall: int) -> None:
    shown = _true(0, 60)
    shown[14] -= fall
    shown[15] -= fall
    bench = _fold(shown)
    # Held at what minute 13 said, and interpolated from there only if it fell below that.
    at_15 = max(shown[15], shown[13])
    assert _energy(bench)[:2] == [at_15 - START, START + 300 - at_15]
    assert bench.rejected == []


@given(st.permutations(range(6)), st.lists(st.integers(0, 90), min_size=6, max_size=6))
@settings(deadline=None, max_examples=60)
def test_small_falls_are_held_alike_in_any_order(order: list[int], falls: list[int]) -> None:
    shown = _true(0, 50)
    for index, fall in enumerate(falls):
        shown[12 + index] -= fall
    messages = _shows(shown)
    tidy = Bench(community("a")).run(messages)
    wild = [*messages[:12], *(messages[12 + index] for index in order), *messages[18:]]
    for index in range(12, 18):
        wild[index] = wild[index]._replace(time=NOON + 17 * MINUTE)
    bench = Bench(community("a")).run(wild)
    assert bench.rejected == []
    assert bench.intervals == tidy.intervals


def test_a_larger_fall_waits_for_a_second_reading_and_is_refused_whole_where_it_contradicts() -> None:
    shown = _true(0, 60)
    shown[20] -= 5000
    bench = Bench(community("a")).run(_shows(shown[:21]))
    assert bench.rejected == []
    bench.run(_shows(shown[21:], since=21))
    (refused,) = bench.rejected
    assert refused.reason == "register_fell"
    assert parse(refused.payload.encode()).import_wh == shown[20]
    assert (refused.sequence, refused.received_at) == (21, NOON + 20 * MINUTE)
    assert refused.subject == "readings.test.a-grid"
    assert _energy(bench) == [150, 150, 150]


@pytest.mark.parametrize("export", [False, True])
def test_a_sample_of_zero_is_refused(export: bool) -> None:
    shown = [(one, 800) for one in _true(0, 60)]
    shown[30] = (shown[30][0], 0) if export else (0, 800)
    messages = [said("a-grid", NOON + index * MINUTE, *pair) for index, pair in enumerate(shown)]
    bench = Bench(community("a")).run(messages)
    assert bench.reasons == ["register_fell"]
    assert _energy(bench) == [150, 150, 150]
    assert {row.export_wh for row in bench.rows("a").values()} == {0}
    assert {row.quality for row in bench.rows("a").values()} == {"MEASURED"}


def test_a_leap_beyond_the_connection_is_refused() -> None:
    shown = _true(0, 60)
    shown[30] += 10_000
    bench = _fold(shown)
    assert bench.reasons == ["register_leapt"]
    assert "more than the connection can carry" in bench.rejected[0].detail
    assert _energy(bench)[:3] == [150, 150, 150]


def test_a_leap_is_believed_where_the_connection_can_carry_it() -> None:
    shown = _true(0, 30) + [one + 10_000 for one in _true(30, 60)]
    large = home("a").model_copy(
        update={"meters": (home("a").meters[0].model_copy(update={"connection_w": 1_000_000}),)}
    )
    bench = Bench(community(large)).run(_shows(shown))
    assert bench.rejected == []
    assert sum(_energy(bench)) == 450 + 10_000


def test_a_fall_that_a_second_reading_agrees_with_is_counted_on_from_there() -> None:
    """A reset without a new epoch: what lies between the last good and the first new reading is not known."""
    shown = _true(0, 30) + [PER_MINUTE * minute for minute in range(30)]
    bench = _fold(shown)
    assert bench.rejected == []
    assert _energy(bench)[:4] == [150, 140, 150, 140]


@pytest.mark.parametrize("zeros", [1, 2, 3, 10])
@pytest.mark.parametrize("at", [14, 15, 16, 20])
def test_zeros_at_boot_lose_no_energy_and_invent_none(zeros: int, at: int) -> None:
    shown = _true(0, 60)
    shown[at : at + zeros] = [0] * zeros
    bench = _fold(shown)
    assert sum(_energy(bench)[:3]) == 450
    assert _energy(bench)[2] == 150
    assert bench.reasons == (["register_fell"] if zeros == 1 else [])


def test_zeros_at_boot_many_times_do_not_wear_a_meter_out() -> None:
    shown = _true(0, 24 * 60)
    for index in range(10, 1400, 7):
        shown[index : index + 2] = [0, 0]
    bench = _fold(shown)
    assert bench.rejected == []
    rows = [row.import_wh for row in bench.rows("a").values()][:96]
    assert sum(rows[:95]) == 95 * 150
    assert len(bench.fold.state.tracks["a-grid"].epochs) <= 16


def test_kwh_sent_as_wh_for_a_while_and_back_again_ends_with_the_right_sum() -> None:
    shown = [START + 50 * minute for minute in range(8 * 60)]  # 3 kW
    shown[60:300] = [one // 1000 for one in shown[60:300]]
    bench = _fold(shown)
    assert bench.rejected == []
    rows = _energy(bench)
    assert sum(rows[:31]) == 31 * 15 * 50
    assert rows[:3] == [750] * 3
    assert rows[21:31] == [750] * 10


def test_nonsense_that_never_agrees_with_itself_is_refused_reading_by_reading() -> None:
    shown = _true(0, 60)
    shown[20:24] = [0, 10**9, 77, 10**8]
    bench = _fold(shown)
    assert bench.reasons == ["register_fell", "register_leapt", "register_fell", "register_leapt"]
    assert _energy(bench)[:3] == [150] * 3


def test_yesterdays_total_after_midnight_is_refused() -> None:
    shown = _true(0, 60)
    shown[31] = START - 9_000
    bench = _fold(shown)
    assert bench.reasons == ["register_fell"]
    assert _energy(bench)[:3] == [150] * 3


def test_a_suspect_that_comes_twice_does_not_agree_with_itself() -> None:
    messages = _shows(_true(0, 60))
    zero = said("a-grid", NOON + 30 * MINUTE, 0)
    bench = Bench(community("a")).run([*messages[:30], zero, zero, *messages[31:]])
    assert bench.reasons == ["register_fell"]
    assert _energy(bench) == [150] * 3


def test_a_reading_from_before_a_suspect_does_not_refute_it() -> None:
    reset = [said("a-grid", NOON + minute * MINUTE, PER_MINUTE * (minute - 30)) for minute in range(30, 60)]
    before = _shows(_true(0, 30))
    late = before.pop(29)._replace(time=NOON + 30 * MINUTE)
    bench = Bench(community("a")).run([*before, reset[0], late, *reset[1:]])
    assert bench.rejected == []
    assert _energy(bench) == [150, 140, 150]


@pytest.mark.parametrize("wrong", [0, START + 50_000, START - 3000])
def test_an_implausible_reading_that_comes_late_is_refused_by_its_neighbours(wrong: int) -> None:
    """Hours in between would let any register pass, were it only compared with the newest reading."""
    messages = _shows(_true(0, 31)) + _shows(_true(31, 200), since=31)
    late = said("a-grid", NOON + 30 * MINUTE + SECOND, wrong, time=NOON + 34 * MINUTE)
    bench = Bench(community("a")).run([*messages[:35], late, *messages[35:]])
    assert bench.reasons == ["register_fell" if wrong < START else "register_leapt"]
    assert set(_energy(bench)) == {150}


def test_an_older_reading_of_an_unknown_epoch_is_refused() -> None:
    bench = Bench(community("a")).run(_shows(_true(0, 31)))
    bench.run([said("a-grid", NOON + 10 * MINUTE, 5, epoch="other")])
    assert bench.reasons == ["unknown_epoch"]


def test_a_meter_that_swaps_its_epoch_with_every_reading_is_bounded() -> None:
    messages = [said("a-grid", NOON + n * SECOND, n, epoch=str(n)) for n in range(2000)]
    bench = Bench(community("a")).run(messages)
    assert len(bench.fold.state.tracks["a-grid"].epochs) <= 64
    assert len(bench.checkpoint()[0]) < 10_000


def test_what_is_no_reading_of_this_community_is_refused_with_its_reason() -> None:
    bench = Bench(community("a"))
    bench.run([said("a-grid", NOON, 0), said("b-grid", NOON, 0), Said(NOON, "a-grid", b'{"at": 5')])
    bench.run([said("a-grid", NOON + 5 * MINUTE + 1, 0, time=NOON)])
    assert bench.reasons == ["unknown_meter", "malformed_json", "future"]
    assert bench.rejected[1].payload == '{"at": 5'
    assert set(bench.reasons) <= set(REASONS)


def test_the_skew_of_each_meters_clock_is_measured() -> None:
    bench = Bench(community("a", "b"))
    for minute in range(60):
        at = NOON + minute * MINUTE
        bench.run([said("a-grid", at - 20 * SECOND, minute, time=at), said("b-grid", at + SECOND, minute, time=at)])
    tracks = bench.fold.state.tracks
    assert tracks["a-grid"].skew_ms == pytest.approx(20_000, abs=100)
    assert tracks["b-grid"].skew_ms == pytest.approx(-1_000, abs=100)


@given(st.integers(0, 2**32), st.integers(1, 30))
@settings(deadline=None, max_examples=60)
def test_single_wrong_samples_leave_no_trace_in_the_energy(seed: int, batch: int) -> None:
    dice = Random(seed)
    shown, wh = [], START
    for _ in range(120):
        shown.append(wh)
        wh += dice.randrange(0, 200)
    right = Bench(community("a")).run(_shows(shown))
    wrong = list(shown)
    for index in range(5, 110, 5):
        if dice.random() < 0.5:
            wrong[index] = dice.choice((0, shown[index] // 1000, shown[index] * 1000, shown[index] - 5000))
    bench = Bench(community("a"), batch=batch).run(_shows(wrong))
    faults = sum(one != other for one, other in zip(shown, wrong, strict=True))
    assert len(bench.rejected) == faults
    touched = {index // 15 for index in range(120) if wrong[index] != shown[index] and index % 15 == 0}
    touched |= {quarter - 1 for quarter in touched}
    for quarter, (one, other) in enumerate(zip(_energy(right), _energy(bench), strict=True)):
        assert one == other or quarter in touched
    assert abs(sum(_energy(right)) - sum(_energy(bench))) <= 400
