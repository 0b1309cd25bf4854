"""A browser's own EventSource: by GET and the id of a trusted document, and alerts that go on after the last one."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from bus.client import Bus
from server.documents import document_id
from server.options import ServerOptions
from tests.clients.clients import WAIT_S
from tests.clients.stand import Scene, Stand, arrange
from tests.clients.test_subscriptions import ALERTS, LOAD
from tests.conftest import absent
from tests.resolvers.frames import home_state
from tests.watch.test_page import ARGUMENTS

FOLLOW = """url => {
    const source = new EventSource(url);
    source.addEventListener("next", ({ data, lastEventId }) => saw([JSON.parse(data), lastEventId]));
    source.addEventListener("complete", () => (saw("complete"), source.close()));
}"""

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


class Seat:
    """Whoever looks at a page that follows a subscription."""

    def __init__(self, page: Page, scene: Scene) -> None:
        self._page = page
        self._scene = scene
        self._seen: asyncio.Queue[Any] = asyncio.Queue()

    async def follow(self, document: str, **variables: str) -> None:
        await self._page.expose_function("saw", self._seen.put_nowait)
        await self._page.goto(f"{self._scene.url}/watch/")
        query = urlencode({"documentId": document_id(document), "variables": json.dumps(variables)})
        await self._page.evaluate(FOLLOW, f"/graphql?{query}")

    async def sees(self) -> Any:
        """Return the next event: the result and the id, or that it is complete."""
        async with asyncio.timeout(WAIT_S):
            return await self._seen.get()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        absent("chromium is not there")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(module_bus: Bus, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """A server without sign-in, since an EventSource cannot send a token, with a page for scripts of its own origin."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<!doctype html><title>A page</title>", encoding="utf-8")
    for number, text in enumerate((LOAD, ALERTS)):
        (folder / f"{number}.graphql").write_text(text, encoding="utf-8")
    stand = Stand(module_bus, ServerOptions(watch_directory=folder, document_directories=(folder,)))
    await stand.start()
    yield stand
    await stand.end()
    await stand.cut()


@pytest_asyncio.fixture(loop_scope="module")
async def scene(module_bus: Bus, stand: Stand) -> Scene:
    return await arrange(module_bus, stand.url)


@pytest_asyncio.fixture(loop_scope="module")
async def seat(browser: Browser, scene: Scene) -> AsyncIterator[Seat]:
    page = await browser.new_page()
    yield Seat(page, scene)
    await page.close()


async def test_states_come_as_they_change(seat: Seat, scene: Scene) -> None:
    await scene.publisher.publish(home_state(load_w=1.0))
    await seat.follow(LOAD, home=scene.home)
    assert await seat.sees() == [{"data": {"home": {"load": 1}}}, ""]
    await scene.publisher.publish(home_state(load_w=2.0))
    assert await seat.sees() == [{"data": {"home": {"load": 2}}}, ""]


async def test_an_error_is_followed_by_complete(seat: Seat, scene: Scene) -> None:
    await seat.follow(LOAD, home=f"{scene.community}.home-9")
    result, _ = await seat.sees()
    assert result["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert await seat.sees() == "complete"


async def test_alerts_go_on_after_the_last_one_seen_where_the_server_was_away(
    seat: Seat, scene: Scene, stand: Stand
) -> None:
    cursors = [await scene.raise_alert(number) for number in range(3)]
    await seat.follow(ALERTS, home=scene.home, after=cursors[0])
    found = [await seat.sees() for _ in range(2)]
    await stand.end()
    cursors += [await scene.raise_alert(number) for number in range(3, 6)]
    await stand.start()
    found += [await seat.sees() for _ in range(3)]
    assert found == [[{"data": {"alerts": {"cursor": cursor}}}, cursor] for cursor in cursors[1:]]
