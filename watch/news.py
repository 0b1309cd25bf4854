"""What a watch hears: a result, or how the link to the server stands.

These values cross from the client to whoever draws. They carry no time and no library's type: who hears them
knows the time, and a face never meets an exception.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Standing(StrEnum):
    """How the link stands; each value has its own face."""

    CONNECTING = "connecting"  # first attempt, nothing is known yet
    WAITING = "waiting"  # accepted by the server, no result on this connection yet
    LIVE = "live"  # the last thing heard was a result
    REFUSED = "refused"  # the server does not accept who asks
    UNKNOWN = "unknown"  # no such home or community, or none that this viewer may see
    GONE = "gone"  # nobody answers, or the connection ended
    FAULT = "fault"  # the server answered with an error
    GARBAGE = "garbage"  # what answered cannot be understood


FINAL = frozenset({Standing.REFUSED, Standing.UNKNOWN})
"""Standings that waiting alone does not mend: a script ends there, a face tries on at its leisure."""


@dataclass(frozen=True, slots=True)
class Result:
    """One GraphQL result with data; `errors` is not empty where parts of the data are null because of them."""

    data: dict[str, Any]
    errors: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """The link has changed. `retry_in_s`: seconds until the next attempt, where one is planned."""

    standing: Standing
    reason: str = ""
    retry_in_s: float | None = None


News = Result | Link


def printable(text: str, most: int = 160) -> str:
    """Return `text` fit for one line of a terminal: no control characters, at most `most` characters.

    Whatever a server sends may reach a terminal, where an escape sequence is a command.
    """
    clean = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    return clean if len(clean) <= most else clean[: most - 1] + "…"
