"""Each trouble of the web watch has its face, and none ends it: a real server that is killed, stops, or refuses."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from tests.watch.web_browser import WEB, chromium, files, watched
from tests.watch.web_site import HOME, Site, a_day, deployed

pytestmark = pytest.mark.slow

FAILING = (
    "WebSocket connection",
    "Failed to load resource",
    "net::ERR",
    "resulted in a network error response",  # the service worker's words for the same
    "when fetching the script",
)  # what a browser says of a server that is away
ATTEMPTS_MS = 45_000


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
    with watched(browser, allowed=FAILING) as page:
        yield page


def live(page: Page) -> None:
    expect(page.locator("#face")).to_have_attribute("data-state", "live", timeout=ATTEMPTS_MS)


def old(page: Page) -> None:
    """Expect what is not current to look so: no colour, no shape of a light, and its age."""
    face = page.locator("#face")
    expect(face).to_have_attribute("data-state", "old")
    expect(face).to_have_attribute("data-light", "UNKNOWN")
    expect(page.locator(".word")).to_have_text(re.compile(r"^\d+ (s|min|h|days) old$"))


def told(page: Page, text: str) -> None:
    """Expect the whole of it to be said."""
    expect(page.locator("#face")).to_have_attribute("aria-label", re.compile(text))


def shown(page: Page) -> str:
    return " ".join(page.locator("#face text").all_text_contents())


# --- the server is away ---


def test_a_killed_server_leaves_the_last_figures_old_and_is_found_again(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    site.kill()
    old(page)
    told(
        page, r"server gone for \d+ s \(no connection\), trying again; green, use it now; surplus \+1.00 kW to the grid"
    )
    assert "+1.00" in shown(page)
    expect(page.locator("#face")).to_contain_text("server gone for")
    expect(page.locator("#face")).to_contain_text("trying again")
    expect(page.locator("#spoken")).to_contain_text("server gone for")
    site.start()
    live(page)
    site.show("RED")
    expect(page.locator("#face")).to_have_attribute("data-light", "RED")
    site.show("GREEN")


def test_a_server_that_stands_still_is_given_up_and_one_that_connects_slowly_is_waited_for(
    page: Page, site: Site
) -> None:
    page.clock.install()
    page.goto(site.link())
    live(page)
    site.pause()
    try:
        page.clock.fast_forward(81_000)  # the silence; then the ping that is not answered
        page.clock.fast_forward(10_500)
        old(page)
        told(page, r"server gone for \d+ s \(no answer in time\)")
    finally:
        site.resume()
    page.clock.fast_forward(30_000)
    live(page)


def test_without_a_network_the_watch_says_so_and_goes_on_by_itself(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    page.context.set_offline(True)
    old(page)
    told(page, "no network for .*: it goes on by itself")
    expect(page.locator("#face")).to_contain_text("no network for")
    page.context.set_offline(False)
    live(page)


def test_a_reload_without_a_server_shows_the_last_state_with_its_age(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    site.kill()
    try:
        page.reload()
        old(page)
        told(page, r"server gone for .*surplus \+1.00 kW to the grid.* old$")
        assert "+1.00" in shown(page)
        page.keyboard.press("ArrowRight")
        expect(page.locator("#face")).to_have_attribute(
            "data-state", "none"
        )  # today was never heard: no figure is made up
    finally:
        site.start()
    page.keyboard.press("ArrowLeft")
    live(page)


def test_a_state_from_yesterday_is_never_shown_as_fresh(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    page.evaluate(
        """() => {
          const last = JSON.parse(localStorage["commonwatt.last"]);
          last.kept.glance.heard -= 26 * 3600 * 1000;
          dispatchEvent(new PageTransitionEvent("pagehide"));
          localStorage["commonwatt.last"] = JSON.stringify(last);
          Storage.prototype.setItem = () => { throw new Error("full"); };
        }"""
    )
    with Blocked(page):
        page.reload()
        old(page)
        expect(page.locator(".word")).to_have_text("26 h old")
    live(page)


# --- the server refuses ---


def test_a_wrong_token_is_refused_and_the_watch_offers_to_be_paired(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/watch/#home={HOME}&token=wrong")
    told(page, r"refused for .* \(closed with 4403: Forbidden\): check the token, or pair this watch")
    expect(page.locator("#face")).to_contain_text("refused")
    page.get_by_role("button", name="Pair this watch").click()
    expect(page.locator(".code")).to_have_text(re.compile("^[A-Z0-9]{4}-[A-Z0-9]{4}$"))
    page.get_by_role("button", name="Leave off").click()
    told(page, "refused for")


def test_a_token_that_ends_is_refused_and_a_new_link_goes_on(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/watch/#home={HOME}&token={site.token(ttl_s=2)}")
    live(page)
    told(page, r"refused for .*4403")
    old(page)
    page.goto(site.link())
    live(page)


def test_a_token_that_is_refused_takes_no_screen_of_the_last_figures(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    page.keyboard.press("ArrowRight")
    live(page)
    page.goto(f"{site.url}/watch/#home={HOME}&token=wrong")
    told(page, "refused for")
    page.keyboard.press("ArrowRight")
    old(page)
    expect(page.locator(".number")).to_have_text("0.84")
    said, button = page.locator("#face text").last.bounding_box(), page.get_by_role("button").bounding_box()
    assert said is not None
    assert button is not None
    assert said["y"] + 0.78 * said["height"] <= button["y"]  # below the line that it stands on is room for a tail


def test_a_home_that_is_not_known_is_named(page: Page, site: Site) -> None:
    page.goto(site.link(home="demo.home-99"))
    told(page, r"demo.home-99 is not known here \(.*\): check the name and the token")
    expect(page.locator("#face")).to_contain_text("not known")
    expect(page.locator("#face")).to_contain_text("demo.home-99")
    page.goto(site.link())
    live(page)


def test_a_home_without_readings_is_waited_for(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/watch/#home=demo.home-2&token={site.token('home:home-2')}")
    told(page, "connected, waiting for data for ")
    expect(page.locator("#face")).to_contain_text("waiting")


# --- what comes is odd ---


class Blocked:
    """No connection reaches the server while this lasts."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def __enter__(self) -> None:
        self._page.route("**/graphql*", lambda route: route.abort())
        self._page.route_web_socket("**/graphql", lambda socket: socket.close(code=1001))

    def __exit__(self, *_: object) -> None:
        self._page.unroute_all()
        self._page.route_web_socket("**/graphql", lambda socket: socket.connect_to_server())


