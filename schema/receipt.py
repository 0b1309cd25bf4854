"""Receipts: what a device's own connection has cost so far, as the server counts it.

A Tally comes from whoever carries the connection; the field `receipt` shows it. Nothing is counted here.
"""

from typing import Any, Final, NamedTuple

import strawberry

from schema.fields import shows
from schema.scalars import Bytes, DateTime

TAIL_S: Final = 1.0
"""For so long a radio stays awake after it was used: what comes sooner costs no waking."""


class Tally(NamedTuple):
    """What has passed on one connection since it was opened; in is what came from the client."""

    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int
    pings: int
    """Those of the server."""
    wakeups: int
    """Bursts: what passes, in either direction, over TAIL_S after what passed before begins one."""
    lasted_s: float


class Bill(NamedTuple):
    """A tally, and the ms since 1970 UTC at which it began."""

    tally: Tally
    since_ms: int


@strawberry.type(
    description="What a connection has cost so far, as the server counts it: to compare with what a device counts "
    "itself. In is what came from the client."
)
class Receipt:
    bytes_in: Bytes = shows(
        "tally.bytes_in",
        "Bytes from the client: the request that opened the WebSocket, then frames with their heads. TLS adds its own.",
    )
    bytes_out: Bytes = shows(
        "tally.bytes_out", "Bytes to the client, the answer to that request first; those of this answer are not in yet."
    )
    messages_in: int = shows("tally.messages_in", "Messages from the client, this question among them.")
    messages_out: int = shows("tally.messages_out", "Messages to the client, without this answer.")
    pings: int = shows(
        "tally.pings", "WebSocket pings by which the server asked whether the client lives; they are no messages."
    )
    wakeups: int = shows(
        "tally.wakeups",
        "How often the client's radio woke: what passes, in either direction, over 1 s after what passed before, wakes "
        "it. Pings do so too.",
    )
    since: DateTime = shows("since_ms", "When the connection was opened.")


def receipt_of(info: strawberry.Info[Any, None]) -> Any:
    """Return the bill of the connection that a query came over; None where it came over none that is counted."""
    bill = info.context.bill
    return None if bill is None else bill()
