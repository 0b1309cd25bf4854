"""Pages: a range of time cut into local periods, a bounded number of them at a time.

A page reads no more of the tables than it needs: for interval by interval and hours it first looks
up to where the wanted number reaches.
"""

from typing import Final

import duckdb

from bus.history import IntervalsQuestion, Page, Totals
from history.periods import floor, following, starts
from history.totals import Party, each, totals_by

_PER_HOUR: Final = 4
_MORE: Final = 4


def page(cursor: duckdb.DuckDBPyConnection, party: Party, question: IntervalsQuestion) -> Page:
    """Return a page of a home's or community's periods; the question's range and numbers must be valid."""
    since, until, wanted = question.since, question.until, question.first + 1
    if question.after is not None:
        since = max(since, following(question.after, question.resolution, party.zone))
    span = _span(cursor, party)
    if span is None or since >= min(until, span[1]):
        return Page(periods=[], has_next=False)
    low, high = max(since, span[0]), min(until, span[1])
    if question.resolution == "QUARTER_HOUR":
        found = each(cursor, party, low, _reach(cursor, party, low, high, wanted), wanted)
    elif question.resolution == "HOUR":
        found = _hours(cursor, party, question, low, high, wanted)
    else:
        found = _periods(cursor, party, question, low, high, wanted)
    return Page(periods=found[: question.first], has_next=len(found) > question.first)


def _periods(
    cursor: duckdb.DuckDBPyConnection, party: Party, question: IntervalsQuestion, low: int, high: int, wanted: int
) -> list[Totals]:
    inside = [start for start in starts(low, high, question.resolution, party.zone) if start > low]
    end = following(high - 1, question.resolution, party.zone)
    first = max(question.since, floor(low, question.resolution, party.zone))
    by_days = question.resolution != "HOUR"
    return totals_by(cursor, party, [first, *inside, min(question.until, end)], wanted, by_days=by_days)


def _hours(
    cursor: duckdb.DuckDBPyConnection, party: Party, question: IntervalsQuestion, low: int, high: int, wanted: int
) -> list[Totals]:
    enough = wanted * _PER_HOUR
    while True:
        reach = _reach(cursor, party, low, high, enough)
        found = _periods(cursor, party, question, low, reach, wanted)
        if len(found) >= wanted or reach >= high:
            return found
        enough *= _MORE  # intervals are shorter than a quarter of an hour


def _span(cursor: duckdb.DuckDBPyConnection, party: Party) -> tuple[int, int] | None:
    """Return from when to when there is anything."""
    table, column, number = (
        ("intervals", "community", party.community) if party.home is None else ("days", "home", party.home)
    )
    row = cursor.execute(f"SELECT min(start), max(until) FROM {table} WHERE {column} = ?", [number]).fetchall()[0]
    return None if row[0] is None else (row[0], row[1])


def _reach(cursor: duckdb.DuckDBPyConnection, party: Party, low: int, high: int, wanted: int) -> int:
    """Return a time, `high` at most, before which at least `wanted` intervals from `low` on start, if there are."""
    if party.home is None:
        found = cursor.execute(
            "SELECT start FROM intervals WHERE community = ? AND start >= ? AND start < ? ORDER BY start LIMIT ?",
            [party.community, low, high, wanted],
        ).fetchall()
        return high if len(found) < wanted else int(found[-1][0]) + 1
    days = cursor.execute(
        "SELECT start, until, intervals FROM days WHERE home = ? AND until > ? AND start < ? ORDER BY start",
        [party.home, low, high],
    ).fetchall()
    for start, until, intervals in days:
        if start >= low:
            wanted -= intervals
        if wanted <= 0:
            return min(high, int(until))
    return high
