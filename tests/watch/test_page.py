"""The watch page: strict by its markup, alive in a real browser."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.watch.stand import Light, Stand, a_home, unknown

WEB = Path(__file__).parents[2] / "watch" / "web"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not there")
        pytest.skip("chromium is not there")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which nothing may fail but a connection."""
    failures: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", lambda line: failures.append(line.text) if "Content Security Policy" in line.text else None)
    yield page
    page.close()
    assert failures == []


def test_the_page_has_a_strict_policy_and_nothing_inline() -> None:
    markup = (WEB / "index.html").read_text("utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', markup)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", markup) == []


def test_the_page_loads_its_own_files_only_and_by_relative_names() -> None:
    markup = (WEB / "index.html").read_text("utf-8")
    names = set(re.findall(r'(?:src|href)="([^"]*)"', markup))
    assert names - {"data:,"} == {"watch.css", "watch.js"}
    assert all((WEB / name).is_file() for name in ("watch.css", "watch.js"))
    assert "://" not in markup + (WEB / "watch.js").read_text("utf-8") + (WEB / "watch.css").read_text("utf-8")


def test_the_whole_page_is_under_30_kb() -> None:
    assert sum(path.stat().st_size for path in WEB.iterdir()) < 30_000


@pytest.mark.slow
def test_the_page_follows_each_change_and_speaks_it(page: Page, stand: Stand) -> None:
    page.goto(f"{stand.url}/watch/#home=demo.home-01")
    expect(page.locator("#age")).to_have_text("live")
    expect(page.locator("#word")).to_have_text("use it now")
    expect(page.locator("#lamp .GREEN")).to_be_visible()
    expect(page.locator("#spoken")).to_contain_text("green, use it now; surplus +1.24 kW to the grid; my share 320 W")
    stand.set_home(a_home(light=Light.RED, shared_power=1500))
    expect(page.locator("#lamp .RED")).to_be_visible()
    expect(page.locator("#lamp .GREEN")).to_be_hidden()
    expect(page.locator("#rows")).to_contain_text("1.50 kW")
    expect(page.locator("#spoken")).to_contain_text("red, better wait")


@pytest.mark.slow
def test_the_server_may_go_and_come_back_under_the_page(page: Page, own_stand: Stand) -> None:
    page.goto(f"{own_stand.url}/watch/#home=demo.home-01")
    expect(page.locator("#age")).to_have_text("live")
    own_stand.stop()
    expect(page.locator("#notice")).to_contain_text("server gone for")
    expect(page.locator("#age")).to_contain_text("old")
    expect(page.locator("#watch")).to_have_attribute("data-fresh", "no")
    own_stand.start()
    expect(page.locator("#age")).to_have_text("live", timeout=40_000)
    expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.slow
def test_the_page_has_a_face_for_a_home_that_is_unknown(page: Page, stand: Stand) -> None:
    stand.home = unknown()
    page.goto(f"{stand.url}/watch/#home=demo.home-01")
    expect(page.locator("#notice")).to_contain_text("demo.home-01 is not known here (No such home or community)")


@pytest.mark.slow
def test_the_page_sends_the_token_of_the_fragment_and_has_a_face_for_a_refusal(page: Page, stand: Stand) -> None:
    stand.token = "open-sesame"
    page.goto(f"{stand.url}/watch/#home=demo.home-01&token=wrong")
    expect(page.locator("#notice")).to_contain_text("check the token")
    page.goto(f"{stand.url}/watch/#home=demo.home-01&token=open-sesame")
    expect(page.locator("#age")).to_have_text("live")
    assert stand.payloads[-1] == {"authorization": "Bearer open-sesame"}


@pytest.mark.slow
def test_without_a_home_the_page_lets_one_pick(page: Page, stand: Stand) -> None:
    page.goto(f"{stand.url}/watch/#token=t")
    page.get_by_role("link", name="The first house (demo.home-01)").click()
    expect(page.locator("#age")).to_have_text("live")
    assert page.url.endswith("#home=demo.home-01&token=t")
    page.go_back()
    page.get_by_role("link", name="Demo (demo)", exact=True).click()
    expect(page.locator("#rows")).to_contain_text("19 of 20")
