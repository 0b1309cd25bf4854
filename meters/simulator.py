"""Publish simulated readings at their pace: `run_simulation` is what `commonwatt simulate` runs.

It registers the communities where they are absent, lets every meter go on from what the stream
holds of it, and publishes each home's readings together when their time comes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from math import inf, isfinite
from typing import Final

import structlog

from bus.client import MAX_BATCH, Bus
from bus.community import Community
from bus.identifiers import check_id
from bus.readings import Outgoing, ReadingsWriter
from bus.registry import Registry, apply
from meters.demo import simulated_communities, simulated_community
from meters.errors import OptionError
from meters.pace import Pace
from meters.patience import patiently
from meters.simulation import Simulation
from meters.sun import VIENNA, Place

log = structlog.get_logger(__name__)

DEFAULT_HOMES: Final = 20
MAX_RATE: Final = 10.0
MIN_RATE: Final = 1 / 3600

_BACKLOG_MS: Final = 5 * 60_000
"""Readings that could not be sent for so long are sent late, as a gateway's memory does; older ones never were."""

_AHEAD_MS: Final = 5 * 60_000
"""A stored reading this far ahead of the wall clock is none of a meter of ours."""


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """What to simulate. Raises OptionError with the value, the limit and the way out.

    `community`: id of the community; the first of several where it has over 1,000 homes.
    `homes`: how many; None: as many as are registered, or 20.
    `rate`: readings per meter and second of the meter's own time.
    `speed`: seconds of the meters' time per second; 0 is as fast as possible.
    `start`: the meters' time at the start; None is now. `duration`: of the meters' time; None is for ever.
    """

    community: str = "demo"
    homes: int | None = None
    seed: int = 1
    rate: float = 0.2
    speed: float = 1.0
    start: datetime | None = None
    duration: timedelta | None = None
    place: Place = VIENNA

    def __post_init__(self) -> None:
        check_id(self.community)
        if self.homes is not None and self.homes < 1:
            raise OptionError(f"homes is {self.homes}; expected 1 or more")
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise OptionError(
                f"rate is {self.rate:g} readings per second and meter; expected {MIN_RATE:.5f} (one an hour) "
                f"to {MAX_RATE:g}: more readings a second come from more homes"
            )
        if not (isfinite(self.speed) and self.speed >= 0):
            raise OptionError(f"speed is {self.speed:g}; expected 1 (real time), more, or 0 (as fast as possible)")
        if self.start is not None and self.start.tzinfo is None:
            raise OptionError(f"start is {self.start.isoformat()}, without an offset; expected as {self.start}Z")
        if self.duration is not None and self.duration <= timedelta(0):
            raise OptionError(f"duration is {self.duration}; expected more than 0, or none for ever")
        if not (-90 <= self.place.latitude <= 90 and -180 <= self.place.longitude <= 180):
            raise OptionError(f"place is {self.place}; expected a latitude of -90..90 and a longitude of -180..180")

    @property
    def event_clock(self) -> bool:
        """True where the meters' time is not the wall clock's, so that their communities' clock must be `event`."""
        return self.speed != 1 or self.start is not None

    @property
    def step(self) -> timedelta:
        """The time between two readings of a meter."""
        return timedelta(milliseconds=round(1000 / self.rate))


