"""The writer: settled intervals into the tables, with how far the stream was read, all or nothing.

An interval is replaced whole, and only by a newer revision, so any order and repetition of
messages gives the same tables. One thread writes; whoever reads sees what was before, or after.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final
from zoneinfo import ZoneInfo

import duckdb

from history.decoding import Entry
from history.periods import DAY_MS, following, starts
from history.store import Position, Store
from history.tables import ENERGIES, MIXED, QUALITIES, STAGING, WORTHS, qualities, sums, worths

Key = tuple[int, int]
"""A community's number and the start of an interval."""

Day = tuple[int, int, int]
"""A community's number, and from when to when one of its local days is."""

_APART_MS: Final = 3 * DAY_MS
_DAYS_AT_ONCE: Final = 32
_LOOSE: Final = 8

_NEW_INTERVALS: Final = f"""
INSERT INTO intervals
SELECT n.*, {", ".join(f"coalesce({quality}, 0)" for quality in QUALITIES)},
    {", ".join(f"coalesce({name}, 0)" for name in (*ENERGIES, *WORTHS))}
FROM new_intervals n LEFT JOIN (
    SELECT community, start, {qualities("quality")}, {sums(*ENERGIES, *WORTHS)}
    FROM (SELECT * REPLACE ({worths()}) FROM new_rows) GROUP BY ALL
) AS r (community, start, {", ".join((*QUALITIES, *ENERGIES, *WORTHS))}) USING (community, start)
ORDER BY n.community, n.start
"""

_NEW_ROWS: Final = f"INSERT INTO rows SELECT * REPLACE ({worths()}) FROM new_rows ORDER BY community, home, start"

_COUNT_DAYS: Final = f"""
INSERT INTO days
WITH parts AS (
    SELECT i.community, i.start, i.is_final, i.revision, i.currency, t.start AS day, t.until
    FROM intervals i JOIN touched t ON i.community = t.community AND i.start >= t.start AND i.start < t.until
    WHERE i.start >= $since AND i.start < $until
)
SELECT r.community, r.home, p.day, p.until, count(*), count_if(p.is_final), {qualities("r.quality")}, max(p.revision),
    CASE WHEN min(p.currency) = max(p.currency) THEN min(p.currency) ELSE '{MIXED}' END,
    {sums(*ENERGIES, *WORTHS)}, max(import_wh), arg_max(r.start, (import_wh, -r.start))
FROM rows r JOIN parts p ON r.community = p.community AND r.start = p.start
WHERE r.start >= $since AND r.start < $until
GROUP BY r.community, r.home, p.day, p.until ORDER BY 1, 2, 3
"""


