import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import strawberry
from graphql import GraphQLSchema, OperationDefinitionNode, execute, parse, validate
from graphql.execution.values import VariableValues, get_variable_values
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.schema.config import StrawberryConfig

from bus.messages import CommunityState, HomeState, Today
from resolvers.feed import LiveHome
from schema.build import build_schema
from schema.context import Context
from schema.fields import shows, shows_energy, shows_power
from schema.operations import OperationError, Operations
from schema.projection import Memory, NotCompilableError, Projection, compile_projection
from schema.scalars import Duration, WattHours, Watts, quantise, scalar_map, show_with_hysteresis
from tests.resolvers.frames import community_state, home_state
from tests.schema.test_plans import EVERYTHING, UNLIMITED, make_planner, plan_of, refused

CORE = build_schema().core
CONTEXT = Context(EVERYTHING, cast(Any, None), cast(Any, None))
ROOT = Path(__file__).resolve().parent.parent.parent
TODAY = Today(
    import_wh=1, export_wh=2, produced_wh=3, consumed_wh=4, shared_wh=5, saved="-0.5", currency="EUR", since=0
)


def compiled(document: str, variables: dict[str, Any] | None = None, core: GraphQLSchema = CORE) -> Projection:
    operation = Operations(core, UNLIMITED).open(document, None)
    coerced = get_variable_values(core, operation.node.variable_definitions or (), variables or {})
    assert isinstance(coerced, VariableValues)
    return compile_projection(core, operation.node, operation.fragments, coerced)


def shown(projection: Projection, root: Any) -> bytes:
    return projection.render(projection.parts(root, projection.memory)[0])


def executed(document: str, root: Any, variables: dict[str, Any] | None = None, core: GraphQLSchema = CORE) -> bytes:
    """Return what graphql-core gives; fail if there are errors."""
    result: Any = execute(core, parse(document), root, CONTEXT, variables)
    assert result.errors is None, result.errors
    return msgspec.json.encode({"data": result.data})


# --- random documents and states ---

STEPPED = {
    "HomeLive": [
        "powerImport",
        "powerExport",
        "netPower",
        "pvPower",
        "batteryPower",
        "load",
        "sharedPower",
        "sharedOutPower",
    ],
    "CommunityLive": ["powerImport", "powerExport", "surplusPower", "sharedPower", "pvPower", "load"],
    "EnergyToday": ["imported", "exported", "produced", "consumed", "shared"],
}
PLAIN = {
    "HomeLive": ["homeId", "measuredAt", "batteryCharge", "selfSufficiency", "selfConsumption", "light", "quality"],
    "CommunityLive": [
        "communityId",
        "measuredAt",
        "selfSufficiency",
        "selfConsumption",
        "light",
        "trend",
        "homesReporting",
        "homesTotal",
    ],
    "EnergyToday": ["saved", "currency", "status", "since"],
}
OBJECTS = {
    "HomeLive": {"today": "EnergyToday", "community": "CommunityLive"},
    "CommunityLive": {"today": "EnergyToday"},
    "EnergyToday": {},
}
STEPS = {"a": "50", "b": "0.5", "c": "7", "d": "1000000", "e": "null", "f": "1.0e-320", "v": "$step", "w": "$wide"}
WHOLE_STEPS = {"a": "50", "b": "1", "c": "7", "d": "1000000", "e": "null", "v": "$energy"}
TYPES = {"step": "Watts", "wide": "Watts = 250", "energy": "WattHours", "yes": "Boolean!", "no": "Boolean! = false"}