def answering(page: Page, answer: Callable[[WebSocketRoute, str], None]) -> list[dict[str, str]]:
    """Have every WebSocket answered by `answer`, which gets the operation's id; return the payloads as they come."""
    payloads: list[dict[str, str]] = []

    def serve(socket: WebSocketRoute) -> None:
        def hear(text: str | bytes) -> None:
            said = json.loads(text)
            if said["type"] == "connection_init":
                socket.send('{"type":"connection_ack"}')
            if said["type"] == "subscribe":
                payloads.append(said["payload"])
                answer(socket, said["id"])

        socket.on_message(hear)

    page.route_web_socket("**/graphql", serve)
    return payloads


def result(id: str, **payload: object) -> str:
    return json.dumps({"id": id, "type": "next", "payload": payload})


def _error(id: str, error: Mapping[str, object]) -> str:
    return json.dumps({"id": id, "type": "error", "payload": [error]})


def a_glance(**changes: object) -> dict[str, object]:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    community = {"surplusPower": 1000, "trend": "RISING"}
    fields = {"light": "GREEN", "community": community, "sharedPower": 300, "quality": "MEASURED", "measuredAt": at}
    return {"home": fields | changes}


@pytest.mark.parametrize(
    "nonsense",
    ["no JSON", "[]", "3", '{"type": "hello"}', '{"type": "next", "id": "1", "payload": {}}', "x" * 70_000],
    ids=["text", "a list", "a number", "another type", "no data", "too long"],
)
def test_garbage_from_the_server_is_said_to_be_so(page: Page, site: Site, nonsense: str) -> None:
    answering(page, lambda socket, _: socket.send(nonsense))
    page.goto(site.link())
    told(page, r"not understood for .*: is this a Commonwatt server\?")
    expect(page.locator("#face")).to_contain_text("is this a Commonwatt")
    page.route_web_socket("**/graphql", lambda socket: socket.connect_to_server())
    live(page)


def test_data_of_another_form_leave_the_last_figures_old(page: Page, site: Site) -> None:
    kept: list[tuple[WebSocketRoute, str]] = []
    answering(page, lambda socket, id: kept.append((socket, id)))
    page.goto(site.link())
    page.wait_for_timeout(0)
    expect(page.locator("#face")).to_be_visible()
    _until(page, lambda: bool(kept))
    socket, id = kept[0]
    socket.send(result(id, data=a_glance()))
    live(page)
    socket.send(result(id, data=a_glance(sharedPower="much")))
    old(page)
    told(page, r"not understood for \d+ s \(sharedPower is no number\)")
    assert "+1.00" in shown(page)
    socket.send(result(id, data=a_glance(sharedPower=450)))
    live(page)


