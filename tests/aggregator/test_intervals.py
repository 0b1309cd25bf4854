"""Intervals: what registers say between two borders, whatever way the readings came."""

import json
import time
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.community import Home, Meter
from bus.messages import Interval
from tests.aggregator.harness import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    QUARTER,
    SECOND,
    Bench,
    Said,
    community,
    history,
    home,
    merged,
    ms,
    said,
    steady,
    ticks,
)

DICE = st.integers(0, 2**32).map(Random)


def _walk(
    meter: str, at: int, until: int, dice: Random, *, most: int = 2 * MINUTE, exchanged: bool = False
) -> list[Said]:
    """Return readings at random times with random use, the meter exchanged at some moment if need be."""
    found, imp, exp = [], dice.randrange(10**6), dice.randrange(10**6)
    exchange, epoch = at + dice.randrange(until - at) if exchanged else until, "old"
    while at < until:
        if at >= exchange and epoch == "old":
            epoch, imp, exp = "new", dice.randrange(100), 0
        found.append(said(meter, at, imp, exp, epoch=epoch))
        step = dice.randrange(SECOND, most, SECOND)
        at += step
        used = dice.randrange(0, 20_000 * step // HOUR + 1)
        imp, exp = (imp + used, exp) if dice.random() < 0.7 else (imp, exp + used)
    return found


def _interpolated(readings: list[Said], border: int, field: str) -> int:
    """Return a register at a border, worked out here: linear between its neighbours, rounded down."""
    points = sorted((ms(one["at"]), one[field]) for one in map(_json, readings))
    for (at, value), (next_at, next_value) in pairwise(points):
        if at <= border <= next_at:
            low, high = int(value), int(next_value)
            return low + (high - low) * (border - at) // (next_at - at)
    raise AssertionError("no reading around the border")


def _json(message: Said) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.data)
    return found


# --- the tidy stream and its disturbances ---


@given(DICE, st.integers(1, 40))
@settings(deadline=None, max_examples=30)
def test_split_order_duplication_and_delay_within_grace_give_the_same_rows_at_revision_0(
    dice: Random, batch: int
) -> None:
    one = community(home("a", "GRID", "PV"), "b", grace=timedelta(minutes=5))
    until = NOON + 2 * HOUR
    streams = [
        _walk(meter, NOON + dice.randrange(MINUTE), until, dice, exchanged=dice.random() < 0.3)
        for meter in ("a-grid", "a-pv", "b-grid")
    ]
    end = ticks(until, until + HOUR, MINUTE)
    tidy = Bench(one).run(merged(*streams, ticks(NOON, until, 10 * SECOND), end))
    delayed = []
    for stream in streams:
        for index, message in enumerate(stream):
            late = 0 if index == 0 else dice.choice((0, dice.randrange(4 * MINUTE)))
            delayed.append(message._replace(time=message.time + late))
            if dice.random() < 0.2:
                delayed.append(message._replace(time=message.time + late + dice.randrange(MINUTE)))
    wild = Bench(one, batch=batch).run(merged(delayed, ticks(NOON, until + 4 * MINUTE, 10 * SECOND), end))
    assert len(tidy.intervals) >= 8
    assert wild.intervals == tidy.intervals
    assert set(wild.revisions.values()) == {0}
    assert wild.rejected == tidy.rejected == []


@given(DICE, st.integers(SECOND, 40 * MINUTE))
@settings(deadline=None, max_examples=30)
def test_intervals_add_up_to_the_registers_difference_whatever_the_cadence(dice: Random, cadence: int) -> None:
    one = community("a", patience=timedelta(hours=2))
    begin = NOON + dice.randrange(QUARTER)
    until = begin + max(50 * MINUTE, min(6 * HOUR, 200 * cadence))
    stream = _walk("a-grid", begin, until, dice, most=max(cadence, 2 * SECOND))
    bench = Bench(one).run([*stream, *ticks(until, until + 4 * HOUR, 5 * MINUTE)])
    rows = {start: row for start, row in bench.rows("a").items() if row.quality in ("MEASURED", "SUBSTITUTED")}
    assert rows
    for field in ("import_wh", "export_wh"):
        for start, row in rows.items():
            if start >= begin:
                low = _interpolated(stream, start, field)
                high = _interpolated(stream, start + QUARTER, field)
                assert getattr(row, field) == high - low


