"""Periods of local time against zoneinfo's own arithmetic: changes of the clocks, skipped and repeated midnights."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.history import Resolution
from history.periods import DAY_MS, HOUR_MS, floor, following, midnight, period_before, starts, year_before

QUARTER = 900_000
ZONES = (
    "Europe/Vienna",
    "America/New_York",
    "Australia/Lord_Howe",  # clocks change by half an hour
    "Asia/Kathmandu",  # 5:45 ahead
    "America/Sao_Paulo",  # midnight skipped, and repeated
    "America/Havana",
    "America/St_Johns",  # clocks went back at 00:01, over midnight
    "Africa/Cairo",
    "Asia/Beirut",
    "Pacific/Apia",  # a day left out
    "Antarctica/Troll",  # by two hours
    "UTC",
)
PERIODS: tuple[Resolution, ...] = ("HOUR", "DAY", "WEEK", "MONTH", "YEAR")
RESOLUTIONS: tuple[Resolution, ...] = ("QUARTER_HOUR", *PERIODS)


@cache
def changes(zone: ZoneInfo) -> tuple[int, ...]:
    """Return the days in which a zone's clocks change, as their starts in UTC."""
    offsets = [(day, local(day, zone).utcoffset()) for day in range(10_957 * DAY_MS, 25_000 * DAY_MS, DAY_MS)]
    return tuple(day for (day, one), (_, other) in pairwise(offsets) if one != other) or (10_957 * DAY_MS,)


