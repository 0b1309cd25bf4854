"""The face drawn in a terminal with rich.

A Face comes in, a renderable goes out. Each light is a shape as well as a colour: a disc, a diamond, a square, a
ring. What is not fresh is drawn dim and without colour; ambient lights as little as it can. No clock, no device, no
text but the face's own.
"""

from typing import Final

from rich.box import ASCII, ROUNDED
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from watch.face import Face
from watch.glance import Light
from watch.text import plain

WIDTH: Final = 58
NARROW: Final = 54
"""Columns below which the shape is one character, as it is where there are too few lines for a larger one."""
_FRAME: Final = 5
"""Columns of the border, the padding in it, and between a label and its figure."""

_SHAPES: Final = {
    Light.GREEN: (" ▄███▄ ", "███████", "███████", " ▀███▀ "),
    Light.YELLOW: ("  ▄█▄  ", "▄█████▄", "▀█████▀", "  ▀█▀  "),
    Light.RED: ("███████", "███████", "███████", "███████"),
    Light.UNKNOWN: (" ▄▀▀▀▄ ", "█     █", "█     █", " ▀▄▄▄▀ "),
}
_MARKS: Final = {Light.GREEN: "●", Light.YELLOW: "◆", Light.RED: "■", Light.UNKNOWN: "○"}
_COLOURS: Final[dict[Light | None, str]] = {
    Light.GREEN: "green",
    Light.YELLOW: "yellow",
    Light.RED: "red",
    Light.UNKNOWN: "bright_black",
}


class FacePanel:
    """A Face that rich can render; plain ASCII where the terminal's encoding has no more."""

    def __init__(self, face: Face, *, ambient: bool = False) -> None:
        self._face = face
        self._ambient = ambient

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self._options = options
        if self._ambient:
            yield self._quiet()
            return
        full = self._full(narrow=options.max_width < NARROW)
        high = len(console.render_lines(full, options.update(height=None))) > options.max_height
        yield self._full(narrow=True) if high else full

    def _full(self, *, narrow: bool) -> RenderableType:
        face, width = self._face, min(WIDTH, self._options.max_width)
        colour = _COLOURS.get(face.light, "") if face.fresh else "dim"
        if face.light is None:
            glance: RenderableType = self._figures(meanings=not narrow)
        elif narrow:
            glance = Group(self._mark(face.light, colour), self._figures(meanings=False))
        else:
            table = Table.grid(padding=(0, 3))
            table.add_row(self._lamp(face.light, colour), self._figures(meanings=True))
            glance = table
        lines: list[RenderableType] = [glance]
        if face.notice:
            lines.append(Text(f"\n{self._plain(face.notice)}", style="bold"))
        if face.code:
            lines.append(Text(f"\n{self._plain(face.code)}", style="bold reverse", justify="center"))
        return Panel(
            Group(*lines),
            title=self._text(face.title, "bold"),
            subtitle=self._text(face.age, "bold" if face.fresh else ""),
            box=ASCII if self._options.ascii_only else ROUNDED,
            border_style=colour,
            padding=(0, 1) if narrow else (1, 2),
            width=width,
        )

    def _quiet(self) -> RenderableType:
        """Few cells, none of them bright: the mark keeps its colour."""
        face = self._face
        lines: list[RenderableType] = [self._figures(meanings=False)]
        if face.light is not None:
            lines.insert(0, self._mark(face.light, _COLOURS[face.light] if face.fresh else "dim"))
        if face.short:
            lines.append(Text(self._plain(f"{face.short} {face.code}".strip()), style="dim"))
        return Group(*lines, Text(self._plain(f"{face.title}, {face.age}"), style="dim"))

    def _lamp(self, light: Light, colour: str) -> Text:
        face = self._face
        shape = "\n".join(line.center(11) for line in (*_SHAPES[light], face.word))
        return self._text(shape, colour if face.fresh else "")

    def _mark(self, light: Light, colour: str) -> Text:
        return Text(self._plain(f"{_MARKS[light]} {self._face.word}"), style=colour)

    def _figures(self, *, meanings: bool) -> Table:
        longest = max((len(row.value) for row in self._face.rows), default=0)
        figures = Table.grid(padding=(0, 1))
        # Labels give way to figures, which are never cut.
        figures.add_column(no_wrap=True, max_width=max(1, self._options.max_width - longest - _FRAME))
        figures.add_column(justify="right", no_wrap=True, min_width=longest)
        for row in self._face.rows:
            cells = [self._text(row.label, "dim"), self._text(row.value, "bold")]
            figures.add_row(*cells, self._text(row.meaning, "dim")) if meanings else figures.add_row(*cells)
        return figures

    def _text(self, words: str, style: str = "") -> Text:
        if self._ambient:
            return Text(self._plain(words), style="dim")
        return Text(self._plain(words), style=style if self._face.fresh else f"dim {style}")

    def _plain(self, words: str) -> str:
        return plain(words) if self._options.ascii_only else words
