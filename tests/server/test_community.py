"""The page /community: strict by its markup, and what an operator does on it, in a real browser over a real server."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from server.oversight import COMMUNITY
from server.web import build
from tests.conftest import absent
from tests.server.hamlet import HEARD_LAST, NOW, SILENT, Hamlet, inhabited
from tests.watch.web_browser import chromium, watched

SDL = Path(__file__).parents[2] / "schema" / "schema.graphql"
SCRIPTS = sorted(COMMUNITY.glob("*.js"))
DOCUMENT = (COMMUNITY / "community.graphql").read_text("utf-8")
WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    markup = (COMMUNITY / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", markup) == []
    for address in re.findall(r'(?:src|href)="([^"]*)"', markup):
        assert address.startswith(("/community/", "/static/", "#", "data:,")), address
    assert "://" not in "".join(path.read_text("utf-8") for path in COMMUNITY.iterdir())


def test_nothing_that_comes_becomes_markup() -> None:
    for path in SCRIPTS:
        found = re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", path.read_text("utf-8"))
        assert found == [], path.name


def test_every_id_that_a_script_names_exists() -> None:
    markup = (COMMUNITY / "index.html").read_text("utf-8")
    ids = re.findall(r'\bid="([^"]+)"', markup)
    assert len(ids) == len(set(ids))
    for path in SCRIPTS:
        assert set(re.findall(r'\bat\("([^"]+)"\)', path.read_text("utf-8"))) <= set(ids), path.name


def test_the_document_is_valid_and_the_scripts_name_each_operation_of_it() -> None:
    document = parse(DOCUMENT)
    assert validate(build_schema(SDL.read_text("utf-8")), document) == []
    names = {one.name.value for one in document.definitions if isinstance(one, OperationDefinitionNode) and one.name}
    script = (COMMUNITY / "community.js").read_text("utf-8")
    assert names == set(re.findall(r'\b(?:ask|follow|refresh)\("(\w+)"', script))


def test_the_page_without_its_charts_is_under_80_kb() -> None:
    assert sum(path.stat().st_size for path in COMMUNITY.iterdir()) < 80_000


# --- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def hamlet(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hamlet]:
    if not build.is_current(build.OUTPUT, build.WEB):
        absent("the charts are not built from these sources: run `make setup`")
    with inhabited(tmp_path_factory.mktemp("hamlet")) as hamlet:
        yield hamlet


@pytest.fixture(scope="module")
def tab(browser: Browser, hamlet: Hamlet) -> Iterator[Page]:
    """A tab in which the operator signed in."""
    with watched(browser, **WIDE) as page:
        page.goto(hamlet.link())
        yield page


@pytest.fixture
def page(tab: Page) -> Page:
    """The page as the operator sees it, loaded anew, all there."""
    tab.reload()
    settle(tab)
    return tab


def settle(page: Page) -> None:
    """Wait until all of the operator's page is there."""
    expect(page.locator("#homes tbody tr")).to_have_count(20)
    expect(page.locator("#power canvas")).to_be_visible()
    expect(page.locator("#reasons td").first).to_be_visible()


def row(page: Page, home: str) -> Any:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=home, exact=True))


