"""The types of refused readings, for operators.

RejectedReading shows a `Rejection`, RejectedCounts a `Counts`, RejectedReason a `Reason`.
"""

from typing import Annotated, Any, Final

import strawberry
from graphql import GraphQLError

from bus.community import Community
from bus.identifiers import home_key
from resolvers.errors import NotReadyError
from resolvers.reasons import explain
from resolvers.rejections import MAX_COUNTED, Page, Reason, Rejection, Rejections
from schema.context import Info
from schema.fields import shows
from schema.paging import PageEnd, PageInfo
from schema.scalars import Cursor, DateTime

MAX_REJECTED: Final = 100
MAX_PAYLOAD: Final = 1000
"""Characters of a payload that are shown."""
_MOST_METERS: Final = 10

Meter = Annotated[
    str | None, strawberry.argument(description="The id of a meter, registered or not: its readings alone.")
]
First = Annotated[int, strawberry.argument(name="first", description=f"How many at the most, 1 to {MAX_REJECTED}.")]
After = Annotated[
    Cursor | None,
    strawberry.argument(name="after", description="The cursor of the one that was seen last: older ones follow."),
]
Since = Annotated[DateTime, strawberry.argument(name="since", description="From when on to count.")]


async def rejected(root: Any, info: Info, meter: Meter = None, first: First = 20, after: After = None) -> Any:
    """Return a page of a community's refused readings."""
    community: Community = root
    info.context.directory.check_operator(community.id)
    if not 1 <= first <= MAX_REJECTED:
        raise GraphQLError(f"first is {first}; it must be 1 to {MAX_REJECTED}")
    async with info.context.turns.turn(info.context.viewer.subject if info.context.viewer else ""):
        page = await _rejections(info).page(community, meter, after, first)
    return _Shown(community, page)


async def rejected_counts(root: Any, info: Info, since: Since) -> Any:
    """Return how many of a community's readings were refused, for what reasons."""
    community: Community = root
    info.context.directory.check_operator(community.id)
    async with info.context.turns.turn(info.context.viewer.subject if info.context.viewer else ""):
        return await _rejections(info).counts(community, since)


def _rejections(info: Info) -> Rejections:
    if info.context.rejections is None:
        raise NotReadyError("refused readings are not to be had here")
    return info.context.rejections


class _Shown:
    """A page of refused readings, with the community that they came to."""

    def __init__(self, community: Community, page: Page) -> None:
        self.end = PageEnd(page.more, page.rejections[-1].cursor if page.rejections else None)
        self.edges = [_One(community, rejection) for rejection in page.rejections]


class _One:
    """A refused reading, as an edge and as its node."""

    def __init__(self, community: Community, rejection: Rejection) -> None:
        found = rejection.rejected
        self.cursor = rejection.cursor
        self.meter = rejection.meter
        home = None if rejection.home is None else community.homes_by_id[rejection.home]
        self.home = None if home is None else home_key(community.id, home.id)
        self.home_name = None if home is None else home.name or home.id
        self.reason, self.detail, self.received_at = found.reason, found.detail, found.received_at
        self.count = found.count
        self.explanation = explain(found.reason, found.detail)
        self.length = len(found.payload)
        self.payload = found.payload if self.length <= MAX_PAYLOAD else found.payload[:MAX_PAYLOAD] + "…"


def _itself(root: Any) -> Any:
    return root


def _reason_explanation(root: Any) -> str | None:
    reason: Reason = root
    return explain(reason.reason)


def _most_meters(root: Any) -> list[str]:
    reason: Reason = root
    return list(reason.meters[:_MOST_METERS])


def _meter_count(root: Any) -> int:
    reason: Reason = root
    return len(reason.meters)


@strawberry.type(description="A reading that could not be used, whole, with its reason.")
class RejectedReading:
    meter: str = shows("meter", "The id of the meter that it came for, registered or not.")
    home: strawberry.ID | None = shows("home", "The id of the meter's home; null where no such meter is registered.")
    home_name: str | None = shows("home_name", "What people call that home; null as above.")
    reason: str = shows("reason", "Why it was refused, as a code such as register_fell.")
    explanation: str | None = shows(
        "explanation", "What the reason means, and what to do about it; null for one that this server does not know."
    )
    detail: str = shows("detail", "What was wrong with this one: the value, and what is allowed.")
    received_at: DateTime = shows("received_at", "When it came.")
    count: int = shows(
        "count",
        "How many readings it stands for: over 1 where so many of the meter were refused for this reason within a "
        "minute that the others are but counted. It is the last of them then, and its payload is empty.",
    )
    payload: str = shows(
        "payload",
        f"What came, as text; bytes that are none are escaped. Of a longer one the first {MAX_PAYLOAD:,} characters, "
        "and an ellipsis. Whoever sent it wrote it: show it as text.",
    )
    payload_length: int = shows("length", "How many characters the whole of it has.")


@strawberry.type(description="A refused reading on a page, and its cursor.")
class RejectedReadingEdge:
    cursor: Cursor = shows("cursor", "Where it stands in the sequence.")
    node: RejectedReading = strawberry.field(resolver=_itself, description="The reading.")


@strawberry.type(description="A page of refused readings, newest first.")
class RejectedReadingConnection:
    edges: list[RejectedReadingEdge] = shows("edges", "The readings.")
    page_info: PageInfo = shows("end", "Where the page ends.")


@strawberry.type(description="How many readings were refused for a reason.")
class RejectedReason:
    reason: str = shows("reason", "The reason, as a code such as register_fell.")
    explanation: str | None = strawberry.field(
        resolver=_reason_explanation,
        description="What it means, and what to do about it; null for one that this server does not know.",
    )
    count: int = shows("number", "How many readings.")
    latest_at: DateTime = shows("latest_ms", "When the newest of them came.")
    meters: list[str] = strawberry.field(
        resolver=_most_meters,
        description=f"The ids of the meters that they came for, at most {_MOST_METERS}, most frequent first.",
    )
    meter_count: int = strawberry.field(resolver=_meter_count, description="How many meters they came for.")


@strawberry.type(description="How many readings of a community were refused, by reason.")
class RejectedCounts:
    asked_since: DateTime = shows("asked", "From when on it was asked for.")
    since: DateTime = shows(
        "since", f"From when on reasons were counted: later than asked where there are more than {MAX_COUNTED:,}."
    )
    total: int = shows(
        "total", "How many were refused since the time that was asked for; at least so many if `counted` is less."
    )
    counted: int = shows("counted", "How many of them, the newest, are in `reasons`.")
    reasons: list[RejectedReason] = shows("reasons", "The reasons, most frequent first.")
