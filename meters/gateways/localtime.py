"""The local time of a P1 telegram, `YYMMDDhhmmss` with S for summer or W for winter, turned into UTC."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_OLDEST: Final = datetime(2010, 1, 1, tzinfo=UTC)
"""Before this no meter had a clock on its P1 port: one that says so has lost its clock."""


class ClockError(ValueError):
    """Raised when a meter's time is no time; the text says what it was."""


def utc_of(text: str, zone: ZoneInfo) -> tuple[datetime, str]:
    """Return the UTC of a local time in `zone`, and what seems wrong with it, else "".

    The flag decides, and not the calendar: in the hour that comes twice nothing else could, and meters that keep
    winter time all year say W all year. Raises ClockError where the digits are no time, or one before 2010.
    """
    digits, flag = text[:12], text[12:]
    if len(digits) < 12 or not (digits.isascii() and digits.isdigit()) or flag not in ("", "S", "W"):
        raise ClockError(f"the time is {text[:20]!r}; expected YYMMDDhhmmss and S or W, as 260131120000W")
    try:
        year, month, day, hour, minute, second = (int(digits[place : place + 2]) for place in range(0, 12, 2))
        local = datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - the zone comes next
    except ValueError:
        raise ClockError(f"the time is {text!r}, which no calendar has: the meter has not set its clock") from None
    if flag:
        winter, summer = _offsets(zone, local.year)
        at = (local - (summer if flag == "S" else winter)).replace(tzinfo=UTC)
        says = "" if at.astimezone(zone).utcoffset() == (summer if flag == "S" else winter) else flag
    else:
        at = local.replace(tzinfo=zone).astimezone(UTC)
        says = ""
    if at < _OLDEST:
        raise ClockError(f"the time is {text!r}, long ago: the meter has lost its clock")
    if not says:
        return at, ""
    season = "summer" if says == "S" else "winter"
    return at, f"the meter says {season} time where {zone.key} has none; it is believed: is the time zone right?"


@lru_cache(maxsize=256)
def _offsets(zone: ZoneInfo, year: int) -> tuple[timedelta, timedelta]:
    """Return the offsets of winter and summer time. Irish law calls winter the exception: the smaller one is winter."""
    found = [datetime(year, month, 1, 12, tzinfo=zone).utcoffset() or timedelta() for month in (1, 7)]
    return min(found), max(found)
