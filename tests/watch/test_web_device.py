"""The web watch's machine, its words and its counters against device.json, in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.watch.web_browser import cases, chromium, module_page

CASES, HOURS = cases("device.json"), cases("hours.json")
START_MS = 1_900_000_000_000
RUN = """
async ({steps, start}) => {
  const { after, initial } = await import("/src/device.js");
  const { view } = await import("/src/view.js");
  let state = initial();
  return steps.map(({ at, wall = 0, chance = 0.5, event }) => {
    const now = { steady: at, wall: start + at + wall, chance };
    const before = JSON.stringify(state);
    const [next, commands] = after(state, event, now);
    const kept = JSON.stringify(state) === before;
    state = next;
    const seen = view(state, now);
    if (seen.figures && "hours" in seen.figures) seen.figures = { hours: seen.figures.hours?.length ?? 0 };
    return { commands, state, view: seen, kept };
  });
}
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser, module_page(browser) as page:
        yield page


@pytest.mark.parametrize("case", CASES["cases"] + HOURS["cases"], ids=lambda case: case["name"])
def test_the_machine_does_what_each_case_expects(page: Page, case: dict[str, Any]) -> None:
    for step, got in zip(case["steps"], page.evaluate(RUN, {"steps": case["steps"], "start": START_MS}), strict=True):
        what = (step["at"], step["event"])
        assert got["commands"] == step.get("commands", []), what
        assert _part(got["state"], step.get("state", {})) == step.get("state", {}), what
        assert _part(got["view"], step.get("view", {})) == step.get("view", {}), what
        assert got["kept"], "a state must not be changed, for others may hold it"


HOME = {"type": "start", "target": {"kind": "home", "id": "demo.home-01"}}


