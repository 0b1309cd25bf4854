"""Pages and sums against the oracle: any range, resolution and page size, in several time zones."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.history import IntervalsQuestion, Resolution, Totals
from bus.messages import Interval
from history.pages import page
from history.periods import floor, following
from history.totals import Party, total
from tests.history.ledger import DAY, QUARTER, Ledger, chance_interval, expected, interval, ms, ms_of, row

ZONES = ("Europe/Vienna", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "UTC")
RESOLUTIONS: tuple[Resolution, ...] = ("QUARTER_HOUR", "HOUR", "DAY", "WEEK", "MONTH", "YEAR")
BEGIN = ms("2026-09-20T00:00", "UTC")
HOMES = ("ash", "birch", "cedar")
SPAN = 50 * DAY


@cache
def filled(zone: str) -> Ledger:
    """Return tables of 50 days around the changes of the clocks, with gaps of hours and of days."""
    dice = Random(zone)
    starts: list[int] = []
    at = BEGIN
    while at < BEGIN + SPAN:
        starts += range(at, at + dice.randrange(1, 120) * QUARTER, QUARTER)
        at = starts[-1] + QUARTER * dice.choice((1, 1, 1, 2, 40, 400))
    ledger = Ledger(zone=zone)
    for first in range(0, len(starts), 300):
        ledger.write(
            *(
                chance_interval(start, HOMES if start > BEGIN + SPAN // 3 else HOMES[:1], start // QUARTER % 3)
                for start in starts[first : first + 300]
            )
        )
    return ledger


def party(ledger: Ledger, home: str | None) -> Party:
    number = ledger.store.communities["demo"]
    return Party(number, None if home is None else ledger.store.homes[number, home], ZoneInfo(ledger.zone))


def all_pages(
    ledger: Ledger, home: str | None, since: int, until: int, resolution: Resolution, first: int
) -> list[Totals]:
    """Return the periods of a range, page by page."""
    found: list[Totals] = []
    after: int | None = None
    while True:
        question = IntervalsQuestion(
            community="demo", home=home, since=since, until=until, resolution=resolution, first=first, after=after
        )
        one = page(ledger.cursor, party(ledger, home), question)
        found += one.periods
        if not one.has_next:
            return found
        assert len(one.periods) == first
        after = one.periods[-1].start


def periods(
    intervals: Sequence[Interval], home: str | None, since: int, until: int, resolution: Resolution, zone: ZoneInfo
) -> list[Totals]:
    """Return what the oracle says of each period."""
    groups = defaultdict(list)
    for one in intervals:
        if since <= ms_of(one.start) < until:
            groups[floor(ms_of(one.start), resolution, zone)].append(one)
    found = []
    for start, group in sorted(groups.items()):
        end = ms_of(group[0].end) if resolution == "QUARTER_HOUR" else min(until, following(start, resolution, zone))
        shown = max(since, start), end
        found.append(expected(group, home, since, until, shown=shown))
    return [one for one in found if one is not None]


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int]:
    since = BEGIN + draw(st.integers(-5 * 96, 55 * 96)) * QUARTER
    length = draw(st.one_of(st.integers(1, 300), st.integers(1, 60 * 96))) * QUARTER
    odd = draw(st.sampled_from((0, 1, 60_000)))
    return since + odd, since + odd + length


@settings(max_examples=100, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    home=st.sampled_from((None, *HOMES)),
    place=ranges(),
    resolution=st.sampled_from(RESOLUTIONS),
    first=st.sampled_from((1000, 200, 60)),
)
def test_every_period_and_the_sum_of_all_agree_with_the_oracle(
    zone: str, home: str | None, place: tuple[int, int], resolution: Resolution, first: int
) -> None:
    ledger = filled(zone)
    since, until = place
    intervals = list(ledger.newest.values())
    found = all_pages(ledger, home, since, until, resolution, first)
    assert found == periods(intervals, home, since, until, resolution, ZoneInfo(zone))
    whole = total(ledger.cursor, party(ledger, home), since, until)
    assert whole == expected(intervals, home, since, until)
    assert sum(one.import_wh for one in found) == (whole.import_wh if whole else 0)
    assert sum(one.intervals for one in found) == (whole.intervals if whole else 0)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("home", [None, "cedar"])
@pytest.mark.parametrize("first", [1, 2, 7])
def test_small_pages_follow_each_other_without_a_gap(resolution: Resolution, home: str | None, first: int) -> None:
    ledger = filled("Europe/Vienna")
    since, until = BEGIN + 20 * DAY, BEGIN + 23 * DAY + 5 * QUARTER
    if resolution in ("DAY", "WEEK", "MONTH", "YEAR"):
        until = BEGIN + SPAN
    whole = all_pages(ledger, home, since, until, resolution, 1000)
    assert whole
    assert all_pages(ledger, home, since, until, resolution, first) == whole


def test_the_quarters_of_days_on_which_clocks_change_are_counted() -> None:
    ledger = Ledger()
    for day in ("2026-03-28T00:00", "2026-10-24T00:00"):
        start = ms(day)
        ledger.write(*(interval(at, [row("ash", at)]) for at in range(start, start + 3 * DAY, QUARTER)))
    whole = all_pages(ledger, "ash", ms("2026-01-01"), ms("2027-01-01"), "DAY", 100)
    assert [one.intervals for one in whole] == [96, 92, 96, 4, 96, 100, 92]
    hours = all_pages(ledger, None, ms("2026-10-25"), ms("2026-10-26"), "HOUR", 100)
    assert [one.intervals for one in hours] == [4] * 25
    assert [one.intervals for one in all_pages(ledger, None, ms("2026-03-29"), ms("2026-03-30"), "HOUR", 100)] == [
        4
    ] * 23


def test_a_week_begins_on_monday_and_is_cut_at_the_range() -> None:
    ledger = Ledger()
    start = ms("2026-06-01T00:00")  # a Monday
    ledger.write(*(interval(at, [row("ash", at)]) for at in range(start, start + 14 * DAY, QUARTER)))
    found = all_pages(ledger, "ash", ms("2026-06-03"), ms("2026-06-20"), "WEEK", 100)
    assert [(one.start, one.end, one.intervals) for one in found] == [
        (ms("2026-06-03"), ms("2026-06-08"), 5 * 96),
        (ms("2026-06-08"), ms("2026-06-15"), 7 * 96),
    ]


@pytest.mark.parametrize("minutes", [30, 60])
def test_communities_that_settle_by_longer_intervals_have_fewer(minutes: int) -> None:
    length = minutes * 60_000
    ledger = Ledger()
    start = ms("2026-06-01T00:00")
    ledger.write(*(interval(at, [row("ash", at, length)], length=length) for at in range(start, start + DAY, length)))
    found = all_pages(ledger, "ash", start, start + DAY, "QUARTER_HOUR", 10)
    assert [(one.start, one.end) for one in found] == [(at, at + length) for at in range(start, start + DAY, length)]
    assert len(all_pages(ledger, "ash", start, start + DAY, "HOUR", 10)) == 24


def test_intervals_of_a_minute_fill_pages_of_hours_too() -> None:
    ledger = Ledger()
    start = ms("2026-06-01T00:00")
    ledger.write(*(interval(at, [row("ash", at, 60_000)], length=60_000) for at in range(start, start + DAY, 60_000)))
    for home in (None, "ash"):
        found = all_pages(ledger, home, start, start + DAY, "HOUR", 5)
        assert [one.intervals for one in found] == [60] * 24


def test_several_currencies_are_not_added_up() -> None:
    ledger = Ledger()
    start = ms("2026-06-01T00:00")
    ledger.write(*(interval(at, [row("ash", at)]) for at in range(start, start + DAY // 2, QUARTER)))
    ledger.write(
        *(interval(at, [row("ash", at)], currency="CHF") for at in range(start + DAY // 2, start + 2 * DAY, QUARTER))
    )
    for home in (None, "ash"):
        first, second = all_pages(ledger, home, start, start + 2 * DAY, "DAY", 10)
        assert (first.currency, first.saving, first.credit) == (None, None, None)
        assert (second.currency, second.saving) == ("CHF", "115.2")
        whole = total(ledger.cursor, party(ledger, home), start, start + 2 * DAY)
        assert whole is not None
        assert (whole.currency, whole.co2_avoided_g) == (None, str(21 * 192))


def test_a_virtual_key_shares_without_allocating() -> None:
    ledger = Ledger()
    at = ms("2026-06-01T12:00")
    ledger.write(interval(at, [row("ash", at, allocated_wh=0, residual_import_wh=400)], shared_wh=25))
    whole = total(ledger.cursor, party(ledger, None), at, at + DAY)
    alone = total(ledger.cursor, party(ledger, "ash"), at, at + DAY)
    assert whole is not None
    assert alone is not None
    assert (whole.shared_wh, whole.allocated_wh, alone.shared_wh) == (25, 0, 0)
    assert whole.self_sufficiency == (430 - 400 + 25) / 430
    assert alone.self_sufficiency == (430 - 400) / 430
    assert whole.self_consumption == (60 - 30 + 25) / 60


def test_ratios_without_a_denominator_are_none_and_others_between_0_and_1() -> None:
    ledger = Ledger()
    at = ms("2026-06-01T12:00")
    ledger.write(interval(at, [row("ash", at, load_wh=0, pv_wh=0), row("birch", at, load_wh=100, pv_wh=10)]))
    alone = total(ledger.cursor, party(ledger, "ash"), at, at + DAY)
    other = total(ledger.cursor, party(ledger, "birch"), at, at + DAY)
    assert alone is not None
    assert other is not None
    assert (alone.self_sufficiency, alone.self_consumption) == (None, None)
    assert (other.self_sufficiency, other.self_consumption) == (0.0, 0.0)
