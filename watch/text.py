"""Text from strangers, made fit to be shown.

Strings cross this module. Whatever a server sends may reach a terminal, where an escape sequence is a command.
"""


def printable(text: str, most: int = 160) -> str:
    """Return `text` fit for one line: no control characters, at most `most` characters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    return clean if len(clean) <= most else clean[: most - 1] + "…"
