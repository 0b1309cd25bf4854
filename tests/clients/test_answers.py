"""Queries by published clients: the answer, and the errors that reach the application."""

from pathlib import Path

import pytest

from bus.client import Bus
from tests.clients.conftest import ALL, Open
from tests.clients.stand import arrange
from tests.resolvers.frames import home_state

NAME = "query Name($home: ID!) { home(id: $home) { name live { load } } }"


def test_the_lock_names_no_registry() -> None:
    assert '"resolved"' not in (Path(__file__).parent / "package-lock.json").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ALL)
async def test_queries_are_answered_and_over_and_their_errors_are_theirs_alone(
    name: str, module_bus: Bus, open_url: str, open_client: Open
) -> None:
    scene = await arrange(module_bus, open_url)
    await scene.publisher.publish(home_state(load_w=1.5))
    client = await open_client(name, scene)
    operation = await client.start(NAME, home=scene.home)
    assert await operation.data() == {"home": {"name": "home-1", "live": {"load": 1.5}}}
    await operation.completed()
    (unknown,) = await (await client.start(NAME, home=f"{scene.community}.home-9")).errors()
    assert unknown["extensions"]["code"] == "NOT_FOUND"
    (invalid,) = await (await client.start("{ home { name } }")).errors()
    assert "is required" in invalid["message"]
    assert (await (await client.start(NAME, home=scene.home)).data())["home"]["live"] == {"load": 1.5}
