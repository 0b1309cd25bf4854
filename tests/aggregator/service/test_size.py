"""How large state, checkpoints and frames become, and how much memory an aggregator takes."""

from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bus.client import Bus, Message
from bus.community import Home, Meter, MeterRole, Version
from bus.messages import encode
from bus.registry import tick
from bus.streams import REGISTRY
from tests.aggregator.service.conftest import Start
from tests.aggregator.service.process import AggregatorProcess, eventually
from tests.aggregator.service.village import START, folded_to, frame, intervals, publish, reading, register, village

MIB = 1024 * 1024
ROLES: tuple[MeterRole, ...] = ("GRID", "PV", "BATTERY")

Registers = dict[str, list[int]]


def readings_at(community: str, meters: list[str], minute: float, dice: Random, registers: Registers) -> Any:
    """Yield a reading of each meter, with all that a reading can say."""
    for meter in meters:
        values = registers.setdefault(f"{community}.{meter}", [dice.randrange(10**8), dice.randrange(10**8)])
        values[0] += dice.randrange(200)
        values[1] += dice.randrange(200)
        powers: dict[str, Any] = {
            "power_import_w": dice.randrange(30_000) / 10,
            "power_export_w": dice.randrange(30_000) / 10,
        }
        at = START + timedelta(minutes=minute, milliseconds=dice.randrange(60_000))
        yield f"readings.{community}.{meter}", reading(at, *values, epoch=f"serial-{meter}"[:64], **powers)


@pytest.mark.slow
async def test_a_thousand_homes_with_three_meters_and_long_names_stay_under_nats_message_limit(
    bus: Bus, nats_url: str, start: Start
) -> None:
    homes = tuple(
        Home(
            id=f"home-{n:04}".ljust(64, "x"),
            meters=tuple(
                Meter(id=f"{n:04}-{role}".lower().ljust(64, "x"), role=role) for role in ("GRID", "PV", "BATTERY")
            ),
        )
        for n in range(1000)
    )
    community = village("demo", of=homes, finality=timedelta(days=16))
    await register(bus, community)
    aggregator = start(nats_url)
    meters = list(community.home_of_meter)
    dice = Random(3)
    registers: Registers = {}
    last = 0
    for minute in (0, 7, 14, 21, 28, 35, 42, 49):
        last = await publish(bus, readings_at("demo", meters, minute, dice, registers))
    await eventually(lambda: folded_to(bus, last), f"all folded; it says {aggregator.log[-2000:]}", 60)

    checkpoint = await bus.last("KV_checkpoints", "$KV.checkpoints.demo")
    now = await frame(bus)
    settled = await intervals(bus)
    assert checkpoint is not None
    assert now is not None
    assert len(settled) >= 2
    sizes = {
        "checkpoint": len(checkpoint.data),
        "frame": len(encode(now)),
        "interval": max(len(encode(one)) for one in settled),
    }
    print(f"bytes: {sizes}")
    assert now.state.homes_reporting == 1000
    assert max(sizes.values()) < MIB, sizes


@pytest.mark.slow
async def test_ten_thousand_homes_take_less_than_150_mb_beyond_an_idle_process_and_do_not_grow(
    bus: Bus, nats_url: str, start: Start
) -> None:
    """Of the process's memory some 78 MB are its code: the command line imports the server, too."""
    aggregator = start(nats_url)
    await aggregator.ready()
    idle = memory_mb(aggregator, "VmRSS")
    communities = [village(f"c{n:03}", homes=100, roles=("GRID", "PV")) for n in range(100)]
    for community in communities:  # as `apply` writes it, which reads the whole registry each time
        version = Version(valid_from=date(1970, 1, 1), community=community)
        data = version.model_dump_json(exclude_defaults=True).encode()
        sequence = await bus.publish(Message(f"$KV.{REGISTRY}.{community.id}", data, 0))
    await bus.publish(Message("readings.tick", tick(sequence)))
    meters = list(communities[0].home_of_meter)
    dice = Random(3)
    registers: Registers = {}
    resident = []
    for minute in range(0, 90, 15):
        for community in communities:
            last = await publish(bus, readings_at(community.id, meters, minute, dice, registers))
            await eventually(lambda: shown_at(bus, community.id, minute), "a frame", 60)  # noqa: B023 - awaited here
        resident.append(memory_mb(aggregator, "VmRSS"))
    await eventually(lambda: folded_to(bus, last, "c099"), "a checkpoint", 60)
    resident.append(memory_mb(aggregator, "VmRSS"))
    peak = memory_mb(aggregator, "VmHWM")
    print(f"MB resident: idle {idle:.0f}, after each round {[round(one) for one in resident]}, peak {peak:.0f}")
    assert len(await intervals(bus, "c099")) >= 4
    assert peak - idle < 110
    assert resident[-1] - resident[2] < 20


async def shown_at(bus: Bus, community: str, minute: float) -> bool:
    """Say whether a frame of a community stands at a time or later."""
    now = await frame(bus, community)
    return now is not None and now.at >= (START + timedelta(minutes=minute)).timestamp() * 1000


def memory_mb(process: AggregatorProcess, name: str) -> float:
    """Return a figure of the kernel's: VmRSS is the memory resident now, VmHWM the most that ever was."""
    for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1000
    raise AssertionError(name)
