"""A receipt: what a watch has cost so far, counted by the device itself; and what the server has counted.

Bytes, µs and times come in, a new frozen Receipt goes out: a pure fold. It measures nothing itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

TAIL_MS: Final = 1_000
"""For so long a radio stays awake after it was used: what comes sooner costs no waking."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Bytes in and out, messages in both directions, wake-ups, and µs spent on parsing; `last` in steady ms."""

    bytes_in: int = 0
    bytes_out: int = 0
    messages: int = 0
    wakeups: int = 0
    parse_us: int = 0
    last: int | None = None

    def after(self, at: int, *, came: int = 0, went: int = 0, messages: int = 1, parse_us: int = 0) -> "Receipt":
        """Return it with what passed at `at` (steady ms): bytes that `came` or `went`, whole messages or parts."""
        woke = self.last is None or at - self.last > TAIL_MS
        return replace(
            self,
            bytes_in=self.bytes_in + came,
            bytes_out=self.bytes_out + went,
            messages=self.messages + messages,
            wakeups=self.wakeups + woke,
            parse_us=self.parse_us + parse_us,
            last=at,
        )


@dataclass(frozen=True, slots=True)
class Bill:
    """What the server has counted on the connection that is open, in the device's words: in is what came to it."""

    bytes_in: int
    bytes_out: int
    messages: int
    wakeups: int


def read_bill(data: Mapping[str, Any]) -> Bill | None:
    """Read the answer to the query Receipt; None where the server counts nothing, or says what is no count."""
    match data.get("receipt"):
        case {
            "bytesIn": int(went),
            "bytesOut": int(came),
            "messagesIn": int(messages_out),
            "messagesOut": int(messages_in),
            "wakeups": int(wakeups),
        }:
            return Bill(came, went, messages_in + messages_out, wakeups)
    return None
