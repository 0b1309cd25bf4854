"""The web watch against the real server, in a real browser: each screen, each mode, each way out."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, WebSocket, expect

from tests.watch.web_browser import chromium, watched
from tests.watch.web_site import HOME, Site, a_day, deployed

pytestmark = pytest.mark.slow

TEXTS = "#face text"
NO_SOCKETS = "delete window.WebSocket"
HIDE = """
(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""
SETTLE = "async () => { await (await fetch('/health')).text(); }"
"""What came before this answer has been taken in by the page, and its timers are set, once this one has come."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with deployed(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    site.show(today=a_day())
    with watched(browser) as page:
        yield page


class Sockets:
    """The WebSockets that a page opens, and what it says on them."""

    def __init__(self, page: Page) -> None:
        self.opened = 0
        self.said: list[dict[str, Any]] = []
        page.on("websocket", self._open)

    def _open(self, socket: WebSocket) -> None:
        self.opened += 1
        socket.on("framesent", lambda text: self.said.append(json.loads(text)))

    @property
    def asked(self) -> list[tuple[str, Any]]:
        """Each subscription that was asked for: the operation, and how often at the most."""
        payloads = [message["payload"] for message in self.said if message["type"] == "subscribe"]
        return [(payload["operationName"], payload["variables"].get("every")) for payload in payloads]


def live(page: Page, light: str = "GREEN") -> None:
    expect(page.locator("#face")).to_have_attribute("data-state", "live")
    expect(page.locator("#face")).to_have_attribute("data-light", light)


# --- screens ---


def test_the_glance_shows_the_light_the_surplus_my_share_the_trend_and_the_age(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    expect(page.locator(TEXTS)).to_have_text(["use it now", "+1.00", "kW to the grid ↗\ufe0e", "300 W mine", "live"])
    label = f"{HOME}; green, use it now; surplus +1.00 kW to the grid; my share 300 W from others; trend ↗ rising; live"
    expect(page.locator("#face")).to_have_attribute("aria-label", label)


def test_each_light_has_a_colour_a_shape_and_a_word_of_its_own(page: Page, site: Site) -> None:
    page.goto(site.link())
    seen = []
    for light in ("GREEN", "YELLOW", "RED", "UNKNOWN"):
        site.show(light)
        expect(page.locator("#face")).to_have_attribute("data-light", light)
        shape = page.locator(".bezel")
        expect(shape).to_have_css("d", re.compile("path"))
        style = "(path) => [path.getAttribute('d'), getComputedStyle(path).strokeDasharray]"
        seen.append((page.locator(".word").text_content(), tuple(shape.evaluate(style))))
    assert [word for word, _ in seen[:3]] == ["use it now", "as you like", "better wait"]
    assert len({shape for _, shape in seen}) == 4


def test_a_change_is_shown_and_a_light_is_spoken_but_not_each_figure(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    spoken = page.locator("#spoken")
    expect(spoken).to_contain_text("green, use it now; surplus +1.00 kW")
    site.show(surplus_power_w=3200.0)
    expect(page.locator(".number")).to_have_text("+3.00")
    expect(spoken).to_contain_text("surplus +1.00 kW")
    site.show("RED", surplus_power_w=-2600.0, trend="FALLING")
    live(page, "RED")
    expect(spoken).to_contain_text("red, better wait; surplus −2.50 kW from the grid")


def test_arrow_keys_turn_to_today_and_back_on_one_socket(page: Page, site: Site) -> None:
    sockets = Sockets(page)
    page.goto(site.link())
    live(page)
    page.keyboard.press("ArrowRight")
    expect(page.locator(TEXTS)).to_have_text(
        ["use it now", "0.84", "EUR saved today", "4.2 kWh", "drawn", "1.8 kWh", "from others", "live"]
    )
    page.keyboard.press("ArrowUp")
    expect(page.locator(".number")).to_have_text("+1.00")
    assert sockets.asked == [("HomeGlance", "PT1S"), ("HomeToday", "PT1M"), ("HomeGlance", "PT1S")]
    assert [message["type"] for message in sockets.said].count("complete") == 2
    assert sockets.opened == 1


def test_the_best_hours_come_after_today_and_ambient_never_shows_them(page: Page, site: Site) -> None:
    sockets = Sockets(page)
    page.goto(site.link())
    live(page)
    page.keyboard.press("ArrowLeft")
    face = page.locator("#face")
    expect(face).to_have_attribute("aria-label", re.compile("incomplete: .*; best hours –;"))  # nothing is settled
    expect(page.locator("#spoken")).to_have_text(re.compile("; best hours –;"))
    expect(page.locator(TEXTS).first).to_have_text(re.compile("^best hours"))
    page.keyboard.press("a")
    expect(page.locator("html")).to_have_attribute("data-mode", "ambient")
    expect(page.locator(".number")).to_have_text("+2.00")
    page.keyboard.press("a")
    expect(page.locator(TEXTS).first).to_have_text(re.compile("^best hours"))
    page.keyboard.press("ArrowRight")
    live(page)
    asked = [("HomeGlance", "PT1S"), ("HomeHours", None), ("HomeGlance", "PT5M"), ("HomeHours", None)]
    assert sockets.asked == [*asked, ("HomeGlance", "PT1S")]
    assert sockets.opened == 1


def test_the_crown_turns_one_screen_for_each_gesture(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    page.mouse.move(227, 227)
    for _ in range(6):
        page.mouse.wheel(0, 40)
    expect(page.locator(".number")).to_have_text("0.84")


def test_a_swipe_turns_and_a_long_press_shows_the_receipt(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    page.mouse.move(300, 200)
    page.mouse.down()
    page.mouse.move(200, 205, steps=4)
    page.mouse.up()
    expect(page.locator(".number")).to_have_text("0.84")
    page.mouse.down()
    expect(page.locator(TEXTS).first).to_have_text(re.compile("^receipt"))
    page.mouse.up()
    page.keyboard.press("x")
    expect(page.locator(".number")).to_have_text("0.84")


def test_the_receipt_counts_what_the_watch_costs(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    page.keyboard.press("r")
    rows = page.locator(TEXTS)
    expect(rows).to_have_count(7)
    # init, ack, subscribe, next; then the question, its answer and its end. The server has not counted its answer.
    expect(rows.nth(3)).to_have_text("7 messages, 5")
    expect(rows.nth(4)).to_have_text(re.compile("^[12] wake-ups, [12]$"))
    expect(rows.nth(1)).to_have_text(re.compile(r"^(\d+ B|\d\.\d kB) in, (\d+ B|\d\.\d kB)$"))
    expect(page.locator("#face")).to_have_attribute("aria-label", re.compile("messages 7 server 5"))
    site.show("YELLOW")
    expect(rows.nth(3)).to_have_text("8 messages, 5")


def test_a_community_is_watched_by_its_own_documents(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/watch/#community=demo&token={site.token()}")
    live(page)
    expect(page.locator(TEXTS).nth(3)).to_have_text("2.00 kW shared")
    expect(page.locator("#face")).to_have_attribute("aria-label", re.compile("shared 2.00 kW within"))


# --- modes ---


def test_ambient_takes_over_the_socket_and_lights_fewer_pixels(page: Page, site: Site) -> None:
    sockets = Sockets(page)
    page.goto(site.link())
    live(page)
    bright = lit(page)
    page.keyboard.press("a")
    expect(page.locator("html")).to_have_attribute("data-mode", "ambient")
    expect(page.locator("#face")).to_have_attribute("data-state", "recent")
    expect(page.locator(".bezel")).to_have_css("stroke-width", "3px")
    assert lit(page) < bright / 4
    page.mouse.click(227, 227)  # wakes, and does nothing else
    expect(page.locator("html")).to_have_attribute("data-mode", "foreground")
    live(page)
    assert sockets.asked == [("HomeGlance", "PT1S"), ("HomeGlance", "PT5M"), ("HomeGlance", "PT1S")]
    assert sockets.opened == 1


def lit(page: Page) -> float:
    """Return the light that the display gives, in white pixels."""
    page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")
    shot = page.screenshot()
    total: float = page.evaluate(
        """async (bytes) => {
          const image = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
          const canvas = new OffscreenCanvas(image.width, image.height);
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          const { data } = context.getImageData(0, 0, image.width, image.height);
          let sum = 0;
          for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
          return sum / 765;
        }""",
        list(shot),
    )
    return total


def test_a_wrist_that_nobody_touches_goes_ambient_by_itself(browser: Browser, site: Site) -> None:
    site.show()
    with watched(browser, has_touch=True, viewport={"width": 396, "height": 396}) as page:
        page.clock.install()
        page.goto(site.link())
        live(page)
        page.clock.fast_forward(15_000)
        expect(page.locator("html")).to_have_attribute("data-mode", "foreground")
        page.clock.fast_forward(6_000)
        expect(page.locator("html")).to_have_attribute("data-mode", "ambient")
        page.touchscreen.tap(200, 200)
        expect(page.locator("html")).to_have_attribute("data-mode", "foreground")


def test_a_touch_that_wakes_presses_no_button(browser: Browser, site: Site) -> None:
    with watched(browser, has_touch=True) as page:
        page.goto(f"{site.url}/watch/#home={HOME}&token=wrong&ambient")
        button = page.get_by_role("button", name="Pair this watch")
        button.tap()
        expect(page.locator("html")).to_have_attribute("data-mode", "foreground")
        expect(page.locator(TEXTS).first).to_have_text("refused")
        button.tap()
        expect(page.locator(".code")).to_be_visible()


def test_the_fragment_can_ask_for_ambient_and_for_a_square_face(page: Page, site: Site) -> None:
    page.goto(site.link("&ambient&shape=square"))
    expect(page.locator("html")).to_have_attribute("data-mode", "ambient")
    expect(page.locator("html")).to_have_attribute("data-shape", "square")
    expect(page.locator("#face")).to_have_attribute("data-state", "recent")
    assert page.url == f"{site.url}/watch/#home={HOME}&ambient&shape=square"


def test_a_display_that_is_off_asks_at_its_cadence_with_what_it_knows(page: Page, site: Site) -> None:
    gets: list[Request] = []
    page.on("request", lambda request: gets.append(request) if "/graphql?" in request.url else None)
    page.clock.install()
    page.goto(site.link())
    live(page)
    page.evaluate(HIDE, True)
    with page.expect_response(re.compile(r"/graphql\?")) as first:
        page.clock.fast_forward("23:00")
    assert first.value.status == 200
    first.value.finished()
    page.evaluate(SETTLE)
    with page.expect_response(re.compile(r"/graphql\?")) as second:
        page.clock.fast_forward("23:00")
    assert second.value.status == 304
    assert "documentId=" in gets[0].url
    assert "query=" not in gets[0].url
    assert gets[1].headers["if-none-match"] == first.value.headers["etag"]
    assert len(gets) == 2
    page.evaluate(HIDE, False)
    live(page)


def test_where_sockets_are_missing_an_event_stream_is_followed(page: Page, site: Site) -> None:
    page.add_init_script(NO_SOCKETS)
    streams: list[Request] = []
    page.on("request", lambda request: streams.append(request) if request.url.endswith("/graphql") else None)
    page.goto(site.link())
    live(page)
    site.show("YELLOW")
    live(page, "YELLOW")
    site.show("YELLOW", today=a_day(saved="-12"))
    page.keyboard.press("ArrowRight")
    expect(page.locator(TEXTS).nth(2)).to_have_text("EUR lost today")
    assert [request.headers["accept"] for request in streams] == ["text/event-stream"] * 2


def test_a_low_battery_lengthens_the_cadence(page: Page, site: Site) -> None:
    page.add_init_script(
        """navigator.getBattery = async () => Object.assign(new EventTarget(), { level: 0.15, charging: false });"""
    )
    sockets = Sockets(page)
    page.goto(site.link())
    live(page)
    assert sockets.asked[-1] == ("HomeGlance", "PT10S")


def test_a_light_that_turns_green_is_felt(page: Page, site: Site) -> None:
    page.add_init_script("window.felt = []; navigator.vibrate = (pattern) => window.felt.push(pattern);")
    site.show("RED")
    page.goto(site.link())
    live(page, "RED")
    page.mouse.click(227, 227)  # browsers let a page be felt only once it was touched
    site.show("GREEN")
    live(page, "GREEN")
    assert page.evaluate("window.felt.length") == 1


# --- whom it watches ---


def test_the_token_leaves_the_address_and_lasts_as_long_as_the_tab(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    assert page.url == f"{site.url}/watch/#home={HOME}"
    page.reload()
    live(page)
    assert site.token().split(".")[0] not in page.evaluate("JSON.stringify({...localStorage})")


def test_who_sees_several_homes_picks_one(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/watch/#shape=square&token={site.token('operator:', role='operator')}")
    expect(page.get_by_role("link")).to_have_text(["Demo", "home-1", "home-2", "home-3", "home-4", "home-5"])
    page.get_by_role("link", name="home-1").click()
    live(page)
    expect(page.locator("html")).to_have_attribute("data-shape", "square")
    page.go_back()
    expect(page.get_by_role("link")).to_have_count(6)  # for another
    page.goto(f"{site.url}/watch/#community=demo")
    live(page)
    expect(page).to_have_title("demo · Commonwatt")


def test_who_sees_one_home_gets_it_without_asking(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/watch/#ambient&shape=square&token={site.token()}")
    expect(page).to_have_title(f"{HOME} · Commonwatt")
    expect(page.locator("#face")).to_have_attribute("data-state", "recent")
    assert page.url == f"{site.url}/watch/#ambient&shape=square&home={HOME}"
