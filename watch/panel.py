"""The face drawn in a terminal with rich.

A Face comes in, a renderable goes out. Each light is a shape as well as a colour: a disc, a diamond, a square, a
ring. What is not fresh is drawn dim and without colour. No clock, no device, no text but the face's own.
"""

from rich.box import ASCII, ROUNDED
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from watch.face import Face
from watch.glance import Light

WIDTH = 58

_SHAPES = {
    Light.GREEN: (" ▄███▄ ", "███████", "███████", " ▀███▀ "),
    Light.YELLOW: ("  ▄█▄  ", "▄█████▄", "▀█████▀", "  ▀█▀  "),
    Light.RED: ("███████", "███████", "███████", "███████"),
    Light.UNKNOWN: (" ▄▀▀▀▄ ", "█     █", "█     █", " ▀▄▄▄▀ "),
}
_COLOURS = {Light.GREEN: "green", Light.YELLOW: "yellow", Light.RED: "red", Light.UNKNOWN: "bright_black"}
_PLAIN = str.maketrans(
    {"█": "#", "▄": "#", "▀": "#", "↗": "/", "→": "-", "↘": "\\", "−": "-", "–": "-", "…": ".", "’": "'"}
)


class FacePanel:
    """A Face that rich can render; plain ASCII where the terminal's encoding has no more."""

    def __init__(self, face: Face) -> None:
        self._face = face

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        face, plain = self._face, options.ascii_only
        colour = _COLOURS[face.light] if face.fresh else "dim"

        def text(words: str, style: str = "") -> Text:
            return Text(_plain(words) if plain else words, style=style if face.fresh else f"dim {style}")

        shape = "\n".join(line.center(11) for line in (*_SHAPES[face.light], face.word))
        lamp = text(shape, colour if face.fresh else "")
        figures = Table.grid(padding=(0, 1))
        figures.add_column(no_wrap=True)
        figures.add_column(justify="right", no_wrap=True)
        figures.add_column(no_wrap=True)
        for row in face.rows:
            figures.add_row(text(row.label, "dim"), text(row.value, "bold"), text(row.meaning, "dim"))
        glance = Table.grid(padding=(0, 3))
        glance.add_row(lamp, figures)
        notice = [Text(_plain(face.notice) if plain else face.notice, style="bold")] if face.notice else []
        yield Panel(
            Group(glance, *notice),
            title=text(face.title, "bold"),
            subtitle=text(face.age, "bold" if face.fresh else ""),
            box=ASCII if plain else ROUNDED,
            border_style=colour,
            padding=(1, 2),
            width=min(WIDTH, options.max_width),
        )


def _plain(words: str) -> str:
    return words.translate(_PLAIN).encode("ascii", "replace").decode("ascii")
