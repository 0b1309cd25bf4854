"""Several aggregators side by side, each with its own communities."""

import pytest

from bus.client import Bus
from tests.aggregator.service.conftest import Start
from tests.aggregator.service.process import AggregatorProcess, eventually
from tests.aggregator.service.village import frame, intervals, publish, reading, register, rejected, village

COMMUNITIES = [f"c{number}" for number in range(1, 7)]
QUARTERS = 4


def an_hour(community: str, since: int = 0) -> list[tuple[str, bytes]]:
    """A reading every 5 minutes for an hour and a bit, and some that are refused."""
    found = []
    for minute in range(since, since + 66, 5):
        found.append((f"readings.{community}.h1-grid", reading(minute, 10 * minute)))
        found.append((f"readings.{community}.h2-grid", reading(minute, 0, 7 * minute)))
    return [
        *found,
        (f"readings.{community}.h1-grid", b"{"),
        (f"readings.{community}.M1", reading(0, 0)),
        (f"readings.{community}.a.b", reading(0, 0)),
        (f"readings.{community}", reading(0, 0)),
    ]


STRAYS = [(f"readings.{name}.m", reading(0, 0)) for name in ("X", "Y", "Z", "nowhere", "elsewhere", "somewhere")]


async def settled(bus: Bus, communities: list[str], quarters: int = QUARTERS) -> bool:
    """Say whether all have settled as many intervals, each once."""
    for community in communities:
        found = [(one.start, one.revision) for one in await intervals(bus, community)]
        assert len(found) == len(set(found)), f"{community}: {found}"
        if len(found) < quarters:
            return False
        assert len(found) == quarters
    return True


async def test_two_parts_settle_every_community_once_and_refuse_every_stray_once(
    bus: Bus, nats_url: str, start: Start
) -> None:
    for community in COMMUNITIES:
        await register(bus, village(community))
    parts = [start(nats_url, "--part", f"{part}/2") for part in (1, 2)]
    for part in parts:
        await part.ready()
    await publish(bus, [*(one for community in COMMUNITIES for one in an_hour(community)), *STRAYS])
    await eventually(lambda: settled(bus, COMMUNITIES), "an hour of all")
    counts = [part.metric("commonwatt_communities") for part in parts]
    assert sum(counts) == len(COMMUNITIES)
    assert min(counts) > 0

    async def refused() -> bool:
        return len(await rejected(bus)) >= 4 * len(COMMUNITIES) + len(STRAYS)

    await eventually(refused, "all refusals")
    found = await rejected(bus)
    assert len({one.sequence for one in found}) == len(found) == 4 * len(COMMUNITIES) + len(STRAYS)
    assert [part.code for part in parts] == [None, None]

    parts[0].kill()  # and each goes on where it was
    again = start(nats_url, "--part", "1/2")
    await again.ready()
    more = [one for community in COMMUNITIES for one in an_hour(community, 70) if len(one[1]) > 10 and "grid" in one[0]]
    await publish(bus, more)
    await eventually(lambda: settled(bus, COMMUNITIES, 8), "the next hour of all")
    assert len(await rejected(bus)) == len(found)


@pytest.mark.slow
async def test_one_part_after_two_goes_on_with_what_they_settled(bus: Bus, nats_url: str, start: Start) -> None:
    for community in COMMUNITIES:
        await register(bus, village(community))
    await publish(bus, [*(one for community in COMMUNITIES for one in an_hour(community)), *STRAYS])
    parts: list[AggregatorProcess] = [start(nats_url, "--part", f"{part}/2") for part in (1, 2)]
    await eventually(lambda: settled(bus, COMMUNITIES), "an hour of all")
    for part in parts:
        part.kill()
    start(nats_url)
    await publish(bus, [("readings.last.m", b"")])

    async def seen() -> bool:
        return any(one.subject == "readings.last.m" for one in await rejected(bus))

    await eventually(seen, "the last stray")
    assert await settled(bus, COMMUNITIES)
    found = await rejected(bus)
    assert len({one.sequence for one in found}) == len(found) == 4 * len(COMMUNITIES) + len(STRAYS) + 1


async def test_a_named_community_is_settled_alone_with_all_that_is_refused_of_it(
    bus: Bus, nats_url: str, start: Start
) -> None:
    for community in COMMUNITIES[:3]:
        await register(bus, village(community))
    one = start(nats_url, "--community", "c1", "--community", "c2")
    await publish(bus, [*(one for community in COMMUNITIES[:3] for one in an_hour(community)), *STRAYS])
    await eventually(lambda: settled(bus, ["c1", "c2"]), "an hour of both")

    async def refused() -> bool:
        return len(await rejected(bus)) >= 8

    await eventually(refused, "all refusals")
    assert {found.subject.split(".")[1] for found in await rejected(bus)} == {"c1", "c2"}
    assert len(await rejected(bus)) == 8
    assert await intervals(bus, "c3") == []
    assert await frame(bus, "c3") is None
    assert one.metric("commonwatt_communities") == 2
