"""A stored input with all that goes wrong in it: late, doubled, corrected, silent, exchanged, refused.

Ticks are part of it, and aggregators that fold it write none of their own: their places in the
log decide what is answered when, so two runs are comparable only over the same ticks.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final

from bus.client import Bus
from bus.community import AlertRules, Community
from bus.reading import Reading
from bus.registry import Registry, tick
from meters.demo import simulated_community
from meters.simulation import Simulation
from tests.aggregator.service.village import START, publish, reading, register, village

_HOUR_S: Final = 3600
_TICK_EVERY: Final = 40


def turbulent_community(homes: int = 8) -> Community:
    """Return a community on the readings' clock, with alerts and a finality that come soon."""
    whole = simulated_community(homes, 3, "sun", event_clock=True)
    limited = tuple(home.model_copy(update={"import_limit_w": 2000.0}) for home in whole.homes)
    return whole.model_copy(
        update={
            "homes": limited,
            "finality": timedelta(hours=20),
            "alerts": AlertRules(surplus_start_w=500, surplus_end_w=100, meter_silent=timedelta(minutes=40)),
        }
    )


async def store(bus: Bus, *, hours: int, homes: int = 8) -> int:
    """Store the input of two communities, one on the readings' clock and one on the wall's; return its last sequence.

    In the middle a version of the registry comes that holds for closed intervals.
    """
    community = turbulent_community(homes)
    await register(bus, community)
    await register(bus, village("wall", clock="wall"))
    messages = list(_messages(community, hours))
    half = len(messages) // 2
    await publish(bus, await _with_ticks(bus, messages[:half]))
    dearer = community.tariff.model_copy(update={"community_price": Decimal("0.2")})
    await register(bus, community.model_copy(update={"tariff": dearer}), (START + timedelta(hours=hours / 3)).date())
    return await publish(bus, [*await _with_ticks(bus, messages[half:]), *await _with_ticks(bus, [])])


async def _with_ticks(bus: Bus, messages: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    registry = Registry()
    await registry.load(bus)
    beat = ("readings.tick", tick(registry.sequence))
    found = []
    for number, message in enumerate(messages):
        found.append(message)
        if number % _TICK_EVERY == 0:
            found.append(beat)
    return [*found, beat]


def _messages(community: Community, hours: int) -> Iterable[tuple[str, bytes]]:
    """Yield (subject, payload) in the order of arrival."""
    dice, now = Random(7), datetime.now(UTC)
    arrivals: list[tuple[float, int, str, bytes]] = []

    def arrive(at_s: float, meter: str, data: bytes, of: str = "sun") -> None:
        arrivals.append((at_s, len(arrivals), f"readings.{of}.{meter}", data))

    meters = sorted(community.home_of_meter)
    silent, catching_up, exchanged = meters[0], meters[4], meters[-1]
    simulation = Simulation(community, 3, START, timedelta(minutes=10))
    last_ms = int(START.timestamp() * 1000) + hours * _HOUR_S * 1000
    for outgoing in (one for batch in simulation.readings(last_ms) for one in batch):
        meter, told = outgoing.meter, outgoing.reading
        at_s = told.at_ms / 1000
        since = (at_s - START.timestamp()) / _HOUR_S
        if meter == silent and 3 <= since < 8:
            continue
        if meter == exchanged and since > hours / 2:
            told = _changed(told, epoch="new", import_wh=told.import_wh // 2, export_wh=told.export_wh // 2)
        data = told.to_bytes()
        chance = dice.random()
        late = 0.0
        if meter == catching_up and 5 <= since < 7.5:
            late = (7.6 - since) * _HOUR_S
        elif chance < 0.06:
            late = dice.uniform(0, 300)
        elif chance < 0.08:
            late = dice.uniform(1, 5) * _HOUR_S
        elif chance < 0.09:
            arrive(at_s + dice.uniform(0, 7200), meter, data)
        elif chance < 0.10:
            right = _changed(told, import_wh=told.import_wh + 3, correction=True)
            arrive(at_s + dice.uniform(1, 3) * _HOUR_S, meter, right.to_bytes())
        elif chance < 0.105:
            arrive(
                at_s + 1, meter, _changed(told, at=told.at + timedelta(seconds=1), import_wh=0, export_wh=0).to_bytes()
            )
        elif chance < 0.11:
            arrive(at_s + 1, meter, b"{")
            arrive(at_s + 1, "nobody", data)
            arrive(at_s + 1, meter, data, of="nowhere")
        elif chance < 0.115:
            arrive(at_s + 21.5 * _HOUR_S, meter, _changed(told, at=told.at + timedelta(seconds=2)).to_bytes())
        arrive(at_s + late, meter, data)
        if since < 12 and meter == meters[1]:
            recently = now - timedelta(hours=13 - since)
            arrive(at_s, "h1-grid", reading(recently, round(since * 300)), of="wall")
            arrive(at_s, "h2-grid", reading(recently, 0, round(since * 200)), of="wall")
    for _, _, subject, data in sorted(arrivals):
        yield subject, data


def _changed(told: Reading, **changes: Any) -> Reading:
    fields = {name: getattr(told, name) for name in ("at", "epoch", "import_wh", "export_wh")}
    return Reading(**(fields | changes))
