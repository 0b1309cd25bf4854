"""A browser for the tests of the web watch, and its modules on a page without a server."""

import functools
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.conftest import absent

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
WAIT_MS = 20_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Debian's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        absent("chromium is not there")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        expect.set_options(timeout=WAIT_MS)
        yield browser
        expect.set_options(timeout=None)
        browser.close()


@contextmanager
def watched(browser: Browser, *, allowed: tuple[str, ...] = (), **options: Any) -> Iterator[Page]:
    """Open a page, of 454 by 454 pixels, on which nothing may fail and no error is logged but those `allowed`."""
    failures: list[str] = []
    context = browser.new_context(**({"viewport": {"width": 454, "height": 454}} | options))
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)

    def note(line: ConsoleMessage) -> None:
        if line.type in ("error", "warning") and not any(text in line.text for text in allowed):
            failures.append(f"{line.type}: {line.text}")

    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", note)
    yield page
    context.close()
    assert failures == [], failures


@contextmanager
def files(folder: Path) -> Iterator[str]:
    """Serve a folder, and nothing else; the value is the URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def module_page(browser: Browser) -> Iterator[Page]:
    """Open an empty page of a site that has the folder of the web watch, for its modules to be imported on."""
    with files(WEB) as url, watched(browser, allowed=("404",)) as page:
        page.goto(f"{url}/icon.svg")
        yield page


def cases(name: str) -> dict[str, Any]:
    """Return what all implementations of the device are held to, from a file beside this one."""
    path = Path(__file__).with_name(name)
    known: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return known