class Writer:
    """Writes into an open file by a connection of its own. Not for several threads at a time."""

    def __init__(self, store: Store, connection: duckdb.DuckDBPyConnection) -> None:
        self._store = store
        self._connection = connection
        self._connection.execute(STAGING)
        self._writes: dict[int, tuple[Day, int]] = {}
        """By community its newest day, and in how many pieces that was written since the start."""

    def write(self, entries: Sequence[Entry], position: Position, zone_of: Callable[[str], str]) -> int:
        """Store intervals, and that the stream was read up to `position`; return how many rows are new or replaced.

        `zone_of` tells the time zone of a community that is not known here yet.
        """
        self._connection.execute("BEGIN")
        try:
            newest = self._newest(entries, zone_of)
            if newest:
                self._stage(newest)
                self.settle(self._touched(newest))
            self._connection.execute(
                "UPDATE position SET sequence = ?, time_ms = ?, digest = ?",
                [position.sequence, position.time_ms, position.digest],
            )
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            self._store.reload()
            raise
        self._store.position = position
        self._tidy(newest)
        return sum(len(entry.rows) for entry in newest.values())

    def settle(self, days: Sequence[Day]) -> None:
        """Put what is staged in `new_intervals` and `new_rows` in place of what is stored; `days`: where it lies."""
        connection = self._connection
        replaced = connection.execute(
            "SELECT min(start), max(start) FROM new_intervals n JOIN intervals i USING (community, start)"
        ).fetchall()[0]
        if replaced[0] is not None:
            for table in ("rows", "intervals"):
                connection.execute(
                    f"DELETE FROM {table} t USING new_intervals n "
                    "WHERE t.community = n.community AND t.start = n.start AND t.start BETWEEN ? AND ?",
                    list(replaced),
                )
        connection.execute(_NEW_INTERVALS)
        connection.execute(_NEW_ROWS)
        connection.execute("DELETE FROM new_rows")
        for group in _together(days):
            self._count_days(group)

    def rezone(self, community: str, zone: str) -> None:
        """Count all days of a community anew, by another time zone."""
        number = self._store.communities[community]
        connection = self._connection
        connection.execute("BEGIN")
        try:
            connection.execute("UPDATE communities SET zone = ? WHERE number = ?", [zone, number])
            connection.execute("DELETE FROM days WHERE community = ?", [number])
            first, last = connection.execute(
                "SELECT min(start), max(start) FROM intervals WHERE community = ?", [number]
            ).fetchall()[0]
            if first is not None:
                days = list(_days(number, first, last + 1, ZoneInfo(zone)))
                for index in range(0, len(days), _DAYS_AT_ONCE):
                    self._count_days(days[index : index + _DAYS_AT_ONCE], anew=False)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        self._store.zones[community] = zone

    # --- inside ---

    def _newest(self, entries: Iterable[Entry], zone_of: Callable[[str], str]) -> dict[Key, Entry]:
        """Return the entries that are newer than what is stored, by their keys."""
        found: dict[Key, Entry] = {}
        for entry in entries:
            key = self._number(entry.community, zone_of), entry.start
            known = found.get(key)
            if known is None or known.revision < entry.revision:
                found[key] = entry
        connection = self._connection
        connection.execute("DELETE FROM new_intervals")
        with connection.appender("new_intervals") as appender:
            appender.append_rows(
                (
                    number,
                    start,
                    entry.until,
                    entry.revision,
                    entry.is_final,
                    entry.currency,
                    entry.shared_wh,
                )
                for (number, start), entry in found.items()
            )
        stale = connection.execute(
            "SELECT n.community, n.start FROM new_intervals n JOIN intervals i USING (community, start) "
            "WHERE i.revision >= n.revision"
        ).fetchall()
        if stale:
            connection.executemany("DELETE FROM new_intervals WHERE community = ? AND start = ?", stale)
            for key in stale:
                del found[key]
        return found

    def _number(self, community: str, zone_of: Callable[[str], str]) -> int:
        number = self._store.communities.get(community)
        if number is None:
            number = self._store.communities[community] = len(self._store.communities) + 1
            zone = self._store.zones[community] = zone_of(community)
            self._connection.execute("INSERT INTO communities VALUES (?, ?, ?)", [number, community, zone])
        return number

    def _stage(self, newest: dict[Key, Entry]) -> None:
        with self._connection.appender("new_rows") as appender:
            appender.append_rows(self._rows(newest))

    def _rows(self, newest: dict[Key, Entry]) -> Iterator[tuple[object, ...]]:
        numbers = self._store.homes
        for (community, start), entry in newest.items():
            for home, row in zip(entry.homes, entry.rows, strict=True):
                number = numbers.get((community, home)) or self._new_home(community, home)
                yield (community, number, start, *row)

    def _new_home(self, community: int, home: str) -> int:
        number = self._store.homes[community, home] = len(self._store.homes) + 1
        self._connection.execute("INSERT INTO homes VALUES (?, ?, ?)", [number, community, home])
        return number

    def _touched(self, newest: dict[Key, Entry]) -> list[Day]:
        """Return the local days in which the entries lie, in order of time."""
        days: dict[Day, None] = {}
        current: dict[int, Day] = {}
        for (number, start), entry in newest.items():
            day = current.get(number)
            if day is None or not day[1] <= start < day[2]:
                zone = ZoneInfo(self._store.zones[entry.community])
                day = current[number] = next(_days(number, start, start + 1, zone))
                days[day] = None
        return sorted(days, key=lambda day: day[1])

    def _count_days(self, days: Sequence[Day], *, anew: bool = True) -> None:
        """Sum up the rows of some days that lie close together; `anew`: in place of what was counted before."""
        connection = self._connection
        connection.execute("DELETE FROM touched")
        with connection.appender("touched") as appender:
            appender.append_rows(days)
        since, until = min(day[1] for day in days), max(day[2] for day in days)
        if anew:
            connection.execute(
                "DELETE FROM days d USING touched t "
                "WHERE d.community = t.community AND d.start = t.start AND d.start BETWEEN ? AND ?",
                [since, until],
            )
        connection.execute(_COUNT_DAYS, {"since": since, "until": until})

    def _tidy(self, newest: dict[Key, Entry]) -> None:
        """Put the rows of a day together again when it is over, if it was written in many pieces."""
        for day in self._touched(newest):
            before, pieces = self._writes.get(day[0], (day, 0))
            if day[1] < before[1]:
                continue
            if day == before:
                self._writes[day[0]] = day, pieces + 1
                continue
            self._writes[day[0]] = day, 1
            if pieces > _LOOSE:
                self._put_together(before)

    def _put_together(self, day: Day) -> None:
        connection = self._connection
        connection.execute("BEGIN")
        try:
            of_day = "FROM rows WHERE community = ? AND start >= ? AND start < ?"
            connection.execute(f"CREATE TEMP TABLE day AS SELECT * {of_day}", day)
            connection.execute(f"DELETE {of_day}", day)
            connection.execute("INSERT INTO rows SELECT * FROM day ORDER BY community, home, start")
            connection.execute("DROP TABLE day")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _days(number: int, since: int, until: int, zone: ZoneInfo) -> Iterator[Day]:
    for start in starts(since, until, "DAY", zone):
        yield number, start, following(start, "DAY", zone)


def _together(days: Sequence[Day]) -> Iterator[Sequence[Day]]:
    """Yield days, in order of time, in groups that lie close together."""
    first = 0
    for index in range(1, len(days) + 1):
        if index == len(days) or days[index][1] - days[index - 1][1] > _APART_MS:
            yield days[first:index]
            first = index
