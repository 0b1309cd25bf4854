"""The types of alerts. Alert shows an `Event`, AlertConnection a `Page` of them."""

from typing import Any

import strawberry

from bus.identifiers import COMMUNITY_ALERTS, home_key
from resolvers.alerts import Event, Page
from schema.enums import AlertKind
from schema.fields import SOURCE, shows
from schema.paging import PageEnd, PageInfo
from schema.scalars import Cursor, DateTime, Watts


def _home(root: Any) -> strawberry.ID | None:
    event: Event = root
    if event.alert.home == COMMUNITY_ALERTS:
        return None
    return strawberry.ID(home_key(event.alert.community, event.alert.home))


def _itself(root: Any) -> Any:
    return root


def _end(root: Any) -> Any:
    page: Page = root
    return PageEnd(page.more, page.events[-1].cursor if page.events else None)


@strawberry.type(description="An event that must not be missed.")
class Alert:
    cursor: Cursor = shows("cursor", "Where it stands in the sequence: what to resume after.")
    kind: AlertKind = shows("alert.kind", "What it says.")
    at: DateTime = shows("alert.at", "When what it says began, by the community's clock.")
    community: strawberry.ID = shows("alert.community", "The id of the community.")
    home: strawberry.ID | None = strawberry.field(
        resolver=_home,
        description="The id of the home; null where it concerns the whole community.",
        metadata={SOURCE: _home},
    )
    meter: str | None = shows("alert.meter", "The meter that it is about; null where it is about none.")
    value: Watts | None = shows(
        "alert.value", "The surplus or import at that moment, in W, unsigned; null for a meter."
    )
    limit: Watts | None = shows("alert.limit", "The limit that was crossed, in W, unsigned; null for a meter.")


@strawberry.type(description="An alert on a page, and its cursor.")
class AlertEdge:
    cursor: Cursor = shows("cursor", "Where it stands in the sequence.")
    node: Alert = strawberry.field(resolver=_itself, description="The alert.")


@strawberry.type(description="A page of alerts, oldest first.")
class AlertConnection:
    edges: list[AlertEdge] = shows("events", "The alerts.")
    page_info: PageInfo = strawberry.field(resolver=_end, description="Where the page ends.")
