"""The web watch as an app: small over the wire, strict, installable, there without a server, and for everybody."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from server.headers import POLICY_WATCH
from tests.watch.web_browser import WEB, chromium, files, watched
from tests.watch.web_site import Site, a_day, deployed

pytestmark = pytest.mark.slow

MOST_BYTES = 30_000
READY = "navigator.serviceWorker.ready.then(() => true)"
KEPT = """
async () => {
  const names = await caches.keys();
  const cache = await caches.open(names[0]);
  return [names.length, (await cache.keys()).map((request) => new URL(request.url).pathname).sort()];
}
"""


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


def live(page: Page) -> None:
    expect(page.locator("#face")).to_have_attribute("data-state", "live")


def test_all_that_a_first_visit_takes_is_under_30_kb_over_the_wire(page: Page, site: Site) -> None:
    with site.counted() as wire:
        page.goto(site.link().replace(site.url, wire.url))
        live(page)
        page.evaluate(READY)
        expect(page.locator("#face")).to_have_attribute("data-state", "live")
        kept = page.evaluate(KEPT)
        assert kept[0] == 1
        icon = httpx.get(f"{wire.url}/watch/icon-192.png", headers={"Connection": "close"})
        assert icon.status_code == 200
        assert 10_000 < wire.bytes < MOST_BYTES


def test_a_second_visit_takes_next_to_nothing(page: Page, site: Site) -> None:
    with site.counted() as wire:
        page.goto(site.link().replace(site.url, wire.url))
        live(page)
        page.evaluate(READY)
        before = wire.bytes
        page.reload()
        live(page)
        assert wire.bytes - before < 3_000


def test_files_are_served_compressed_and_under_a_strict_policy(site: Site) -> None:
    for name in ("", "watch.js", "watch.css"):
        response = httpx.get(f"{site.url}/watch/{name}", headers={"Accept-Encoding": "gzip"})
        assert response.status_code == 200
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["content-security-policy"] == POLICY_WATCH
    assert "unsafe" not in POLICY_WATCH
    assert POLICY_WATCH.startswith("default-src 'none'")


def test_the_worker_keeps_the_shell_and_nothing_else(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    page.evaluate(READY)
    page.keyboard.press("ArrowRight")
    page.reload()
    live(page)
    names = ["", "icon.svg", "manifest.webmanifest", "watch.css", "watch.js"]
    assert page.evaluate(KEPT) == [1, [f"/watch/{name}" for name in names]]


def test_a_newer_shell_takes_over_by_itself(browser: Browser, tmp_path: Path) -> None:
    shutil.copytree(WEB, tmp_path / "watch")
    with files(tmp_path) as url, watched(browser, allowed=("WebSocket", "Failed to load")) as page:
        page.goto(f"{url}/watch/#home=demo.home-1")
        page.evaluate(READY)
        page.reload()
        expect(page).to_have_title("demo.home-1 · Commonwatt")
        for name, old, new in (("index.html", "</head>", '<meta name="newer"></head>'), ("sw.js", "watch-", "watch-2")):
            path = tmp_path / "watch" / name
            path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
        page.reload()
        expect(page.locator("meta[name=newer]")).to_have_count(1)


def test_the_browser_finds_nothing_that_keeps_it_from_being_installed(page: Page, site: Site) -> None:
    page.goto(site.link())
    live(page)
    page.evaluate(READY)
    session = page.context.new_cdp_session(page)
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert '"Commonwatt"' in manifest["data"]
    errors = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [error["errorId"] for error in errors if error["errorId"] != "in-incognito"] == []


def test_the_page_has_a_language_a_name_for_everything_and_one_polite_region(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/watch/#home=demo.home-1&token=wrong")
    button = page.get_by_role("button", name="Pair this watch")
    expect(button).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"
    expect(page.get_by_role("img")).to_have_accessible_name(re.compile("^demo.home-1; refused"))
    expect(page.get_by_role("status")).to_have_count(1)
    expect(page.get_by_role("status")).to_have_attribute("aria-live", "polite")
    expect(page.get_by_role("main")).to_have_accessible_name(re.compile("arrow keys"))
    for control in page.locator("button, a, [tabindex]").all():
        expect(control).to_have_accessible_name(re.compile("."))


def test_everything_can_be_done_by_keyboard_and_the_focus_is_seen(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/watch/#home=demo.home-1&token=wrong")
    expect(page.get_by_role("button")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("main")).to_be_focused()
    outlined = "(main) => [getComputedStyle(main).outlineWidth, getComputedStyle(main).outlineOffset]"
    width, offset = page.get_by_role("main").evaluate(outlined)
    assert float(offset.removesuffix("px")) <= -float(width.removesuffix("px"))  # the face fills the display
    page.keyboard.press("Tab")
    expect(page.get_by_role("button")).to_be_focused()
    expect(page.get_by_role("button")).to_have_css("outline-style", "solid")
    page.keyboard.press("Enter")
    expect(page.locator(".code")).to_be_visible()


@pytest.mark.parametrize("size", [192, 396, 454])
@pytest.mark.parametrize("shape", ["round", "square"])
def test_the_face_fills_a_watch(browser: Browser, site: Site, size: int, shape: str) -> None:
    site.show()
    with watched(browser, viewport={"width": size, "height": size}) as page:
        page.goto(site.link(f"&shape={shape}"))
        live(page)
        box = page.locator("main").bounding_box()
        assert box == {"x": 0, "y": 0, "width": size, "height": size}
        radius = "50%" if shape == "round" else "22%"
        expect(page.locator("main")).to_have_css("border-radius", radius)
        scrolls = "() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert page.evaluate(scrolls) == [size, size]
