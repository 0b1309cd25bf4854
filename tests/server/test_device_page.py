"""The page /device: strict by its markup, and a member pairs and removes a device on it, in a real browser."""

import re
import shutil
from collections.abc import AsyncIterator

import httpx
import pytest
from graphql import OperationDefinitionNode, parse
from playwright.async_api import Browser, Page, async_playwright, expect

from bus.client import Bus
from resolvers.access import Role
from server.pairing import DEVICE
from tests.conftest import absent
from tests.server.pairing import Deployment, Device, ask, prepare
from tests.server.served import serving, until_ready
from tests.watch.test_page import ARGUMENTS

WEB = [DEVICE / name for name in ("index.html", "device.css", "device.js")]


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    markup = (DEVICE / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", markup) == []
    assert set(re.findall(r'(?:src|href)="([^"]*)"', markup)) == {"data:,", "/device/device.css", "/device/device.js"}
    assert "://" not in "".join(path.read_text("utf-8") for path in WEB)


def test_every_field_has_a_label_and_every_id_that_the_script_names_exists() -> None:
    markup, script = (DEVICE / "index.html").read_text("utf-8"), (DEVICE / "device.js").read_text("utf-8")
    ids = re.findall(r'\bid="([^"]+)"', markup)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"<(?:input|select) id=\"([^\"]+)\"", markup)) == set(re.findall(r'for="([^"]+)"', markup))
    assert set(re.findall(r'\bat\("([^"]+)"\)', script)) <= set(ids)


def test_the_script_names_each_operation_of_its_document() -> None:
    document = parse((DEVICE / "device.graphql").read_text("utf-8"))
    names = {
        node.name.value for node in document.definitions if isinstance(node, OperationDefinitionNode) and node.name
    }
    assert names == set(re.findall(r'\bask\("(\w+)"', (DEVICE / "device.js").read_text("utf-8")))


