"""A screen shows what its documents select, and its documents select what the screen shows."""

import copy
import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    get_named_type,
    is_object_type,
    parse,
    print_ast,
    validate,
)

from watch import events as on
from watch.device import after
from watch.documents import Document, read_documents
from watch.events import Kind, Screen, Show, Started, Target
from watch.face import Face, draw, rows_of_receipt
from watch.glance import FORMS, ExpectedHour, Light, Reading, Trend, places, read
from watch.modes import PACES, ask
from watch.receipt import Bill, Receipt, read_bill
from watch.state import Moment, State
from watch.view import view

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("watch/*.graphql"), *ROOT.glob("examples/*.graphql")])
DOCUMENTS = read_documents()
SCREENS = {
    ("home", Screen.GLANCE): ["HomeGlance", "HomeGlanceNow"],
    ("home", Screen.TODAY): ["HomeToday"],
    ("community", Screen.GLANCE): ["CommunityGlance", "CommunityGlanceNow"],
    ("community", Screen.TODAY): ["CommunityToday"],
    ("home", Screen.HOURS): ["HomeHours"],
    ("community", Screen.HOURS): ["CommunityHours"],
}
NOW = Moment(100_000, 1_900_000_000_000)
TIME = "2030-03-17T17:46:00Z"
DAY = {"imported": 4200, "shared": 1800, "saved": "84.5", "currency": "EUR"}
HOUR = {"start": "2030-03-17T18:00:00Z", "end": "2030-03-17T19:00:00Z", "surplus": 1200, "sure": 0.8}
DATA: dict[tuple[str, Screen], dict[str, Any]] = {
    ("home", Screen.GLANCE): {
        "light": "GREEN",
        "community": {"surplusPower": 1000, "trend": "RISING"},
        "sharedPower": 300,
        "quality": "MEASURED",
        "measuredAt": TIME,
    },
    ("home", Screen.TODAY): {"light": "GREEN", "today": DAY, "quality": "MEASURED", "measuredAt": TIME},
    ("community", Screen.GLANCE): {
        "light": "GREEN",
        "surplusPower": 1000,
        "sharedPower": 3000,
        "trend": "RISING",
        "measuredAt": TIME,
    },
    ("community", Screen.TODAY): {"light": "GREEN", "today": DAY, "measuredAt": TIME},
    ("home", Screen.HOURS): {"community": {"bestHours": {"hours": [HOUR], "reason": None}}},
    ("community", Screen.HOURS): {"bestHours": {"hours": [HOUR], "reason": None}},
}
CHANGED: dict[str, object] = {
    "light": "RED",
    "trend": "FALLING",
    "measuredAt": "2030-03-17T17:16:00Z",
    "quality": "STALE",
    "saved": "-3",
    "currency": "CHF",
    "start": "2030-03-17T17:00:00Z",
    "end": "2030-03-17T20:00:00Z",
    "sure": 0.6,
}
TYPES = {
    "Ratio": float,
    "Watts": float,
    "WattHours": float,
    "Decimal": str,
    "String": str,
    "DateTime": datetime,
    "Light": Light,
    "Trend": Trend,
    "Quality": str,
}


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema" / "schema.graphql").read_text("utf-8"))


def operation_of(document: DocumentNode, name: str) -> OperationDefinitionNode:
    (found,) = (
        node
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode) and node.name is not None and node.name.value == name
    )
    return found


