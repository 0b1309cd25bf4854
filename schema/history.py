"""Settled data: what a home or a community did, by period, in sums and compared; and when there will be a surplus.

EnergyTotals shows `Totals`, Comparison a `Comparison`, BestHours a `BestHours` of the history. The
resolvers of fields serve homes and communities alike: the root says whom they are about.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, Final, NamedTuple, TypeVar, cast

import strawberry

import bus.history as settled
from bus.community import Community
from bus.history import LEAST_OTHERS, Totals
from resolvers.directory import Household
from resolvers.errors import NotReadyError
from resolvers.history import History, OutOfRangeError, TooFewHomesError
from schema.context import Info
from schema.enums import Baseline, Resolution
from schema.paging import PageEnd, PageInfo
from schema.scalars import Cursor, DateTime, Duration
from schema.totals import EnergyTotals

_A = TypeVar("_A")

_OFFSETS: Final = 10**10
"""A cursor is a mark of its query, eight digits, and the seconds from the beginning of its range, ten digits."""
_MARKS: Final = 10**8
_DAY: Final = Duration(timedelta(hours=24))


class Edge(NamedTuple):
    """A period on a page, and its cursor."""

    cursor: int
    node: Totals


class HomeSum(NamedTuple):
    """A home, and its sums; None: nothing is settled."""

    household: Household
    totals: Totals | None


class Slice(NamedTuple):
    """A page of periods."""

    edges: list[Edge]
    end: PageEnd


@strawberry.type(description="A period on a page, and its cursor.")
class IntervalEdge:
    cursor: Cursor = strawberry.field(description="Where it stands: what to go on after, with the same arguments.")
    node: EnergyTotals = strawberry.field(description="The period.")


@strawberry.type(description="A page of periods, oldest first; those without any settled interval are left out.")
class IntervalConnection:
    edges: list[IntervalEdge] = strawberry.field(description="The periods.")
    page_info: PageInfo = strawberry.field(resolver=lambda root: root.end, description="Where the page ends.")


From = Annotated[
    DateTime,
    strawberry.argument(
        name="from",
        description="The beginning: what starts at this time or later counts. Say the offset of local times.",
    ),
]
To = Annotated[
    DateTime, strawberry.argument(name="to", description="The end: what starts at this time or later does not count.")
]
By = Annotated[Resolution, strawberry.argument(name="resolution", description="How long the periods are.")]
First = Annotated[
    int, strawberry.argument(name="first", description=f"How many at the most, 1 to {settled.MAX_FIRST}.")
]
After = Annotated[
    Cursor | None,
    strawberry.argument(
        name="after", description="The cursor of the period that was seen last, of a query with the same arguments."
    ),
]
With = Annotated[Baseline, strawberry.argument(name="with", description="What to compare with.")]
Next = Annotated[Duration, strawberry.argument(name="next", description="How far to look ahead, at most 48 hours.")]


async def intervals(
    root: Any,
    info: Info,
    since: From,
    until: To,
    resolution: By = Resolution.HOUR,
    first: First = 100,
    after: After = None,
) -> Any:
    """Return a page of the periods of a home or a community."""
    community, home = _whom(root, info)
    by = cast(settled.Resolution, resolution.name)
    mark = _mark(community, home, since, until, by)
    start = None if after is None else _start(after, mark, since, until)
    page = await _ask(
        info,
        lambda history: history.intervals(community, home, since, until, by, first=first, after=start),
    )
    edges = [Edge(_cursor(totals.start, mark, since), totals) for totals in page.periods]
    return Slice(edges, PageEnd(page.has_next, edges[-1].cursor if edges else None))


async def summary(root: Any, info: Info, since: From, until: To) -> Any:
    """Return the sums of a home or a community."""
    community, home = _whom(root, info)
    return await _ask(info, lambda history: history.summary(community, home, since, until))


async def home_totals(root: Any, info: Info, since: From, until: To) -> Any:
    """Return the sums of each home of a community that whoever asks may see, in the order of the registry."""
    community: Community = root
    homes = info.context.directory.homes(community)
    ids = [home.id for home in homes]
    found = await _ask(info, lambda history: history.homes(community.id, ids, since, until)) if ids else {}
    return [HomeSum(Household(community, home), found.get(home.id)) for home in homes]


async def compare(root: Any, info: Info, since: From, until: To, baseline: With) -> Any:
    """Return the sums of a home or a community beside others."""
    community, home = _whom(root, info)
    if baseline is Baseline.COMMUNITY_AVERAGE and isinstance(root, Household):
        _check_hidden(root.community, info)
    beside = cast(settled.Baseline, baseline.name)
    return await _ask(info, lambda history: history.compare(community, home, since, until, beside))


async def best_hours(root: Any, info: Info, ahead: Next = _DAY) -> Any:
    """Return when a community will probably have a surplus."""
    community, _ = _whom(root, info)
    return await _ask(info, lambda history: history.best_hours(community, ahead // timedelta(milliseconds=1)))


def _whom(root: Household | Community, info: Info) -> tuple[str, str | None]:
    """Return the community and the home that a question is about; raise NotFoundError for totals that are hidden."""
    if isinstance(root, Household):
        return root.community.id, root.home.id
    info.context.directory.check_totals(root.id)
    return root.id, None


async def _ask(info: Info, question: Callable[[History], Awaitable[_A]]) -> _A:
    context = info.context
    if context.history is None:
        raise NotReadyError("settled data is not to be had here")
    async with context.turns.turn(context.viewer.subject if context.viewer else ""):
        return await question(context.history)


def _check_hidden(community: Community, info: Info) -> None:
    """Raise TooFewHomesError where whoever asks knows so many homes that a mean would tell one of the others."""
    hidden = len(community.homes) - len(info.context.directory.homes(community))
    if 0 < hidden < LEAST_OTHERS:
        raise TooFewHomesError(
            f"a mean is not given where fewer than {LEAST_OTHERS} homes are hidden from you: one could be told from it"
        )


# --- cursors ---


def _mark(community: str, home: str | None, since: int, until: int, resolution: str) -> int:
    """Return what tells the cursors of one query from those of others; every process gives the same."""
    text = f"{community} {home} {since} {until} {resolution}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) % _MARKS


def _cursor(start: int, mark: int, since: int) -> int:
    return mark * _OFFSETS + start // 1000 - since // 1000


def _start(cursor: int, mark: int, since: int, until: int) -> int:
    """Return the start of the period of a cursor, to the second; raise OutOfRangeError for cursors of other queries."""
    found, seconds = divmod(cursor, _OFFSETS)
    start = max(since, (since // 1000 + seconds) * 1000)
    if found != mark or start >= until:
        raise OutOfRangeError(
            "after is no cursor of this query: give one that it gave, with the same home or community, from, to and "
            "resolution"
        )
    return start