async def run_simulation(
    bus: Bus,
    options: SimulationOptions,
    *,
    wall: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Publish until cancelled, or until the duration is over.

    Raises OptionError where the registry holds other homes than asked for, or another clock.
    """
    communities = await patiently(bus, lambda: registered(bus, options, now=datetime.fromtimestamp(wall(), UTC)))
    event_clock = communities[0].clock == "event"
    writer = ReadingsWriter(bus, latest_ms=None if event_clock else lambda: wall() * 1000 + _AHEAD_MS, sleep=sleep)
    start = options.start or datetime.fromtimestamp(wall(), UTC)
    simulations = []
    for community in communities:
        stored = {meter: await writer.last(community.id, meter) for meter in community.home_of_meter}
        known = {meter: reading for meter, reading in stored.items() if reading is not None}
        simulations.append(Simulation(community, options.seed, start, options.step, place=options.place, stored=known))
    start_ms = max(simulation.start_ms for simulation in simulations)
    for simulation in simulations:
        simulation.skip_to(start_ms)
    meters = sum(simulation.meters for simulation in simulations)
    log.info(
        "simulating",
        communities=[community.id for community in communities],
        homes=sum(len(community.homes) for community in communities),
        meters=meters,
        seed=options.seed,
        every=f"{options.step.total_seconds():g} s",
        speed=options.speed or "max",
        since=datetime.fromtimestamp(start_ms / 1000, UTC).isoformat(timespec="seconds"),
    )
    pace = (
        Pace(start_ms, options.speed, clock=monotonic, sleep=sleep)
        if event_clock
        else Pace(wall() * 1000, 1.0, clock=wall, sleep=sleep)
    )
    end_ms = inf if options.duration is None else start_ms + options.duration / timedelta(milliseconds=1)
    step_ms = options.step / timedelta(milliseconds=1)
    await _publish(
        simulations,
        writer,
        pace,
        end_ms=end_ms,
        ahead_ms=step_ms * max(1, MAX_BATCH // meters),
        backlog_ms=inf if event_clock else max(_BACKLOG_MS, 2 * step_ms),
    )


async def _publish(
    simulations: list[Simulation],
    writer: ReadingsWriter,
    pace: Pace,
    *,
    end_ms: float,
    ahead_ms: float,
    backlog_ms: float,
) -> None:
    while (due_ms := min(simulation.next_ms for simulation in simulations)) <= end_ms:
        await pace.until(due_ms)
        now_ms = pace.now_ms
        if now_ms - due_ms > backlog_ms:
            log.warning("was away; meters go on from now", seconds=round((now_ms - due_ms) / 1000))
            for simulation in simulations:
                simulation.skip_to(int(now_ms))
            continue
        until_ms = min(now_ms, end_ms, due_ms + ahead_ms)
        batch: list[Outgoing] = []
        for simulation in simulations:
            for readings in simulation.readings(until_ms):
                batch += readings
                if len(batch) >= MAX_BATCH:
                    break
        await writer.write(batch)


async def registered(bus: Bus, options: SimulationOptions, *, now: datetime) -> list[Community]:
    """Return the communities to simulate as they are registered; register them where they are absent."""
    registry = Registry()
    await registry.load(bus)
    communities = []
    for community in _wanted(registry, options):
        history = registry.communities.get(community.id)
        if history is not None:
            communities.append(_usable(history.latest.community, community, options))
        else:
            await apply(bus, community, now=now)
            log.info("registered", community=community.id, homes=len(community.homes))
            communities.append(community)
    return communities


def _wanted(registry: Registry, options: SimulationOptions) -> Iterator[Community]:
    """Yield the communities asked for; where no number of homes is, those that an earlier run registered."""
    if options.homes is not None or options.community not in registry.communities:
        homes = options.homes or DEFAULT_HOMES
        yield from simulated_communities(homes, options.seed, options.community, event_clock=options.event_clock)
        return
    yield registry.communities[options.community].latest.community
    for number in count(2):
        history = registry.communities.get(f"{options.community}-{number}")
        if history is None:
            return
        known = history.latest.community
        simulated = simulated_community(len(known.homes), options.seed, known.id)
        if not simulated.home_of_meter.keys() <= known.home_of_meter.keys():
            return  # somebody's own, by chance of that name: its meters are not ours to play
        yield known


def _usable(known: Community, wanted: Community, options: SimulationOptions) -> Community:
    if options.homes is not None and len(known.homes) != len(wanted.homes):
        raise OptionError(
            f"community {known.id!r} is registered with {len(known.homes)} homes, not {len(wanted.homes)}: "
            "leave --homes out, name another --community, or start with --fresh"
        )
    if options.event_clock and known.clock != "event":
        raise OptionError(
            f"community {known.id!r} goes by the wall clock; at speed {options.speed:g} or from a start of its own "
            'its readings would not be of now: name another --community, or register it with clock = "event"'
        )
    return known
