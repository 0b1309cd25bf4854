"""Today so far: energy and savings since local midnight, for live frames.

Registers say what was drawn and injected; what was shared is summed over the closed intervals,
and previewed for the open ones from the registers so far. Provisional by nature.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Final

from aggregator.rows import Measured, saved
from aggregator.sharing import Participant, share
from aggregator.state import DayTotal, State
from aggregator.tariff import prices_at, worth
from aggregator.track import Crossing, Energy, Track
from bus.community import Community
from bus.messages import Interval, Today
from bus.prices import show

_ALL: Final = ""
"""The community's own total: where its key nets nothing per home (VIRTUAL), it is not the homes' sum."""


def local_midnight(community: Community, now: int) -> int:
    """Return the local midnight before `now`, both in ms since 1970 UTC."""
    local = datetime.fromtimestamp(now / 1000, UTC).astimezone(community.zone)
    return int(datetime.combine(local.date(), time(), tzinfo=community.zone).timestamp() * 1000)


def count_interval(state: State, start: int, new: Interval, old: Interval | None) -> None:
    """Add a closed interval of today to the day's totals, in place of its earlier revision."""
    if start < state.midnight:
        return
    for sign, interval in ((-1, old), (1, new)):
        if interval is None:
            continue
        state.today.setdefault(_ALL, DayTotal()).shared_wh += sign * interval.shared_wh
        for row in interval.rows:
            total = state.today.setdefault(row.home, DayTotal())
            total.shared_wh += sign * row.allocated_wh
            total.saved = show(Decimal(total.saved) + sign * saved(row))


def begin_day(state: State, midnight: int) -> None:
    """Start counting anew at a local midnight."""
    state.midnight = midnight
    state.today = {}


def todays(
    state: State, community: Community, homes: Mapping[str, Iterable[tuple[str, Track]]], interval_ms: int
) -> tuple[Today, dict[str, Today]]:
    """Return what the community and each home did since midnight."""
    energies = {home: _since_midnight(state, meters, interval_ms) for home, meters in homes.items()}
    shared = {home: state.today[home].shared_wh if home in state.today else 0 for home in homes}
    worths = {home: Decimal(state.today[home].saved) if home in state.today else Decimal(0) for home in homes}
    whole_shared = state.today[_ALL].shared_wh if _ALL in state.today else 0
    start = state.base
    while start is not None and start <= state.now:
        parts = [
            _open_part(track, role, state, start, interval_ms, home)
            for home, meters in homes.items()
            for role, track in meters
            if role == "GRID"
        ]
        sums: dict[str, list[int]] = {}
        for home, energy in parts:
            one = sums.setdefault(home, [0, 0])
            one[0] += energy.import_wh
            one[1] += energy.export_wh
        known = community.homes_by_id
        allocation = share(
            community.allocation_key,
            [
                Participant(home, got[0], got[1], known[home].key, known[home].participation)
                for home, got in sums.items()
                if home in known
            ],
        )
        if start >= state.midnight:
            prices = prices_at(community, start)
            for home, allocated in allocation.allocated.items():
                shared[home] += allocated
                worths[home] += worth(allocated, prices.saving_per_wh)
                worths[home] += worth(allocation.used[home], prices.credit_per_wh)
            whole_shared += allocation.shared_wh
        start += interval_ms
    by_home = {home: _today(state, community, energy, shared[home], worths[home]) for home, energy in energies.items()}
    total = Measured(
        import_wh=sum(energy.import_wh for energy in energies.values()),
        export_wh=sum(energy.export_wh for energy in energies.values()),
        pv_wh=sum(energy.pv_wh for energy in energies.values()),
        charge_wh=sum(energy.charge_wh for energy in energies.values()),
        discharge_wh=sum(energy.discharge_wh for energy in energies.values()),
    )
    return _today(state, community, total, whole_shared, sum(worths.values(), Decimal(0))), by_home


def _today(state: State, community: Community, energy: Measured, shared_wh: int, worth_minor: Decimal) -> Today:
    return Today(
        import_wh=energy.import_wh,
        export_wh=energy.export_wh,
        produced_wh=energy.pv_wh,
        consumed_wh=energy.load_wh,
        shared_wh=shared_wh,
        saved=show(worth_minor),
        currency=community.tariff.currency,
        since=state.midnight,
    )


def _since_midnight(state: State, meters: Iterable[tuple[str, Track]], interval_ms: int) -> Measured:
    whole = Measured()
    for role, track in meters:
        if track.last is not None:
            energy = track.cumulative(track.last).minus(_at_midnight(state, track, interval_ms))
            whole = whole.plus(role, max(0, energy.import_wh), max(0, energy.export_wh))
    return whole


def _at_midnight(state: State, track: Track, interval_ms: int) -> Energy:
    assert track.last is not None
    if state.base is None or state.midnight < state.base:
        return track.midnight or Energy(0, 0)
    return _at_border(track, state.base, state.midnight, interval_ms)


def _open_part(track: Track, role: str, state: State, start: int, interval_ms: int, home: str) -> tuple[str, Energy]:
    if track.last is None or state.base is None:
        return home, Energy(0, 0)
    begin = _at_border(track, state.base, start, interval_ms)
    end = _at_border(track, state.base, start + interval_ms, interval_ms)
    part = end.minus(begin)
    return home, Energy(max(0, part.import_wh), max(0, part.export_wh))


def _at_border(track: Track, base: int, border: int, interval_ms: int) -> Energy:
    index = (border - base) // interval_ms
    assert track.last is not None
    crossing = track.crossings[index] if index < len(track.crossings) else Crossing(track.last, None)
    value = track.energy_at(crossing, border)
    return track.cumulative(track.last) if value is None else value
