"""Statements, made of what the history holds by the versions of the registry, and links to them.

Whether somebody may see one is decided before.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import date
from typing import Final, NamedTuple

from bus.history import MAX_FIRST, Totals
from bus.identifiers import home_key
from bus.prices import prices_at
from bus.registry import History as Versions
from bus.registry import Registry, midnight_ms
from resolvers.access import Viewer
from resolvers.directory import Household
from resolvers.errors import NotFoundError
from resolvers.history import History, OutOfRangeError
from resolvers.statement import Entry, Statement, add_up, lines_of

_MONTH: Final = re.compile(r"(\d{4})-(\d\d)", re.ASCII)
_YEARS: Final = range(1970, 2200)


class StatementLinks(NamedTuple):
    """Where a statement is to be had, until when (ms since 1970 UTC); None: for ever."""

    csv: str
    html: str
    until: int | None


class Statements:
    """Makes statements of what the history holds, by the versions of the registry, and links to them.

    `link` makes links for the home with a client's id, a month, and whoever asks.
    """

    def __init__(
        self, history: History, registry: Registry, link: Callable[[str, str, Viewer | None], StatementLinks]
    ) -> None:
        self._history = history
        self._registry = registry
        self.link = link

    async def statement(self, household: Household, month: str) -> Statement | None:
        """Return the statement of a month, as `read_statement` does."""
        versions = self._registry.communities.get(household.community.id)
        if versions is None:
            raise NotFoundError("community", household.community.id)
        return await read_statement(self._history, versions, household.home.id, month)


async def read_statement(history: History, versions: Versions, home: str, month: str) -> Statement | None:
    """Return the statement of a month such as 2026-05, None where nothing of it is settled.

    Raises OutOfRangeError for what is no month, NotFoundError for a home that was never registered,
    and NotReadyError.
    """
    first, after = parse_month(month)
    latest = versions.latest.community
    since, until = midnight_ms(first, latest), midnight_ms(after, latest)
    community, name = latest.id, _name(versions, home)
    found: list[Totals] = []
    while True:
        after_ms = found[-1].start if found else None
        page = await history.intervals(community, home, since, until, "QUARTER_HOUR", first=MAX_FIRST, after=after_ms)
        found += page.periods
        if not page.has_next:
            break
    if not found:
        return None

    def make() -> Statement:
        entries = tuple(Entry(totals, prices_at(versions.at(totals.start), totals.start)) for totals in found)
        length_ms = int(latest.settlement_interval.total_seconds() * 1000)
        return Statement(
            community=versions.at(until - 1),
            zone=latest.zone,
            home=home,
            home_name=name,
            month=month,
            since=since,
            until=until,
            expected=(until - since) // length_ms,
            entries=entries,
            lines=tuple(lines_of(entries)),
            sums=add_up(entries),
        )

    return await asyncio.to_thread(make)  # thousands of intervals: nobody's live data waits for it


def parse_month(month: str) -> tuple[date, date]:
    """Return the first day of a month such as 2026-05, and that of the next; raise OutOfRangeError."""
    match = _MONTH.fullmatch(month)
    if match is not None:
        year, number = int(match[1]), int(match[2])
        if year in _YEARS and 1 <= number <= 12:
            return date(year, number, 1), date(year + number // 12, number % 12 + 1, 1)
    raise OutOfRangeError(f"month is {month[:20]!r}; expected a year and month such as 2026-05, from 1970 to 2199")


def _name(versions: Versions, home: str) -> str:
    """Return what people call a home, in the latest version that has it; raise NotFoundError."""
    for version in reversed(list(versions)):
        found = version.community.homes_by_id.get(home)
        if found is not None:
            return found.name or home
    raise NotFoundError("home", home_key(versions.latest.community.id, home))
