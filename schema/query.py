"""The root fields of queries: what is so at this moment."""

from typing import Annotated, Any, Final

import strawberry
from graphql import GraphQLError

from schema.alerts import AlertConnection
from schema.context import Info
from schema.receipt import Receipt, receipt_of
from schema.registry import Community, Home
from schema.scalars import Cursor

MAX_ALERTS: Final = 100

CommunityId = Annotated[strawberry.ID, strawberry.argument(description="The id of the community.")]
HomeId = Annotated[strawberry.ID, strawberry.argument(description="The id of the home, as `Home.id` gives it.")]


def _communities(info: Info) -> Any:
    return info.context.directory.communities()


def _community(info: Info, id: CommunityId) -> Any:
    return info.context.directory.community(id)


def _home(info: Info, id: HomeId) -> Any:
    return info.context.directory.household(id)


After = Annotated[Cursor | None, strawberry.argument(description="The cursor of the alert that was seen last.")]
First = Annotated[int, strawberry.argument(description=f"How many at the most, 1 to {MAX_ALERTS}.", name="first")]


async def _alerts(info: Info, home: HomeId, after: After = None, first: First = 20) -> Any:
    if not 1 <= first <= MAX_ALERTS:
        raise GraphQLError(f"first is {first}; it must be 1 to {MAX_ALERTS}")
    household = info.context.directory.household(home)
    return await info.context.alerts.page(household.community.id, household.home.id, after, first)


@strawberry.type(description="What is so at this moment.")
class Query:
    communities: list[Community] = strawberry.field(
        resolver=_communities, description="Your communities, ordered by id."
    )
    community: Community | None = strawberry.field(
        resolver=_community,
        description="A community; null, with an error NOT_FOUND, if there is none with this id that you may see.",
    )
    alerts: AlertConnection = strawberry.field(
        resolver=_alerts,
        description="Alerts of a home and of its community, oldest first, for clients that poll; "
        "an error CURSOR_EXPIRED where alerts after the cursor are not kept any more.",
    )
    home: Home | None = strawberry.field(
        resolver=_home,
        description="A home; null, with an error NOT_FOUND, if there is none with this id that you may see.",
    )
    receipt: Receipt | None = strawberry.field(
        resolver=receipt_of,
        description="What this WebSocket has cost so far, as the server counts it; null over HTTP, where a request has "
        "no connection of its own.",
    )
