"""Killed at any moment: the outputs are those of a run that nobody disturbed, each once."""

import asyncio
from datetime import date
from random import Random
from typing import Any, Final

import msgspec
import pytest

from aggregator.checkpoint import Checkpoints
from aggregator.fetching import StreamSource
from bus.client import Bus, Message, connection_of
from bus.community import Version
from bus.errors import UnavailableError
from bus.settings import NatsSettings
from bus.streams import REGISTRY, Retention, configurations, ensure_streams
from tests.aggregator.service import failing
from tests.aggregator.service.conftest import Start
from tests.aggregator.service.process import eventually
from tests.aggregator.service.turbulent import store
from tests.aggregator.service.village import alerts, intervals, publish, reading, rejected, village
from tests.conftest import NatsServer

FAILING: Final = "tests.aggregator.service.failing"
COMMUNITIES: Final = ("sun", "wall")

Outputs = dict[str, list[Any]]


async def outputs(bus: Bus) -> Outputs:
    """Return all that came out, by stream and community, in order."""
    # Several write to REJECTED, each in the order of what it refuses.
    refused = sorted(await rejected(bus), key=lambda one: one.sequence)
    found: Outputs = {"REJECTED": msgspec.to_builtins(refused)}
    for community in COMMUNITIES:
        found[f"INTERVALS {community}"] = msgspec.to_builtins(await intervals(bus, community))
        found[f"ALERTS {community}"] = msgspec.to_builtins(await alerts(bus, community))
    return found


async def position(bus: Bus) -> int:
    """Return the sequence of READINGS up to which all was folded and saved."""
    saved = [await Checkpoints(bus, "test").load(community) for community in COMMUNITIES]
    return min(one.position if one else 0 for one in saved)


async def insist(bus: Bus) -> int:
    """Return the position as soon as NATS answers."""
    while True:
        try:
            return await position(bus)
        except UnavailableError:
            await bus.pause()


async def folded(bus: Bus, last: int) -> bool:
    """Say whether all was folded and saved."""
    return await position(bus) >= last


async def forget_outputs(bus: Bus) -> None:
    """Delete outputs and checkpoints; the new streams' duplicate window is 0.1 s, so any restart comes after it."""
    jetstream = connection_of(bus).jetstream()
    for name in ("INTERVALS", "ALERTS", "REJECTED", "KV_checkpoints"):
        await jetstream.delete_stream(name)
    for config in configurations(Retention()):
        if config.name in ("INTERVALS", "ALERTS", "REJECTED"):
            config.duplicate_window = 0.1
            await jetstream.add_stream(config)
    await ensure_streams(jetstream, Retention())


def differences(found: Outputs, expected: Outputs) -> list[str]:
    """Say where outputs differ: per stream the first place."""
    said = []
    for name, wanted in expected.items():
        got = found[name]
        if got != wanted:
            at = next(
                (n for n, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), min(len(got), len(wanted))
            )
            said.append(
                f"{name}: {len(got)} where {len(wanted)} are right; at {at}:\n{got[at : at + 1]}\n{wanted[at : at + 1]}"
            )
    return said


async def undisturbed(bus: Bus, url: str, last: int, start: Start) -> Outputs:
    """Fold all without a disturbance; return what came of it, and forget it in the streams."""
    aggregator = start(url, script=FAILING)
    await eventually(lambda: folded(bus, last), "the undisturbed run", 60)
    aggregator.kill()
    expected = await outputs(bus)
    await forget_outputs(bus)
    return expected


@pytest.mark.slow
async def test_twenty_kills_of_the_aggregator_and_five_of_nats_change_no_output(
    own_nats: NatsServer, start: Start
) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    last = await store(bus, hours=48)
    expected = await undisturbed(bus, own_nats.url, last, start)
    dice = Random(1)
    assert {one["status"] for one in expected["INTERVALS sun"]} == {"PROVISIONAL", "FINAL"}
    assert max(one["revision"] for one in expected["INTERVALS sun"]) > 2
    assert {one["reason"] for one in expected["REJECTED"]} >= {"interval_final", "register_fell", "unknown_community"}
    assert {one["kind"] for one in expected["ALERTS sun"]} >= {"SURPLUS_STARTED", "METER_SILENT", "METER_BACK"}

    plan = ["aggregator"] * 20 + ["nats"] * 5
    dice.shuffle(plan)
    for number, victim in enumerate(plan):
        point = failing.POINTS[number % len(failing.POINTS)]
        times = dice.randint(100, 500) if point == "take" else dice.randint(3, 8)
        broker = own_nats._process
        assert broker is not None
        pid = {"FAIL_PID": str(broker.pid)} if victim == "nats" else {}
        aggregator = start(own_nats.url, script=FAILING, FAIL_AT=f"{point}:{times}", **pid)
        if victim == "nats":
            await asyncio.to_thread(broker.wait, 20)
            own_nats.start()
            before = await insist(bus)

            async def went_on(before: int = before) -> bool:
                return await insist(bus) > before

            await eventually(went_on, f"progress after NATS came back; it says\n{aggregator.log}")
            assert aggregator.code is None, aggregator.log
            aggregator.kill()
        else:
            assert await aggregator.end() == -9, aggregator.log
    assert await position(bus) < last, "all was folded before the last kill"
    start(own_nats.url, script=FAILING)
    await eventually(lambda: folded(bus, last), "the rest", 60)
    assert differences(await outputs(bus), expected) == []
    await bus.close()


@pytest.mark.slow
async def test_two_aggregators_that_fence_each_other_out_again_and_again_change_no_output(
    bus: Bus, nats_url: str, start: Start
) -> None:
    last = await store(bus, hours=24)
    expected = await undisturbed(bus, nats_url, last, start)
    rivals = [start(nats_url, script=FAILING), start(nats_url, script=FAILING)]
    fenced = 0

    async def both_run_until_all_is_folded() -> bool:
        nonlocal fenced
        for index, rival in enumerate(rivals):
            if rival.code is not None:
                assert rival.code == 3, rival.log
                fenced += 1
                rivals[index] = start(nats_url, script=FAILING)
        return await folded(bus, last)

    await eventually(both_run_until_all_is_folded, "both to fold all", 60)
    assert fenced
    assert differences(await outputs(bus), expected) == []


@pytest.mark.slow
async def test_readings_fetched_for_a_correction_are_complete_though_nats_is_killed_meanwhile(
    own_nats: NatsServer,
) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    await publish(bus, [(f"readings.demo.m{n % 3}", reading(n, n)) for n in range(9000)])
    until = 8500
    found = []
    async for one in StreamSource(bus).readings("demo", ["m0", "m1"], 10, until):
        found.append(one.sequence)
        if len(found) in (1, 2500):
            own_nats.kill()
            own_nats.start()
    assert found == sorted(set(found))
    assert {one for one in range(11, until + 1) if (one - 1) % 3 != 2} <= set(found)
    assert found[-1] == until
    await bus.close()


@pytest.mark.slow
async def test_a_version_that_was_stored_but_not_announced_is_announced_by_the_next_tick(
    bus: Bus, nats_url: str, start: Start
) -> None:
    aggregator = start(nats_url)
    await aggregator.ready()
    version = Version(valid_from=date(1970, 1, 1), community=village())
    await bus.publish(Message(f"$KV.{REGISTRY}.demo", version.model_dump_json().encode()))

    async def taken_up() -> bool:
        return aggregator.metric("commonwatt_communities") == 1

    await eventually(taken_up, "the community")
