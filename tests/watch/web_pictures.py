"""Pictures of the web watch for the documents: `python -m tests.watch.web_pictures [FOLDER]`.

Faces are drawn by the watch's own modules in Chromium, in the font that the system has for `system-ui` (Inter, of
Debian's fonts-inter, in those that are kept); each goes into a small PNG with a palette, transparent around the dial.
"""

import base64
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, Final, Literal

from playwright.sync_api import Page

from tests.watch.web_browser import chromium, module_page
from tests.watch.web_views import VIEWS, nothing, view

FOLDER: Final = Path(__file__).parents[2] / "docs" / "screenshots"
SIZE: Final = 400
COLOURS: Final = 96
FACE: Final = """
<link rel="stylesheet" href="/watch.css"><style>body { background: none } main { width: 100vw }</style>
<main id="watch"><svg id="face" viewBox="0 0 400 400"></svg></main>
"""
DRAW: Final = """
async ([view, shape]) => {
  const { draw, lightOf } = await import("/src/face.js");
  const { paint } = await import("/src/paint.js");
  const { breadthOf } = await import("/src/breadth.js");
  const face = document.getElementById("face");
  Object.assign(document.documentElement.dataset, { mode: view.mode, shape });
  Object.assign(face.dataset, { light: lightOf(view), state: view.state });
  paint(face, draw({ ...view, breadth: breadthOf(face) }));
}
"""
PIXELS: Final = """
async (png) => {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes]));
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  let text = "";
  for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
  return btoa(text);
}
"""
GALLERY: Final[dict[str, tuple[dict[str, Any], Literal["dark", "light"], str]]] = {
    "green": (VIEWS["green"], "dark", "round"),
    "yellow": (VIEWS["yellow"], "dark", "round"),
    "red": (VIEWS["red"], "dark", "round"),
    "today": (VIEWS["today"], "dark", "round"),
    "hours": (VIEWS["hours"], "dark", "round"),
    "hours-old": (VIEWS["hours, old"], "dark", "round"),
    "ambient": (view(mode="ambient", state="recent", age=240_000), "dark", "round"),
    "gone": (VIEWS["trouble gone"], "dark", "round"),
    "unknown": (nothing("unknown", reason="there is no home 'demo.home-99'", title="demo.home-99"), "dark", "round"),
    "pairing": (VIEWS["pairing, showing"], "dark", "round"),
    "receipt": (VIEWS["a receipt and the server's"], "dark", "round"),
    "green-light": (VIEWS["green"], "light", "round"),
    "yellow-light": (VIEWS["yellow"], "light", "round"),
    "red-square": (VIEWS["red"], "dark", "square"),
    "today-square-light": (VIEWS["today"], "light", "square"),
}


def picture(page: Page) -> bytes:
    """Return what the page shows as a PNG with the colours that it has most."""
    shot = page.screenshot(omit_background=True)
    pixels = base64.b64decode(page.evaluate(PIXELS, base64.b64encode(shot).decode()))
    colours = [pixels[i : i + 4] for i in range(0, len(pixels), 4)]
    palette = [colour for colour, _ in Counter(colours).most_common(COLOURS)]
    index = {colour: _nearest(colour, palette) for colour in set(colours)}
    rows = b"".join(
        b"\0" + bytes(index[colour] for colour in colours[at : at + SIZE]) for at in range(0, len(colours), SIZE)
    )
    head = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", head),
            _chunk(b"PLTE", b"".join(colour[:3] for colour in palette)),
            _chunk(b"tRNS", bytes(colour[3] for colour in palette)),
            _chunk(b"IDAT", zlib.compress(rows, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _nearest(colour: bytes, palette: list[bytes]) -> int:
    """Return the place of the colour of a palette that is most like this one."""
    return min(range(len(palette)), key=lambda i: sum((a - b) ** 2 for a, b in zip(palette[i], colour, strict=True)))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def main(folder: Path) -> None:
    """Write all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser, module_page(browser) as page:
        page.set_viewport_size({"width": SIZE, "height": SIZE})
        page.goto(page.url.replace("icon.svg", "src/"))
        page.set_content(FACE)
        page.emulate_media(reduced_motion="reduce")
        for name, (shown, scheme, shape) in GALLERY.items():
            page.emulate_media(color_scheme=scheme)
            page.evaluate(DRAW, [shown, shape])
            (folder / f"{name}.png").write_bytes(picture(page))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