def test_homes_with_several_meters_are_summed_by_role() -> None:
    one = community(home("a", "GRID", "GRID", "PV", "BATTERY"), "b")
    streams = [
        steady("a-grid", NOON, NOON + HOUR, MINUTE, 400),
        steady("a-grid2", NOON, NOON + HOUR, MINUTE, 200),
        [said("a-pv", at, 0, 2000 * (at - NOON) // HOUR) for at in range(NOON, NOON + HOUR, MINUTE)],
        [
            said("a-battery", at, 800 * (at - NOON) // HOUR, 40 * (at - NOON) // HOUR)
            for at in range(NOON, NOON + HOUR, MINUTE)
        ],
        steady("b-grid", NOON, NOON + HOUR, MINUTE, 100),
    ]
    row = Bench(one).run(merged(*streams)).rows("a")[NOON]
    assert (row.import_wh, row.export_wh, row.pv_wh, row.charge_wh, row.discharge_wh) == (150, 0, 500, 200, 10)
    assert row.load_wh == 150 - 0 + 500 + 10 - 200
    assert row.quality == "MEASURED"


def test_borders_lie_on_local_hours_where_the_zone_is_half_an_hour_off() -> None:
    one = community("a", timezone="Asia/Kolkata", settlement_interval=timedelta(hours=1))
    bench = Bench(one).run(steady("a-grid", NOON, NOON + 5 * HOUR, MINUTE, 1000))
    starts = [datetime.fromtimestamp(start / 1000, ZoneInfo("Asia/Kolkata")) for start in bench.latest]
    assert len(starts) >= 4
    assert {start.minute for start in starts} == {0}
    assert next(iter(bench.latest.values())).start == "2026-06-15T11:30:00Z"


@pytest.mark.parametrize("restart", [False, True])
def test_borders_follow_the_zone_as_it_is_when_the_community_begins(restart: bool) -> None:
    """Nepal was 5:30 ahead of UTC in 1970 and is 5:45 since 1986."""
    one = community("a", timezone="Asia/Kathmandu", settlement_interval=timedelta(hours=1))
    bench = Bench(one)
    for part in range(4):
        bench.run(steady("a-grid", NOON + part * HOUR, NOON + (part + 1) * HOUR, MINUTE, 1000, part * 1000))
        if restart:
            bench.restore(bench.checkpoint())
        bench.run([said("a-grid", NOON + part * HOUR + 59 * MINUTE + 30 * SECOND, part * 1000 + 991)])
    assert [one.start for one in bench.latest.values()][:2] == ["2026-06-15T11:15:00Z", "2026-06-15T12:15:00Z"]
    assert set(bench.revisions.values()) == {0}


@pytest.mark.parametrize(
    ("day", "quarters"), [("2026-03-28", 96), ("2026-03-29", 92), ("2026-10-24", 96), ("2026-10-25", 100)]
)
def test_a_local_day_has_92_96_or_100_quarters(day: str, quarters: int) -> None:
    zone = ZoneInfo("Europe/Vienna")
    midnight = datetime.fromisoformat(day).replace(tzinfo=zone)
    begin = int(midnight.timestamp() * 1000)
    end = int(datetime.combine(midnight.date() + timedelta(days=1), datetime.min.time(), zone).timestamp() * 1000)
    readings = steady("a-grid", begin - HOUR, end + HOUR, 5 * MINUTE, 1200)
    bench = Bench(community("a")).run(merged(readings, ticks(begin - HOUR, end + HOUR, MINUTE)))
    rows = {start: row for start, row in bench.rows("a").items() if begin <= start < end}
    assert list(rows) == list(range(begin, end, QUARTER))
    assert len(rows) == quarters
    assert {row.import_wh for row in rows.values()} == {300}
    assert len({row.start for row in rows.values()}) == quarters


# --- closing ---


def test_an_interval_closes_when_the_meters_own_time_has_passed_its_end_by_the_grace() -> None:
    bench = Bench(community("a", "b"))
    for at in range(NOON, NOON + QUARTER + 5 * MINUTE, MINUTE):
        bench.run([said("a-grid", at, at // MINUTE), said("b-grid", at, 0)])
        assert bench.intervals == {}
    bench.run([said("a-grid", NOON + 20 * MINUTE, NOON // MINUTE + 20)])
    assert bench.intervals == {}
    bench.run([said("b-grid", NOON + 20 * MINUTE, 0)])
    assert list(bench.intervals) == [(NOON, 0)]


def test_a_silent_home_is_waited_for_until_patience_is_over() -> None:
    bench = Bench(community("a", "b", "never"))
    bench.run([said("b-grid", NOON, 0), said("b-grid", NOON + 4 * MINUTE, 40)])
    readings = steady("a-grid", NOON, NOON + 2 * HOUR, MINUTE, 60)
    for message in readings:
        bench.run([message])
        due = max(0, (message.time - NOON - 30 * MINUTE) // QUARTER)
        if message.time < NOON + 45 * MINUTE:
            assert len(bench.intervals) == due
    # Once it is silent for longer than the patience, nobody waits for it any more.
    assert len(bench.intervals) == 7
    first = bench.rows("b")[NOON]
    assert (first.import_wh, first.quality) == (40, "ESTIMATED")
    assert {row.quality for row in bench.rows("a").values()} == {"MEASURED"}
    assert {row.quality for row in bench.rows("never").values()} == {"MISSING"}


def test_intervals_close_in_order_of_time_and_each_once() -> None:
    bench = Bench(community("a", "b"))
    dice = Random(3)
    bench.run(merged(*(_walk(meter, NOON, NOON + 8 * HOUR, dice) for meter in ("a-grid", "b-grid"))))
    starts = [interval.start for interval in bench.memory.intervals_sent]
    assert starts == sorted(set(starts))
    assert len(starts) >= 30


def test_readings_that_begin_out_of_order_still_find_their_intervals_open() -> None:
    bench = Bench(community("a", "b"))
    bench.run([said("a-grid", NOON + QUARTER + MINUTE, 30, time=NOON + QUARTER + MINUTE)])
    bench.run([said("a-grid", NOON + MINUTE, 0, time=NOON + QUARTER + MINUTE)])
    bench.run(merged(steady("b-grid", NOON + QUARTER + MINUTE, NOON + 2 * HOUR, MINUTE, 60, 16)))
    bench.run([said("a-grid", NOON + 2 * HOUR + 30 * MINUTE, 200)])
    assert (bench.rows("a")[NOON].import_wh, bench.revisions[NOON]) == (28, 0)


# --- gaps ---


def _before_gap(days: int = 0) -> list[Said]:
    """Return readings of 600 W by day and 200 W by night up to NOON."""
    found, wh = [], 0
    for at in range(NOON - days * DAY, NOON + 1, 5 * MINUTE):
        found.append(said("a-grid", at, wh // 12))
        wh += _watts(at)
    return found


def _watts(at: int) -> int:
    return 600 if 6 <= datetime.fromtimestamp(at / 1000, ZoneInfo("Europe/Vienna")).hour < 20 else 200


def _last_wh(messages: list[Said]) -> int:
    value: int = _json(messages[-1]).get("import_wh", 0)
    return value


def test_a_gap_under_two_hours_is_interpolated_and_says_so() -> None:
    bench = Bench(community("a")).run(steady("a-grid", NOON - HOUR, NOON + 1, MINUTE, 600))
    bench.run(ticks(NOON, NOON + 90 * MINUTE, 10 * SECOND))
    bench.run(steady("a-grid", NOON + 90 * MINUTE, NOON + 3 * HOUR, MINUTE, 400, 600 + 300))
    gap = [row for start, row in bench.rows("a").items() if NOON <= start < NOON + 90 * MINUTE]
    assert [row.import_wh for row in gap] == [50] * 6
    assert {row.quality for row in gap} == {"SUBSTITUTED"}
    assert {row.quality for s, row in bench.rows("a").items() if not NOON <= s < NOON + 90 * MINUTE} == {"MEASURED"}


def test_an_interval_closed_before_the_next_reading_is_estimated_and_revised_when_it_comes() -> None:
    past = _before_gap(days=7)
    bench = Bench(community("a")).run(past)
    bench.run(ticks(NOON, NOON + 2 * HOUR))
    estimated = {start: row for start, row in bench.rows("a").items() if start >= NOON}
    assert [row.import_wh for row in estimated.values()] == [150] * 7
    assert {row.quality for row in estimated.values()} == {"ESTIMATED"}
    bench.run(steady("a-grid", NOON + 2 * HOUR, NOON + 3 * HOUR, MINUTE, 600, _last_wh(past) + 400))
    bench.run(ticks(NOON + 3 * HOUR, NOON + 3 * HOUR + MINUTE))
    revised = {start: row for start, row in bench.rows("a").items() if NOON <= start < NOON + 2 * HOUR}
    assert [row.import_wh for row in revised.values()] == [50] * 8
    assert [bench.revisions[start] for start in revised] == [1] * 7 + [0]


@pytest.mark.parametrize("closed_first", [True, False])
def test_a_longer_gap_takes_the_shape_of_comparable_days_and_the_registers_sum(closed_first: bool) -> None:
    past = _before_gap(days=8)
    patience = timedelta(minutes=30) if closed_first else timedelta(days=2)
    bench = Bench(community("a", patience=patience)).run(past)
    back, used = NOON + 14 * HOUR, 5000
    bench.run(ticks(NOON, back, 5 * MINUTE))
    begun = _last_wh(past)
    bench.run(steady("a-grid", back, back + 2 * HOUR, MINUTE, 600, begun + used))
    bench.run(ticks(back + 2 * HOUR, back + 2 * HOUR + MINUTE))
    gap = {start: row for start, row in bench.rows("a").items() if NOON <= start < back}
    assert sum(row.import_wh for row in gap.values()) == used
    assert {row.quality for row in gap.values()} == {"ESTIMATED"}
    weight = sum(_watts(start) for start in gap)
    for start, row in gap.items():
        assert abs(row.import_wh - used * _watts(start) / weight) <= 2
    assert bench.total("a") == sum(_watts(at) for at in range(NOON - 8 * DAY, NOON, 5 * MINUTE)) // 12 + used + (
        600 * (max(bench.latest) + QUARTER - back) // HOUR
    )


def test_a_long_gap_without_comparable_days_is_filled_evenly() -> None:
    bench = Bench(community("a")).run([said("a-grid", NOON, 0)])
    bench.run([*ticks(NOON, NOON + 4 * HOUR), *steady("a-grid", NOON + 4 * HOUR, NOON + 5 * HOUR, MINUTE, 60, 1600)])
    bench.run(ticks(NOON + 5 * HOUR, NOON + 5 * HOUR + MINUTE))
    rows = [row for start, row in bench.rows("a").items() if start < NOON + 4 * HOUR]
    assert [row.import_wh for row in rows] == [100] * 16


def test_a_weekend_takes_its_shape_from_weekends() -> None:
    friday = ms("2026-06-19T22:00:00Z")
    begin = friday - 11 * DAY
    found, wh = [], 0
    for at in range(begin, friday + 1, 15 * MINUTE):
        found.append(said("a-grid", at, wh))
        weekend = datetime.fromtimestamp(at / 1000, ZoneInfo("Europe/Vienna")).weekday() >= 5
        wh += 300 if weekend else 100
    bench = Bench(community("a")).run(found)
    bench.run(ticks(friday, friday + 6 * HOUR, MINUTE))
    estimated = [row.import_wh for start, row in bench.rows("a").items() if start >= friday]
    assert estimated == [300] * 23


def test_a_home_that_begins_later_is_missing_before_and_changes_nothing_there() -> None:
    bench = Bench(community("a", "b"))
    bench.run(
        merged(
            steady("a-grid", NOON, NOON + 3 * HOUR, MINUTE, 60),
            steady("b-grid", NOON + HOUR + MINUTE, NOON + 3 * HOUR, MINUTE, 120),
            ticks(NOON, NOON + 3 * HOUR),
        )
    )
    rows = bench.rows("b")
    assert {row.quality for start, row in rows.items() if start < NOON + HOUR} == {"MISSING"}
    assert (rows[NOON + HOUR].quality, rows[NOON + HOUR].import_wh) == ("ESTIMATED", 28)
    assert {row.quality for start, row in rows.items() if start > NOON + HOUR} == {"MEASURED"}
    assert set(bench.revisions.values()) == {0}


# --- late readings, corrections, finality ---


def _settled(*names: str, **more: Any) -> Bench:
    """Return a community with two settled hours, read every 5 minutes at 600 W."""
    bench = Bench(community(*(names or ("a", "b")), **more))
    streams = [steady(f"{name}-grid", NOON, NOON + 2 * HOUR, 5 * MINUTE, 600) for name in names or ("a", "b")]
    return bench.run(merged(*streams, ticks(NOON, NOON + 2 * HOUR)))


def test_a_late_reading_that_changes_nothing_brings_no_revision() -> None:
    bench = _settled()
    bench.run([said("a-grid", NOON + 32 * MINUTE + 30 * SECOND, 325, time=NOON + 2 * HOUR)])
    bench.run(ticks(NOON + 2 * HOUR, NOON + 2 * HOUR + MINUTE))
    assert set(bench.revisions.values()) == {0}
    assert bench.rejected == []


def test_a_late_reading_next_to_a_border_revises_both_intervals_whole_and_no_other() -> None:
    bench = _settled()
    before = bench.latest
    bench.run([said("a-grid", NOON + 29 * MINUTE, 285, time=NOON + 2 * HOUR)])
    bench.run(ticks(NOON + 2 * HOUR, NOON + 2 * HOUR + MINUTE))
    after = bench.rows("a")
    changed = [start for start, revision in bench.revisions.items() if revision]
    # At 12:30 there is a reading: nothing moves.
    assert changed == []
    bench.run([said("a-grid", NOON + 31 * MINUTE, 340, time=NOON + 2 * HOUR, correction=True)])
    bench.run([said("a-grid", NOON + 30 * MINUTE, 320, time=NOON + 2 * HOUR, correction=True)])
    bench.run(ticks(NOON + 2 * HOUR + MINUTE, NOON + 2 * HOUR + 2 * MINUTE))
    after = bench.rows("a")
    changed = [start for start, revision in bench.revisions.items() if revision]
    assert changed == [NOON + QUARTER, NOON + 2 * QUARTER]
    assert [after[start].import_wh for start in changed] == [170, 130]
    assert [row.home for row in bench.latest[changed[0]].rows] == ["a", "b"]
    assert all(bench.latest[start] == before[start] for start in before if start not in changed)


def test_a_reading_behind_the_last_border_that_comes_late_keeps_both_sides_equal() -> None:
    """Closed by patience: b is silent for long, and a's reading of 12:50:30 comes after the close."""
    bench = Bench(community("a", "b"))
    readings = [said("a-grid", at, 10 * (at - NOON) // MINUTE) for at in range(NOON, NOON + 40 * MINUTE, 5 * MINUTE)]
    readings += [said("a-grid", NOON + 50 * MINUTE, 590), said("a-grid", NOON + 50 * MINUTE + 1, 590)]
    bench.run(merged(readings, [said("b-grid", NOON, 0), said("b-grid", NOON + 40 * MINUTE, 0)]))
    bench.run(ticks(NOON + 50 * MINUTE, NOON + 76 * MINUTE))
    assert NOON + 2 * QUARTER in bench.latest
    bench.run([said("a-grid", NOON + 46 * MINUTE, 460, time=NOON + 77 * MINUTE)])
    bench.run(merged(steady("a-grid", NOON + 80 * MINUTE, NOON + 3 * HOUR, MINUTE, 600, 900)))
    bench.run([said("b-grid", NOON + 3 * HOUR, 0), *ticks(NOON + 3 * HOUR, NOON + 4 * HOUR)])
    rows = {start: row.import_wh for start, row in bench.rows("a").items() if start < NOON + 2 * HOUR}
    assert sum(rows.values()) == 1300
    assert rows[NOON + 2 * QUARTER] == 150


@given(DICE, st.integers(1, 50))
@settings(deadline=None, max_examples=20)
def test_however_late_readings_come_the_last_revisions_say_what_the_tidy_stream_says(dice: Random, batch: int) -> None:
    one = community("a", home("b", "GRID", "PV"))
    until = NOON + 5 * HOUR
    streams = [
        _walk(meter, NOON, until, dice, most=8 * MINUTE, exchanged=dice.random() < 0.3)
        for meter in ("a-grid", "b-grid", "b-pv")
    ]
    end = ticks(until, until + 5 * HOUR, 5 * MINUTE)
    tidy = Bench(one).run(merged(*streams, ticks(NOON, until, MINUTE), end))
    delayed = []
    for stream in streams:
        hold_from, hold_until = sorted(dice.randrange(NOON, until) for _ in range(2))
        for index, message in enumerate(stream):
            arrival = message.time
            if index and hold_from <= arrival <= hold_until:
                arrival = hold_until + dice.randrange(MINUTE)
            elif index and dice.random() < 0.1:
                arrival += dice.randrange(2 * HOUR)
            delayed.append(message._replace(time=arrival))
    wild = Bench(one, batch=batch).run(merged(delayed, ticks(NOON, until + 2 * HOUR, MINUTE), end[24:]))
    assert wild.rejected == []
    assert {start: one.rows for start, one in wild.latest.items()} == {s: one.rows for s, one in tidy.latest.items()}
    _each_revision_follows_the_one_before_and_differs(wild)


def _each_revision_follows_the_one_before_and_differs(bench: Bench) -> None:
    last: dict[str, Interval] = {}
    for interval in bench.memory.intervals_sent:
        before = last.get(interval.start)
        assert interval.revision == (0 if before is None else before.revision + 1)
        if before is not None and interval.status != "FINAL":
            assert interval.rows != before.rows
        last[interval.start] = interval


def test_a_late_home_of_a_sharing_community_changes_what_every_member_gets() -> None:
    bench = Bench(community("a", "b", "sun"))
    sun = [said("sun-grid", at, 0, 600 * (at - NOON) // HOUR) for at in range(NOON, NOON + 2 * HOUR, 5 * MINUTE)]
    late = steady("b-grid", NOON, NOON + 2 * HOUR, 5 * MINUTE, 600)
    punctual = steady("a-grid", NOON, NOON + 2 * HOUR, 5 * MINUTE, 600)
    bench.run(merged(sun, punctual, ticks(NOON, NOON + 2 * HOUR)))
    assert bench.rows("a")[NOON].allocated_wh == 150
    bench.run([message._replace(time=NOON + 2 * HOUR) for message in late])
    bench.run(ticks(NOON + 2 * HOUR, NOON + 2 * HOUR + MINUTE))
    assert (bench.rows("a")[NOON].allocated_wh, bench.rows("b")[NOON].allocated_wh) == (75, 75)
    assert bench.revisions[NOON] == 1


def test_an_interval_becomes_final_once_and_whole_and_then_refuses_readings() -> None:
    bench = _settled(finality=timedelta(hours=3))
    before = bench.latest
    bench.run(ticks(NOON + 2 * HOUR, NOON + 8 * HOUR, MINUTE))
    finals = [interval for interval in bench.memory.intervals_sent if interval.status == "FINAL"]
    assert [one.start for one in finals] == sorted({one.start for one in finals})
    assert {one.start for one in finals} >= {one.start for one in before.values()}
    first = bench.latest[NOON]
    assert (first.status, first.revision, first.rows) == ("FINAL", 1, before[NOON].rows)
    bench.run([said("a-grid", NOON + 31 * MINUTE, 340, time=NOON + 8 * HOUR)])
    bench.run([said("a-grid", NOON + 30 * MINUTE, 320, time=NOON + 8 * HOUR, correction=True)])
    assert bench.reasons == ["interval_final"] * 2
    assert bench.latest[NOON] == first
    assert len(bench.fold.state.settled) <= 12


def test_a_meter_that_comes_back_with_readings_of_final_intervals_is_refused_those() -> None:
    bench = _settled(finality=timedelta(hours=3))
    bench.run(merged(steady("b-grid", NOON + 2 * HOUR, NOON + 8 * HOUR, 5 * MINUTE, 600, 1200), ticks(NOON, NOON)))
    bench.run(ticks(NOON + 8 * HOUR, NOON + 8 * HOUR + MINUTE))
    bench.run([said("a-grid", NOON + 3 * HOUR, 1800, time=NOON + 8 * HOUR)])
    assert bench.reasons == ["interval_final"]
    bench.run([said("a-grid", NOON + 7 * HOUR, 4200, time=NOON + 8 * HOUR)])
    assert bench.reasons == ["interval_final"]


def test_what_is_still_open_takes_readings_however_short_finality_is() -> None:
    one = community("a", "b", finality=timedelta(hours=1), patience=timedelta(hours=3))
    bench = Bench(one).run([said("a-grid", NOON, 0), said("b-grid", NOON, 0)])
    bench.run(merged(steady("b-grid", NOON + MINUTE, NOON + 2 * HOUR, MINUTE, 60, 1), ticks(NOON, NOON + 2 * HOUR)))
    bench.run([said("a-grid", NOON + 10 * MINUTE, 100, time=NOON + 2 * HOUR)])
    bench.run([said("a-grid", NOON + 2 * HOUR, 1200), *ticks(NOON + 2 * HOUR, NOON + 4 * HOUR)])
    assert bench.rejected == []
    assert bench.rows("a")[NOON].import_wh == 150


def test_a_gap_of_two_weeks_is_filled_in_a_moment() -> None:
    past = _before_gap(days=2)
    bench = Bench(community("a")).run(past)
    back = NOON + 14 * DAY
    bench.run(ticks(NOON, back, HOUR))
    begun = time.process_time()
    bench.run([*steady("a-grid", back, back + HOUR, MINUTE, 600, _last_wh(past) + 100_000), Said(back + HOUR)])
    assert time.process_time() - begun < 5
    gap = [row for start, row in bench.rows("a").items() if NOON <= start < back]
    assert sum(row.import_wh for row in gap) == 100_000
    assert len(gap) == 14 * 96


def test_a_reading_that_comes_while_others_are_answered_is_not_forgotten() -> None:
    """The clock of the second late reading closes an interval, which answers the first one: both count."""
    bench = Bench(community("a", "b"))
    bench.run(merged(steady("a-grid", NOON, NOON + HOUR, MINUTE, 60), steady("b-grid", NOON, NOON + HOUR, MINUTE, 60)))
    closed = len(bench.intervals)
    bench.run([said("a-grid", NOON + 15 * MINUTE, 18, time=NOON + 61 * MINUTE, correction=True)])
    bench.run([said("a-grid", NOON + 30 * MINUTE, 33, time=NOON + 91 * MINUTE, correction=True)])
    assert len(bench.latest) > closed
    bench.run(ticks(NOON + 92 * MINUTE, NOON + 93 * MINUTE))
    assert [bench.rows("a")[NOON + k * QUARTER].import_wh for k in range(3)] == [18, 15, 12]


def test_a_correction_of_the_newest_reading_downwards_is_what_counts() -> None:
    bench = Bench(community("a"))
    bench.run(steady("a-grid", NOON, NOON + 14 * MINUTE, MINUTE, 60))
    bench.run([said("a-grid", NOON + 14 * MINUTE, 900)])
    bench.run([said("a-grid", NOON + 14 * MINUTE, 14, correction=True)])
    bench.run([said("a-grid", NOON + 15 * MINUTE, 0, epoch="new")])
    bench.run([said("a-grid", at, (at - NOON) // MINUTE - 15, epoch="new") for at in _minutes(16, 60)])
    assert [row.import_wh for row in bench.rows("a").values()] == [14, 15, 15]


def _minutes(first: int, last: int) -> list[int]:
    return [NOON + minute * MINUTE for minute in range(first, last)]


# --- meter exchange and changes of the registry ---


@pytest.mark.parametrize("order", ["in order", "old readings late"])
def test_a_meter_exchange_loses_no_energy_before_or_after_it(order: str) -> None:
    old = [said("a-grid", at, 5_000_000 + 10 * (at - NOON) // MINUTE, epoch="old") for at in _minutes(0, 38)]
    new = [said("a-grid", at, 7 + 10 * ((at - NOON) // MINUTE - 40), epoch="new") for at in _minutes(40, 90)]
    if order == "old readings late":
        old[-3:] = [message._replace(time=NOON + 41 * MINUTE) for message in old[-3:]]
    bench = Bench(community("a")).run(merged(old, new))
    rows = [row.import_wh for row in bench.rows("a").values()]
    # From the last reading of the old one (12:37) to the first of the new (12:40) nobody measured.
    assert rows == [150, 150, 120, 150, 150]
    assert bench.rejected == []


def test_an_exchange_in_a_closed_interval_is_told_when_its_readings_come_late() -> None:
    bench = Bench(community("a", "b"))
    old = [said("a-grid", at, 500 + 10 * (at - NOON) // MINUTE, epoch="old") for at in _minutes(0, 30)]
    new = [said("a-grid", at, 10 * ((at - NOON) // MINUTE - 30), epoch="new") for at in _minutes(30, 120)]
    late = [message._replace(time=NOON + 2 * HOUR) for message in [*old[20:], *new]]
    other = steady("b-grid", NOON, NOON + 2 * HOUR, MINUTE, 60)
    bench.run(merged(old[:20], other, late, ticks(NOON, NOON + 2 * HOUR + MINUTE)))
    rows = [row.import_wh for start, row in bench.rows("a").items() if start < NOON + HOUR + 30 * MINUTE]
    assert rows == [150, 140, 150, 150, 150, 150]


def test_the_old_meters_last_reading_counts_however_late_and_far_from_a_border_it_comes() -> None:
    bench = Bench(community("a", "b"))
    old = [said("a-grid", at, 500 + 10 * (at - NOON) // MINUTE, epoch="old") for at in _minutes(0, 9)]
    new = [said("a-grid", at, 10 * ((at - NOON) // MINUTE - 9), epoch="new") for at in _minutes(9, 90)]
    late = old.pop()._replace(time=NOON + 90 * MINUTE)
    bench.run(merged(old, new, steady("b-grid", NOON, NOON + 90 * MINUTE, MINUTE, 60)))
    assert bench.rows("a")[NOON].import_wh == 70 + 60
    bench.run([late, *ticks(NOON + 90 * MINUTE, NOON + 91 * MINUTE)])
    assert (bench.rows("a")[NOON].import_wh, bench.revisions[NOON]) == (80 + 60, 1)


def test_a_home_whose_meter_was_replaced_in_the_registry_keeps_what_the_old_one_measured() -> None:
    midnight = ms("2026-06-15T22:00:00Z")
    old = community(home("a"), "b")
    new = community(Home(id="a", meters=(Meter(id="a-new"),)), "b")
    bench = Bench(history(("1970-01-01", old), ("2026-06-16", new)))
    bench.announced = 2
    streams = [
        steady("a-grid", midnight - 2 * HOUR, midnight + 1, MINUTE, 600),
        steady("a-new", midnight, midnight + 2 * HOUR, MINUTE, 600),
        steady("b-grid", midnight - 2 * HOUR, midnight + 2 * HOUR, MINUTE, 60),
        ticks(midnight - 2 * HOUR, midnight + 2 * HOUR),
    ]
    bench.run(merged(*streams))
    rows = bench.rows("a")
    # The old one's last reading came at the very midnight from which it is unknown: a minute is missing.
    assert [row.import_wh for row in rows.values()] == [150] * 7 + [140] + [150] * 7
    assert [start for start, row in rows.items() if row.quality != "MEASURED"] == [midnight - QUARTER]


def test_a_new_version_holds_from_its_midnight_and_runs_closed_intervals_again() -> None:
    day = ms("2026-06-14T22:00:00Z")
    first = community("a", home("sun"), allocation_key="DYNAMIC")
    virtual = community("a", home("sun"), allocation_key="VIRTUAL")
    known = history(("1970-01-01", first), ("2026-06-15", virtual))
    bench = Bench(known)
    streams = [
        steady("a-grid", day - HOUR, day + 3 * HOUR, 5 * MINUTE, 600),
        [
            said("sun-grid", at, 0, 20 * (at - day + HOUR) // HOUR * 10)
            for at in range(day - HOUR, day + 3 * HOUR, 300_000)
        ],
        ticks(day - HOUR, day + 3 * HOUR, MINUTE),
    ]
    bench.run(merged(*streams))
    assert all(row.allocated_wh for row in bench.rows("a").values())
    bench.announced = 2
    bench.run(ticks(day + 3 * HOUR, day + 3 * HOUR + MINUTE))
    for start, row in bench.rows("a").items():
        assert (row.allocated_wh == 0, bench.revisions[start]) == ((True, 1) if start >= day else (False, 0))
        assert bench.latest[start].shared_wh > 0
