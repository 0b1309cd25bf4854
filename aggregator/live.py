"""Live figures: the state of homes and community from what their meters said last.

Previews for a glance; nothing is billed by them. Formulas: docs/energy-communities.md. Inside,
power is counted in tenths of a watt, so that sums are exact; frames carry W.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from aggregator.sharing import Participant, share
from aggregator.state import State
from aggregator.track import Track
from bus.community import Community, Home, LightRule
from bus.messages import CommunityState, HomeState, Light, Today, Trend

_TREND_MS: Final = 600_000
_SAMPLE_MS: Final = 30_000


class MeterOf(NamedTuple):
    """A meter of the registry with its track."""

    id: str
    role: str
    track: Track


class HomePower(NamedTuple):
    """A home's power in tenths of a watt; None is what it lacks or nobody measured."""

    measured_at: int | None
    import_dw: int | None
    export_dw: int | None
    pv_dw: int | None
    battery_dw: int | None
    charge: float | None
    stale: bool

    @property
    def load_dw(self) -> int | None:
        """Load = import - export + PV + discharge - charge, never below 0."""
        if self.import_dw is None or self.export_dw is None:
            return None
        return max(0, self.import_dw - self.export_dw + (self.pv_dw or 0) + (self.battery_dw or 0))


@dataclass(frozen=True, slots=True)
class CommunityPower:
    """Sums over the homes that report, and how what is shared is split, in tenths of a watt."""

    import_dw: int
    export_dw: int
    pv_dw: int | None
    battery_dw: int
    load_dw: int
    shared_dw: int
    allocated: Mapping[str, int]
    used: Mapping[str, int]
    reporting: int
    measured_at: int | None

    @property
    def surplus_dw(self) -> int:
        return self.export_dw - self.import_dw


def home_power(meters: Sequence[MeterOf]) -> HomePower:
    """Sum a home's meters by role. A home is stale when any of its grid meters is, or none has reported.

    A meter that has shown registers only, and only once, has no power yet: nobody knows the sum.
    """
    imported = exported = pv = battery = None
    charge: float | None = None
    measured_at: int | None = None
    stale = True
    unknown: set[str] = set()
    seen = False
    for _, role, track in meters:
        if track.last is None:
            continue
        measured_at = track.last.at if measured_at is None else max(measured_at, track.last.at)
        power_in, power_out = track.power_import_dw, track.power_export_dw
        if role == "GRID":
            stale = stale or track.stale if seen else track.stale
            seen = True
        if power_in is None and power_out is None:
            unknown.add(role)
        if role == "GRID":
            imported = (imported or 0) + (power_in or 0)
            exported = (exported or 0) + (power_out or 0)
        elif role == "PV":
            pv = (pv or 0) + (power_out or 0)
        else:
            battery = (battery or 0) + (power_out or 0) - (power_in or 0)
            charge = track.charge
    if "GRID" in unknown:
        imported = exported = None
    if "PV" in unknown:
        pv = None
    if "BATTERY" in unknown:
        battery = None
    return HomePower(measured_at, imported, exported, pv, battery, charge, stale)


def community_power(community: Community, homes: Mapping[str, HomePower]) -> CommunityPower:
    """Sum the homes that report and split what they share by the community's key.

    Shared now = min(sum of export, sum of import); for a key that shares nothing per home
    (VIRTUAL) it is split pro rata, as a preview.
    """
    reporting = {home: power for home, power in homes.items() if not power.stale}
    imported = sum(power.import_dw or 0 for power in reporting.values())
    exported = sum(power.export_dw or 0 for power in reporting.values())
    pvs = [power.pv_dw for power in reporting.values() if power.pv_dw is not None]
    key = "DYNAMIC" if community.allocation_key == "VIRTUAL" else community.allocation_key
    known = community.homes_by_id
    allocation = share(
        key,
        [
            Participant(home, power.import_dw or 0, power.export_dw or 0, known[home].key, known[home].participation)
            for home, power in reporting.items()
        ],
    )
    return CommunityPower(
        import_dw=imported,
        export_dw=exported,
        pv_dw=sum(pvs) if pvs else None,
        battery_dw=sum(power.battery_dw or 0 for power in reporting.values()),
        load_dw=sum(power.load_dw or 0 for power in reporting.values()),
        shared_dw=allocation.shared_wh,
        allocated=allocation.allocated,
        used=allocation.used,
        reporting=len(reporting),
        measured_at=max((power.measured_at or 0 for power in homes.values()), default=0) or None,
    )


