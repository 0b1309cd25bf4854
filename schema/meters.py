"""The types of meters as they are heard, for operators. Meter shows a `Heard`."""

from typing import Annotated, Any, Final, NamedTuple

import strawberry
from graphql import GraphQLError

from bus.community import Community
from bus.identifiers import home_key
from resolvers.errors import NotReadyError
from resolvers.history import OutOfRangeError
from resolvers.meters import Heard
from schema.context import Info
from schema.enums import MeterCondition, MeterRole
from schema.fields import shows
from schema.paging import PageEnd, PageInfo
from schema.scalars import Cursor, DateTime

MAX_METERS: Final = 1000

Conditions = Annotated[
    list[MeterCondition] | None,
    strawberry.argument(name="conditions", description="Meters in these conditions alone; null: all."),
]
First = Annotated[int, strawberry.argument(name="first", description=f"How many at the most, 1 to {MAX_METERS}.")]
After = Annotated[
    Cursor | None, strawberry.argument(name="after", description="The cursor of the meter that was seen last.")
]


class Place(NamedTuple):
    """A meter and its place in the registry, from 1."""

    cursor: int
    node: Heard


class Slice(NamedTuple):
    """A page of meters, and all of them."""

    edges: list[Place]
    end: PageEnd
    all: list[Heard]


async def meters(root: Any, info: Info, conditions: Conditions = None, first: First = 100, after: After = None) -> Any:
    """Return a page of a community's meters, as they are heard."""
    community: Community = root
    context = info.context
    context.directory.check_operator(community.id)
    if not 1 <= first <= MAX_METERS:
        raise GraphQLError(f"first is {first}; it must be 1 to {MAX_METERS}")
    if context.meters is None:
        raise NotReadyError("meters are not to be had here")
    async with context.turns.turn(context.viewer.subject if context.viewer else ""):
        found = await context.meters.look(community)
    if after is not None and after > len(found):
        raise OutOfRangeError("after is no cursor of this query: give one that it gave")
    wanted = None if conditions is None else {one.name for one in conditions}
    places = [
        Place(number, heard)
        for number, heard in enumerate(found, 1)
        if number > (after or 0) and (wanted is None or heard.condition in wanted)
    ]
    edges = places[:first]
    return Slice(edges, PageEnd(len(places) > first, edges[-1].cursor if edges else None), found)


def _home(root: Any) -> strawberry.ID:
    heard: Heard = root
    return strawberry.ID(home_key(heard.community, heard.home.id))


def _home_name(root: Any) -> str:
    heard: Heard = root
    return heard.home.name or heard.home.id


def _counting(condition: str) -> Any:
    def count(root: Any) -> int:
        everyone: list[Heard] = root
        return sum(heard.condition == condition for heard in everyone)

    return count


@strawberry.type(description="A meter of a home, as it is registered and heard.")
class Meter:
    id: strawberry.ID = shows("meter.id", "The id of the meter.")
    role: MeterRole = shows("meter.role", "What it measures.")
    home: strawberry.ID = strawberry.field(resolver=_home, description="The id of its home.")
    home_name: str = strawberry.field(resolver=_home_name, description="What people call its home.")
    condition: MeterCondition = shows("condition", "Whether it is heard.")
    heard_at: DateTime | None = shows(
        "heard_ms",
        "When its newest reading came, used or refused; in a community that replays, the reading's own time. "
        "Null where none is kept: readings are for 35 days by default.",
    )
    rejected_at: DateTime | None = shows("refused_ms", "When its newest refused reading came; null where none is kept.")


@strawberry.type(description="A meter on a page, and its cursor.")
class MeterEdge:
    cursor: Cursor = shows("cursor", "Where it stands among the meters of the community.")
    node: Meter = shows("node", "The meter.")


@strawberry.type(description="How many meters of a community are in which condition.")
class MeterCounts:
    total: int = strawberry.field(resolver=lambda root: len(root), description="All that are registered.")
    heard: int = strawberry.field(resolver=_counting("HEARD"), description="Those that are HEARD.")
    silent: int = strawberry.field(resolver=_counting("SILENT"), description="Those that are SILENT.")
    refused: int = strawberry.field(resolver=_counting("REFUSED"), description="Those that are REFUSED.")
    never: int = strawberry.field(resolver=_counting("NEVER"), description="Those that are NEVER heard.")


@strawberry.type(description="A page of meters, in the order in which they are registered.")
class MeterConnection:
    edges: list[MeterEdge] = shows("edges", "The meters.")
    page_info: PageInfo = shows("end", "Where the page ends.")
    counts: MeterCounts = shows("all", "How many there are, whatever `conditions` says.")