@pytest.mark.slow
class TestInABrowser:
    def test_the_silent_meter_is_the_first_thing_that_is_said(self, page: Page, hamlet: Hamlet) -> None:
        assert page.url == f"{hamlet.url}/community/"  # the token is gone from the address
        expect(page).to_have_title("Sonnenhang · Commonwatt")
        meters = page.get_by_role("region", name="Meters")
        expect(meters.get_by_role("status")).to_have_text("2 of 34 meters need a look: 1 silent, 1 refused.")
        expect(meters.get_by_role("listitem")).to_have_text(
            [
                f"Familie Steinersolar meter {SILENT}silent since 12:04 (3 h 33 min ago)",
                "Inngrid meter home-13-gridsends readings that are refused",
            ]
        )
        box = meters.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 300

    def test_live_figures_follow_what_the_meters_say(self, page: Page, hamlet: Hamlet) -> None:
        expect(page.locator("#connection")).to_have_text("Live")
        now = page.locator("#now")
        hamlet.show(homes_reporting=17, surplus_power_w=-4200.0, light="RED")
        expect(now).to_contain_text("17 of 20")
        expect(now).to_contain_text("Draws4.20 kWfrom the grid, falling")
        expect(now).to_contain_text("Red")
        hamlet.show()
        expect(now).to_contain_text("19 of 20")

    def test_a_time_can_be_chosen_and_stepped_through(self, page: Page) -> None:
        name = page.locator("#range-name")
        used = page.locator("#totals dd").first
        expect(name).to_have_text("Today, Tue 20 May")
        expect(used).to_have_text("206 kWh")
        page.get_by_role("button", name="Earlier").click()
        expect(name).to_have_text("Mon 19 May")
        expect(used).not_to_have_text("206 kWh")
        page.get_by_role("button", name="Later").click()
        expect(page.get_by_role("button", name="Later")).to_be_disabled()
        for label, shown in (("7 days", "Wed 14 May – Tue 20 May"), ("Month", "May 2025"), ("Year", "2025")):
            page.get_by_role("button", name=label).click()
            expect(name).to_have_text(shown)
            expect(page.get_by_role("button", name=label)).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_role("slider", name="Where consumption came from")).to_have_attribute(
            "aria-valuetext", re.compile("^May: own production 989 kWh, neighbours 321 kWh, suppliers 1,711 kWh$")
        )

    def test_a_chart_is_read_by_keys_and_aloud(self, page: Page) -> None:
        chart = page.get_by_role("slider", name="Where consumption came from")
        expect(chart).to_have_attribute("aria-valuetext", re.compile("^15:00 to 15:15: "))
        chart.focus()
        page.keyboard.press("Home")
        expect(chart).to_have_attribute("aria-valuetext", re.compile("^00:00 to 00:15: own production 0 kWh, "))
        page.keyboard.press("ArrowRight")
        expect(chart).to_have_attribute("aria-valuetext", re.compile("^00:15 to 00:30: "))
        expect(chart).to_have_attribute("aria-valuenow", "1")
        page.keyboard.press("End")
        expect(chart).to_have_attribute("aria-valuetext", re.compile("^15:00 to 15:15: "))

    def test_a_chart_is_there_as_a_table_too(self, page: Page) -> None:
        chart = page.locator("#sources")
        chart.get_by_text("As a table").click()
        table = chart.get_by_role("table", name="Where consumption came from")
        expect(table.get_by_role("columnheader")).to_have_text(["Time", "Own production", "Neighbours", "Suppliers"])
        expect(table.locator("tbody tr")).to_have_count(61)
        expect(table.locator("tbody tr").last).to_contain_text("15:00 to 15:15")

    def test_homes_are_listed_with_what_is_wrong_first_and_sorted_by_any_column(self, page: Page) -> None:
        first = page.locator("#homes tbody tr").first
        expect(first).to_contain_text("Familie Steiner")
        expect(row(page, "Familie Steiner")).to_contain_text("solar meter silent")
        expect(row(page, "Inn")).to_contain_text("grid meter refused")
        expect(row(page, "Inn")).to_contain_text("stale")
        expect(row(page, "Bakery")).to_contain_text("live")
        expect(row(page, "Bakery")).to_contain_text("gives 4.35 kW")
        used = page.get_by_role("button", name="Used")
        used.click()
        expect(page.get_by_role("columnheader", name="Used")).to_have_attribute("aria-sort", "descending")
        expect(first).to_contain_text("Dairy")
        expect(used).to_be_focused()
        used.press("Enter")
        expect(page.get_by_role("columnheader", name="Used")).to_have_attribute("aria-sort", "ascending")
        expect(first).to_contain_text("Familie Moser")

    def test_what_the_figures_rest_on_is_said_in_shares(self, page: Page) -> None:
        shares = page.locator("#quality .figure")
        expect(shares).to_have_text([re.compile(r"^9\d %$"), re.compile(" %$"), re.compile(" %$"), "0 %"])
        expect(row(page, "Familie Steiner")).to_contain_text("75 %")

    def test_refused_readings_are_counted_explained_and_shown_as_text(self, page: Page, hamlet: Hamlet) -> None:
        reasons = page.get_by_role("table", name="Reasons of refused readings")
        expect(reasons.locator("tbody tr")).to_have_count(2)
        expect(reasons.locator("tbody tr").first).to_contain_text("register leapt38The register rose by more")
        page.get_by_text("The newest, one by one").click()
        items = page.locator("#refused-list li")
        expect(items).to_have_count(20)
        expect(items.first).to_contain_text("future · Inn · home-13-grid")
        expect(items.first.locator("pre")).to_contain_text("<b>kWh</b>")
        page.get_by_role("button", name="Older ones").click()
        expect(items).to_have_count(40)
        page.get_by_role("button", name="Older ones").click()
        expect(items).to_have_count(41)
        expect(page.get_by_role("button", name="Older ones")).to_be_hidden()

    def test_everything_that_can_be_pressed_is_reached_by_keyboard(self, page: Page) -> None:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the figures")).to_be_focused()
        reached = []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(page.evaluate(FOCUSED))
        assert reached == [
            "Sign out",
            "Day",
            "7 days",
            "Month",
            "Year",
            "Earlier",
            "Power",
            "As a table",
            "Where consumption came from",
            "As a table",
            "Homes",
            "Home",
        ]

    def test_landmarks_and_headings_tell_the_page(self, page: Page) -> None:
        assert page.get_by_role("main").count() == 1
        assert page.get_by_role("banner").count() == 1
        expect(page.get_by_role("heading", level=1)).to_have_text("Sonnenhang")
        expect(page.get_by_role("heading", level=2)).to_have_text(
            ["Meters", "Now", "Over time", "Homes", "Refused readings"]
        )

    def test_by_light_and_by_night_text_stands_out_from_what_it_is_on(self, page: Page) -> None:
        assert page.evaluate(CONTRAST) == []
        page.emulate_media(color_scheme="dark")
        dark = page.evaluate(CONTRAST)
        page.emulate_media(color_scheme="light")
        assert dark == []

    def test_on_a_phone_nothing_is_wider_than_the_screen(self, browser: Browser, hamlet: Hamlet) -> None:
        with watched(browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
            page.goto(hamlet.link())
            settle(page)
            for width in (320, 390):
                page.set_viewport_size({"width": width, "height": 844})
                page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            box = page.get_by_text("Familie Steiner").first.bounding_box()
            assert box is not None
            assert box["y"] < 300  # without scrolling
            pressed = page.locator("button:visible:not(th button), summary:visible")
            assert all((one.bounding_box() or {"height": 0})["height"] >= 40 for one in pressed.all())

    def test_a_meter_that_is_heard_again_is_good_news(self, page: Page, hamlet: Hamlet) -> None:
        hamlet.hear(SILENT, NOW)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as when one comes back to the tab
        expect(page.get_by_role("region", name="Meters").get_by_role("status")).to_have_text(
            "1 of 34 meters need a look: 1 refused."
        )
        expect(row(page, "Familie Steiner")).not_to_contain_text("silent")
        hamlet.hear(SILENT, HEARD_LAST)

    def test_a_member_sees_their_home_and_the_totals_and_is_told_what_is_not_theirs(
        self, browser: Browser, hamlet: Hamlet
    ) -> None:
        with watched(browser, **WIDE) as page:
            page.goto(hamlet.link("anna", "member"))
            expect(page.locator("#homes tbody tr")).to_have_count(1)
            expect(row(page, "Bakery")).to_contain_text("live")
            expect(page.locator("#homes-note")).to_contain_text("are for operators of this community")
            expect(page.locator("#attention")).to_be_hidden()
            expect(page.locator("#refused")).to_be_hidden()
            expect(page.locator("#now")).to_contain_text("19 of 20")

    def test_where_members_see_no_totals_they_are_told_why(self, browser: Browser, hamlet: Hamlet) -> None:
        with watched(browser, **WIDE) as page:
            page.goto(hamlet.link("bert", "member"))
            expect(page.locator("#time-note")).to_contain_text("one could be told from them")
            expect(page.locator("#homes tbody tr")).to_have_count(1)
            expect(page.get_by_role("heading", name="Now")).to_be_hidden()
            expect(page.locator("#connection")).to_be_hidden()

    def test_who_operates_several_communities_chooses_one(self, browser: Browser, hamlet: Hamlet) -> None:
        with watched(browser, **WIDE) as page:
            page.goto(hamlet.link("ida"))
            settle(page)
            page.get_by_label("Community").select_option("Weiler")
            expect(page.get_by_role("heading", level=1)).to_have_text("Weiler")
            expect(page.get_by_role("region", name="Meters").get_by_role("status")).to_have_text(
                "2 of 2 meters need a look: 2 never heard."
            )
            expect(page.locator("#homes tbody tr")).to_have_count(2)
            page.reload()
            expect(page.get_by_role("heading", level=1)).to_have_text("Weiler")

    def test_without_a_token_one_is_asked_for_and_a_wrong_one_is_refused(
        self, browser: Browser, hamlet: Hamlet
    ) -> None:
        with watched(browser, allowed=("401",), **WIDE) as page:
            page.goto(f"{hamlet.url}/community")
            field = page.get_by_label("Your token")
            expect(field).to_be_focused()
            field.fill("nonsense")
            page.keyboard.press("Enter")
            expect(page.get_by_role("alert")).to_contain_text("This token is not accepted")
            field.fill(hamlet.signer.token("olga"))
            page.get_by_role("button", name="Sign in").click()
            expect(page.locator("#homes tbody tr")).to_have_count(20)
            page.get_by_role("button", name="Sign out").click()
            expect(field).to_be_focused()
            expect(page.locator("#figures")).to_be_hidden()
            page.reload()
            expect(field).to_be_focused()

    def test_a_connection_that_breaks_comes_back_by_itself(self, browser: Browser, hamlet: Hamlet) -> None:
        sockets: list[WebSocketRoute] = []

        def take(socket: WebSocketRoute) -> None:
            sockets.append(socket)
            socket.connect_to_server()

        with watched(browser, **WIDE) as page:
            page.route_web_socket("**/graphql", take)
            page.goto(hamlet.link())
            expect(page.locator("#connection")).to_have_text("Live")
            sockets[0].close(code=1012)
            expect(page.locator("#connection")).to_have_text("Connection lost, trying again")
            expect(page.locator("#connection")).to_have_text("Live")
            assert len(sockets) == 2
            sockets[1].close(code=4403)
            expect(page.get_by_role("alert")).to_have_text("This token is not accepted any more. Paste another.")
            expect(page.get_by_label("Your token")).to_be_focused()

    def test_while_the_history_is_away_live_figures_go_on_and_it_is_said(
        self, browser: Browser, hamlet: Hamlet
    ) -> None:
        def answer(route: Route) -> None:
            if (route.request.post_data_json or {}).get("operationName") != "Range":
                return route.continue_()
            error = {"message": "-", "path": ["community", "summary"], "extensions": {"code": "UNAVAILABLE"}}
            nothing = {"summary": None, "intervals": None, "homeTotals": None}
            return route.fulfill(json={"data": {"community": nothing}, "errors": [error]})

        with watched(browser, **WIDE) as page:
            page.route("**/graphql", answer)
            page.goto(hamlet.link())
            expect(page.locator("#time-note")).to_contain_text("Settled data is not to be had just now")
            expect(page.locator("#now")).to_contain_text("19 of 20")
            expect(row(page, "Bakery")).to_contain_text("live")
            page.unroute("**/graphql")
            page.get_by_role("button", name="Month").click()
            expect(page.locator("#time-note")).to_be_hidden()
            expect(page.locator("#totals")).to_contain_text("3,020 kWh")

    def test_without_the_library_there_are_tables(self, browser: Browser, hamlet: Hamlet) -> None:
        with watched(browser, allowed=("uplot", "404", "ERR_FAILED"), **WIDE) as page:
            page.route("**/uplot.js", lambda route: route.abort())
            page.goto(hamlet.link())
            expect(page.locator("#power .readout")).to_have_text(
                "Charts are not built on this server; the table has all figures."
            )
            expect(page.locator("#power table")).to_be_visible()


FOCUSED = """() => {
  const one = document.activeElement;
  const label = document.getElementById(one.getAttribute("aria-labelledby"))?.textContent;
  return one.getAttribute("aria-label") || label || one.textContent;
}"""

CONTRAST = """() => {
  // A canvas reads any colour as its bytes, and blends what lets through.
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const blended = (colours) => {
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest(":disabled, script, noscript")) continue;
    const under = [];
    for (let one = element; one; one = one.parentElement) under.unshift(getComputedStyle(one).backgroundColor);
    const ground = luminance(blended(["#fff", ...under]));
    const text = luminance(blended(["#fff", ...under, getComputedStyle(element).color]));
    const ratio = (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
    if (ratio < 4.5) low.push(`${walker.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""
