"""Each screen of the web watch shows what its documents select, and they select nothing else."""

import copy
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
    print_ast,
)
from playwright.sync_api import Page

from tests.watch.web_browser import WEB, chromium, module_page

TIME = "2030-03-17T17:46:40Z"
DAY = {"imported": 4200, "shared": 1800, "saved": "84.5", "currency": "EUR"}
HOME = {"light": "GREEN", "quality": "MEASURED", "measuredAt": TIME}
COMMUNITY = {"light": "GREEN", "measuredAt": TIME}
HOUR = {"start": "2030-03-17T18:00:00Z", "end": "2030-03-17T19:00:00Z", "surplus": 1200, "sure": 0.8}
BEST = {"bestHours": {"hours": [HOUR], "reason": None}}
FIGURES = {"surplusPower": 1000, "trend": "RISING"}
DATA: dict[str, dict[str, Any]] = {
    "HomeGlance": {"home": {**HOME, "community": FIGURES, "sharedPower": 300}},
    "HomeToday": {"home": {**HOME, "today": DAY}},
    "CommunityGlance": {"community": {**COMMUNITY, **FIGURES, "sharedPower": 300}},
    "CommunityToday": {"community": {**COMMUNITY, "today": DAY}},
    "HomeHours": {"home": {"community": BEST}},
    "CommunityHours": {"community": BEST},
}
CHANGED = {
    "light": "RED",
    "quality": "STALE",
    "measuredAt": "2030-03-17T17:16:40Z",
    "trend": "FALLING",
    "saved": "-3",
    "currency": "CHF",
    "start": "2030-03-17T17:00:00Z",
    "end": "2030-03-17T20:00:00Z",
    "sure": 0.6,
}
READ = """
async ([kind, screen, data]) => {
  const { readResult } = await import("/src/reading.js");
  const read = new Set();
  const watched = (fields, path) => new Proxy(fields, {
    get(of, name) {
      const value = of[name];
      const inner = value !== null && typeof value === "object";
      if (Array.isArray(value)) return value.map((one) => watched(one, `${path}${name}.`));
      if (typeof name === "string" && !inner && name in of) read.add(path + name);
      return inner ? watched(value, `${path}${name}.`) : value;
    },
  });
  readResult(screen, kind, watched(data, ""));
  return [...read].map((path) => path.replace(`${kind}.`, ""));
}
"""
FACES = """
async ([kind, screen, data]) => {
  const { after, initial } = await import("/src/device.js");
  const { view } = await import("/src/view.js");
  const { draw, lightOf } = await import("/src/face.js");
  const now = { steady: 1000, wall: 1_900_000_000_000, chance: 0.5 };
  let state = initial();
  const tell = (event) => { [state] = after(state, event, now); };
  const look = () => {
    const seen = { ...view(state, now), kind, title: "x", pairing: null, left: 0, breadth: 1, zone: 0 };
    return [lightOf(seen), seen.state, draw(seen)];
  };
  tell({ type: "start", target: { kind, id: "x" } });
  tell({ type: "turn", to: screen });
  tell({ type: "opened" });
  tell({ type: "result", id: state.operation, data });
  const live = look();
  tell({ type: "lost" });
  return JSON.stringify([live, look()]);
}
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser, module_page(browser) as page:
        yield page


def documents() -> dict[str, tuple[str, DocumentNode]]:
    """Return each operation of the watch: the id of its document, and the document."""
    found = {}
    for path in WEB.parent.glob("*.graphql"):
        text = path.read_bytes().rstrip(b"\n")
        parsed = parse(text.decode())
        for node in parsed.definitions:
            if isinstance(node, OperationDefinitionNode) and node.name is not None:
                found[node.name.value] = hashlib.sha256(text).hexdigest(), parsed
    return found


def leaves(document: DocumentNode, selection: SelectionSetNode, path: str = "") -> Iterator[str]:
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    for node in selection.selections:
        if isinstance(node, FragmentSpreadNode):
            yield from leaves(document, fragments[node.name.value].selection_set, path)
        elif isinstance(node, FieldNode) and node.selection_set is None:
            yield f"{path}{node.name.value}"
        elif isinstance(node, FieldNode) and node.selection_set is not None:
            yield from leaves(document, node.selection_set, f"{path}{node.name.value}.")


def selected(name: str) -> set[str]:
    """Return what an operation selects below its only field, and below `live` where that is a query."""
    _, document = documents()[name]
    (operation,) = (
        node
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode) and node.name is not None and node.name.value == name
    )
    return {path.partition(".")[2].removeprefix("live.") for path in leaves(document, operation.selection_set)}


def screen(name: str) -> tuple[str, str]:
    kind, what = re.findall("[A-Z][a-z]+", name)[:2]
    return kind.lower(), what.lower()


@pytest.mark.parametrize("name", DATA)
def test_a_screen_reads_exactly_what_its_document_selects(page: Page, name: str) -> None:
    read = set(page.evaluate(READ, [*screen(name), DATA[name]]))
    assert read == selected(name)


@pytest.mark.parametrize("name", ["HomeGlance", "CommunityGlance"])
def test_what_is_asked_in_the_background_is_what_the_glance_shows(name: str) -> None:
    assert selected(f"{name}Now") == selected(name)


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in DATA for field in sorted(selected(name))])
def test_a_field_that_changes_changes_the_face(page: Page, name: str, field: str) -> None:
    kind, what = screen(name)
    changed = copy.deepcopy(DATA[name])
    *above, last = field.split(".")
    parent = changed[kind]
    for step in above:
        parent = parent[step][0] if step == "hours" else parent[step]
    parent[last] = CHANGED.get(last, 7000)
    before = copy.deepcopy(DATA[name])
    if last == "reason":  # there is one where there are no hours
        for data, reason in ((changed, "too few days"), (before, None)):
            data[kind].get("community", data[kind])["bestHours"] |= {"hours": [], "reason": reason}
    faces = [page.evaluate(FACES, [kind, what, data]) for data in (before, changed)]
    assert faces[0] != faces[1]


def test_the_script_knows_the_documents_by_the_ids_that_servers_give_them() -> None:
    known = json.loads((WEB / "src" / "documents.js").read_text("utf-8").partition("DOCUMENTS = ")[2].rstrip(";\n"))
    assert {name: id for name, (id, _) in known.items()} == {name: id for name, (id, _) in documents().items()}
    assert set(known) >= {*DATA, "HomeGlanceNow", "CommunityGlanceNow", "Places", "Receipt"}
    assert all(print_ast(parse(text)) == print_ast(documents()[name][1]) for name, (_, text) in known.items())
