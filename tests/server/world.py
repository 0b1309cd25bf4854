"""A world of communities with figures and alerts, what random people ask of it, and a world that differs in the rest.

No network: the registry, feeds and alerts are filled by hand, all in front of them is the real thing.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, cast

import msgspec
from graphql import GraphQLEnumType, GraphQLField, GraphQLObjectType, get_named_type, is_object_type

import bus.history as settled
from bus.community import Community, Member, Version
from bus.identifiers import COMMUNITY_ALERTS, home_key
from bus.messages import Alert, AlertKind, CommunityState, HomeState, Rejected, Today, encode
from bus.registry import BEGINNING, History, Registry
from resolvers.access import Viewer, grant
from resolvers.alerts import Alerts, Event, Page
from resolvers.directory import Directory
from resolvers.feed import Counts, Feed, LiveHome
from resolvers.history import History as Ledger
from resolvers.live import Live
from resolvers.meters import Heard, Meters
from resolvers.rejections import Counts as RejectedCounts
from resolvers.rejections import Page as RejectedPage
from resolvers.rejections import Reason, Rejection, Rejections
from resolvers.statements import StatementLinks, Statements
from schema.context import Context
from server.signin import SignIn
from server.tokens import TokenError, Tokens
from tests.resolvers.frames import community, community_state, frame, home_state
from tests.schema.test_plans import CORE

COMMUNITIES: Final = ("hill", "lane", "quay")
HOMES: Final = ("a", "b", "c", "d", "e", "f")
PEOPLE: Final = ("anna", "bert", "cora", "olga")
SUBJECTS: Final = (*PEOPLE, "nobody", "operator:", "community:", *(f"home:{home}" for home in HOMES))
_FIXED: Final[dict[str, tuple[str, ...]]] = {
    "from": ('"2030-01-01T00:00:00Z"',),
    "to": ('"2030-01-01T01:00:00Z"', '"2030-02-01T00:00:00+01:00"'),
    "resolution": ("HOUR", "YEAR"),
    "with": ("PREVIOUS_PERIOD", "PREVIOUS_YEAR"),  # a mean tells of other homes
    "next": ('"PT3H"',),
    "month": ('"2030-01"', '"2030"'),
    "since": ('"2030-01-01T00:00:00Z"',),
    "conditions": ("[NEVER, HEARD]", "SILENT"),
}
"""Values of the arguments that name nobody."""
NOWHERE: Final = ("", "x", "hill.x", "Hill.a", "hill.a ", "hill", "hill.a.b", "nowhere.a", "hill.community")


@dataclass
class Place:
    """A community as it is registered, what it shows, and what is announced there: by home, or COMMUNITY_ALERTS."""

    community: Community
    state: CommunityState
    homes: dict[str, HomeState]
    alerts: list[tuple[int, Alert]] = field(default_factory=list)


class World:
    """What a server knows, and who may come in: viewers by their tokens."""

    def __init__(self, places: Iterable[Place], viewers: dict[str, Viewer]) -> None:
        self.viewers = viewers
        self.places = {place.community.id: place for place in places}
        self._registry = Registry()
        self.feeds: dict[str, Feed] = {}
        self._numbers: dict[str, int] = {}
        self.directory = Directory(self._registry, now_ms=lambda: 0)
        self.directory._loaded.set()
        for place in self.places.values():
            self.register(place.community)
            self.show(place.community.id)
        live, alerts, history = cast(Live, _Figures(self)), cast(Alerts, _Bulletins(self)), cast(Ledger, _Ledger(self))
        statements = Statements(history, self._registry, lambda home, month, _: StatementLinks(home, month, None))
        everything = Context(
            self.directory,
            live,
            alerts,
            history=history,
            statements=statements,
            rejections=cast(Rejections, _Refusals(self)),
            meters=cast(Meters, _Dials(self)),
        )
        self.everything = everything
        self.sign_in = SignIn(cast(Tokens, _Porter(viewers)), everything, self.directory)

    def register(self, one: Community) -> None:
        """Have a community be so from now on."""
        history = self._registry.communities.setdefault(one.id, History())
        history.add(Version(valid_from=BEGINNING, community=one), history.sequence + 1)

    def show(self, key: str, *homes: str) -> None:
        """Send a frame of a community as it is now, with these homes changed."""
        place = self.places[key]
        number = self._numbers[key] = self._numbers.get(key, 0) + 1
        sent = frame(number, *place.homes.values(), state=place.state, changed=list(homes))
        self.feed(key).take(encode(sent), 0)

    def feed(self, key: str) -> Feed:
        """Return the feed of a community."""
        return self.feeds.setdefault(key, Feed(key, Counts()))


class _Porter:
    def __init__(self, viewers: dict[str, Viewer]) -> None:
        self._viewers = viewers

    def verify(self, token: str) -> Viewer:
        if token not in self._viewers:
            raise TokenError("unknown")
        return self._viewers[token]


class _Figures:
    def __init__(self, world: World) -> None:
        self._world = world

    async def community(self, community: str) -> CommunityState | None:
        return self._world.feed(community).community_state()

    async def home(self, community: str, home: str) -> LiveHome | None:
        return self._world.feed(community).live_home(home)


class _Ledger:
    """Settled data of a home or a community that tells its state."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def intervals(self, community: str, home: str | None, *_: Any, **__: Any) -> settled.Page:
        totals = await self.summary(community, home)
        return settled.Page(periods=[] if totals is None else [totals], has_next=False)

    async def summary(self, community: str, home: str | None, *_: Any) -> settled.Totals | None:
        place = self._world.places[community]
        state = place.state if home is None else place.homes.get(home)
        return None if state is None else make_settled(Random(repr(state)))

    async def homes(self, community: str, homes: Sequence[str], *_: Any) -> dict[str, settled.Totals]:
        found = {home: await self.summary(community, home) for home in homes}
        return {home: totals for home, totals in found.items() if totals is not None}

    async def compare(self, community: str, home: str | None, *_: Any) -> settled.Comparison:
        totals = await self.summary(community, home)
        return settled.Comparison(totals=totals, baseline=totals)

    async def best_hours(self, community: str, next_ms: int) -> settled.BestHours:
        surplus_w = int(self._world.places[community].state.surplus_power_w)
        return settled.BestHours(hours=[settled.Hour(start=0, end=next_ms, surplus_wh=surplus_w, sure=0.5)])


