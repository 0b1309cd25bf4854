"""The face of the web watch as a drawing: nothing is cut off, all can be read, none is told by colour alone."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.watch.web_browser import chromium, module_page
from tests.watch.web_views import LIGHTS, VIEWS, view

SIZES = [192, 396, 454]
FACE = """
<link rel="stylesheet" href="/watch.css"><main id="watch"><svg id="face" viewBox="0 0 400 400"></svg></main>
"""
DRAW = """
async (view) => {
  const { draw, lightOf } = await import("/src/face.js");
  const { paint } = await import("/src/paint.js");
  const face = document.getElementById("face");
  document.documentElement.dataset.mode = view.mode;
  Object.assign(face.dataset, { light: lightOf(view), state: view.state });
  const { breadthOf } = await import("/src/breadth.js");
  paint(face, draw({ ...view, breadth: breadthOf(face) }));
}
"""
OUTSIDE = """
() => {
  const face = document.getElementById("face");
  const shape = face.querySelector(".bezel") ?? face.querySelector(".track");
  return [...face.querySelectorAll("text")].filter((text) => text.textContent.trim()).filter((text) => {
    const { x, y, width, height } = text.getBBox();
    const moved = text.closest("g")?.transform.baseVal[0]?.matrix.e ?? 0;
    const corners = [0.25, 0.75].flatMap((part) => [x, x + width].map((at) => [at + moved, y + part * height]));
    const points = corners.map((corner) => new DOMPoint(...corner));
    return points.some((point) => !shape.isPointInFill(point) || shape.isPointInStroke(point));
  }).map((text) => text.textContent);
}
"""
OVERLAPS = """
() => {
  const texts = [...document.querySelectorAll("#face text")].filter((text) => text.textContent.trim());
  const boxes = texts.map((text) => {
    const { x, y, width, height } = text.getBoundingClientRect();
    return [text.textContent, x, y + 0.22 * height, x + width, y + 0.78 * height];
  });
  const found = [];
  boxes.forEach(([one, x, y, right, bottom], i) => boxes.slice(i + 1).forEach(([other, x2, y2, right2, bottom2]) => {
    if (x < right2 && x2 < right && y < bottom2 && y2 < bottom) found.push(`${one} / ${other}`);
  }));
  return found;
}
"""
CONTRASTS = """
() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  const dial = light(getComputedStyle(document.querySelector("main")).backgroundColor);
  const found = [];
  for (const text of document.querySelectorAll("#face text, #face tspan")) {
    found.push([text.textContent, 4.5, ratio(light(getComputedStyle(text).fill), dial)]);
  }
  for (const shape of document.querySelectorAll(".bezel, .lamp, .part, .sign")) {
    const { fill, stroke } = getComputedStyle(shape);
    found.push([shape.getAttribute("class"), 3, ratio(light(stroke === "none" ? fill : stroke), dial)]);
  }
  return found;
}
"""
COLOURS = """
() => {
  const probe = document.createElement("p");
  probe.style.color = "CanvasText";
  document.body.append(probe);
  const forced = getComputedStyle(probe).color;
  probe.remove();
  const all = document.querySelectorAll("#face text, #face tspan, .bezel, .lamp, .part, .sign");
  const found = [...all].map((one) => {
    const { fill, stroke } = getComputedStyle(one);
    return stroke === "none" ? fill : stroke;
  });
  return [forced, found];
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with module_page(browser) as page:
        page.goto(page.url.replace("icon.svg", "src/"))
        page.set_content(FACE)
        page.emulate_media(reduced_motion="reduce")
        yield page


def draw(page: Page, shown: dict[str, Any]) -> None:
    page.evaluate(DRAW, shown)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", VIEWS)
def test_no_text_is_cut_off_and_none_lies_over_another(page: Page, name: str, size: int) -> None:
    page.set_viewport_size({"width": size, "height": size})
    draw(page, VIEWS[name])
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(OVERLAPS) == []


@pytest.mark.parametrize("mode", ["foreground", "ambient"])
@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("name", VIEWS)
def test_all_can_be_read_in_each_scheme(page: Page, name: str, scheme: str, mode: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its literals
    draw(page, VIEWS[name] | {"mode": mode})
    contrasts = page.evaluate(CONTRASTS)
    assert contrasts or name == "nothing"
    assert [(what, least, ratio) for what, least, ratio in contrasts if ratio < least] == []


@pytest.mark.parametrize("screen", ["glance", "today"])
def test_each_light_has_a_shape_and_a_word_beside_its_colour(page: Page, screen: str) -> None:
    figures = view()["figures"] if screen == "glance" else VIEWS["today"]["figures"]
    shapes, words = set(), set()
    page.set_viewport_size({"width": 192, "height": 192})
    for light in ("GREEN", "YELLOW", "RED"):
        draw(page, view(light=light, screen=screen, figures=figures))
        shape = page.locator(".bezel" if screen == "glance" else ".lamp")
        shapes.add(shape.get_attribute("d"))
        box = shape.bounding_box()
        assert box is not None
        assert box["width"] >= 22  # pixels: of a disc or an octagon that is smaller, nobody sees which it is
        words.add(page.locator(".word").text_content())
    assert len(shapes) == len(words) == 3


def test_the_largest_text_is_the_number_that_matters(page: Page) -> None:
    for name in (*LIGHTS, "recent", "today", "a large community"):
        draw(page, VIEWS[name])
        sizes = "all => all.map((one) => [Number(one.getAttribute('font-size')), one.getAttribute('class')])"
        found = sorted(page.locator("#face text").evaluate_all(sizes), reverse=True)
        assert found[0][1] == "number"
        assert found[0][0] > 1.4 * found[1][0]


def test_no_text_is_smaller_than_what_can_be_read_on_a_wrist(page: Page) -> None:
    for shown in VIEWS.values():
        draw(page, shown)
        sizes = page.locator("#face [font-size]").evaluate_all(
            "all => all.map((one) => Number(one.getAttribute('font-size')))"
        )
        assert min(sizes) >= 16


def test_lines_break_between_a_figure_with_its_unit_and_the_rest(page: Page) -> None:
    draw(page, VIEWS["trouble fault"])
    lines = page.locator("#face text").all_text_contents()
    assert lines[-3:] == ["the server failed", "11\u00a0min\u00a0ago", "trying again"]
    draw(page, VIEWS["hours, few days"])
    assert page.locator("#face text").nth(2).text_content() == "less than 19 comparable"


@pytest.mark.parametrize("shared", [0, None])
def test_the_ring_of_the_day_is_empty_where_nothing_was_shared(page: Page, shared: int | None) -> None:
    draw(page, VIEWS["today"])
    assert page.locator(".part").count() == 1
    draw(page, VIEWS["today"] | {"figures": VIEWS["today"]["figures"] | {"shared": shared}})
    assert page.locator(".part").count() == 0


@pytest.mark.parametrize("mode", ["foreground", "ambient"])
@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("name", ["green", "old", "today, red and lost", "nothing, unknown", "hours"])
def test_colours_that_are_forced_are_the_only_ones(page: Page, name: str, scheme: str, mode: str) -> None:
    page.emulate_media(color_scheme=scheme, forced_colors="active")  # type: ignore[arg-type]  # one of its literals
    try:
        draw(page, VIEWS[name] | {"mode": mode})
        forced, found = page.evaluate(COLOURS)
        assert found == [forced] * len(found)
    finally:
        page.emulate_media(forced_colors="none")


def test_a_drawing_is_painted_without_touching_what_stays(page: Page) -> None:
    draw(page, view())
    page.evaluate(
        """() => {
          window.changes = [];
          const note = (records) => records.forEach((one) => window.changes.push(one.type));
          window.watcher = new MutationObserver(note);
          const all = { attributes: true, characterData: true, childList: true, subtree: true };
          window.watcher.observe(document.getElementById("face"), all);
        }"""
    )
    draw(page, view())
    draw(page, view(age=900))
    draw(page, view(figures={"surplus": 1290, "share": 320, "trend": "RISING"}))
    changes = page.evaluate("() => { window.watcher.disconnect(); return window.changes; }")
    assert changes.count("characterData") == 1
    assert "childList" not in changes


def test_who_wants_less_motion_gets_none(page: Page) -> None:
    draw(page, view())
    page.emulate_media(reduced_motion="reduce")
    assert page.locator(".bezel").evaluate("(shape) => getComputedStyle(shape).transitionDuration") == "0s"
    page.emulate_media(reduced_motion="no-preference")
    assert page.locator(".bezel").evaluate("(shape) => getComputedStyle(shape).transitionDuration") != "0s"
    page.emulate_media(reduced_motion="reduce")