def states(page: Page, *steps: tuple[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the state after each event."""
    told = [{"at": at, "event": event} for at, event in steps]
    return [got["state"] for got in page.evaluate(RUN, {"steps": told, "start": START_MS})]


def test_a_connection_begun_in_the_foreground_is_tried_again_in_ambient(page: Page) -> None:
    ambient = {"type": "show", "as": "ambient"}
    *_, state = states(page, (0, HOME), (10, ambient), (20_000, {"type": "tick"}))
    assert (state["awaited"], state["due"]) == ("retry", 20_250)


def test_a_background_answer_without_data_but_with_errors_is_its_errors(page: Page) -> None:
    errors = [{"message": "no totals here", "extensions": {"code": "NOT_FOUND"}}]
    answer = {"type": "result", "id": 1, "data": {"home": {"live": None}}, "errors": errors}
    *_, state = states(page, (0, {**HOME, "want": "background"}), (100, answer))
    assert (state["link"], state["reason"], state["awaited"]) == ("unknown", "no totals here", "cadence")


def test_an_operation_that_failed_is_not_begun_again_by_a_battery_that_changes(page: Page) -> None:
    low = {"type": "battery", "level": 0.1, "charging": False}
    *_, before, after = states(page, (0, HOME), (10, {"type": "opened"}), (20, {"type": "ended", "id": 1}), (30, low))
    assert (after["operation"], after["awaited"], after["due"]) == (1, "retry", before["due"])


def test_each_mode_asks_as_the_table_says(page: Page) -> None:
    modes = CASES["modes"] + HOURS["modes"]
    asked = page.evaluate(
        """async (modes) => {
          const { asked } = await import("/src/modes.js");
          const target = { kind: "home", id: "demo.home-01" };
          return modes.map(({ mode, screen, low }) => asked({ mode, low, target, before: screen, way: "socket" }));
        }""",
        modes,
    )
    for row, got in zip(modes, asked, strict=True):
        silence = None if got["once"] else got.get("silence")  # of an answer; the table has that of a subscription
        known = got["variables"] | {"silence": silence, "cadence": got.get("cadence")}
        names = ("every", "maxSilence", "homeStep", "communityStep", "energyStep", "silence", "cadence")
        assert {name: known.get(name) for name in names} == {name: row[name] for name in names}, row


@pytest.mark.parametrize("case", CASES["receipts"], ids=lambda case: case["name"])
def test_the_receipt_counts_as_each_case_expects(page: Page, case: dict[str, Any]) -> None:
    counts = page.evaluate(
        """async (steps) => {
          const { Receipt } = await import("/src/receipt.js");
          let now = 0;
          const receipt = new Receipt(() => now);
          for (const { at, ...bytes } of steps) { now = at; receipt.count(bytes); }
          return receipt.counts;
        }""",
        case["steps"],
    )
    assert counts == case["expect"]


@pytest.mark.parametrize("name", ["power", "energy", "span", "size"])
def test_a_figure_is_written_as_each_case_expects(page: Page, name: str) -> None:
    written = page.evaluate(
        """async ([name, values]) => {
          const figures = await import("/src/figures.js");
          return values.map((value) => [figures[name](value)].flat().join(" ").trim());
        }""",
        [name, [value for value, _ in CASES["texts"][name]]],
    )
    assert written == [text for _, text in CASES["texts"][name]]


def test_money_is_written_as_each_case_expects(page: Page) -> None:
    written = page.evaluate(
        """async (amounts) => {
          const { money } = await import("/src/figures.js");
          const written = amounts.map(([minor, currency]) => money(minor, currency));
          return written.map(([what, ...amount]) => [what, amount.join(" ").trim()]);
        }""",
        CASES["texts"]["money"],
    )
    assert written == [[what, text] for _, _, what, text in CASES["texts"]["money"]]


@pytest.mark.parametrize(
    "case",
    CASES["texts"]["rows"] + HOURS["texts"]["rows"],
    ids=lambda case: f"{case['kind']} {case['screen']} {case['rows'][0][1]}",
)
def test_a_screen_has_the_rows_that_each_case_expects(page: Page, case: dict[str, Any]) -> None:
    rows = page.evaluate(
        """async ({ kind, screen, data, zone }) => {
          const { readResult } = await import("/src/reading.js");
          const { rowsOf } = await import("/src/rows.js");
          return rowsOf(kind, screen, readResult(screen, kind, { [kind]: data }).figures, zone);
        }""",
        case,
    )
    assert rows == case["rows"]


def test_lights_and_ages_have_their_words(page: Page) -> None:
    lights, ages = page.evaluate(
        """async (ages) => {
          const { ageOf, LIGHTS } = await import("/src/rows.js");
          return [LIGHTS, ages.map(([state, age]) => ageOf({ state, age }))];
        }""",
        CASES["texts"]["ages"],
    )
    assert lights == CASES["texts"]["words"]
    assert ages == [text for _, _, text in CASES["texts"]["ages"]]


@pytest.mark.parametrize("case", CASES["texts"]["notices"], ids=lambda case: f"{case['trouble']} {case['full']}")
def test_a_trouble_is_told_as_each_case_expects(page: Page, case: dict[str, Any]) -> None:
    told = page.evaluate(
        """async ({ trouble, title = "", why = "", clock_off: off = 0, ...rest }) => {
          const { sentence, words } = await import("/src/trouble.js");
          const said = words({ trouble, title, off, reason: why, for: rest.for ?? 0 });
          return said ? [said.short, sentence(said)] : ["", ""];
        }""",
        case,
    )
    assert told == [case["short"], case["full"]]


def test_what_servers_send_becomes_one_printable_line(page: Page) -> None:
    lines = page.evaluate(
        """async (texts) => {
          const { printable } = await import("/src/verdict.js");
          return texts.map(printable);
        }""",
        ["  two\n\tlines\x1b[31m ", "x" * 200, 3, None, "\u202eturned"],
    )
    assert lines == ["two lines [31m", "x" * 159 + "…", "", "", "turned"]


def _part(whole: Any, part: Any) -> Any:
    """Return of `whole` what `part` names, as deep as it goes; lists and all else are whole."""
    if not isinstance(part, dict) or not isinstance(whole, dict):
        return whole
    return {name: _part(whole.get(name), value) for name, value in part.items()}