def leaves(
    document: DocumentNode, selection: SelectionSetNode, parent: GraphQLObjectType, path: str = "", may: bool = False
) -> Iterator[tuple[str, str, bool]]:
    """The leaves of a selection: their path, their type's name, and whether they may be null."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    for node in selection.selections:
        if isinstance(node, FragmentSpreadNode):
            yield from leaves(document, fragments[node.name.value].selection_set, parent, path, may)
            continue
        assert isinstance(node, FieldNode)
        field = parent.fields[node.name.value].type
        name, null = f"{path}{node.name.value}", may or not isinstance(field, GraphQLNonNull)
        inner = get_named_type(field)
        if node.selection_set is None:
            yield name, inner.name, null
        else:
            assert is_object_type(inner)
            assert isinstance(inner, GraphQLObjectType)
            yield from leaves(document, node.selection_set, inner, f"{name}.", null)


def selected(schema: GraphQLSchema, document: Document) -> dict[str, tuple[str, bool]]:
    """What an operation selects of a home or a community: path to type, and whether it may be null."""
    parsed = parse(document.text)
    operation = operation_of(parsed, document.operation)
    root = schema.get_root_type(operation.operation)
    assert root is not None
    (found,) = operation.selection_set.selections
    assert isinstance(found, FieldNode)
    assert found.selection_set is not None
    state = get_named_type(root.fields[found.name.value].type)
    assert isinstance(state, GraphQLObjectType)
    selection = found.selection_set
    if document.operation.endswith("Now"):
        (live,) = selection.selections
        assert isinstance(live, FieldNode)
        assert live.name.value == "live"
        assert live.selection_set is not None
        selection, inner = live.selection_set, get_named_type(state.fields["live"].type)
        assert isinstance(inner, GraphQLObjectType)
        state = inner
    return {path: (kind, null) for path, kind, null in leaves(parsed, selection, state)}


def read_by(form: type[Reading]) -> dict[str, Any]:
    """Where a screen reads what: path to type, the fields of the hours in a list among them."""
    found: dict[str, Any] = {}
    for path, hint in places(form).values():
        if tuple[ExpectedHour, ...] in get_args(hint):
            found |= {f"{path}.{name}": inner for name, inner in places(ExpectedHour).values()}
        else:
            found[path] = hint
    return found


@pytest.mark.parametrize(("key", "operation"), [(key, name) for key, names in SCREENS.items() for name in names])
def test_an_operation_selects_exactly_what_its_screen_reads_by_the_types_of_the_schema(
    schema: GraphQLSchema, key: tuple[Kind, Screen], operation: str
) -> None:
    chosen = selected(schema, DOCUMENTS[operation])
    form = read_by(FORMS[key])
    assert set(form) == set(chosen)
    for path, hint in form.items():
        kind, null = chosen[path]
        arms = set(get_args(hint)) or {hint}
        # A light or a trend that the schema may get later is read as one that there is, or as none.
        assert arms - {type(None)} == {TYPES[kind]}, path
        if not path.endswith(tuple(HOUR)):
            assert (type(None) in arms) == (null or kind == "Trend"), path


class Watched(Mapping[str, Any]):
    """A result that remembers which of its leaves were read."""

    def __init__(self, fields: Mapping[str, Any], read: set[str], path: str = "") -> None:
        self._fields, self._read, self._path = fields, read, path

    def __getitem__(self, name: str) -> Any:
        value, path = self._fields[name], f"{self._path}{name}"
        if isinstance(value, dict):
            return Watched(value, self._read, f"{path}.")
        if isinstance(value, list):
            return [Watched(each, self._read, f"{path}.") for each in value]
        self._read.add(path)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@pytest.mark.parametrize("key", list(SCREENS))
def test_a_screen_reads_exactly_what_is_selected(key: tuple[Kind, Screen]) -> None:
    seen: set[str] = set()
    assert read(FORMS[key], Watched(DATA[key], seen)).current
    assert seen == set(read_by(FORMS[key]))


def faces(key: tuple[Kind, Screen], data: dict[str, Any]) -> tuple[Face, Face]:
    """What is shown while live, and once the server has gone."""
    state, _ = after(State(), Started(Target(key[0], "x")), NOW)
    for event in (on.Turned(key[1]), on.Opened(), on.Result(1, {key[0]: data})):
        state, _ = after(state, event, NOW)
    lost, _ = after(state, on.Lost(), NOW)
    return draw(view(state, NOW), "x", zone=UTC), draw(view(lost, NOW), "x", zone=UTC)


FIELDS = [(key, path) for key, form in FORMS.items() for path in read_by(form)]


@pytest.mark.parametrize(("key", "path"), FIELDS)
def test_a_field_that_changes_changes_the_face(key: tuple[Kind, Screen], path: str) -> None:
    changed = copy.deepcopy(DATA[key])
    *above, name = path.split(".")
    parent = changed
    for step in above:
        parent = parent[step][0] if step == "hours" else parent[step]
    parent[name] = CHANGED.get(name, 7000)
    before = copy.deepcopy(DATA[key])
    if name == "reason":  # there is one where there are no hours
        for data, reason in ((changed, "too few days"), (before, None)):
            best = data.get("community", data)["bestHours"]
            best |= {"hours": [], "reason": reason}
    assert faces(key, changed) != faces(key, before)


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_document_is_valid_against_the_printed_schema(schema: GraphQLSchema, file: Path) -> None:
    assert validate(schema, parse(file.read_text("utf-8"))) == []


def test_each_operation_is_known_by_its_name_and_the_id_of_its_file() -> None:
    assert set(DOCUMENTS) == {name for names in SCREENS.values() for name in names} | {"Places", "Receipt"}
    for document in DOCUMENTS.values():
        assert document.id == hashlib.sha256(document.text.encode()).hexdigest()
        assert (ROOT / "watch" / file_of(document)).read_bytes().rstrip(b"\n").decode() == document.text


def file_of(document: Document) -> str:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", document.operation).lower()
    return f"{re.sub(r'_glance(_now)?$', '', name)}.graphql"


TARGETS = [Target("home", "demo.home-01"), Target("community", "demo")]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.kind)
@pytest.mark.parametrize("show", list(Show))
@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("way", ["socket", "stream"])
@pytest.mark.parametrize("screen", [Screen.GLANCE, Screen.TODAY, Screen.HOURS])
def test_what_is_asked_has_exactly_the_variables_of_its_document(
    target: Target, show: Show, low: bool, way: Any, screen: Screen
) -> None:
    asked = ask(target, screen, show, low, way)
    operation = operation_of(parse(DOCUMENTS[asked.document].text), asked.document)
    declared = {node.variable.name.value: print_ast(node.type) for node in operation.variable_definitions or ()}
    assert set(asked.variables) == set(declared)
    kinds = {name: kind.rstrip("!") for name, kind in declared.items()}
    for name, value in asked.variables.items():
        assert isinstance(value, int if kinds[name] in ("Watts", "WattHours") else str)
    assert (asked.how == "get" and not asked.once) == asked.document.endswith("Now")


def test_durations_say_the_same_as_their_ms() -> None:
    for pace in PACES.values():
        for text, ms in ((pace.every, pace.every_ms), (pace.max_silence, pace.max_silence_ms)):
            found = re.fullmatch(r"PT(\d+)([SM])", text)
            assert (int(found[1]) * (1000 if found[2] == "S" else 60_000) if found else 0) == ms


def test_the_receipt_shows_exactly_what_is_asked_of_the_server(schema: GraphQLSchema) -> None:
    counts = {"bytesIn": 1100, "bytesOut": 12_800, "messagesIn": 4, "messagesOut": 30, "wakeups": 3}
    assert set(selected(schema, DOCUMENTS["Receipt"])) == set(counts)
    assert read_bill({"receipt": counts}) == Bill(12_800, 1100, 34, 3)

    def shown(counts: dict[str, int]) -> list[str]:
        return [row.meaning for row in rows_of_receipt(Receipt(), read_bill({"receipt": counts}))]

    assert shown(counts) == ["server 12.8 kB", "server 1.1 kB", "server 34", "server 3", ""]
    for name in counts:
        assert shown(counts | {name: 7000}) != shown(counts)


@pytest.mark.parametrize("said", [{}, {"receipt": None}, {"receipt": 3}, {"receipt": {"bytesIn": "1"}}])
def test_a_server_that_does_not_count_has_no_bill(said: dict[str, Any]) -> None:
    assert read_bill(said) is None


def test_readings_know_their_forms() -> None:
    assert set(FORMS.values()) == set(get_args(Reading))
