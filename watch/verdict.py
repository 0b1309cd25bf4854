"""What went wrong, in the words that a face knows.

Errors of GraphQL, close codes and HTTP statuses come in, a standing goes out. It never retries and never logs.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

from watch.events import Lost
from watch.text import printable


class Standing(StrEnum):
    """How the link to the server stands; each trouble has its own face."""

    IDLE = "idle"  # nothing was asked yet
    CONNECTING = "connecting"
    WAITING = "waiting"  # let in by the server, no data yet
    LIVE = "live"  # the last thing heard was data
    REFUSED = "refused"  # the server does not accept who asks
    UNKNOWN = "unknown"  # no such home or community, or none that this viewer may see
    GONE = "gone"  # nobody answers, or the connection ended
    FAULT = "fault"  # the server answered with an error
    GARBAGE = "garbage"  # what answered cannot be understood


PATIENT: Final = frozenset({Standing.REFUSED, Standing.UNKNOWN, Standing.GARBAGE})
"""Standings that waiting alone rarely mends: a script ends there, a watch tries on at its leisure."""

_REFUSING: Final = ("UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN")  # a tuple: what came may not be hashable
_CLOSED_AS_REFUSED: Final = frozenset({4401, 4403})  # graphql-transport-ws: Unauthorized, Forbidden
_CLOSED_OVER_NONSENSE: Final = frozenset({1002, 1003, 1007, 1009})  # RFC 6455, 7.4.1
_CLOSED_OVER_PROTOCOL: Final = range(4400, 4500)
_TOO_MANY: Final = 429


def judge_errors(errors: Sequence[Any]) -> tuple[Standing, str]:
    """Return the standing that errors without data mean, and why; the first that names a cause decides."""
    reason = first_message(errors)
    for error in errors:
        extensions = error.get("extensions") if isinstance(error, dict) else None
        code = extensions.get("code") if isinstance(extensions, dict) else None
        if code == "NOT_FOUND":
            return Standing.UNKNOWN, reason
        if code in _REFUSING:
            return Standing.REFUSED, reason
    return Standing.FAULT, reason


def judge_lost(lost: Lost) -> Standing:
    """Return the standing that the end of a connection or a request means."""
    if lost.garbage or lost.close in _CLOSED_OVER_NONSENSE:
        return Standing.GARBAGE
    if lost.close is not None:
        if lost.close in _CLOSED_AS_REFUSED:
            return Standing.REFUSED
        return Standing.FAULT if lost.close in _CLOSED_OVER_PROTOCOL else Standing.GONE
    if lost.status is None or lost.status == _TOO_MANY or lost.status >= 500:
        return Standing.GONE
    return Standing.REFUSED if lost.status in (401, 403) else Standing.GARBAGE


def first_message(errors: Sequence[Any]) -> str:
    """Return what the first error says, on one line; "" where it says nothing."""
    first = errors[0] if errors else None
    message = first.get("message") if isinstance(first, dict) else None
    return printable(message) if isinstance(message, str) else ""