def test_the_whole_page_is_under_30_kb() -> None:
    assert sum(path.stat().st_size for path in DEVICE.iterdir()) < 30_000


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        absent("chromium is not there")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page on which nothing may fail that the test does not ask for."""
    failures: list[str] = []
    page = await browser.new_page()
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", lambda line: failures.append(line.text) if "Content Security Policy" in line.text else None)
    yield page
    await page.close()
    assert failures == []


class Stand:
    """A server that takes trusted documents only, and somebody who signs in there."""

    def __init__(self, url: str, deployment: Deployment, http: httpx.AsyncClient) -> None:
        self.url = url
        self.deployment = deployment
        self.http = http

    def link(self, subject: str = "ada", role: Role = "member", code: str = "") -> str:
        query = f"?code={code}" if code else ""
        return f"{self.url}/device{query}#token={self.deployment.token(subject, role)}"

    async def device(self, client: str = "watch") -> tuple[Device, str]:
        device = Device(self.http, client)
        return device, (await device.begin())["user_code"]


@pytest.fixture
async def stand(bus: Bus) -> AsyncIterator[Stand]:
    await prepare(bus)
    deployment = Deployment(bus, trusted_only=True)
    async with deployment.serving() as url, httpx.AsyncClient(base_url=url) as http:
        yield Stand(url, deployment, http)


pytestmark = pytest.mark.slow


async def test_a_member_types_the_code_looks_and_approves(page: Page, stand: Stand) -> None:
    device, code = await stand.device("Ada's <b>watch</b>")
    await page.goto(stand.link())
    await expect(page).to_have_title("Pair a device · Commonwatt")
    assert page.url == f"{stand.url}/device"  # the token is gone from the address
    field = page.get_by_label("Code that the device shows")
    await expect(field).to_be_focused()
    await page.keyboard.type(code.replace("-", "").lower())
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Is this your device?")
    await expect(page.locator("#shown")).to_have_text(code)
    await expect(page.locator("#client")).to_have_text("Ada's <b>watch</b>")
    await expect(page.locator("#asked")).to_have_text("just now")
    await expect(page.get_by_label("Home that it may show").get_by_role("option")).to_have_text(["home-1", "home-2"])
    await page.get_by_label("Home that it may show").select_option("home-2")
    await page.get_by_label("Name of the device").fill("My wrist")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Approved")
    await expect(page.locator("#result")).to_contain_text("My wrist may show home-2 now.")
    granted = (await device.poll()).json()
    assert granted["home"] == "demo.home-2"


async def test_a_link_with_the_code_still_asks_before_anything_is_approved(page: Page, stand: Stand) -> None:
    device, code = await stand.device()
    await page.goto(stand.link(code=code))
    await expect(page.locator("#shown")).to_have_text(code)
    assert (await device.poll()).json()["error"] == "authorization_pending"
    await page.get_by_role("button", name="Deny").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Denied")
    assert (await device.poll()).json()["error"] == "access_denied"
    await page.get_by_role("button", name="Pair another device").click()
    await expect(page.get_by_label("Code that the device shows")).to_be_focused()
    await expect(page.get_by_label("Code that the device shows")).to_have_value("")


async def test_a_code_that_somebody_else_answered_meanwhile_leads_back_to_the_field(page: Page, stand: Stand) -> None:
    _, code = await stand.device()
    await page.goto(stand.link(code=code))
    await expect(page.locator("#shown")).to_have_text(code)
    deny = "mutation Deny($code: String!) { denyDevice(code: $code) }"
    await ask(stand.http, stand.deployment.token("bob"), deny, code=code)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("No device waits with this code.")
    await expect(page.get_by_label("Code that the device shows")).to_be_focused()


async def test_everything_can_be_done_by_keyboard(page: Page, stand: Stand) -> None:
    device, code = await stand.device()
    await page.goto(stand.link(code=code))
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    reached = []
    for _ in range(4):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached == ["home", "name", "Approve", "deny"]
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Approved")
    assert (await device.poll()).status_code == 200


async def test_without_a_token_one_is_asked_for_and_kept_in_the_tab(page: Page, stand: Stand) -> None:
    _, code = await stand.device()
    await page.goto(f"{stand.url}/device?code={code}")
    field = page.get_by_label("Your token")
    await expect(field).to_be_focused()
    await field.fill("nonsense")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("This token is not accepted")
    await field.fill(f" {stand.deployment.token()} ")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#shown")).to_have_text(code)
    await page.reload()
    await expect(page.locator("#shown")).to_have_text(code)
    await page.get_by_role("button", name="Sign out").click()
    await expect(field).to_be_focused()
    await page.reload()
    await expect(field).to_be_focused()


async def test_a_wrong_code_is_said_and_another_can_be_typed(page: Page, stand: Stand) -> None:
    _, code = await stand.device()
    await page.goto(stand.link(code="ZZZZ-ZZZZ"))
    await expect(page.get_by_role("alert")).to_contain_text("No device waits with this code.")
    field = page.get_by_label("Code that the device shows")
    await expect(field).to_have_value("ZZZZ-ZZZZ")
    await field.fill(code)
    await page.get_by_role("button", name="Continue").click()
    await expect(page.locator("#shown")).to_have_text(code)
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_after_ten_wrong_codes_the_page_says_when_to_come_back(page: Page, stand: Stand) -> None:
    await page.goto(stand.link())
    await page.get_by_label("Code that the device shows").fill("ZZZZ-ZZZZ")
    for _ in range(10):
        await page.get_by_role("button", name="Continue").click()
        await expect(page.get_by_role("alert")).to_contain_text("No device waits")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("alert")).to_have_text("10 wrong codes an hour are allowed; try again in 6 min.")


async def test_a_device_is_removed_by_a_second_press(page: Page, stand: Stand) -> None:
    device, code = await stand.device("watch")
    await page.goto(stand.link(code=code))
    await page.get_by_role("button", name="Approve").click()
    paired = page.get_by_role("region", name="Paired devices")
    await expect(paired.get_by_role("listitem")).to_contain_text("has not come for its token yet")
    token = (await device.poll()).json()["access_token"]
    await page.reload()
    await expect(paired.get_by_role("listitem")).to_contain_text("since ")
    await paired.get_by_role("button", name="Remove watch").click()
    await page.keyboard.press("Tab")  # who goes elsewhere has not pressed
    await expect(paired.get_by_role("button", name="Remove watch", exact=True)).to_have_text("Remove")
    await paired.get_by_role("button", name="Remove watch").click()
    await paired.get_by_role("button", name="Remove watch for good?").click()
    await expect(paired).to_contain_text("None yet.")
    await expect(paired.get_by_role("listitem")).to_have_count(0)
    await page.goto("about:blank")
    await page.goto(f"{stand.url}/device#token={token}")
    await expect(page.get_by_role("alert")).to_contain_text("This token is not accepted", timeout=2000)


async def test_the_token_of_a_device_pairs_nothing(page: Page, stand: Stand) -> None:
    device, code = await stand.device()
    await page.goto(stand.link(code=code))
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Approved")
    token = (await device.poll()).json()["access_token"]
    await page.goto("about:blank")
    await page.goto(f"{stand.url}/device#token={token}")
    await expect(page.get_by_role("alert")).to_have_text(
        "A device cannot pair, list or remove devices; sign in as a member."
    )


async def test_who_has_no_home_is_told_so(page: Page, stand: Stand) -> None:
    await page.goto(stand.link("eve"))
    await expect(page.get_by_role("alert")).to_contain_text("You see no home here")
    await expect(page.get_by_label("Code that the device shows")).to_be_hidden()


async def test_where_nobody_signs_in_the_page_says_that_no_token_is_needed(page: Page, bus: Bus) -> None:
    await prepare(bus)
    async with serving(bus) as url:
        await until_ready(url)
        await page.goto(f"{url}/device")
        await expect(page.get_by_text("This server runs without sign-in")).to_be_visible()
        await expect(page.get_by_role("alert")).to_be_hidden()


async def test_the_page_has_a_strict_policy_and_fits_a_phone(page: Page, stand: Stand) -> None:
    await page.set_viewport_size({"width": 320, "height": 640})
    _, code = await stand.device("x" * 64)
    response = await page.goto(stand.link(code=code))
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    await expect(page.locator("#client")).to_have_text("x" * 64)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sizes = await page.locator("button:visible").evaluate_all("all => all.map(one => one.offsetHeight)")
    assert min(sizes) >= 44
