"""The live types: a home, a community, and the energy of today.

HomeLive shows a `LiveHome`, CommunityLive a `CommunityState`, EnergyToday a `Today`.
"""

from typing import Any

import strawberry

from bus.identifiers import home_key
from resolvers.feed import LiveHome
from schema.context import Info
from schema.enums import IntervalStatus, Light, Quality, Trend
from schema.fields import SOURCE, shows, shows_energy, shows_power
from schema.scalars import DateTime, Decimal, Ratio, WattHours, Watts


@strawberry.type(description="Energy and saving since local midnight: a preview until the day's intervals settle.")
class EnergyToday:
    imported: WattHours = shows_energy("import_wh", "Energy drawn from the grid, in Wh, unsigned.")
    exported: WattHours = shows_energy("export_wh", "Energy injected into the grid, in Wh, unsigned.")
    produced: WattHours = shows_energy("produced_wh", "Energy produced (photovoltaics), in Wh, unsigned.")
    consumed: WattHours = shows_energy("consumed_wh", "Energy used, whatever its source, in Wh, unsigned.")
    shared: WattHours = shows_energy(
        "shared_wh", "Energy used that other homes of the community gave, in Wh, unsigned."
    )
    saved: Decimal = shows(
        "saved",
        "What sharing saved and earned, in minor units of `currency` (cents): "
        "+ is a gain against having no community, - a loss.",
    )
    currency: str = shows("currency", "The currency of `saved`, an ISO 4217 code such as EUR.")
    status: IntervalStatus = shows("status", "Whether the figures may still change.")
    since: DateTime = shows("since", "The local midnight from which the figures count.")


@strawberry.type(description="A community at this moment: sums over its homes that report.")
class CommunityLive:
    community_id: strawberry.ID = shows("community", "The id of the community.")
    measured_at: DateTime | None = shows(
        "measured_at",
        "When the youngest reading in it was taken; null before the first one. In subscriptions it travels along, "
        "but a change of it alone is not sent.",
        counts=False,
    )
    power_import: Watts = shows_power("power_import_w", "Power that its homes draw from the grid, in W, unsigned.")
    power_export: Watts = shows_power("power_export_w", "Power that its homes inject into the grid, in W, unsigned.")
    surplus_power: Watts = shows_power(
        "surplus_power_w", "Export less import, in W: + the community gives to the grid, - it takes."
    )
    shared_power: Watts = shows_power("shared_power_w", "Export that other homes use at this moment, in W, unsigned.")
    pv_power: Watts | None = shows_power(
        "pv_power_w", "Photovoltaic production, in W, unsigned; null if no home has a meter for it."
    )
    load: Watts = shows_power("load_w", "Power that its homes use, whatever its source, in W, unsigned.")
    self_sufficiency: Ratio | None = shows(
        "self_sufficiency", "The part of the load that own and shared production cover, 0 to 1; null without load."
    )
    self_consumption: Ratio | None = shows(
        "self_consumption", "The part of the production that its homes use, 0 to 1; null without production."
    )
    light: Light = shows("light", "Whether now is a good time to use energy.")
    trend: Trend = shows("trend", "Where the surplus went over the last 10 minutes.")
    homes_reporting: int = shows("homes_reporting", "How many homes have readings that are not stale.")
    homes_total: int = shows("homes_total", "How many homes the community has.")
    today: EnergyToday | None = shows("today", "Energy and saving since local midnight; null before the first reading.")


def _home_id(root: Any) -> strawberry.ID:
    live: LiveHome = root
    return strawberry.ID(home_key(live.community.community, live.state.home))


def _community(root: Any, info: Info) -> Any:
    live: LiveHome = root
    info.context.directory.check_totals(live.community.community)
    return live.community


@strawberry.type(description="A home at this moment. What the home lacks, or nobody has measured yet, is null.")
class HomeLive:
    home_id: strawberry.ID = strawberry.field(
        resolver=_home_id, description="The id of the home.", metadata={SOURCE: _home_id}
    )
    measured_at: DateTime | None = shows(
        "state.measured_at",
        "When its youngest reading was taken; null before the first one. In subscriptions it travels along, "
        "but a change of it alone is not sent.",
        counts=False,
    )
    power_import: Watts | None = shows_power("state.power_import_w", "Power drawn from the grid, in W, unsigned.")
    power_export: Watts | None = shows_power("state.power_export_w", "Power injected into the grid, in W, unsigned.")
    net_power: Watts | None = shows_power(
        "state.net_power_w", "Power at the grid connection, in W: + import, - export."
    )
    pv_power: Watts | None = shows_power(
        "state.pv_power_w", "Photovoltaic production, in W, unsigned; null without a meter for it."
    )
    battery_power: Watts | None = shows_power(
        "state.battery_power_w", "Power of the battery, in W: + discharging, - charging; null without a battery."
    )
    battery_charge: Ratio | None = shows(
        "state.battery_charge", "How full the battery is, 0 to 1; null without a battery or if it does not say."
    )
    load: Watts | None = shows_power("state.load_w", "Power that the home uses, whatever its source, in W, unsigned.")
    shared_power: Watts | None = shows_power(
        "state.shared_power_w", "Power that it uses of other homes' export, in W, unsigned."
    )
    shared_out_power: Watts | None = shows_power(
        "state.shared_out_power_w", "Power of its own export that other homes use, in W, unsigned."
    )
    self_sufficiency: Ratio | None = shows(
        "state.self_sufficiency",
        "The part of its load that own and shared production cover, 0 to 1; null without load.",
    )
    self_consumption: Ratio | None = shows(
        "state.self_consumption",
        "The part of its production that it and other homes of the community use, 0 to 1; null without production.",
    )
    light: Light = shows("state.light", "Whether now is a good time for this home to use energy.")
    quality: Quality = shows("state.quality", "How far the figures rest on readings.")
    today: EnergyToday | None = shows(
        "state.today", "Energy and saving since local midnight; null before the first reading."
    )
    community: CommunityLive = strawberry.field(
        resolver=_community,
        description="The community of the home, at the same moment. An error NOT_FOUND in a community of fewer than "
        "5 homes whose members did not agree to see its totals.",
        metadata={SOURCE: "community"},
    )
