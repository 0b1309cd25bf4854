"""Pictures of the page /community for the documents: `python -m tests.server.community_pictures`."""

import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import expect

from tests.server.hamlet import inhabited
from tests.watch.web_browser import chromium, watched

FOLDER: Final = Path(__file__).parents[2] / "docs" / "screenshots"
PICTURES: Final[dict[str, dict[str, Any]]] = {
    "community-wide": {"viewport": {"width": 1280, "height": 980}, "color_scheme": "light"},
    "community-phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, inhabited(Path(folder)) as hamlet, chromium() as browser:
        for name, options in PICTURES.items():
            with watched(browser, **options) as page:
                page.goto(hamlet.link())
                expect(page.locator("#homes tbody tr")).to_have_count(20)
                expect(page.locator("#power canvas")).to_be_visible()
                expect(page.locator("#power .readout")).to_contain_text("live")
                page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
