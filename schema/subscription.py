"""The root fields of subscriptions: the current value first, then each change, the latest one winning.

The resolvers return a stream and are none themselves: so an unknown id is an error of the
operation, before anything is streamed.
"""

from collections.abc import AsyncGenerator, Iterable
from typing import Annotated, Any

import strawberry
from strawberry.types.nodes import SelectedField, Selection

from schema.alerts import Alert
from schema.context import Info
from schema.live import CommunityLive, HomeLive
from schema.query import After, CommunityId, HomeId
from schema.scalars import HYSTERESIS, Duration

Every = Annotated[
    Duration | None,
    strawberry.argument(
        description="The least time between two messages, PT0.1S to PT1H. They come in slots: multiples of it on the "
        "wall clock, plus a phase of your device's own, so that all your subscriptions wake your radio once. "
        "Without it each change is sent at once."
    ),
]
MaxSilence = Annotated[
    Duration | None,
    strawberry.argument(
        description="The most time between two messages, PT1S to PT24H: the state is sent again even if nothing "
        "changed. Without it nothing is sent while nothing changes."
    ),
]
Hysteresis = Annotated[
    float,
    strawberry.argument(
        description="For fields with a `step`: how far beyond the border of its step a figure must be to leave it, in "
        "steps, 0 to 0.5. What you show is at most 0.5 + hysteresis steps off, but while `every` makes it wait. "
        "More of it brings fewer messages."
    ),
]


def _home(
    info: Info, id: HomeId, every: Every = None, max_silence: MaxSilence = None, hysteresis: Hysteresis = HYSTERESIS
) -> Any:
    household = info.context.directory.household(id)
    with_community = any(_shows_community(field.selections) for field in info.selected_fields)
    if with_community:
        info.context.directory.check_totals(household.community.id)
    return info.context.live.stream_home(household.community.id, household.home.id, with_community=with_community)


def _community(
    info: Info,
    id: CommunityId,
    every: Every = None,
    max_silence: MaxSilence = None,
    hysteresis: Hysteresis = HYSTERESIS,
) -> Any:
    community = info.context.directory.community(id).id
    info.context.directory.check_totals(community)
    return info.context.live.stream_community(community)


def _alerts(info: Info, home: HomeId, after: After = None) -> Any:
    household = info.context.directory.household(home)
    return info.context.alerts.stream(household.community.id, household.home.id, after)


def _shows_community(selections: Iterable[Selection]) -> bool:
    """Say whether a selection on HomeLive shows its community, in fragments too."""
    return any(
        selection.name == "community"
        if isinstance(selection, SelectedField)
        else _shows_community(selection.selections)
        for selection in selections
    )


@strawberry.type(description="What is so at this moment, and each change of it.")
class Subscription:
    home: AsyncGenerator[HomeLive, None] = strawberry.subscription(
        resolver=_home,
        description="A home: its state now, then each change, of its community too where that is selected. "
        "It waits while there is no reading; an unknown id is an error NOT_FOUND. "
        "A slow client skips states and always gets the latest one.",
    )
    community: AsyncGenerator[CommunityLive, None] = strawberry.subscription(
        resolver=_community,
        description="A community: its state now, then each change. "
        "It waits while there is no reading; an unknown id is an error NOT_FOUND. "
        "A slow client skips states and always gets the latest one.",
    )
    alerts: AsyncGenerator[Alert, None] = strawberry.subscription(
        resolver=_alerts,
        description="Alerts of a home and of its community: those after the cursor, then each new one, in order and "
        "none left out; without a cursor new ones only. An error CURSOR_EXPIRED where some after the cursor are not "
        "kept any more; one TOO_SLOW, with the cursor to resume from, for a client that does not keep up.",
    )
