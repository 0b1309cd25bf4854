"""The root fields of queries: what is so at this moment."""

from typing import Annotated, Any

import strawberry

from schema.context import Info
from schema.registry import Community, Home

CommunityId = Annotated[strawberry.ID, strawberry.argument(description="The id of the community.")]
HomeId = Annotated[strawberry.ID, strawberry.argument(description="The id of the home, as `Home.id` gives it.")]


def _communities(info: Info) -> Any:
    return info.context.directory.communities()


def _community(info: Info, id: CommunityId) -> Any:
    return info.context.directory.community(id)


def _home(info: Info, id: HomeId) -> Any:
    return info.context.directory.household(id)


@strawberry.type(description="What is so at this moment.")
class Query:
    communities: list[Community] = strawberry.field(
        resolver=_communities, description="All communities, ordered by id."
    )
    community: Community | None = strawberry.field(
        resolver=_community,
        description="A community; null, with an error NOT_FOUND, if there is none with this id.",
    )
    home: Home | None = strawberry.field(
        resolver=_home, description="A home; null, with an error NOT_FOUND, if there is none with this id."
    )
