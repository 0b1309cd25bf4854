"""Communities in dated versions: what holds when, and that none is lost or overwritten."""

import asyncio
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from bus.client import Bus, Message
from bus.community import Community, RegistryError, parse_community
from bus.registry import BEGINNING, History, Registry, apply, load_history, midnight_ms
from tests.bus.stream import stored

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def _community(name: str = "First", **changes: object) -> Community:
    base = parse_community(
        """
        id = "demo"
        name = "First"
        timezone = "Europe/Vienna"
        tariff = { supplier_price = 0.28, community_price = 0.16, feed_in_price = 0.08 }
        homes = [{ id = "home-01", meters = [{ id = "home-01-grid" }] }]
        """
    )
    return Community.model_validate({**base.model_dump(), "name": name, **changes})


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


async def _history(bus: Bus) -> History:
    history = await load_history(bus, "demo")
    assert history is not None
    return history


async def test_a_community_that_was_never_applied_has_no_history(bus: Bus) -> None:
    assert await load_history(bus, "demo") is None


async def test_the_first_version_holds_for_older_data_too(bus: Bus) -> None:
    version = await apply(bus, _community(), now=NOON)
    assert version is not None
    assert version.valid_from == BEGINNING
    assert (await _history(bus)).at(_ms("1999-01-01T00:00Z")).name == "First"


async def test_a_later_version_holds_from_the_local_midnight_that_began_today(bus: Bus) -> None:
    await apply(bus, _community(), now=NOON)
    late = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)  # the 11th already in Vienna
    version = await apply(bus, _community("Second"), now=late)
    assert version is not None
    assert version.valid_from == date(2026, 3, 11)
    history = await _history(bus)
    assert history.at(_ms("2026-03-10T22:59:59Z")).name == "First"
    assert history.at(_ms("2026-03-10T23:00:00Z")).name == "Second"
    assert len(history) == 2


async def test_the_same_again_adds_nothing(bus: Bus) -> None:
    await apply(bus, _community(), now=NOON)
    assert await apply(bus, _community(), now=NOON) is None
    assert len(await stored(bus, "KV_registry")) == 1


async def test_of_two_versions_of_a_day_the_later_written_holds_and_both_are_kept(bus: Bus) -> None:
    await apply(bus, _community(), now=NOON)
    await apply(bus, _community("Second"), now=NOON)
    await apply(bus, _community("Third"), now=NOON)
    history = await _history(bus)
    assert [version.community.name for version in history] == ["First", "Third"]
    assert len(await stored(bus, "KV_registry")) == 3


async def test_a_time_zone_corrected_on_the_same_day_replaces_the_wrong_one(bus: Bus) -> None:
    await apply(bus, _community(), now=NOON)
    await apply(bus, _community(timezone="Asia/Tokyo"), now=NOON, valid_from=BEGINNING)
    history = await _history(bus)
    assert len(history) == 1
    assert history.latest.community.timezone == "Asia/Tokyo"


async def test_a_version_dated_ahead_waits_for_its_day(bus: Bus) -> None:
    await apply(bus, _community(), now=NOON)
    await apply(bus, _community("Later"), now=NOON, valid_from=date(2026, 7, 1))
    history = await _history(bus)
    assert history.at(_ms("2026-06-30T21:59:59Z")).name == "First"
    assert history.at(_ms("2026-06-30T22:00:00Z")).name == "Later"


async def test_a_date_before_the_latest_version_is_refused_with_what_to_do(bus: Bus) -> None:
    await apply(bus, _community(), now=NOON)
    await apply(bus, _community("Second"), now=NOON)
    with pytest.raises(RegistryError, match="2026-03-10; versions are dated in order, choose that day or a later one"):
        await apply(bus, _community("Third"), now=NOON, valid_from=date(2026, 3, 9))


async def test_another_settlement_interval_is_refused(bus: Bus) -> None:
    await apply(bus, _community(), now=NOON)
    with pytest.raises(RegistryError, match="interval"):
        await apply(bus, _community(settlement_interval="PT1H"), now=NOON)


async def test_two_who_apply_at_the_same_time_both_end_in_the_history(bus: Bus) -> None:
    await apply(bus, _community(), now=NOON)
    await asyncio.gather(*(apply(bus, _community(f"By {who}"), now=NOON) for who in ("one", "other")))
    names = {message.data.split(b'"name":"')[1].split(b'"')[0] for message in await stored(bus, "KV_registry")}
    assert names == {b"First", b"By one", b"By other"}


async def test_a_follower_sees_each_version_as_it_is_written(bus: Bus) -> None:
    registry = Registry()
    seen: asyncio.Queue[str] = asyncio.Queue()
    registry.on_change(lambda id: seen.put_nowait(registry.communities[id].latest.community.name))
    await apply(bus, _community(), now=NOON)
    following = asyncio.create_task(registry.follow(bus))
    assert await asyncio.wait_for(seen.get(), 5) == "First"
    await apply(bus, _community("Second"), now=NOON)
    assert await asyncio.wait_for(seen.get(), 5) == "Second"
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_what_is_no_version_is_left_out(bus: Bus) -> None:
    await bus.publish(Message("$KV.registry.demo", b'{"valid_from": "2026-01-01"}'))
    await bus.publish(Message("$KV.registry.Not_An_Id", b"{}"))
    registry = Registry()
    await registry.load(bus)
    assert registry.communities == {}
    assert registry.sequence == 2
    await apply(bus, _community(), now=NOON)
    assert (await _history(bus)).latest.community.name == "First"


async def test_a_version_comes_back_exactly_as_it_was_applied(bus: Bus) -> None:
    community = _community(grid_carbon_intensity="180.25", allocation_key="VIRTUAL", finality="P20D")
    await apply(bus, community, now=NOON)
    assert (await _history(bus)).latest.community == community


@pytest.mark.parametrize(
    ("day", "hour"),
    [(date(2026, 3, 29), 23), (date(2026, 3, 30), 22), (date(2026, 10, 25), 22), (date(2026, 10, 26), 23)],
)
def test_midnight_is_local_on_the_days_on_which_clocks_change(day: date, hour: int) -> None:
    at = datetime.fromtimestamp(midnight_ms(day, _community()) / 1000, UTC)
    assert at.hour == hour
    assert at.astimezone(ZoneInfo("Europe/Vienna")).date() == day