class Writer:
    """Writes a random document. Response keys are made of what they stand for, so that any two fields can merge."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._fragments: dict[str, list[str]] = {name: [] for name in STEPPED}
        self.definitions: list[str] = []
        self.used: set[str] = set()

    def selection(self, of: str, depth: int) -> str:
        parts = [self._part(of, depth) for _ in range(self._draw(st.integers(1, 5)))]
        return "{ " + " ".join(parts) + " }"

    def _part(self, of: str, depth: int) -> str:
        kinds = ["plain", "plain", "stepped", "stepped", "typename"]
        kinds += ["object"] * (2 if OBJECTS[of] else 0) + ["inline", "spread"] * (depth < 4)
        kind = self._draw(st.sampled_from(kinds))
        if kind == "typename":
            return self._draw(st.sampled_from(["__typename", "kind: __typename"])) + self._directives()
        if kind == "plain":
            name = self._draw(st.sampled_from(PLAIN[of]))
            return self._draw(st.sampled_from(["", f"my_{name}: "])) + name + self._directives()
        if kind == "stepped":
            name = self._draw(st.sampled_from(STEPPED[of]))
            steps = WHOLE_STEPS if of == "EnergyToday" else STEPS
            label = self._draw(st.sampled_from(["", *steps]))
            if not label:
                return name + self._directives()
            self._note(steps[label])
            return f"{name}_{label}: {name}(step: {steps[label]}){self._directives()}"
        if kind == "object":
            name, inner = self._draw(st.sampled_from(sorted(OBJECTS[of].items())))
            alias = self._draw(st.sampled_from(["", f"my_{name}: "]))
            return f"{alias}{name}{self._directives()} {self.selection(inner, depth + 1)}"
        if kind == "inline":
            condition = self._draw(st.sampled_from(["", f"on {of}"]))
            return f"... {condition}{self._directives()} {self.selection(of, depth + 1)}"
        return f"...{self.fragment(of, depth)}{self._directives()}"

    def fragment(self, of: str, depth: int) -> str:
        known = self._fragments[of]
        if self._draw(st.booleans()) and known:
            return self._draw(st.sampled_from(known))
        text = self.selection(of, depth + 1)
        name = f"f{len(self.definitions)}"
        self.definitions.append(f"fragment {name} on {of} {text}")
        known.append(name)
        return name

    def _directives(self) -> str:
        chosen = self._draw(st.sampled_from(["", "", "", "", "@include", "@skip", "both"]))
        values = st.sampled_from(["$yes", "$no", "true", "false"])
        names = ["@skip", "@include"] if chosen == "both" else [chosen] if chosen else []
        texts = [f" {name}(if: {self._draw(values)})" for name in names]
        for text in texts:
            self._note(text)
        return "".join(texts)

    def _note(self, text: str) -> None:
        self.used |= set(re.findall(r"\$(\w+)", text))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, Any], str]:
    """Return a document, its variables and its root field."""
    writer = Writer(draw)
    field, of = draw(st.sampled_from([("home", "HomeLive"), ("community", "CommunityLive")]))
    alias = draw(st.sampled_from(["", "it: "]))
    root = f'{alias}{field}(id: "x") {writer.selection(of, 0)}'
    if draw(st.booleans()):
        root += f' {alias}{field}(id: "x") {writer.selection(of, 0)}'
    if draw(st.booleans()):
        writer.definitions.append(f"fragment Root on Subscription {{ {root} }}")
        root = "... { ...Root }"
    declared = ", ".join(f"${name}: {TYPES[name]}" for name in sorted(writer.used))
    document = f"subscription {f'({declared})' if declared else ''} {{ {root} }} " + " ".join(writer.definitions)
    values: dict[str, Any] = {"yes": draw(st.booleans())}
    if draw(st.booleans()):
        values["no"] = draw(st.booleans())
    number = st.one_of(st.none(), st.integers(1, 10**6), st.floats(1e-3, 1e6))
    for name in ("step", "wide", "energy"):
        if draw(st.booleans()):
            values[name] = draw(st.one_of(st.none(), st.integers(1, 10**6)) if name == "energy" else number)
    return document, {name: value for name, value in values.items() if name in writer.used}, field


INTERESTING = [0.0, -0.0, 0.04, -0.04, 0.05, 0.25, -0.25, 2.5, 25.0, 75.0, 99.95, 1e15, 2.0**53, 1e16, 1e22, 1e300]
NUMBERS = st.one_of(st.sampled_from(INTERESTING), st.floats(-1e5, 1e5), st.integers(-5000, 5000).map(float))
WILD = st.sampled_from([float("nan"), float("inf"), float("-inf"), "12", True, [], 10**400])
NULLABLE = st.one_of(st.none(), NUMBERS)
WHOLE = st.one_of(st.integers(0, 10**6), st.integers(2**52, 2**62))
TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
TIMES = st.one_of(st.none(), st.integers(0, 2**42))


def states(*, wild: bool) -> st.SearchStrategy[LiveHome]:
    """Return homes with their communities; `wild`: some values cannot be shown, or are null and must not be."""

    def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        if not wild:
            return strategy
        bad = st.one_of(st.none(), WILD, st.sampled_from([1.5, "PURPLE", 2**63, -(2**64), 10**18]))
        return st.integers(0, 24).flatmap(lambda chance: strategy if chance else bad)

    light = some(st.sampled_from(["GREEN", "YELLOW", "RED", "UNKNOWN"]))
    today = st.builds(
        Today,
        **{f"{name}_wh": some(WHOLE) for name in ("import", "export", "produced", "consumed", "shared")},
        saved=some(TEXT),
        currency=some(TEXT),
        since=some(TIMES.filter(lambda value: value is not None)),
        status=some(st.just("PROVISIONAL")),
    )
    ratios = {name: some(NULLABLE) for name in ("self_sufficiency", "self_consumption")}
    common: dict[str, Any] = ratios | {"measured_at": some(TIMES), "light": light, "today": st.none() | today}
    powers = ["power_import_w", "power_export_w", "pv_power_w", "load_w", "shared_power_w"]
    home = st.builds(
        HomeState,
        home=some(TEXT),
        battery_charge=some(NULLABLE),
        quality=some(st.sampled_from(["MEASURED", "STALE", "MISSING"])),
        **common,
        **{name: some(NULLABLE) for name in [*powers, "net_power_w", "battery_power_w", "shared_out_power_w"]},
    )
    community = st.builds(
        CommunityState,
        community=some(TEXT),
        trend=some(st.sampled_from(["RISING", "STEADY", "FALLING"])),
        homes_reporting=some(st.integers(0, 1000)),
        homes_total=some(st.integers(0, 1000)),
        **common,
        **{name: some(NULLABLE if name == "pv_power_w" else NUMBERS) for name in [*powers, "surplus_power_w"]},
    )
    return st.builds(LiveHome, home, community)


@settings(max_examples=200, deadline=None)
@given(documents(), st.lists(states(wild=False), min_size=1, max_size=2))
def test_compiled_bytes_are_those_of_graphql_core(
    asked: tuple[str, dict[str, Any], str], roots: list[LiveHome]
) -> None:
    document, variables, field = asked
    assert validate(CORE, parse(document)) == []
    projection = compiled(document, variables)
    for live in roots:
        root = live if field == "home" else live.community
        assert shown(projection, root) == executed(document, root, variables)


@settings(max_examples=200, deadline=None)
@given(documents(), states(wild=True))
def test_a_projection_raises_where_graphql_core_has_errors_and_nowhere_else(
    asked: tuple[str, dict[str, Any], str], live: LiveHome
) -> None:
    document, variables, field = asked
    root = live if field == "home" else live.community
    result: Any = execute(CORE, parse(document), root, CONTEXT, variables)
    projection = compiled(document, variables)
    if result.errors:
        with pytest.raises(Exception):  # noqa: B017 -- whatever it is, graphql-core tells the client
            projection.parts(root, projection.memory)
    else:
        assert shown(projection, root) == msgspec.json.encode({"data": result.data})


# --- what the live types lack ---


class Colour(Enum):
    RED = "r"
    BLUE = "b"


@dataclass
class Thing:
    name: str = "t"
    power: Any = None
    colour: Any = "r"
    colours: Any = None
    numbers: Any = ()
    grid: Any = ()
    lasts: Any = timedelta(0)
    energy: Any = 0
    things: Any = ()
    maybe: Any = None
    one: Any = None


@strawberry.type(name="Thing")
class ThingType:
    name: str = shows("name", "")
    power: Watts | None = shows_power("power", "")
    colour: strawberry.enum(Colour) = shows("colour", "")  # type: ignore[valid-type]  # made where it is used
    colours: list[strawberry.enum(Colour) | None] | None = shows("colours", "")  # type: ignore[valid-type]  # likewise
    numbers: list[int] = shows("numbers", "")
    grid: list[list[Watts | None]] = shows("grid", "")
    lasts: Duration = shows("lasts", "")
    energy: WattHours = shows_energy("energy", "")
    things: list["ThingType"] = shows("things", "")
    maybe: list["ThingType | None"] | None = shows("maybe", "")
    one: "ThingType | None" = shows("one", "")

    @strawberry.field
    def own(self) -> int:
        return 1

    @strawberry.field
    def times(self, by: int = 2) -> int:
        return by


def _thing(id: strawberry.ID) -> Any:
    return None


@strawberry.type
class Query:
    nothing: int = 0


@strawberry.type
class ThingSubscription:
    home: Any = strawberry.subscription(resolver=_thing, graphql_type=ThingType)


EXTRA = strawberry.Schema(
    Query, subscription=ThingSubscription, config=StrawberryConfig(scalar_map=scalar_map())
)._schema

NUMBERED = [Thing(power=12.0, numbers=[1, 2]), Thing(power=None, grid=[[1.5, None], []])]


@pytest.mark.parametrize(
    "thing",
    [
        Thing(),
        Thing(colours=["r", "b", None], numbers=[3, 1, 2**31 - 1], grid=[[], [0.25, 7.0, None]]),
        Thing(things=NUMBERED, maybe=[None, *NUMBERED], one=Thing(one=Thing(power=49.9, energy=25))),
        Thing(name='"%s%%\\\n\u2028é🌍', lasts=timedelta(days=1, seconds=1.5), maybe=[]),
    ],
)
def test_lists_enums_and_custom_scalars_are_those_of_graphql_core(thing: Thing) -> None:
    document = """subscription { home(id: "%s") {
        ...all things { ...all } maybe { ...all __typename } one { ...all one { power(step: 20) energy(step: 10) } }
    } }
    fragment all on Thing { name power(step: 5) exact: power colour colours numbers grid lasts energy(step: 10) }"""
    assert shown(compiled(document, None, EXTRA), thing) == executed(document, thing, None, EXTRA)


@pytest.mark.parametrize(
    "thing",
    [
        Thing(colour="green"),
        Thing(colours=["x"]),
        Thing(numbers=None),
        Thing(numbers=[1, None]),
        Thing(numbers=[2**31]),
        Thing(numbers=5),
        Thing(grid=[None]),
        Thing(things=[None]),
        Thing(lasts=timedelta(seconds=-1)),
        Thing(maybe=[Thing(colour=None)]),
        Thing(one=Thing(numbers=[None])),
    ],
)
def test_what_cannot_be_shown_raises(thing: Thing) -> None:
    document = """subscription { home(id: "x") {
        colour colours numbers grid lasts things { name } maybe { colour } one { numbers }
    } }"""
    result: Any = execute(EXTRA, parse(document), thing)
    assert result.errors
    with pytest.raises(Exception):  # noqa: B017 -- whatever it is, graphql-core tells the client
        shown(compiled(document, None, EXTRA), thing)


@pytest.mark.parametrize("selection", ["own", "times(by: 3)", "one { own }", "things { times }"])
def test_a_field_with_a_resolver_of_its_own_is_left_to_graphql_core(selection: str) -> None:
    with pytest.raises(NotCompilableError):
        compiled(f'subscription {{ home(id: "x") {{ {selection} }} }}', None, EXTRA)


def test_a_step_below_a_list_rounds_without_memory() -> None:
    projection = compiled('subscription { home(id: "x") { things { one { power(step: 100) } } } }', None, EXTRA)
    assert projection.memory == ()
    assert shown(projection, Thing(things=[Thing(one=Thing(power=151.0))])).endswith(b'{"one":{"power":200}}]}}}')


# --- steps ---

QUANTA = st.one_of(st.integers(1, 1000), st.floats(0.01, 1e6))


@given(QUANTA, st.floats(-1e7, 1e7))
def test_a_figure_is_rounded_to_the_nearest_multiple(step: float, value: float) -> None:
    rounded = quantise(value, step)
    fuzz = 1e-9 * (abs(value) + step)
    assert abs(rounded - value) <= step / 2 + fuzz
    assert abs(rounded / step - round(rounded / step)) <= 1e-6


@given(st.integers(1, 1000), st.integers(-1000, 1000))
def test_halves_are_rounded_away_from_zero(half: int, count: int) -> None:
    step, value = 2 * half, count * 2 * half + (half if count >= 0 else -half)
    assert quantise(value, step) == (count + (1 if count >= 0 else -1)) * step


@given(QUANTA, st.lists(st.floats(-1e7, 1e7), min_size=1), st.floats(0, 0.5))
def test_what_is_shown_is_off_by_half_a_step_and_the_hysteresis_at_most(
    step: float, values: list[float], hysteresis: float
) -> None:
    before: float | None = None
    for value in values:
        before = show_with_hysteresis(value, step, before, hysteresis)
        assert abs(before - value) <= (0.5 + hysteresis) * step + 1e-9 * (abs(value) + step)


def test_a_figure_leaves_its_step_by_a_quarter_of_it_unless_said_otherwise() -> None:
    assert [show_with_hysteresis(value, 100, 200) for value in (275, 276, 125, 124)] == [200, 300, 200, 100]
    assert [show_with_hysteresis(value, 100, 200, 0.5) for value in (300, 301, 100, 99)] == [200, 300, 200, 100]
    assert [show_with_hysteresis(value, 100, 200, 0) for value in (250, 251, 150, 149)] == [200, 300, 200, 100]


@given(st.integers(1, 1000), st.integers(-50, 50), st.lists(st.floats(-0.24, 0.24), min_size=1))
def test_a_value_that_trembles_around_a_boundary_does_not_flip(step: int, at: int, trembles: list[float]) -> None:
    document = f'subscription {{ community(id: "demo") {{ load(step: {step}) }} }}'
    projection = compiled(document)
    memory = projection.memory
    seen = set()
    for tremble in trembles:
        parts, memory = projection.parts(community_state(load_w=(at + 0.5 + tremble) * step), memory)
        seen.add(parts)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "field", ["load", "today { consumed }", "community { load }", "community { today { shared } }"]
)
def test_every_step_of_a_subscription_has_a_memory_and_loses_it_with_the_value(field: str) -> None:
    stepped = re.sub(r"(load|consumed|shared)", r"\1(step: 100)", field)
    projection = compiled(f'subscription {{ home(id: "x") {{ quality {stepped} }} }}')

    def live(value: int | None) -> LiveHome:
        if value is None:
            empty = community_state(load_w=0.0)
            return LiveHome(home_state(load_w=None), empty)
        today = msgspec.structs.replace(TODAY, consumed_wh=value, shared_wh=value)
        return LiveHome(home_state(load_w=float(value), today=today), community_state(load_w=float(value), today=today))

    memory: Memory = projection.memory
    figures = []
    for value in (100, 160, 175, 176, 149, 125, 124, None, 151, 149):
        parts, memory = projection.parts(live(value), memory)
        found = re.search(rb'":(\d+)\}*$', projection.render(parts))
        figures.append(int(found[1]) if found else None)
    nothing = 0 if field == "community { load }" else None
    assert figures == [100, 100, 100, 200, 200, 200, 100, nothing, 200, 200]


@pytest.mark.parametrize("step", [0, -1, -0.5, "50", True, [1], {"a": 1}, 1_000_000.1, 2**70, "x" * 100])
@pytest.mark.parametrize(("of", "field"), [("Watts", "load"), ("WattHours", "today { consumed }")])
def test_a_step_outside_its_range_is_an_error_that_names_it(of: str, field: str, step: object) -> None:
    stepped = re.sub(r"(load|consumed)", r"\1(step: $step)", field)
    document = f'subscription ($step: {of}) {{ community(id: "demo") {{ {stepped.replace("consumed", "consumed")} }} }}'
    message = refused(document, {"step": step})
    assert "step is" in message
    assert "over 0 and at most 1000000" in message
    assert len(message) < 200


@pytest.mark.parametrize("step", ["0", "-5", '"50"', "true", "[1]", "{a: 1}", "1e400", "1e7", "9" * 4000])
def test_a_step_in_the_document_outside_its_range_is_an_error_that_names_it(step: str) -> None:
    message = refused(f'subscription {{ home(id: "demo.home-1") {{ load(step: {step}) }} }}')
    assert "over 0 and at most 1000000" in message


def test_a_step_of_a_number_that_python_does_not_read_is_an_error_before_the_start() -> None:
    with pytest.raises(OperationError):
        plan_of(f'subscription {{ home(id: "demo.home-1") {{ load(step: {"9" * 5000}) }} }}')


def test_a_step_of_energy_is_a_whole_number() -> None:
    message = refused('subscription { home(id: "demo.home-1") { today { consumed(step: 0.3) } } }')
    assert message == "step is 0.3; it must be a whole number over 0 and at most 1000000"


def test_an_unknown_argument_is_an_error_before_the_start() -> None:
    assert "Unknown argument" in refused('subscription { home(id: "demo.home-1") { load(steps: 5) } }')
    assert "Unknown argument" in refused('subscription { home(id: "demo.home-1") { light(step: 5) } }')


# --- what counts ---


def test_the_time_of_measurement_travels_but_does_not_count() -> None:
    projection = compiled('subscription { community(id: "x") { measuredAt load at: measuredAt } }')
    one, _ = projection.parts(community_state(measured_at=1), ())
    other, _ = projection.parts(community_state(measured_at=2), ())
    third, _ = projection.parts(community_state(measured_at=2, load_w=1.0), ())
    assert one != other
    assert projection.visible(one) == projection.visible(other) != projection.visible(third)


def documents_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).glob("*.graphql"))


@pytest.mark.parametrize("path", [*documents_of("watch"), *documents_of("examples")], ids=lambda path: path.name)
def test_the_documents_of_watch_and_examples_compile(path: Path) -> None:
    document, operations, planner = path.read_text(), Operations(CORE), make_planner()
    for definition in parse(document).definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        operation = operations.open(document, definition.name.value if definition.name else None)
        if not operation.is_subscription or operation.events:
            continue
        names = {node.variable.name.value for node in operation.node.variable_definitions or ()}
        known = {"home": "demo.home-1", "community": "demo", "homeStep": 50, "communityStep": 500, "energyStep": 100}
        plan = planner.plan(operation, {name: known[name] for name in names & known.keys()}, EVERYTHING)
        assert plan.projection is not None
        live = LiveHome(home_state(today=TODAY), community_state(today=TODAY))
        root = live if plan.home else live.community
        assert shown(plan.projection, root) == plan.execute(root)
