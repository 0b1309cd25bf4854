import asyncio
from datetime import UTC, date, datetime

import pytest

from bus.client import Bus
from bus.registry import Registry, apply
from resolvers.directory import Directory
from resolvers.errors import NotFoundError, NotReadyError
from tests.resolvers.frames import community, eventually, register

JUNE_MS = int(datetime(2030, 6, 1, tzinfo=UTC).timestamp() * 1000)


class Clock:
    def __init__(self) -> None:
        self.now_ms = JUNE_MS

    def __call__(self) -> int:
        return self.now_ms


async def follow(bus: Bus, directory: Directory) -> asyncio.Task[None]:
    task = asyncio.create_task(directory.follow(bus))

    async def is_loaded() -> bool:
        return directory.loaded

    await eventually(is_loaded)
    return task


def test_is_not_ready_before_the_registry_was_read() -> None:
    directory = Directory(Registry(), now_ms=Clock())
    assert not directory.loaded
    with pytest.raises(NotReadyError):
        directory.communities()
    with pytest.raises(NotReadyError):
        directory.community("demo")
    with pytest.raises(NotReadyError):
        directory.household("demo.home-1")


async def test_knows_communities_and_homes_by_id(bus: Bus) -> None:
    await register(bus, community("sun"), community("demo"))
    directory = Directory(Registry(), now_ms=Clock())
    task = await follow(bus, directory)
    assert [one.id for one in directory.communities()] == ["demo", "sun"]
    assert directory.community("sun").name == "Sun"
    household = directory.household("demo.home-2")
    assert (household.community.id, household.home.id, household.key) == ("demo", "home-2", "demo.home-2")
    task.cancel()


@pytest.mark.parametrize(
    "key", ["", "x", "demo", "demo.", ".home-1", "demo.home-9", "x.home-1", "demo.home-1.x", "Ä.ö"]
)
async def test_an_unknown_home_is_not_found(bus: Bus, key: str) -> None:
    await register(bus, community("demo"))
    directory = Directory(Registry(), now_ms=Clock())
    task = await follow(bus, directory)
    with pytest.raises(NotFoundError, match="there is no home"):
        directory.household(key)
    task.cancel()


async def test_an_error_shows_no_more_than_80_characters_of_an_id(bus: Bus) -> None:
    directory = Directory(Registry(), now_ms=Clock())
    task = await follow(bus, directory)
    with pytest.raises(NotFoundError) as error:
        directory.community("x" * 1000)
    assert len(str(error.value)) < 120
    task.cancel()


async def test_sees_a_change_without_a_restart(bus: Bus) -> None:
    directory = Directory(Registry(), now_ms=Clock())
    task = await follow(bus, directory)
    assert directory.communities() == []
    await register(bus, community("demo"))

    async def is_there() -> bool:
        return [one.id for one in directory.communities()] == ["demo"]

    await eventually(is_there)
    task.cancel()


async def test_a_version_holds_from_its_local_midnight_on(bus: Bus) -> None:
    clock = Clock()
    now = datetime.now(UTC)
    await apply(bus, community("demo", name="Before"), now=now)
    await apply(bus, community("demo", name="After"), valid_from=date(2030, 6, 2), now=now)
    directory = Directory(Registry(), now_ms=clock)
    task = await follow(bus, directory)
    assert directory.community("demo").name == "Before"
    clock.now_ms = int(datetime(2030, 6, 1, 22, 0, tzinfo=UTC).timestamp() * 1000)  # midnight in Vienna
    assert directory.community("demo").name == "After"
    task.cancel()