def home_state(home: Home, power: HomePower, whole: CommunityPower, light: Light, today: Today | None) -> HomeState:
    """Return a home's state as frames carry it."""
    measured = power.import_dw is not None
    shared = whole.allocated.get(home.id, 0) if measured else None
    shared_out = whole.used.get(home.id, 0) if measured else None
    load = power.load_dw
    sufficiency = consumption = None
    if load and power.import_dw is not None:
        sufficiency = _ratio(load - power.import_dw + (shared or 0), load)
    if power.pv_dw and power.export_dw is not None:
        consumption = _ratio(power.pv_dw - power.export_dw + (shared_out or 0), power.pv_dw)
    return HomeState(
        home=home.id,
        measured_at=power.measured_at,
        power_import_w=_watts(power.import_dw),
        power_export_w=_watts(power.export_dw),
        net_power_w=_watts(power.import_dw - power.export_dw)
        if power.import_dw is not None and power.export_dw is not None
        else None,
        pv_power_w=_watts(power.pv_dw),
        battery_power_w=_watts(power.battery_dw),
        battery_charge=power.charge,
        load_w=_watts(load),
        shared_power_w=_watts(shared),
        shared_out_power_w=_watts(shared_out),
        self_sufficiency=sufficiency,
        self_consumption=consumption,
        light=light,
        quality="MISSING" if not measured else "STALE" if power.stale else "MEASURED",
        today=today,
    )


def community_state(community: Community, state: State, whole: CommunityPower, today: Today | None) -> CommunityState:
    """Return the community's state as frames carry it."""
    sufficiency = consumption = None
    if whole.load_dw:
        sufficiency = _ratio(whole.load_dw - whole.import_dw + whole.shared_dw, whole.load_dw)
    if whole.pv_dw:
        consumption = _ratio(whole.pv_dw - whole.export_dw + whole.shared_dw, whole.pv_dw)
    return CommunityState(
        community=community.id,
        measured_at=whole.measured_at,
        power_import_w=whole.import_dw / 10,
        power_export_w=whole.export_dw / 10,
        surplus_power_w=whole.surplus_dw / 10,
        shared_power_w=whole.shared_dw / 10,
        pv_power_w=_watts(whole.pv_dw),
        load_w=whole.load_dw / 10,
        self_sufficiency=sufficiency,
        self_consumption=consumption,
        light=state.light,
        trend=state.trend,
        homes_reporting=whole.reporting,
        homes_total=len(community.homes),
        today=today,
    )


def set_light(community: Community, state: State, whole: CommunityPower) -> None:
    """Move the light: a new colour must hold for the rule's time before it shows (UNKNOWN at once)."""
    colour = light_now(community, whole)
    if colour != state.light_next:
        state.light_next, state.light_since = colour, state.now
    held = state.now - state.light_since >= community.light.hold.total_seconds() * 1000
    if held or "UNKNOWN" in (colour, state.light):
        state.light = colour


def set_trend(community: Community, state: State, whole: CommunityPower) -> None:
    """Move the trend: a new direction must hold for the light's time before it shows."""
    direction = trend_now(community.light, state, whole)
    if direction != state.trend_next:
        state.trend_next, state.trend_since = direction, state.now
    if state.now - state.trend_since >= community.light.hold.total_seconds() * 1000:
        state.trend = direction


def light_now(community: Community, whole: CommunityPower) -> Light:
    """Return the colour that the figures ask for, without the time that it must hold."""
    rule, total = community.light, len(community.homes)
    if (total - whole.reporting) > rule.unknown_over_stale * total:
        return "UNKNOWN"
    if whole.surplus_dw > _margin_dw(rule, whole):
        return "GREEN"
    if whole.load_dw - whole.import_dw + whole.export_dw < rule.red_below_production * whole.load_dw:
        return "RED"
    return "YELLOW"


def sample_surplus(state: State, surplus_dw: int) -> None:
    """Remember the surplus every 30 s for the trend, over the last 10 min."""
    samples = state.surplus_dw
    if not samples or state.now - samples[-1][0] >= _SAMPLE_MS:
        samples.append((state.now, surplus_dw))
    while len(samples) > 1 and samples[1][0] <= state.now - _TREND_MS:
        del samples[0]


def trend_now(rule: LightRule, state: State, whole: CommunityPower) -> Trend:
    """Return the direction of the surplus over 10 min, STEADY within the light's margin, as it is at this moment."""
    if not state.surplus_dw:
        return "STEADY"
    change = whole.surplus_dw - state.surplus_dw[0][1]
    margin = _margin_dw(rule, whole)
    return "RISING" if change > margin else "FALLING" if change < -margin else "STEADY"


def _margin_dw(rule: LightRule, whole: CommunityPower) -> float:
    return max(rule.surplus_w * 10, rule.surplus_of_load * whole.load_dw)


def _watts(deciwatts: int | None) -> float | None:
    return None if deciwatts is None else deciwatts / 10


def _ratio(part: int, whole: int) -> float:
    return round(min(1.0, max(0.0, float(Decimal(part) / Decimal(whole)))), 4)
