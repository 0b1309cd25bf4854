"""Settled intervals of many homes, in order, a page at a time: asked of the history, which alone opens its file.

Revisions are resolved there, any range is as quick as any other, and what is under way is bounded:
few questions at a time, of a thousand rows each.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final, NamedTuple, TypeVar

from bus.community import Community
from bus.history import MAX_FIRST, Page, Totals
from bus.registry import Registry, midnight_ms
from commonwatt.settings import SettingsError
from commonwatt.tables import Row
from resolvers.errors import NotReadyError
from resolvers.history import History

_AHEAD: Final = 4
"""Questions at a time: the history has two workers, and servers ask it too."""
_LONGEST_MS: Final = 90 * 366 * 86_400_000
_LAST_MS: Final = 7_258_118_400_000  # 2200

_A = TypeVar("_A")

Range = tuple[int, int]
"""From when to when, in ms since 1970 UTC."""


class Span(NamedTuple):
    """A part of a home's intervals that one question answers."""

    community: str
    home: str
    since: int
    until: int


class Plan(NamedTuple):
    """What there is to be read: how many rows, and the months of each community that have any."""

    rows: int
    months: Mapping[str, Sequence[Range]]


class Settled:
    """Reads settled intervals. `pause` waits a moment before a question is asked again, for `patience_s` in all."""

    def __init__(
        self,
        history: History,
        registry: Registry,
        *,
        pause: Callable[[], Awaitable[None]],
        patience_s: float,
    ) -> None:
        self._history = history
        self._registry = registry
        self._pause = pause
        self._patience_s = patience_s

    async def plan(self, ranges: Mapping[str, Range]) -> Plan:
        """Return what there is in a range of each community; raise NotReadyError where the history stays away."""
        months: dict[str, list[Range]] = {}
        rows = 0
        for community, (since, until) in ranges.items():
            found: list[Totals] = []
            for start in range(since, until, _LONGEST_MS):
                found += await self._months(community, start, min(until, start + _LONGEST_MS))
            months[community] = [(totals.start, totals.end) for totals in found]
            rows += sum(one.measured + one.substituted + one.estimated + one.missing for one in found)
        return Plan(rows, months)

    async def rows(self, plan: Plan) -> AsyncIterator[Sequence[Row]]:
        """Yield the rows by community, home and time, at most a thousand at once; raise NotReadyError as above."""
        spans = self._spans(plan)
        waiting: deque[asyncio.Task[list[Row]]] = deque()
        try:
            while True:
                while len(waiting) < _AHEAD and (span := next(spans, None)) is not None:
                    waiting.append(asyncio.create_task(self._read(span)))
                if not waiting:
                    return
                rows = await waiting[0]
                waiting.popleft()
                if rows:
                    yield rows
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _spans(self, plan: Plan) -> Iterator[Span]:
        for community, months in plan.months.items():
            versions = self._registry.communities[community]
            homes = sorted({home for version in versions for home in version.community.homes_by_id})
            length_ms = MAX_FIRST * int(versions.latest.community.settlement_interval.total_seconds() * 1000)
            for home in homes:
                for since, until in months:
                    for start in range(since, until, length_ms):
                        yield Span(community, home, start, min(until, start + length_ms))

    async def _months(self, community: str, since: int, until: int) -> list[Totals]:
        found: list[Totals] = []
        while True:
            after = found[-1].start if found else None
            page = await self._ask(
                lambda after=after: self._history.intervals(  # type: ignore[misc]
                    community, None, since, until, "MONTH", first=MAX_FIRST, after=after
                )
            )
            found += page.periods
            if not page.has_next:
                return found

    async def _read(self, span: Span) -> list[Row]:
        community, home, since, until = span
        rows: list[Row] = []
        after: int | None = None
        while True:
            page: Page = await self._ask(
                lambda after=after: self._history.intervals(  # type: ignore[misc]
                    community, home, since, until, "QUARTER_HOUR", first=MAX_FIRST, after=after
                )
            )
            rows += [(community, home, totals) for totals in page.periods]
            if not page.has_next:
                return rows
            after = page.periods[-1].start

    async def _ask(self, question: Callable[[], Awaitable[_A]]) -> _A:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience_s
        while True:
            try:
                return await question()
            except NotReadyError:
                if loop.time() >= end:
                    raise
                await self._pause()


def ranges(registry: Registry, communities: Sequence[str], since: str | None, until: str | None) -> dict[str, Range]:
    """Return from when to when each community is wanted, in order of their ids; none named: all of them.

    A day is its local midnight, a time without an offset is local. Raises SettingsError.
    """
    known = registry.communities
    for community in communities:
        if community not in known:
            names = ", ".join(sorted(known)) or "none"
            raise SettingsError(f"no community {community!r} is registered; known: {names}")
    found: dict[str, Range] = {}
    for community in sorted(set(communities) or known):
        latest = known[community].latest.community
        start = _moment("--from", since, latest, 0)
        end = _moment("--to", until, latest, _LAST_MS)
        if start >= end:
            raise SettingsError(f"--from {since} is not before --to {until}")
        found[community] = start, end
    return found


def _moment(option: str, value: str | None, community: Community, default: int) -> int:
    if value is None:
        return default
    try:
        if len(value) == len("2026-05-01"):
            at = midnight_ms(date.fromisoformat(value), community)
        else:
            time = datetime.fromisoformat(value)
            at = int((time if time.tzinfo else time.replace(tzinfo=community.zone)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{option} is {value[:40]!r}; expected a day such as 2026-05-01, or a time such as 2026-05-01T12:00Z"
        ) from None
    if not 0 <= at <= _LAST_MS:
        year = datetime.fromtimestamp(at / 1000, UTC).year
        raise SettingsError(f"{option} is in {year}; expected 1970 to 2200")
    return at
