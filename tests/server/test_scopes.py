"""Nobody is told what they may not see, whatever they ask and however: over random documents, people and worlds."""

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.build import build_schema
from server.execution import Executor
from tests.server.world import (
    Asker,
    World,
    make_places,
    make_viewer,
    unlike,
)

EXECUTOR: Final = Executor(build_schema(make_reference=lambda: "r"))
CHANCE: Final = st.integers(0, 2**64).map(Random)
LOTS: Final = settings(max_examples=150, deadline=None)

# Where a field that must not be null fails, graphql-core forgets the coroutines of those beside it.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def ask(world: World, token: str, query: str, variables: dict[str, Any] | None = None) -> bytes:
    """Return the answer to a query."""
    context = world.sign_in.enter(token)
    return (await EXECUTOR.run(query, None, variables, context)).json


async def listen(world: World, token: str, document: str, variables: dict[str, Any]) -> list[bytes]:
    """Return all that a subscription to events yields."""
    context = world.sign_in.enter(token)
    return [result async for result, _ in EXECUTOR.stream(document, None, variables, context)]


@LOTS
@given(CHANCE)
def test_no_query_tells_two_worlds_apart_that_differ_in_what_its_viewer_may_not_see(
    runner: asyncio.Runner, random: Random
) -> None:
    places = make_places(random)
    viewer = make_viewer(random, places)
    world, other = (World(these, {"t": viewer}) for these in (places, unlike(places, viewer, random)))
    for _ in range(4):
        asker = Asker(random, places)
        query = asker.query()
        answers = [runner.run(ask(one, "t", query, asker.variables)) for one in (world, other)]
        assert answers[0] == answers[1], (viewer, query, asker.variables)
        assert b"INTERNAL" not in answers[0], (query, answers[0])


@LOTS
@given(CHANCE)
def test_no_stream_of_alerts_tells_two_such_worlds_apart(runner: asyncio.Runner, random: Random) -> None:
    places = make_places(random)
    viewer = make_viewer(random, places)
    world, other = (World(these, {"t": viewer}) for these in (places, unlike(places, viewer, random)))
    document = """subscription ($home: ID!, $after: Cursor) {
        alerts(home: $home, after: $after) { cursor kind at community home meter value limit }
    }"""
    for _ in range(4):
        variables = {"home": Asker(random, places).id(), "after": random.choice((None, "0", "2"))}
        assert runner.run(listen(world, "t", document, variables)) == runner.run(
            listen(other, "t", document, variables)
        ), (viewer, variables)
