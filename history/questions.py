"""Questions: checked, answered from the tables as they are at one moment, and never with too much.

Whoever asks is not known here: servers ask only for what their viewer may see. All of it blocks,
and belongs into a thread with a cursor of its own.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import duckdb
import msgspec

from bus.history import (
    BEST_HOURS,
    COMPARE,
    HOMES,
    INTERVALS,
    MAX_ANSWER_BYTES,
    MAX_FIRST,
    MAX_HOMES,
    MAX_NEXT_MS,
    OUT_OF_RANGE,
    SUMMARY,
    Answer,
    BestHours,
    BestHoursQuestion,
    CompareQuestion,
    Comparison,
    Homes,
    HomesQuestion,
    IntervalsQuestion,
    Page,
    Summary,
    SummaryQuestion,
)
from bus.micro import QuestionError
from history.comparison import compare
from history.forecast import best_hours
from history.pages import page
from history.periods import DAY_MS
from history.store import Store
from history.totals import Party, total, totals_of_homes

ENDPOINTS: Final = (INTERVALS, SUMMARY, HOMES, COMPARE, BEST_HOURS)

_YEAR_MS: Final = 366 * DAY_MS
_FINE_YEARS: Final = 5
_YEARS: Final = 100
_QUARTER_MS: Final = DAY_MS // 96
_MOST_TOLD: Final = 1000
_LAST_MS: Final = 7_258_118_400_000  # 2200

_Q = TypeVar("_Q", IntervalsQuestion, SummaryQuestion, HomesQuestion, CompareQuestion, BestHoursQuestion)


class Questions:
    """Answers from an open file. `now_of` tells a community's time in ms since 1970 UTC; None: the end of its data."""

    def __init__(self, store: Store, now_of: Callable[[str], int | None]) -> None:
        self._store = store
        self._now_of = now_of
        self._told: dict[tuple[int, ...], BestHours] = {}
        self._answers: dict[str, Callable[[duckdb.DuckDBPyConnection, bytes], Answer]] = {
            INTERVALS: self._intervals,
            SUMMARY: self._summary,
            HOMES: self._homes,
            COMPARE: self._compare,
            BEST_HOURS: self._best_hours,
        }

    def answer(self, cursor: duckdb.DuckDBPyConnection, endpoint: str, data: bytes) -> bytes:
        """Return the answer to a question; raise QuestionError, or duckdb.Error."""
        cursor.execute("BEGIN")
        try:
            found = msgspec.json.encode(self._answers[endpoint](cursor, data))
        finally:
            cursor.execute("ROLLBACK")
        if len(found) > MAX_ANSWER_BYTES:
            raise _refused(f"the answer has {len(found)} bytes; at most {MAX_ANSWER_BYTES} are sent: ask for fewer")
        return found

    def _intervals(self, cursor: duckdb.DuckDBPyConnection, data: bytes) -> Page:
        question = _decoded(data, IntervalsQuestion)
        fine = question.resolution in ("QUARTER_HOUR", "HOUR")
        _check_range(
            question.since,
            question.until,
            _FINE_YEARS if fine else _YEARS,
            f" at {question.resolution}" if fine else "",
        )
        if not 1 <= question.first <= MAX_FIRST:
            raise _refused(f"first is {question.first}; 1 to {MAX_FIRST} are allowed")
        if question.after is not None and not question.since <= question.after < question.until:
            raise _refused("after is a cursor of another range; use one that this query gave")
        party = self._party(cursor, question.community, question.home)
        return Page(periods=[], has_next=False) if party is None else page(cursor, party, question)

    def _summary(self, cursor: duckdb.DuckDBPyConnection, data: bytes) -> Summary:
        question = _decoded(data, SummaryQuestion)
        _check_range(question.since, question.until)
        party = self._party(cursor, question.community, question.home)
        return Summary(totals=party and total(cursor, party, question.since, question.until))

    def _homes(self, cursor: duckdb.DuckDBPyConnection, data: bytes) -> Homes:
        question = _decoded(data, HomesQuestion)
        _check_range(question.since, question.until)
        if len(question.homes) > MAX_HOMES:
            raise _refused(f"{len(question.homes)} homes are asked for; at most {MAX_HOMES} are allowed")
        party = self._party(cursor, question.community, None)
        if party is None:
            return Homes(totals={})
        found = totals_of_homes(cursor, party, question.since, question.until)
        numbers = {home: self._store.homes.get((party.community, home)) for home in question.homes}
        return Homes(totals={home: found[number] for home, number in numbers.items() if number in found})

    def _compare(self, cursor: duckdb.DuckDBPyConnection, data: bytes) -> Comparison:
        question = _decoded(data, CompareQuestion)
        _check_range(question.since, question.until)
        if question.home is None and question.baseline == "COMMUNITY_AVERAGE":
            raise _refused("a community has no COMMUNITY_AVERAGE; PREVIOUS_PERIOD and PREVIOUS_YEAR are allowed")
        party = self._party(cursor, question.community, question.home)
        if party is None:
            return Comparison(totals=None, baseline=None)
        return compare(cursor, party, question)

    def _best_hours(self, cursor: duckdb.DuckDBPyConnection, data: bytes) -> BestHours:
        question = _decoded(data, BestHoursQuestion)
        if not 0 < question.next_ms <= MAX_NEXT_MS:
            raise _refused(f"next is {question.next_ms / 3_600_000:g} h; more than 0 and at most 48 h are allowed")
        party = self._party(cursor, question.community, None)
        if party is None:
            return BestHours(hours=[], reason="nothing is settled yet")
        now = self._now_of(question.community)
        # All members of a community ask the same, and it stays the same until something is settled.
        key = (
            party.community,
            question.next_ms,
            self._store.position.sequence,
            -1 if now is None else now // _QUARTER_MS,
        )
        found = self._told.get(key)
        if found is None:
            found = best_hours(cursor, party, question.next_ms, now)
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._told[key] = found
        return found

    def _party(self, cursor: duckdb.DuckDBPyConnection, community: str, home: str | None) -> Party | None:
        """Return whom a question is about; None where there is no data of them."""
        number = self._store.communities.get(community)
        if number is None:
            return None
        found = cursor.execute("SELECT zone FROM communities WHERE number = ?", [number]).fetchall()
        if not found:
            return None
        zone = ZoneInfo(found[0][0])
        if home is None:
            return Party(number, None, zone)
        home_number = self._store.homes.get((number, home))
        return None if home_number is None else Party(number, home_number, zone)


def _decoded(data: bytes, kind: type[_Q]) -> _Q:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"not a question: {error}") from None


def _check_range(since: int, until: int, years: int = _YEARS, where: str = "") -> None:
    for name, at in (("from", since), ("to", until)):
        if not 0 <= at <= _LAST_MS:
            raise _refused(f"{name} is not between 1970 and 2200")
    if since >= until:
        raise _refused(f"from, {_show(since)}, is not before to, {_show(until)}")
    if until - since > years * _YEAR_MS:
        raise _refused(
            f"from {_show(since)} to {_show(until)} are {(until - since) / _YEAR_MS:.1f} years; "
            f"at most {years} are allowed{where}"
        )


def _show(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _refused(text: str) -> Any:
    return QuestionError(OUT_OF_RANGE, text)
