"""Messages of the stream, checked and made ready to be stored: what is no settled interval is refused here.

The limits are those within which sums stay exact, far beyond what a community can reach.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import astuple

from bus.identifiers import intervals_subject, is_id
from bus.messages import IntervalRow, decode_interval
from bus.stored import Stored
from history.tables import QUALITIES, SCALE

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_LAST_MS: Final = 7_258_118_400_000  # 2200
_LONGEST_MS: Final = 86_400_000
_MOST_WH: Final = 10**9
_MOST_SHARED_WH: Final = 10**12
_MOST_REVISION: Final = 2**31 - 1

# Prices have a bound on their digits, the grid's carbon intensity has none: grams are rounded when they are stored.
_MONEY: Final = rf"-?[0-9]{{1,15}}(?:\.[0-9]{{1,{SCALE}}})?"
_GRAMS: Final = r"-?[0-9]{1,15}(?:\.[0-9]{1,40})?"
_are_worths: Final = re.compile(f"{_MONEY} {_MONEY} {_GRAMS}").fullmatch

_QUALITY: Final = {quality: index for index, quality in enumerate(QUALITIES)} | {"STALE": QUALITIES.index("MISSING")}


class MalformedError(ValueError):
    """Raised when a message is no settled interval; the text says why."""


class Entry(NamedTuple):
    """A settled interval at one revision, times in ms since 1970 UTC; a row for each of `homes`, as in table `rows`."""

    community: str
    start: int
    until: int
    revision: int
    is_final: bool
    currency: str
    shared_wh: int
    homes: list[str]
    rows: list[tuple[object, ...]]


def decode(message: Stored) -> Entry:
    """Return the interval in a message; raise MalformedError."""
    try:
        interval = decode_interval(message.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(str(error)) from None
    if not is_id(interval.community) or message.subject != intervals_subject(interval.community):
        raise MalformedError(f"it says that it is of {interval.community[:80]!r}")
    start, until = _time(interval.start), _time(interval.end)
    if not 0 < until - start <= _LONGEST_MS:
        raise MalformedError(f"it lasts from {interval.start} to {interval.end}")
    if not 0 <= interval.revision <= _MOST_REVISION:
        raise MalformedError(f"revision {interval.revision}")
    if not 0 <= interval.shared_wh <= _MOST_SHARED_WH:
        raise MalformedError(f"{interval.shared_wh} Wh shared")
    homes = [row.home for row in interval.rows]
    if len(set(homes)) != len(homes):
        raise MalformedError("a home has two rows")
    for home in homes:
        if not is_id(home):
            raise MalformedError(f"{home[:80]!r} is no home")
    return Entry(
        interval.community,
        start,
        until,
        interval.revision,
        interval.status == "FINAL",
        interval.currency[:16],
        interval.shared_wh,
        homes,
        [_row(row) for row in interval.rows],
    )


def _row(row: IntervalRow) -> tuple[object, ...]:
    values = astuple(row)
    energies, worths = values[3:12], values[12:15]
    if min(energies) < 0 or max(energies) > _MOST_WH:
        raise MalformedError(f"{row.home} has {min(energies)} to {max(energies)} Wh; 0 to {_MOST_WH} are possible")
    if not _are_worths(" ".join(worths)):
        raise MalformedError(f"{row.home} has worths that are no decimals, or too long: {worths}"[:200])
    return (*energies, *worths, _QUALITY[row.quality])


def _time(text: str) -> int:
    try:
        at = (datetime.fromisoformat(text) - _EPOCH) // _MS
    except (ValueError, TypeError):
        raise MalformedError(f"{text[:80]!r} is no time in UTC") from None
    if not 0 <= at < _LAST_MS:
        raise MalformedError(f"{text[:80]!r} is not between 1970 and 2200")
    return at