zones = st.sampled_from(ZONES).map(ZoneInfo)
moments = st.integers(0, 4_000_000_000_000 // QUARTER).map(lambda quarter: quarter * QUARTER)


@st.composite
def moments_in_zones(draw: st.DrawFn) -> tuple[int, ZoneInfo]:
    """Any quarter, one out of two within a day or two of a change of the clocks."""
    zone = draw(zones)
    if draw(st.booleans()):
        return draw(st.sampled_from(changes(zone))) + draw(st.integers(-96, 192)) * QUARTER, zone
    return draw(moments), zone


def ms(local: str, zone: str = "Europe/Vienna", fold: int = 0) -> int:
    return int(datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def local(at: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at / 1000, zone)


def days_of(month: str, zone: str) -> list[int]:
    """Return how many quarters the days of a month have."""
    first = date.fromisoformat(f"{month}-01")
    until = midnight((first + timedelta(days=31)).replace(day=1), ZoneInfo(zone))
    days = [*starts(midnight(first, ZoneInfo(zone)), until, "DAY", ZoneInfo(zone)), until]
    return [(end - start) // QUARTER for start, end in pairwise(days)]


@pytest.mark.parametrize(
    ("month", "zone", "odd"),
    [
        ("2026-03", "Europe/Vienna", {29: 92}),
        ("2026-10", "Europe/Vienna", {25: 100}),
        ("2026-03", "America/New_York", {8: 92}),
        ("2026-11", "America/New_York", {1: 100}),
        ("2026-10", "Australia/Lord_Howe", {4: 94}),
        ("2026-04", "Australia/Lord_Howe", {5: 98}),
        ("2018-11", "America/Sao_Paulo", {4: 92}),
        ("2018-02", "America/Sao_Paulo", {17: 100}),
        ("2026-07", "Asia/Kathmandu", {}),
        ("2026-03", "Antarctica/Troll", {29: 88}),
    ],
)
def test_days_have_96_quarters_but_where_clocks_change(month: str, zone: str, odd: dict[int, int]) -> None:
    lengths = days_of(month, zone)
    assert {day: length for day, length in enumerate(lengths, 1) if length != 96} == odd


def test_a_day_that_a_zone_left_out_is_none() -> None:
    assert days_of("2011-12", "Pacific/Apia") == [96] * 30


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    vienna = ZoneInfo("Europe/Vienna")
    found = list(starts(ms("2026-10-25T01:00"), ms("2026-10-25T04:00"), "HOUR", vienna))
    assert [local(at, vienna).strftime("%H:%M%z") for at in found] == [
        "01:00+0200",
        "02:00+0200",
        "02:00+0100",
        "03:00+0100",
    ]


def test_where_clocks_change_by_half_an_hour_an_hour_is_half_as_long() -> None:
    howe = ZoneInfo("Australia/Lord_Howe")
    found = list(starts(ms("2026-10-04T01:00", howe.key), ms("2026-10-04T05:00", howe.key), "HOUR", howe))
    assert [local(at, howe).strftime("%H:%M%z") for at in found] == [
        "01:00+1030",
        "02:30+1100",
        "03:00+1100",
        "04:00+1100",
    ]


def test_weeks_begin_on_monday_and_years_in_january() -> None:
    vienna = ZoneInfo("Europe/Vienna")
    at = ms("2027-01-01T12:00")
    assert floor(at, "WEEK", vienna) == ms("2026-12-28T00:00")
    assert following(at, "WEEK", vienna) == ms("2027-01-04T00:00")
    assert (floor(at, "MONTH", vienna), following(at, "MONTH", vienna)) == (ms("2027-01-01"), ms("2027-02-01"))
    assert (floor(at, "YEAR", vienna), following(at, "YEAR", vienna)) == (ms("2027-01-01"), ms("2028-01-01"))


@given(place=moments_in_zones(), resolution=st.sampled_from(RESOLUTIONS))
def test_every_moment_lies_in_one_period(place: tuple[int, ZoneInfo], resolution: Resolution) -> None:
    at, zone = place
    start = floor(at, resolution, zone)
    end = following(start, resolution, zone)
    assert start <= at < end
    assert floor(start, resolution, zone) == start
    assert floor(end, resolution, zone) == end
    assert floor(end - 1, resolution, zone) == (start if resolution != "QUARTER_HOUR" else end - 1)
    assert following(at, resolution, zone) == (end if resolution != "QUARTER_HOUR" else at + 1)


@given(place=moments_in_zones())
def test_an_hour_is_what_has_the_same_hour_and_offset_on_the_clock(place: tuple[int, ZoneInfo]) -> None:
    at, zone = place

    def clock(one: int) -> tuple[object, ...]:
        shown = local(one, zone)
        return shown.date(), shown.hour, shown.utcoffset()

    start, end = floor(at, "HOUR", zone), following(at, "HOUR", zone)
    assert {clock(one) for one in range(start, end, QUARTER)} == {clock(at)}
    assert clock(start - 1) != clock(at) != clock(end)


@given(place=moments_in_zones(), resolution=st.sampled_from(PERIODS[1:]))
def test_a_longer_period_begins_when_its_first_local_date_does(
    place: tuple[int, ZoneInfo], resolution: Resolution
) -> None:
    at, zone = place
    start = floor(at, resolution, zone)
    first = local(start, zone).date()
    assert local(start - 1, zone).date() < first
    begins = {
        "DAY": True,
        "WEEK": first.weekday() == 0,
        "MONTH": first.day == 1,
        "YEAR": (first.month, first.day) == (1, 1),
    }
    assert begins[resolution] or zone.key == "Pacific/Apia"
    assert following(start, resolution, zone) > start + (DAY_MS * 9 // 10 if resolution == "DAY" else 6 * DAY_MS)


@given(place=moments_in_zones(), days=st.integers(1, 40))
def test_days_follow_each_other_without_a_gap(place: tuple[int, ZoneInfo], days: int) -> None:
    at, zone = place
    found = list(starts(at, at + days * DAY_MS, "DAY", zone))
    assert found[0] <= at
    assert all(following(one, "DAY", zone) == other for one, other in pairwise(found))
    assert following(found[-1], "DAY", zone) >= at + days * DAY_MS


@given(zone=zones, day=st.dates(date(1975, 1, 1), date(2090, 1, 1)))
def test_midnight_is_the_first_instant_of_a_date(zone: ZoneInfo, day: date) -> None:
    at = midnight(day, zone)
    assert local(at, zone).date() >= day
    assert local(at - 1, zone).date() < day
    if local(at, zone).date() == day and local(at, zone).hour == 0:
        assert datetime.fromtimestamp(at / 1000, UTC) == datetime(day.year, day.month, day.day, tzinfo=zone)


@pytest.mark.parametrize(
    ("since", "until", "before"),
    [
        ("2026-03-01", "2026-04-01", ("2026-02-01", "2026-03-01")),
        ("2026-01-01", "2026-04-01", ("2025-10-01", "2026-01-01")),
        ("2026-01-01", "2027-01-01", ("2025-01-01", "2026-01-01")),
        ("2026-03-30", "2026-04-06", ("2026-03-23", "2026-03-30")),
        ("2026-03-29T06:00", "2026-03-29T12:00", ("2026-03-28T23:00", "2026-03-29T06:00")),
    ],
)
def test_the_period_before_is_as_many_months_or_days_or_as_much_time(
    since: str, until: str, before: tuple[str, str]
) -> None:
    found = period_before(ms(since), ms(until), ZoneInfo("Europe/Vienna"))
    if "T" in since:
        assert found == (ms(since) - 6 * HOUR_MS, ms(since))
    else:
        assert found == (ms(before[0]), ms(before[1]))


@pytest.mark.parametrize(
    ("since", "until", "before"),
    [
        ("2026-03-01", "2026-04-01", ("2025-03-01", "2025-04-01")),
        ("2026-06-01T10:15", "2026-06-01T11:00", ("2025-06-01T10:15", "2025-06-01T11:00")),
        ("2028-02-29", "2028-03-01", ("2027-02-28", "2027-03-01")),
        ("2028-02-28", "2028-02-29", ("2027-02-28", "2027-03-01")),
        ("2028-01-01", "2029-01-01", ("2027-01-01", "2028-01-01")),
    ],
)
def test_a_year_before_are_the_same_dates(since: str, until: str, before: tuple[str, str]) -> None:
    assert year_before(ms(since), ms(until), ZoneInfo("Europe/Vienna")) == (ms(before[0]), ms(before[1]))


@given(place=moments_in_zones(), length=st.integers(1, 400 * 96))
def test_what_is_compared_with_is_never_empty_and_lies_before(place: tuple[int, ZoneInfo], length: int) -> None:
    at, zone = place
    since, until = at + 2 * 366 * DAY_MS, at + 2 * 366 * DAY_MS + length * QUARTER
    for first, last in (period_before(since, until, zone), year_before(since, until, zone)):
        assert first < last
        assert first < since
        assert last < until
