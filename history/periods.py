"""Periods of local time: hours, days, weeks, months and years, with their borders in UTC. Pure arithmetic.

Times are ms since 1970 UTC. A day begins at the first instant of its local midnight, or where that
is skipped, at the instant of the skip; a day that a zone left out altogether is none. An hour is a
full hour of the local clock; where clocks change, one ends and another begins.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bus.history import Resolution

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_SECOND_MS: Final = 1000
_ONE_DAY: Final = timedelta(days=1)
_LEAP_DAY: Final = (2, 29)


def floor(at: int, resolution: Resolution, zone: ZoneInfo) -> int:
    """Return the start of the period that `at` lies in."""
    if resolution == "QUARTER_HOUR":
        return at
    if resolution == "HOUR":
        return _hour(at, zone)
    day = _first_day(_local(at, zone).date(), resolution)
    start = midnight(day, zone)
    while start > at:  # the local date came before its midnight
        day = _first_day(day - _ONE_DAY, resolution)
        start = midnight(day, zone)
    while (end := following(start, resolution, zone)) <= at:  # clocks went back over midnight, and it came twice
        start = end
    return start


def following(start: int, resolution: Resolution, zone: ZoneInfo) -> int:
    """Return the start of the period after the one that `start` lies in."""
    if resolution == "QUARTER_HOUR":
        return start + 1
    if resolution == "HOUR":
        offset = _offset_ms(start, zone)
        end = start + HOUR_MS - (start + offset) % HOUR_MS
        return _change(start, end, zone) or end
    day = _local(start, zone).date()
    end = start
    while end <= start:
        day = _next_day(_first_day(day, resolution), resolution)
        end = midnight(day, zone)
    return end


def starts(since: int, until: int, resolution: Resolution, zone: ZoneInfo) -> Iterator[int]:
    """Yield the starts of the periods that have a part from `since` to `until`, in order."""
    start = floor(since, resolution, zone)
    while start < until:
        yield start
        start = following(start, resolution, zone)


def midnight(day: date, zone: ZoneInfo) -> int:
    """Return the instant at which a local day begins."""
    return _instant(datetime.combine(day, time()), zone)


def period_before(since: int, until: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the period before one: as many months or days where it is made of whole ones, else as much time."""
    if floor(since, "DAY", zone) != since or floor(until, "DAY", zone) != until:
        return since - (until - since), since
    first, last = _local(since, zone).date(), _local(until, zone).date()
    if first.day == last.day == 1:
        months = (last.year - first.year) * 12 + last.month - first.month
        month = first.year * 12 + first.month - 1 - months
        before = date(month // 12, month % 12 + 1, 1)
    else:
        before = first - (last - first)
    return midnight(before, zone), since


def year_before(since: int, until: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the same local dates and times a year before; a 29 February begins as the 28th and ends as 1 March."""
    first, last = (_local(one, zone).replace(tzinfo=None) for one in (since, until))
    if (first.month, first.day) == _LEAP_DAY:
        first -= _ONE_DAY
    if (last.month, last.day) == _LEAP_DAY:
        last += _ONE_DAY
    return _instant(first.replace(year=first.year - 1), zone), _instant(last.replace(year=last.year - 1), zone)


def _first_day(day: date, resolution: Resolution) -> date:
    match resolution:
        case "WEEK":
            return day - timedelta(days=day.weekday())
        case "MONTH":
            return day.replace(day=1)
        case "YEAR":
            return day.replace(month=1, day=1)
        case _:
            return day


def _next_day(first: date, resolution: Resolution) -> date:
    match resolution:
        case "WEEK":
            return first + timedelta(days=7)
        case "MONTH":
            return (first + timedelta(days=31)).replace(day=1)
        case "YEAR":
            return first.replace(year=first.year + 1)
        case _:
            return first + _ONE_DAY


def _hour(at: int, zone: ZoneInfo) -> int:
    offset = _offset_ms(at, zone)
    start = at - (at + offset) % HOUR_MS
    return _change(start, at, zone) or start


def _change(low: int, high: int, zone: ZoneInfo) -> int | None:
    """Return the instant after `low`, at most `high`, from which another offset holds; None: there is none.

    There is one change at most: low and high are an hour apart, or less.
    """
    before = _offset_ms(low, zone)
    if _offset_ms(high, zone) == before:
        return None
    while high - low > _SECOND_MS:
        middle = low + (high - low) // (2 * _SECOND_MS) * _SECOND_MS
        if middle == low:
            middle += _SECOND_MS
        if _offset_ms(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high - high % _SECOND_MS


def _instant(local: datetime, zone: ZoneInfo) -> int:
    return int(local.replace(tzinfo=zone).astimezone(UTC).timestamp()) * _SECOND_MS


def _local(at: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at // _SECOND_MS, zone)


def _offset_ms(at: int, zone: ZoneInfo) -> int:
    offset = _local(at, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) * _SECOND_MS
