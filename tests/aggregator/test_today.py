"""Today so far: since local midnight, from registers and closed intervals, and the open one's preview."""

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.today import local_midnight, todays
from bus.messages import Today
from tests.aggregator.harness import (
    HOUR,
    MINUTE,
    NOON,
    QUARTER,
    Bench,
    Said,
    community,
    home,
    merged,
    ms,
    said,
    steady,
    ticks,
)

MIDNIGHT = ms("2026-06-15T22:00:00Z")


def _today(bench: Bench) -> tuple[Today, dict[str, Today]]:
    fold = bench.fold
    meters = {name: [(meter.role, meter.track) for meter in own] for name, own in fold.homes.items()}
    return todays(fold.state, fold.community, meters, fold.settlement.interval_ms)


def _sunny(meter: str, since: int, until: int, watts: int, start: int = 0) -> list[Said]:
    return [said(meter, at, 0, start + watts * (at - since) // HOUR) for at in range(since, until, MINUTE)]


def test_the_day_begins_at_the_local_midnight() -> None:
    vienna, india = community("a"), community("a", timezone="Asia/Kolkata")
    assert local_midnight(vienna, NOON) == ms("2026-06-14T22:00:00Z")
    assert local_midnight(india, NOON) == ms("2026-06-14T18:30:00Z")
    assert local_midnight(vienna, ms("2026-10-25T12:00:00Z")) == ms("2026-10-24T22:00:00Z")
    assert local_midnight(vienna, ms("2026-10-25T23:00:00Z")) == ms("2026-10-25T23:00:00Z")


def test_energy_counts_from_midnight_by_role() -> None:
    bench = Bench(community(home("a", "GRID", "PV", "BATTERY"), "b"))
    begin, until = MIDNIGHT - HOUR, MIDNIGHT + 2 * HOUR + MINUTE
    battery = [
        said("a-battery", at, 60 * (at - begin) // HOUR, 120 * (at - begin) // HOUR)
        for at in range(begin, until, MINUTE)
    ]
    streams = [
        steady("a-grid", begin, until, MINUTE, 600),
        _sunny("a-pv", begin, until, 300),
        battery,
        steady("b-grid", begin, until, MINUTE, 60),
    ]
    bench.run(merged(*streams, ticks(begin, until)))
    whole, homes = _today(bench)
    a = homes["a"]
    assert (a.import_wh, a.export_wh, a.produced_wh, a.consumed_wh) == (1200, 0, 600, 1200 + 600 + 240 - 120)
    assert (whole.import_wh, whole.since, whole.status, whole.currency) == (1320, MIDNIGHT, "PROVISIONAL", "EUR")


def test_shared_and_saved_are_those_of_the_closed_intervals_and_the_open_ones_so_far() -> None:
    bench = Bench(community("a", home("sun")))
    begin, until = MIDNIGHT - HOUR, MIDNIGHT + 2 * HOUR + 10 * MINUTE + 1
    bench.run(merged(steady("a-grid", begin, until, MINUTE, 600), _sunny("sun-grid", begin, until, 300)))
    whole, homes = _today(bench)
    shared = 300 * 130 // 60
    assert homes["a"].shared_wh == whole.shared_wh == shared
    saving, credit = Decimal("0.012") * shared, Decimal("0.008") * shared
    assert Decimal(homes["a"].saved) == saving
    assert Decimal(homes["sun"].saved) == credit
    assert Decimal(whole.saved) == saving + credit


def test_virtual_sharing_counts_for_the_community() -> None:
    bench = Bench(community("a", home("sun"), allocation_key="VIRTUAL"))
    begin, until = MIDNIGHT - HOUR, MIDNIGHT + 2 * HOUR + 1
    bench.run(merged(steady("a-grid", begin, until, MINUTE, 600), _sunny("sun-grid", begin, until, 300)))
    whole, homes = _today(bench)
    assert whole.shared_wh == 600
    assert (homes["a"].shared_wh, homes["a"].saved, whole.saved) == (0, "0", "0")


def test_a_revision_takes_the_place_of_the_one_before() -> None:
    bench = Bench(community("a", home("sun")))
    until = MIDNIGHT + 2 * HOUR + 10 * MINUTE
    bench.run(merged(steady("a-grid", MIDNIGHT, until, MINUTE, 600), _sunny("sun-grid", MIDNIGHT, until, 300)))
    before = _today(bench)[1]["a"]
    border = MIDNIGHT + HOUR
    bench.run([said("sun-grid", border, 0, 310, time=until, correction=True), *ticks(until, until + MINUTE)])
    revised = {start for start, revision in bench.revisions.items() if revision}
    assert revised == {border - QUARTER, border}
    assert _today(bench)[1]["a"].shared_wh == before.shared_wh
    rows = [row.allocated_wh for start, row in bench.rows("a").items() if start in revised]
    assert rows == [85, 65]


def test_the_first_day_counts_from_the_first_reading() -> None:
    bench = Bench(community("a")).run(steady("a-grid", NOON, NOON + 2 * HOUR, MINUTE, 600, 10**6))
    assert _today(bench)[1]["a"].import_wh == 600 * 119 // 60
    empty = Bench(community("a")).run(ticks(NOON, NOON + MINUTE))
    assert _today(empty)[0].import_wh == 0


def test_an_older_first_reading_that_comes_late_does_not_move_what_was_counted() -> None:
    """The energy counted from the first reading shifts when an earlier one comes."""
    begin = MIDNIGHT - HOUR
    bench = Bench(community("a", "b"))
    bench.run([said("b-grid", begin - HOUR, 0)])
    readings = steady("a-grid", begin, MIDNIGHT + HOUR + 1, MINUTE, 600, 1000)
    bench.run(merged(readings, steady("b-grid", begin, MIDNIGHT + HOUR, MINUTE, 60)))
    assert _today(bench)[1]["a"].import_wh == 600
    bench.run([said("a-grid", begin - 10 * MINUTE, 900, time=MIDNIGHT + HOUR)])
    assert _today(bench)[1]["a"].import_wh == 600


@given(st.lists(st.integers(0, 300), min_size=60, max_size=200), st.integers(1, 50))
@settings(deadline=None, max_examples=20)
def test_the_day_grows_and_agrees_with_the_closed_rows(steps: list[int], batch: int) -> None:
    bench = Bench(community("a", patience=timedelta(hours=1)), batch=batch)
    shown, wh = [], 0
    for index, step in enumerate(steps):
        wh += step
        bench.run([said("a-grid", MIDNIGHT + index * MINUTE, wh)])
        shown.append(_today(bench)[1]["a"].import_wh)
    assert all(before <= after for before, after in pairwise(shown))
    assert shown[-1] == wh - steps[0]
    assert bench.total("a") <= shown[-1]
