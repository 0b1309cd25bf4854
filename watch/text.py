"""Text made fit to be shown: that of strangers, and on what shows little.

Strings cross this module. Whatever a server sends may reach a terminal, where an escape sequence is a command.
"""

from typing import Final

_PLAIN: Final = str.maketrans(
    {"█": "#", "▄": "#", "▀": "#", "↗": "/", "→": "-", "↘": "\\", "−": "-", "–": "-", "…": ".", "’": "'"}
    | {"●": "O", "◆": "^", "■": "#", "○": "?", "·": "-"}
)


def printable(text: str, most: int = 160) -> str:
    """Return `text` fit for one line: no control characters, at most `most` characters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def plain(text: str) -> str:
    """Return `text` in ASCII, for terminals and pipes that take no more: the face's own signs by what is like them."""
    return text.translate(_PLAIN).encode("ascii", "replace").decode("ascii")
