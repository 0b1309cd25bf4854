"""Nobody is told what they may not see, whatever they ask and however: over random documents, people and worlds."""

import asyncio
import gc
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.community import Member
from resolvers.access import Role, Viewer, grant
from resolvers.errors import NotFoundError
from schema.build import build_schema
from schema.limits import DocumentLimits
from schema.operations import Operations
from schema.plans import Planner
from server.documents import Documents
from server.execution import Executor
from server.frames import text_head
from server.hub import Hub
from server.signin import Guard
from tests.resolvers.frames import community
from tests.schema.test_plans import CORE
from tests.schema.test_projection import TYPES, Writer
from tests.server.test_session import Office, Visitor
from tests.server.world import (
    Asker,
    Place,
    World,
    decoded,
    make_home,
    make_members,
    make_places,
    make_totals,
    make_viewer,
    unlike,
)

EXECUTOR: Final = Executor(build_schema(make_reference=lambda: "r"))
CHANCE: Final = st.integers(0, 2**64).map(Random)
NO_LIMITS: Final = DocumentLimits(*[10**6] * len(fields(DocumentLimits)))
LOTS: Final = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


# Where a field fails that must not be null, graphql-core drops what it has begun beside it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner
    gc.collect()  # here, where it is known


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


# --- subscriptions to states ---


@st.composite
def selections(draw: st.DrawFn) -> tuple[str, str, str, dict[str, Any]]:
    """Return a root field, a selection on what it shows, the document without both, and its variables but `id`."""
    writer = Writer(draw)
    field, of = draw(st.sampled_from([("home", "HomeLive"), ("home", "HomeLive"), ("community", "CommunityLive")]))
    selection = writer.selection(of, 0)
    declared = "".join(f", ${name}: {TYPES[name]}" for name in sorted(writer.used))
    frame = f"%s ($id: ID!{declared}) {{ {field}(id: $id) %s }} " + " ".join(writer.definitions)
    values = {"yes": draw(st.booleans()), "no": draw(st.booleans()), "step": 50, "wide": 500, "energy": 20}
    return field, selection, frame, {name: value for name, value in values.items() if name in writer.used}


