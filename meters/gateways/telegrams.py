"""Where a P1 telegram begins and ends in a stream of bytes that may be cut, glued or garbage.

A telegram is `/`, a header, lines, and `!` at the start of a line with up to four hexadecimal digits behind.
Nothing is judged here: what is no telegram comes out too, as the piece that it is, in its order.
"""

import re
from collections.abc import Iterator
from typing import Final

from meters.gateways.source import MOST_RAW

_END: Final = re.compile(rb"\n!(?:[0-9A-Fa-f]{4}|[^\n/]{0,8}\n)")
_REACH: Final = 12  # bytes that an end may already have when the rest of it is still to come
_STRETCH: Final = 2048  # a telegram that was joined in its middle is shorter
_TRAILER: Final = 128  # what meters without a checksum may send behind the `!`
_FILLER: Final = b"\r\n\t \0\xff"


class Telegrams:
    """Cuts a stream into telegrams and what lies between. Holds 16 KiB at the most, and what is fed."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0
        self._forgiven = _STRETCH
        """Bytes outside of telegrams that are no fault: of a telegram joined in its middle, of a meter's trailer."""

    @property
    def held(self) -> int:
        """Bytes that wait for more."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the pieces that `data` completes, telegrams and others."""
        self._held += data
        while True:
            if not self._held.startswith(b"/"):
                begin = self._held.find(b"/")
                yield from self._stray(len(self._held) if begin < 0 else begin, whole=begin >= 0)
                if begin < 0:
                    return
            piece = self._first()
            if not piece:
                return
            yield piece

    def end(self) -> Iterator[bytes]:
        """Yield what is left when nothing more will come: a telegram without its end, or garbage."""
        if self._held.startswith(b"/"):
            yield self._take(len(self._held))
        else:
            yield from self._stray(len(self._held), whole=True)

    def _first(self) -> bytes:
        """Take a telegram, or one that another or nothing at all cuts off; empty if more must come."""
        after = max(1, self._searched - _REACH)
        end = _END.search(self._held, after)
        again = self._held.find(b"/", after, end.start() if end else len(self._held))
        if again > 0:
            return self._take(again)
        if end is not None:
            self._forgiven = 0 if self._held[end.start() + 2 : end.end()].strip() else _TRAILER
            return self._take(end.end())
        if len(self._held) > MOST_RAW:
            return self._take(MOST_RAW)
        self._searched = len(self._held)
        return b""

    def _stray(self, size: int, *, whole: bool) -> Iterator[bytes]:
        """Take `size` bytes that belong to no telegram; yield them if they are a fault."""
        if not whole and size <= _STRETCH:
            return
        stray = self._take(size)
        if not stray.strip(_FILLER):
            return
        forgiven, self._forgiven = self._forgiven, 0
        if len(stray) > forgiven:
            for begin in range(0, len(stray), MOST_RAW):
                yield stray[begin : begin + MOST_RAW]

    def _take(self, size: int) -> bytes:
        piece = bytes(self._held[:size])
        del self._held[:size]
        self._searched = 0
        return piece
