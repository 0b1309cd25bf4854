"""A screen shows what its document selects, and its document selects what the screen shows."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    FieldNode,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    parse,
    print_ast,
    validate,
)

from watch.device import Device, Moment
from watch.face import Face, draw
from watch.glance import Glance
from watch.news import Link, Result, Standing
from watch.screen import Screen, community_screen, home_screen

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("watch/*.graphql"), *ROOT.glob("examples/*.graphql")])
NOW = Moment(datetime(2026, 6, 1, 10, 0, 30, tzinfo=UTC), 100.0)

HOME = {
    "home": {
        "light": "GREEN",
        "community": {"surplusPower": 1240, "trend": "RISING"},
        "sharedPower": 320.5,
        "netPower": -410,
        "measuredAt": "2026-06-01T10:00:00Z",
        "selfSufficiency": 0.71,
        "quality": "MEASURED",
    }
}
COMMUNITY = {
    "community": {
        "light": "GREEN",
        "surplusPower": 1240,
        "sharedPower": 3100,
        "trend": "RISING",
        "measuredAt": "2026-06-01T10:00:00Z",
        "selfSufficiency": 0.62,
        "homesReporting": 19,
        "homesTotal": 20,
    }
}
CHANGED: dict[str, object] = {
    "light": "RED",
    "trend": "FALLING",
    "measuredAt": "2026-06-01T08:00:00Z",
    "selfSufficiency": 0.1,
    "quality": "STALE",
}
SCREENS = [(home_screen("demo.home-01"), HOME), (community_screen("demo"), COMMUNITY)]


class Watched(Mapping[str, Any]):
    """A result that remembers which of its leaves were read."""

    def __init__(self, fields: Mapping[str, Any], read: set[str], path: str = "") -> None:
        self._fields, self._read, self._path = fields, read, path

    def __getitem__(self, name: str) -> Any:
        value, path = self._fields[name], f"{self._path}{name}"
        if isinstance(value, dict):
            return Watched(value, self._read, f"{path}.")
        self._read.add(path)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def leaves(selection: SelectionSetNode, path: str = "") -> Iterator[str]:
    for node in selection.selections:
        assert isinstance(node, FieldNode)
        name = f"{path}{node.name.value}"
        if node.selection_set is None:
            yield name
        else:
            yield from leaves(node.selection_set, f"{name}.")


def selected(screen: Screen) -> set[str]:
    operation = parse(screen.document).definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    return set(leaves(operation.selection_set))


def faces(screen: Screen, data: dict[str, Any]) -> tuple[Face, Face]:
    """What is shown while live, and once the server has gone."""
    device = Device(screen, since=NOW.steady).after(Result(data), NOW)
    return draw(device, NOW), draw(device.after(Link(Standing.GONE), NOW), NOW)


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    printed = ROOT / "schema" / "schema.graphql"
    if not printed.is_file():
        pytest.skip("schema/schema.graphql is not there")
    return build_schema(printed.read_text("utf-8"))


@pytest.mark.parametrize(("screen", "data"), SCREENS, ids=["home", "community"])
def test_a_document_selects_exactly_the_fields_that_its_screen_reads(screen: Screen, data: dict[str, Any]) -> None:
    read: set[str] = set()
    glance: Glance = screen.read(Watched(data, read))
    assert glance.fresh
    assert read == selected(screen)


@pytest.mark.parametrize(
    ("screen", "data", "field"),
    [(screen, data, field) for screen, data in SCREENS for field in sorted(selected(screen))],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_that_changes_changes_the_face(screen: Screen, data: dict[str, Any], field: str) -> None:
    changed = copy.deepcopy(data)
    *above, name = field.split(".")
    parent = changed
    for step in above:
        parent = parent[step]
    parent[name] = CHANGED.get(name, 7)
    assert faces(screen, changed) != faces(screen, data)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_document_is_valid_against_the_printed_schema(schema: GraphQLSchema, document: Path) -> None:
    assert validate(schema, parse(document.read_text("utf-8"))) == []


def documents_of_the_page() -> dict[str, str]:
    script = (ROOT / "watch" / "web" / "watch.js").read_text("utf-8")
    return dict(re.findall(r"(\w+): `\s*(subscription .*?)`", script, re.DOTALL))


@pytest.mark.parametrize(("name", "screen"), [("home", home_screen), ("community", community_screen)])
def test_the_page_asks_with_the_same_document_as_the_terminal(name: str, screen: Callable[[str], Screen]) -> None:
    assert print_ast(parse(documents_of_the_page()[name])) == print_ast(parse(screen("x").document))


def test_the_page_asks_for_places_that_the_printed_schema_has(schema: GraphQLSchema) -> None:
    script = (ROOT / "watch" / "web" / "watch.js").read_text("utf-8")
    found = re.search(r'PLACES = "(query .*?)";', script)
    assert found is not None
    assert validate(schema, parse(found[1])) == []