class _Refusals:
    """A refused reading of each home, that tells its state."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _all(self, community: Community) -> list[Rejection]:
        return [
            Rejection(
                number,
                home.meters[0].id,
                home.id,
                Rejected(
                    reason="future",
                    detail=repr(self._world.places[community.id].homes.get(home.id)),
                    subject="",
                    sequence=number,
                    received_at=number,
                    payload="{}",
                ),
            )
            for number, home in enumerate(community.homes, 1)
        ]

    async def page(self, community: Community, _: str | None, after: int | None, first: int) -> RejectedPage:
        return RejectedPage(self._all(community)[after or 0 :][:first], False)

    async def counts(self, community: Community, since: int) -> RejectedCounts:
        meters = tuple(one.meter for one in self._all(community))
        reasons = [Reason("future", len(meters), since, meters)]
        return RejectedCounts(since, since, len(meters), len(meters), reasons)


class _Dials:
    """Meters of which every one tells its home's state by when it was heard."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def look(self, community: Community) -> list[Heard]:
        place = self._world.places[community.id]
        return [
            Heard(community.id, home, home.meters[0], state.measured_at if state else None, None, "HEARD")
            for home in community.homes
            for state in (place.homes.get(home.id),)
        ]


class _Bulletins:
    """Alerts of a home and its community; a stream of them ends after the last one."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _events(self, community: str, home: str, after: int | None) -> list[Event]:
        place = self._world.places[community]
        wanted = (home, COMMUNITY_ALERTS)
        return [Event(at, one) for at, one in place.alerts if one.home in wanted and at > (after or 0)]

    async def stream(self, community: str, home: str, after: int | None) -> AsyncGenerator[Event, None]:
        for event in self._events(community, home, after):
            yield event

    async def page(self, community: str, home: str, after: int | None, first: int) -> Page:
        events = self._events(community, home, after)
        return Page(events[:first], len(events) > first)


# --- chance ---


def make_viewer(random: Random, places: Iterable[Place]) -> Viewer:
    """Return whoever may come, with any claims; mostly somebody whom the registry knows."""
    place = random.choice(list(places))
    known = [one.id for one in place.community.members] + [f"home:{home.id}" for home in place.community.homes]
    return Viewer(
        subject=random.choice(known if random.random() < 0.7 else SUBJECTS),
        role=random.choice(("member", "member", None, "operator", "device")),
        community=random.choice((place.community.id, place.community.id, None, *COMMUNITIES)),
        homes=random.choice((None, None, None, frozenset(random.sample(HOMES, random.randint(0, 3))))),
        own=random.random() < 0.8,
    )


def make_members(random: Random, homes: tuple[str, ...]) -> tuple[Member, ...]:
    """Return some people, with homes of these."""
    return tuple(
        Member(
            id=one,
            role="operator" if one == "olga" or random.random() < 0.1 else "member",
            homes=tuple(random.sample(homes, random.randint(0, min(2, len(homes))))),
        )
        for one in random.sample(PEOPLE, random.randint(0, len(PEOPLE)))
    )


def make_places(random: Random) -> list[Place]:
    """Return one to three communities with one to six homes, and alerts numbered over all of them."""
    places = []
    for key in random.sample(COMMUNITIES, random.randint(1, 3)):
        homes = tuple(sorted(random.sample(HOMES, random.randint(1, 6))))
        members = make_members(random, homes)
        one = community(key, homes=homes, members=members, show_totals_to_members=random.random() < 0.3)
        figures = {home: make_home(random, home) for home in homes if random.random() < 0.9}
        places.append(Place(one, make_totals(random, key), figures))
    for number in range(1, random.randint(1, 9)):
        place = random.choice(places)
        home = random.choice((COMMUNITY_ALERTS, *place.community.homes_by_id))
        place.alerts.append((number, make_alert(random, place.community.id, home)))
    return places


def make_alert(random: Random, key: str, home: str) -> Alert:
    """Return an alert of a home, or of the whole community."""
    kind: AlertKind = random.choice(("SURPLUS_STARTED", "IMPORT_PEAK_STARTED"))
    at, value = random.randrange(10**12), _figure(random)
    return Alert(key=str(at), kind=kind, community=key, home=home, at=at, value=value, limit=_figure(random))


def make_home(random: Random, home: str) -> HomeState:
    """Return a home with any figures."""
    powers = ["power_import_w", "power_export_w", "net_power_w", "pv_power_w", "battery_power_w", "load_w"]
    changes = {name: random.choice((None, _figure(random))) for name in [*powers, "shared_power_w"]}
    light = random.choice(("GREEN", "YELLOW", "RED"))
    return home_state(home, **changes, light=light, today=_today(random), measured_at=random.randrange(10**12))


def make_totals(random: Random, key: str) -> CommunityState:
    """Return a community with any figures."""
    changes = {name: _figure(random) for name in ("power_import_w", "surplus_power_w", "load_w", "shared_power_w")}
    trend = random.choice(("RISING", "STEADY", "FALLING"))
    return community_state(key, **changes, trend=trend, today=_today(random), measured_at=random.randrange(10**12))


def make_settled(random: Random) -> settled.Totals:
    """Return any totals of the first hour of 2030."""
    figures = {one: random.randrange(10**6) for one in settled.Totals.__struct_fields__}
    start, worth = 1_893_456_000_000, str(random.randrange(10**4))
    fixed = {"start": start, "end": start + 3_600_000, "peak_import_at": start, "final": figures["intervals"]}
    worths = dict.fromkeys(("saving", "credit", "co2_avoided_g"), worth)
    ratios = dict.fromkeys(("self_sufficiency", "self_consumption"), random.choice((None, 0.25)))
    return settled.Totals(**cast(Any, figures | fixed | worths | ratios | {"currency": random.choice((None, "EUR"))}))


def _figure(random: Random) -> float:
    return random.randrange(-50_000, 50_000) / 10


def _today(random: Random) -> Today | None:
    if random.random() < 0.3:
        return None
    names = ("import_wh", "export_wh", "produced_wh", "consumed_wh", "shared_wh")
    figures: dict[str, Any] = {name: random.randrange(10**5) for name in names}
    return Today(**figures, saved=str(random.randrange(1000)), currency="EUR", since=random.randrange(10**12))


def unlike(places: Iterable[Place], viewer: Viewer, random: Random) -> list[Place]:
    """Return a world that a viewer must not tell from the one given: all that they may not see is different."""
    others = []
    for place in places:
        granted = grant(place.community, viewer)
        if granted is None:
            continue  # it does not even exist
        if granted.operator:
            others.append(place)
            continue
        own = viewer.subject.removeprefix("home:")  # whoever stands for a home knows of it, shown or not
        kept = [home for home in place.community.homes if home.id in granted.homes or home.id == own]
        # As many as it takes for totals to be seen, or not to be, as they are.
        few, many = (len(kept), 4) if len(place.community.homes) < 5 else (max(5, len(kept)), 9)
        count = random.randint(max(1, few), max(1, few, many))
        strangers = community("x", homes=tuple(f"new-{number}" for number in range(9))).homes[: count - len(kept)]
        member = place.community.members_by_id.get(viewer.subject)
        seen = [member.model_copy(update={"homes": tuple(set(member.homes) & granted.homes)})] if member else []
        more = [Member(id="zoe", role="operator")]
        homes = (*kept, *strangers)
        other = place.community.model_copy(update={"homes": homes, "members": (*seen, *more)})
        # A copy keeps what was worked out for the original.
        other = Community.model_validate(other.model_dump(exclude={"homes_by_id", "members_by_id", "home_of_meter"}))
        figures = {home: state for home, state in place.homes.items() if home in granted.homes}
        figures |= {home.id: make_home(random, home.id) for home in strangers}
        shown = granted.homes | ({COMMUNITY_ALERTS} if granted.totals else set())
        alerts = [(number, alert) for number, alert in place.alerts if alert.home in shown]
        number = 1 + max((number for one in places for number, _ in one.alerts), default=0)
        hidden = COMMUNITY_ALERTS if not granted.totals else strangers[0].id if strangers else ""
        if hidden:
            alerts.append((number, make_alert(random, place.community.id, hidden)))
        totals = place.state if granted.totals else make_totals(random, place.community.id)
        others.append(Place(other, totals, figures, alerts))
    return others


# --- what is asked ---


class Asker:
    """Writes any query of the schema over places: fields, arguments, aliases, fragments and variables by chance."""

    def __init__(self, random: Random, places: Iterable[Place]) -> None:
        self._random = random
        self._homes = [home_key(place.community.id, home.id) for place in places for home in place.community.homes]
        self._names = 0
        self._fragments: list[str] = []
        self.variables: dict[str, Any] = {}

    def query(self) -> str:
        """Return a document of one query; `variables` go with it."""
        assert CORE.query_type is not None
        selection = self._selection(CORE.query_type, 0)
        declared = ", ".join(f"${name}: ID!" for name in self.variables)
        return f"query {f'({declared})' if declared else ''} {selection} {' '.join(self._fragments)}"

    def _selection(self, of: GraphQLObjectType, depth: int) -> str:
        fields = list(of.fields.items())
        if depth > 4:
            fields = [(name, one) for name, one in fields if not is_object_type(get_named_type(one.type))]
        chosen = self._random.choices(fields, k=self._random.randint(1, 4)) if fields else []
        parts = [self._field(name, one, depth) for name, one in chosen] or ["__typename"]
        text = "{ " + " ".join(parts) + " }"
        form = self._random.random()
        if form < 0.1:
            return f"{{ ... on {of.name} {text} }}"
        if form < 0.2:
            self._names += 1
            self._fragments.append(f"fragment f{self._names} on {of.name} {text}")
            return f"{{ ...f{self._names} __typename }}"
        return text

    def _field(self, name: str, of: GraphQLField, depth: int) -> str:
        inner = get_named_type(of.type)
        given = [f"{argument}: {value}" for argument in of.args if (value := self._value(argument)) is not None]
        selection = self._selection(inner, depth + 1) if isinstance(inner, GraphQLObjectType) else ""
        assert not isinstance(inner, GraphQLEnumType) or not selection
        self._names += 1
        arguments = f"({', '.join(given)})" if given else ""
        return f"n{self._names}: {name}{arguments} {selection}"

    def _value(self, argument: str) -> str | None:
        if argument in ("id", "home", "device", "community"):
            value = self.id()
            if self._random.random() < 0.7:
                return f'"{value}"'
            name = f"v{len(self.variables)}"
            self.variables[name] = value
            return f"${name}"
        if argument == "step":
            return self._random.choice((None, "50"))
        if argument == "first":
            return self._random.choice((None, "1", "2"))
        if argument == "after":
            return self._random.choice((None, '"0"', '"3"'))
        if argument in _FIXED:
            return self._random.choice(_FIXED[argument])
        return '"x"'  # a code

    def id(self) -> str:
        """Return the id of something that may be there."""
        there = self._random.choice(self._homes)
        return self._random.choice((there, there, there, self._random.choice((*COMMUNITIES, *NOWHERE))))


def decoded(answer: bytes) -> Any:
    """Return an answer as a client reads it."""
    return msgspec.json.decode(answer)