def test_a_result_with_nulls_and_errors_is_shown_and_said_to_be_incomplete(page: Page, site: Site) -> None:
    errors = [{"message": "no share today", "path": ["home", "sharedPower"]}]
    answering(page, lambda socket, id: socket.send(result(id, data=a_glance(sharedPower=None), errors=errors)))
    page.goto(site.link())
    live(page)
    told(page, "incomplete: no share today.*my share – from others")
    expect(page.locator("#face")).to_contain_text("– mine")
    expect(page.locator("#face")).to_contain_text("no share today")


def best(*hours: tuple[int, int, float], reason: str | None = None) -> dict[str, object]:
    """Return a forecast: hours of a day by UTC, Wh, sure."""
    shown = [
        {
            "start": f"2030-03-17T{at:02}:00:00Z",
            "end": f"2030-03-17T{at + 1:02}:00:00Z",
            "surplus": surplus,
            "sure": sure,
        }
        for at, surplus, sure in hours
    ]
    return {"home": {"community": {"bestHours": {"hours": shown, "reason": reason}}}}


def test_the_best_hours_are_those_of_the_clock_on_the_wrist(browser: Browser, site: Site) -> None:
    site.show()
    forecast = best((8, 900, 0.6), (9, -100, 0.1), (11, 2000, 0.9), (12, 2500, 0.8))
    with watched(browser, allowed=FAILING, timezone_id="Asia/Kolkata") as page:

        def answer(socket: WebSocketRoute, id: str) -> None:
            hours = payloads[-1]["operationName"] == "HomeHours"
            socket.send(result(id, data=forecast if hours else a_glance()))
            if hours:
                socket.send(json.dumps({"id": id, "type": "complete"}))

        payloads = answering(page, answer)
        page.goto(site.link())
        live(page)
        page.keyboard.press("ArrowLeft")
        rows = ["best hours", "13:30–14:30 h", "+900 Wh perhaps", "16:30–18:30 h", "+4.5 kWh likely", "0 s old"]
        expect(page.locator("#face text")).to_have_text(rows)
        told(page, r"; 13:30–14:30 h \+900 Wh perhaps; 16:30–18:30 h \+4.5 kWh likely; 0 s old$")
        expect(page.locator("#spoken")).to_have_text(re.compile(r"16:30–18:30 h \+4.5 kWh likely"))
        forecast = best(reason="14 days of settled data are needed")
        page.keyboard.press("ArrowRight")
        live(page)
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#face text").nth(2)).to_have_text("14 days of settled data")
        told(page, "; best hours – 14 days of settled data are needed; 0 s old$")
        forecast = {"home": {"community": {"bestHours": {"hours": "soon", "reason": None}}}}
        page.keyboard.press("ArrowRight")
        live(page)
        page.keyboard.press("ArrowLeft")
        told(page, r"not understood for .* \(hours is no list\).*14 days of settled data")


def test_a_server_that_fails_is_tried_again(page: Page, site: Site) -> None:
    error = {"message": "internal error; quote the reference 7f", "extensions": {"code": "INTERNAL"}}
    asked: list[str] = []

    def answer(socket: WebSocketRoute, id: str) -> None:
        asked.append(id)
        last = len(asked) == 3
        socket.send(
            result(id, data=a_glance()) if last else json.dumps({"id": id, "type": "error", "payload": [error]})
        )

    answering(page, answer)
    page.clock.install()
    page.goto(site.link())
    told(page, r"the server failed .* ago \(internal error; quote the reference 7f\), trying again")
    page.clock.fast_forward(1_000)
    page.clock.fast_forward(1_000)
    live(page)


def test_a_server_that_lacks_the_document_gets_its_text_from_then_on(page: Page, site: Site) -> None:
    unknown = {"message": "no document has the id", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}
    asked: list[dict[str, str]] = []

    def answer(socket: WebSocketRoute, id: str) -> None:
        asked.append(subscribed[-1])
        known = "query" in subscribed[-1]
        socket.send(result(id, data=a_glance()) if known else _error(id, unknown))

    subscribed = answering(page, answer)
    page.goto(site.link())
    live(page)
    page.keyboard.press("ArrowRight")
    _until(page, lambda: len(asked) == 3)
    assert ["documentId" in payload for payload in asked] == [True, False, False]
    assert asked[1]["query"].startswith("subscription HomeGlance(")


def test_markup_and_control_characters_from_a_server_are_text(page: Page, site: Site) -> None:
    message = "<img src=x onerror=alert(1)>\x1b[31m\nsecond line"
    error = {"message": message, "extensions": {"code": "NOT_FOUND"}}
    answering(page, lambda socket, id: socket.send(_error(id, error)))
    page.goto(site.link())
    told(page, re.escape("(<img src=x onerror=alert(1)> [31m second line)"))
    assert page.locator("img").count() == 0


