"""The registered types: communities and homes as the registry describes them, and their live state.

Community shows a `Community` of the registry, Home a `Household`.
"""

from typing import Any

import strawberry

from bus.community import Community as RegisteredCommunity
from resolvers.directory import Household
from schema.context import Info
from schema.enums import AllocationKey
from schema.fields import shows
from schema.history import IntervalConnection, best_hours, compare, home_totals, intervals, summary
from schema.live import CommunityLive, HomeLive
from schema.meters import MeterConnection, meters
from schema.rejected import RejectedCounts, RejectedReadingConnection, rejected, rejected_counts
from schema.scalars import Duration, Ratio
from schema.statements import Statement, statement
from schema.totals import BestHours, Comparison, EnergyTotals

_FINE = "At most 5 years by QUARTER_HOUR and HOUR, 100 years by the others."
_AWAY = "An error UNAVAILABLE while the history is away."
_HIDDEN = "An error NOT_FOUND where `live` is one."
_OPERATORS = "For its operators; for everybody else an error NOT_FOUND."


def _homes(root: Any, info: Info) -> Any:
    community: RegisteredCommunity = root
    return [Household(community, home) for home in info.context.directory.homes(community)]


async def _community_live(root: Any, info: Info) -> Any:
    community: RegisteredCommunity = root
    info.context.directory.check_totals(community.id)
    return await info.context.live.community(community.id)


def _home_name(root: Any) -> str:
    household: Household = root
    return household.home.name or household.home.id


def _participation(root: Any) -> Ratio:
    household: Household = root
    return Ratio(household.home.participation / 100)


async def _home_live(root: Any, info: Info) -> Any:
    household: Household = root
    return await info.context.live.home(household.community.id, household.home.id)


@strawberry.type(description="A home of a community, as it is registered.")
class Home:
    id: strawberry.ID = shows("key", "The id of the home, opaque: pass it back as it is.")
    name: str = strawberry.field(resolver=_home_name, description="What people call the home.")
    key: Ratio | None = shows(
        "home.key",
        "Its fixed part of the community's production, 0 to 1, rounded to four decimals; "
        "null where the community shares without keys.",
    )
    participation: Ratio = strawberry.field(
        resolver=_participation, description="The part of its energy that takes part in sharing, above 0 to 1."
    )
    live: HomeLive | None = strawberry.field(
        resolver=_home_live, description="The home at this moment; null before its first reading."
    )
    intervals: IntervalConnection | None = strawberry.field(
        resolver=intervals, description=f"What the home did, period by period, as it is settled. {_FINE} {_AWAY}"
    )
    summary: EnergyTotals | None = strawberry.field(
        resolver=summary, description=f"What the home did in a time, in one sum; null where nothing is settled. {_AWAY}"
    )
    compare: Comparison | None = strawberry.field(
        resolver=compare,
        description="What the home did in a time, beside an earlier time or the mean of other homes. An error "
        f"TOO_FEW_HOMES where from a mean one home could be told. {_AWAY}",
    )
    statement: Statement | None = strawberry.field(
        resolver=statement,
        description=f"What the home drew, shared and injected in a month, at what price; null where nothing of it is "
        f"settled. {_AWAY}",
    )
    community: "Community" = shows("community", "The community of the home.")


@strawberry.type(description="A home, and what it did in a time.")
class HomeTotals:
    home: Home = shows("household", "The home.")
    totals: EnergyTotals | None = shows("totals", "What it did, in one sum; null where nothing is settled.")


@strawberry.type(description="An energy community, as it is registered.")
class Community:
    id: strawberry.ID = shows("id", "The id of the community.")
    name: str = shows("name", "What people call the community.")
    timezone: str = shows("timezone", "Its time zone, an IANA name such as Europe/Vienna; its days begin there.")
    settlement_interval: Duration = shows("settlement_interval", "How long one settlement interval lasts.")
    allocation_key: AllocationKey = shows("allocation_key", "The rule by which production is shared among its homes.")
    homes: list[Home] = strawberry.field(
        resolver=_homes,
        description="Those of its homes that you may see, at most 1,000, in the order in which they are registered.",
    )
    live: CommunityLive | None = strawberry.field(
        resolver=_community_live,
        description="The community at this moment; null before its first reading. An error NOT_FOUND in a community "
        "of fewer than 5 homes whose members did not agree to see its totals.",
    )
    intervals: IntervalConnection | None = strawberry.field(
        resolver=intervals,
        description=f"What its homes did together, period by period, as it is settled. {_FINE} {_AWAY} {_HIDDEN}",
    )
    summary: EnergyTotals | None = strawberry.field(
        resolver=summary,
        description=f"What its homes did together in a time, in one sum; null where nothing is settled. {_AWAY} "
        f"{_HIDDEN}",
    )
    home_totals: list[HomeTotals] | None = strawberry.field(
        resolver=home_totals,
        description="What each of its homes that you may see did in a time, in the order in which they are registered: "
        f"one question instead of one per home. {_AWAY}",
    )
    compare: Comparison | None = strawberry.field(
        resolver=compare, description=f"What its homes did together in a time, beside an earlier one. {_AWAY} {_HIDDEN}"
    )
    best_hours: BestHours | None = strawberry.field(
        resolver=best_hours,
        description=f"When there will probably be a surplus: the time to use energy. {_AWAY} {_HIDDEN}",
    )
    meters: MeterConnection | None = strawberry.field(
        resolver=meters,
        description=f"Its meters, and which of them are not heard. {_OPERATORS}",
    )
    rejected: RejectedReadingConnection | None = strawberry.field(
        resolver=rejected,
        description="Readings that could not be used, newest first; they are kept for 35 days by default. "
        f"{_OPERATORS}",
    )
    rejected_counts: RejectedCounts | None = strawberry.field(
        resolver=rejected_counts, description=f"How many readings could not be used, by reason. {_OPERATORS}"
    )