class Tour:
    """Many people with one connection each, who subscribe to the same, and ask the same as a query."""

    def __init__(self, world: World, tokens: Iterable[str], asked: tuple[str, str, str, dict[str, Any]]) -> None:
        self.field, selection, frame, self.variables = asked
        self.world = world
        self.document = frame % ("subscription", selection)
        self.query = frame % ("query", f"{{ live {selection} }}")
        self.shows_community = re.search(r"\bcommunity\b(?!\()", self.document) is not None
        office = Office()
        self.hub = Hub(
            Planner(CORE, world.everything, lambda: "r"), world.feed, text_head, wall=lambda: 0.0, stall_s=30.0
        )
        self.guard = Guard(world.directory, now_ms=lambda: 0)
        self.guard.look()
        documents = Documents(Operations(CORE, NO_LIMITS))
        office.desk = replace(office.desk, documents=documents, hub=self.hub, sign_in=world.sign_in, guard=self.guard)
        self.visitors = {token: Visitor(office) for token in tokens}
        for token, visitor in self.visitors.items():
            visitor.say(type="connection_init", payload={"token": token})
            assert visitor.hear() == [{"type": "connection_ack"}]

    def subscribe(self, target: str) -> None:
        """Have everybody subscribe to a home or community; its id is that of the operation too."""
        for visitor in self.visitors.values():
            visitor.subscribe(self.document, target or "-", variables=self.variables | {"id": target})

    def heard(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the last message since the call before, by who heard it and the id of the operation."""
        return {
            (token, message["id"]): message for token, visitor in self.visitors.items() for message in visitor.hear()
        }

    async def answers(self, targets: Iterable[str]) -> dict[tuple[str, str], dict[str, Any]]:
        """Return what everybody is answered who asks the same as a query."""
        return {
            (token, target or "-"): decoded(await ask(self.world, token, self.query, self.variables | {"id": target}))
            for token in self.visitors
            for target in targets
        }

    def may(self, token: str, target: str) -> bool:
        """Say whether somebody may see all that the subscription shows, with what directives leave out."""
        key, _, home = target.partition(".")
        try:
            granted = grant(self.world.directory.community(key), self.world.viewers[token])
        except NotFoundError:
            return False
        if granted is None or (self.field == "community") == bool(home):
            return False
        if self.field == "community":
            return granted.totals
        return home in granted.homes and (granted.totals or not self.shows_community)

    def live(self, answer: dict[str, Any]) -> Any:
        """Return the live state in an answer."""
        return answer["data"][self.field]["live"]

    def leave(self) -> None:
        """Have everybody go."""
        for visitor in self.visitors.values():
            visitor.session.on_closed(1000)


def shape(value: Any) -> Any:
    """Return what a value is made of, without its figures."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key != "today"}
    return None


async def travel(random: Random, asked: tuple[str, str, str, dict[str, Any]]) -> None:
    places = make_places(random)
    viewers = {token: make_viewer(random, places) for token in "uvwxyz"}
    world = World(places, viewers)
    tour = Tour(world, viewers, asked)
    asker = Asker(random, places)
    targets = {asker.id(), asker.id(), random.choice(places).community.id}
    for target in targets:
        tour.subscribe(target)
    answers, heard = await tour.answers(targets), tour.heard()
    open: set[tuple[str, str]] = set()
    for who, answer in answers.items():
        if not tour.may(*who):
            assert heard[who]["type"] == "error"
            assert [error["extensions"] for error in heard[who]["payload"]] == [{"code": "NOT_FOUND"}]
            # A directive may leave out of a query what a subscription is refused for.
            assert "errors" in answer or tour.shows_community, (who, answer)
            continue
        open.add(who)
        assert "errors" not in answer, (who, answer)
        if who in heard:
            assert heard[who]["payload"] == {"data": {tour.field: tour.live(answer)}}
        else:
            assert tour.live(answer) is None  # it waits for a first reading
    assert tour.hub.statistics().members == len(open)
    assert tour.hub.statistics().groups == len({target for _, target in open})

    for place in places:  # the registry changes, nothing else does
        if random.random() < 0.7:
            world.register(
                place.community.model_copy(
                    update={
                        "members": make_members(random, tuple(place.community.homes_by_id)),
                        "show_totals_to_members": random.random() < 0.5,
                        "name": "Changed",
                    }
                )
            )
    tour.guard.look()
    before, heard = answers, tour.heard()
    answers = await tour.answers(targets)
    ended = {who for who in open if not tour.may(*who)}
    assert heard.keys() == ended
    for who in ended:
        assert heard[who]["type"] == "error"
        assert heard[who]["payload"][0]["extensions"] == {"code": "NOT_FOUND"}
    open -= ended
    assert tour.hub.statistics().members == len(open)

    for place in places:  # the figures change, and every group shows what its members may ask for
        changed = [home for home in place.homes if random.random() < 0.5]
        place.homes |= {home: make_home(random, home) for home in changed}
        if random.random() < 0.5:
            place.state = make_totals(random, place.community.id)
        world.show(place.community.id, *changed)
    before, answers, heard = answers, await tour.answers(targets), tour.heard()
    assert heard.keys() <= open
    for who in open:
        assert "errors" not in answers[who], (who, answers[who])
        if before[who] == answers[who]:
            assert who not in heard, "nothing that they see has changed"
        elif who in heard:
            shown = heard[who]["payload"]["data"][tour.field]
            if "step" in tour.document:  # hysteresis
                assert shape(shown) == shape(tour.live(answers[who]))
            else:
                assert shown == tour.live(answers[who])
    tour.leave()
    assert tour.hub.statistics().groups == 0


@pytest.mark.slow
@settings(LOTS, max_examples=50)
@given(CHANCE, selections())
def test_a_subscription_gives_what_a_query_of_its_viewer_gives_and_ends_where_that_ends(
    runner: asyncio.Runner, random: Random, asked: tuple[str, str, str, dict[str, Any]]
) -> None:
    runner.run(travel(random, asked))


ROLES: Final[tuple[Role | None, ...]] = (None, "member", "device", "operator") * 250


def test_a_thousand_members_of_a_community_are_one_group_whoever_they_are() -> None:
    homes = tuple(f"home-{number}" for number in range(1000))
    people = tuple(Member(id=f"m{number}", homes=(home,)) for number, home in enumerate(homes))
    viewers = {one.id: Viewer(one.id, role, "hill") for one, role in zip(people, ROLES, strict=True)}
    figures = {home: make_home(Random(0), home) for home in homes[:2]}
    place = Place(community("hill", homes=homes, members=people), make_totals(Random(0), "hill"), figures)
    frame = "%s ($id: ID!) { community(id: $id) %s } "

    async def join() -> None:
        tour = Tour(World([place], viewers), viewers, ("community", "{ load trend today { saved } }", frame, {}))
        tour.subscribe("hill")
        answers = await tour.answers(["hill"])
        assert len(tour.heard()) == len(viewers)
        assert len({str(answer) for answer in answers.values()}) == 1
        counted = tour.hub.statistics()
        assert (counted.groups, counted.members, counted.encoded) == (1, 1000, 1)
        tour.leave()

    with asyncio.Runner() as runner:
        runner.run(join())