def test_figures_that_are_stale_are_old_though_the_link_is_live(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    site.show("GREEN", home_quality="STALE", age_s=240)
    old(page)
    expect(page.locator(".word")).to_have_text("4 min old")
    expect(page.locator("#face text").last).to_have_text("was green")
    site.show("GREEN")
    live(page)


@pytest.mark.parametrize(("hours", "what"), [(1, "59 min ahead|1 h ahead"), (-1, "59 min behind|1 h behind")])
def test_a_clock_off_by_an_hour_is_said_and_ages_are_right_all_the_same(
    page: Page, site: Site, hours: int, what: str
) -> None:
    page.clock.install(time=time.time() + 3600 * hours)
    page.goto(site.link())
    live(page)
    told(page, f"this clock is ({what}): set it")
    expect(page.locator("#face")).to_contain_text("this clock is")
    site.kill()
    old(page)
    expect(page.locator(".word")).to_have_text(re.compile(r"^\d+ s old$"))
    site.start()
    live(page)


def test_an_address_without_a_server_of_ours_is_said_to_be_so(browser: Browser) -> None:
    with files(WEB.parent) as url, watched(browser, allowed=FAILING) as page:
        page.goto(f"{url}/web/#home={HOME}")
        told(page, r"not understood for .* \(HTTP status 404\): is this a Commonwatt server\?")


# --- pairing ---


def test_a_watch_without_a_token_is_paired_keeps_its_token_and_lives_until_it_is_removed(
    page: Page, site: Site
) -> None:
    page.goto(f"{site.url}/watch/")
    code = page.locator(".code")
    expect(code).to_have_text(re.compile("^[A-Z0-9]{4}-[A-Z0-9]{4}$"))
    expect(page.locator("#face")).to_contain_text(site.url.removeprefix("http://") + "/device")
    told(page, f"open {site.url}/device and enter {code.text_content()}, within 9 min")
    member = site.token()
    site.ask(member, "Approve", code=code.text_content(), home=HOME, name="my watch")
    live(page)
    expect(page).to_have_title(f"{HOME} · Commonwatt")
    page.goto("about:blank")
    page.goto(f"{site.url}/watch/")
    live(page)
    (device,) = site.ask(member, "Devices", home=HOME)["devices"]
    assert device["name"] == "my watch"
    site.ask(member, "Remove", id=device["id"])
    expect(code).to_have_text(re.compile("^[A-Z0-9]{4}-[A-Z0-9]{4}$"), timeout=ATTEMPTS_MS)
    assert page.evaluate("localStorage['commonwatt.pairing']") is None


CODE = {
    "device_code": "7f",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://h.example/device",
    "expires_in": 600,
}


@pytest.mark.parametrize(
    "odd",
    [{"verification_uri": None}, {"user_code": ["A"]}, {"expires_in": "soon"}],
    ids=["no address", "a list for a code", "an end that is no number"],
)
def test_a_code_that_is_no_code_is_not_shown_and_another_is_asked_for(
    page: Page, site: Site, odd: dict[str, object]
) -> None:
    answers = [CODE | odd, CODE]
    page.route("**/oauth/device_authorization", lambda route: route.fulfill(json=answers.pop(0)))
    page.clock.install()
    page.goto(f"{site.url}/watch/")
    expect(page.locator("#face")).to_contain_text("asking for a")
    _until(page, lambda: len(answers) == 1)
    page.clock.fast_forward(6_000)
    expect(page.locator(".code")).to_have_text("WDJB-MJHT")


def test_an_interval_that_is_none_does_not_hurry_the_watch(page: Page, site: Site) -> None:
    polls: list[str] = []

    def answer(route: Route) -> None:
        polls.append(route.request.url)
        route.fulfill(status=400, json={"error": "authorization_pending"})

    page.route("**/oauth/device_authorization", lambda route: route.fulfill(json=CODE | {"interval": "soon"}))
    page.route("**/oauth/token", answer)
    page.clock.install()
    page.goto(f"{site.url}/watch/")
    expect(page.locator(".code")).to_have_text("WDJB-MJHT")
    page.clock.fast_forward(4_000)
    assert polls == []
    page.clock.fast_forward(1_500)
    _until(page, lambda: len(polls) == 1)


def _until(page: Page, check: Callable[[], bool]) -> None:
    """Let the page's events come in until `check` holds."""
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline
        page.evaluate("new Promise(requestAnimationFrame)")
