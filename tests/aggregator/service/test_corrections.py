"""Late readings, corrections, new versions of the registry and finality, over NATS and over restarts."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from bus.client import Bus
from bus.messages import Interval, IntervalRow
from bus.registry import Registry, tick
from tests.aggregator.service.conftest import Start
from tests.aggregator.service.process import eventually
from tests.aggregator.service.village import START, TARIFF, intervals, publish, reading, register, rejected, village

QUARTERS = [f"{START + timedelta(minutes=minutes):%H:%M}" for minutes in range(0, 240, 15)]

Step = Callable[[], Awaitable[None]]


def said(minute: float, import_wh: int, **more: Any) -> tuple[str, bytes]:
    return "readings.demo.h1-grid", reading(minute, import_wh, **more)


def usual(since: int, until: int) -> list[tuple[str, bytes]]:
    """Every 5 minutes, at 2, 7, 12 past: h1 draws 10 Wh a minute, h2 gives 6."""
    found = []
    for minute in range(since, until, 5):
        found.append(said(minute, 10 * minute))
        found.append(("readings.demo.h2-grid", reading(minute, 0, 6 * minute)))
    return found


async def ticked(bus: Bus) -> tuple[str, bytes]:
    registry = Registry()
    await registry.load(bus)
    return "readings.tick", tick(registry.sequence)


async def came_out(bus: Bus) -> dict[tuple[str, int], Interval]:
    """Return what came out by start (HH:MM) and revision; fail where one came out twice."""
    found = await intervals(bus)
    keyed = {(one.start[11:16], one.revision): one for one in found}
    assert len(keyed) == len(found)
    return keyed


async def until_out(bus: Bus, *keys: tuple[str, int]) -> dict[tuple[str, int], Interval]:
    """Wait until these revisions, and no others, have come out."""

    async def out() -> dict[tuple[str, int], Interval] | None:
        found = await came_out(bus)
        assert found.keys() <= set(keys), found.keys() - set(keys)
        return found if found.keys() == set(keys) else None

    found = await eventually(out, f"exactly {keys}")
    assert found is not None
    return found


def row(interval: Interval, home: str = "h1") -> IntervalRow:
    assert [one.home for one in interval.rows] == ["h1", "h2"], "not whole"
    return next(one for one in interval.rows if one.home == home)


@pytest.mark.parametrize(
    "restarts",
    [pytest.param(False, id="one process"), pytest.param(True, id="killed before each step", marks=pytest.mark.slow)],
)
async def test_what_comes_late_comes_out_whole_with_the_next_revision_until_it_is_final(
    bus: Bus, nats_url: str, start: Start, restarts: bool
) -> None:
    await register(
        bus, village(grace=timedelta(minutes=1), patience=timedelta(minutes=30), finality=timedelta(hours=1))
    )
    aggregator = start(nats_url)

    def restart() -> None:
        nonlocal aggregator
        if restarts:
            aggregator.kill()
            aggregator = start(nats_url)

    a, b, c, d, *_ = QUARTERS
    await publish(bus, usual(2, 55))
    first = [(a, 0), (b, 0), (c, 0)]
    found = await until_out(bus, *first)
    assert [row(found[one]).import_wh for one in first] == [130, 150, 150]
    assert [row(found[one]).allocated_wh for one in first] == [78, 90, 90]

    restart()  # a reading moves the border between the first two; only these come out again, both homes in each
    await publish(bus, [said(16, 155), await ticked(bus)])
    late = [*first, (a, 1), (b, 1)]
    found = await until_out(bus, *late)
    assert [row(found[one]).import_wh for one in late[-2:]] == [126, 154]
    assert row(found[b, 1], "h2") == row(found[b, 0], "h2")

    restart()  # doubled, and late without any effect: nothing comes out
    await publish(bus, [said(16, 155), said(4, 40), said(17, 170), await ticked(bus)])
    restart()  # corrected: same time, other value, marked
    await publish(bus, [said(27, 275, correction=True), await ticked(bus)])
    corrected = [*late, (b, 2), (c, 1)]
    found = await until_out(bus, *corrected)
    assert [row(found[one]).import_wh for one in corrected[-2:]] == [156, 148]

    restart()  # a version that holds since before all of it: all that is closed is shared again
    dearer = TARIFF.model_copy(update={"community_price": Decimal("0.26")})
    changed = village(
        grace=timedelta(minutes=1), patience=timedelta(minutes=30), finality=timedelta(hours=1), tariff=dearer
    )
    await register(bus, changed, START.date())
    reshared = [*corrected, (a, 2), (b, 3), (c, 2)]
    found = await until_out(bus, *reshared)
    assert [row(found[one]).import_wh for one in reshared[-3:]] == [126, 156, 148]
    assert Decimal(row(found[b, 2]).saving) == 6 * Decimal(row(found[b, 3]).saving) > 0

    restart()  # an hour after its end an interval comes out once more, as it is, and never again
    await publish(bus, [*usual(57, 80), await ticked(bus)])
    final = [*reshared, (a, 3), (d, 0)]
    found = await until_out(bus, *final)
    assert found[a, 3].status == "FINAL"
    assert found[a, 3].rows == found[a, 2].rows
    restart()
    await publish(bus, [said(3, 31), await ticked(bus), await ticked(bus), said(82, 820)])

    async def refused() -> list[tuple[str, str]]:
        return [(one.reason, one.subject) for one in await rejected(bus)]

    assert await eventually(refused, "a refusal") == [("interval_final", "readings.demo.h1-grid")]
    restart()
    await publish(bus, [*usual(87, 93), await ticked(bus)])
    found = await until_out(bus, *final, (b, 4), (QUARTERS[4], 0))
    assert found[b, 4].status == "FINAL"
    assert len(await refused()) == 1


async def test_a_meter_that_was_away_for_an_hour_has_its_gap_filled_when_it_is_back(
    bus: Bus, nats_url: str, start: Start
) -> None:
    await register(bus, village(grace=timedelta(minutes=1), patience=timedelta(minutes=10)))
    start(nats_url)
    a, b, c, d, e, *_ = QUARTERS
    other = [one for one in usual(2, 90) if "h2" in one[0]]
    await publish(bus, [*usual(2, 20), *other[4:]])
    found = await until_out(bus, *((one, 0) for one in (a, b, c, d, e)))
    assert [row(found[one, 0]).quality for one in (b, c)] == ["ESTIMATED", "ESTIMATED"]
    await publish(bus, [said(87, 870), await ticked(bus)])
    found = await until_out(bus, *((one, 0) for one in (a, b, c, d, e)), *((one, 1) for one in (b, c, d, e)))
    assert [row(found[one, 1]).import_wh for one in (b, c, d, e)] == [150] * 4
    assert {row(found[one, 1]).quality for one in (c, d)} == {"SUBSTITUTED"}
