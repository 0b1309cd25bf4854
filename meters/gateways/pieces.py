"""Cutting a stream of bytes, which may be cut, glued or garbage, into what a meter sends and what lies between.

Nothing is judged here: what is no telegram or frame comes out too, as the piece that it is, in its order.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Final

from meters.gateways.source import MOST_RAW

STRETCH: Final = 2048
"""What was joined in its middle is shorter; so many bytes before the first piece are no fault."""


class Pieces(ABC):
    """Cuts a stream into pieces. Holds 16 KiB at the most, and what is fed."""

    _FILLER: ClassVar[bytes] = b"\0"
    """Bytes that say nothing between pieces."""

    _MARK: ClassVar[int] = 1
    """Bytes that it takes to know a beginning."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0
        """Up to where the end of the piece at the beginning was looked for."""
        self._forgiven = STRETCH
        """Bytes between pieces that are no fault at this place."""

    @property
    def held(self) -> int:
        """Bytes that wait for more."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the pieces that `data` completes."""
        self._held += data
        while True:
            begin = self._begin()
            if begin < 0:
                if len(self._held) > STRETCH:
                    yield from self._stray(len(self._held) - self._MARK + 1)
                return
            yield from self._stray(begin)
            size = self._size()
            if size == 0 and len(self._held) <= MOST_RAW:
                return
            yield self._take(size or MOST_RAW)

    def end(self) -> Iterator[bytes]:
        """Yield what is left when nothing more will come: a piece without its end, or garbage."""
        if self._begin() == 0:
            yield self._take(len(self._held))
        else:
            yield from self._stray(len(self._held))

    @abstractmethod
    def _begin(self) -> int:
        """Return where in what is held the first piece begins, below 0 if nowhere."""

    @abstractmethod
    def _size(self) -> int:
        """Return the size of the piece that what is held begins with, whole or cut off; 0 if more must come."""

    def _stray(self, size: int) -> Iterator[bytes]:
        """Take so many bytes that belong to no piece; yield them if they are a fault."""
        stray = self._take(size)
        if not stray.strip(self._FILLER):
            return
        forgiven, self._forgiven = self._forgiven, 0
        if len(stray) > forgiven:
            for begin in range(0, len(stray), MOST_RAW):
                yield stray[begin : begin + MOST_RAW]

    def _take(self, size: int) -> bytes:
        if not size:
            return b""
        piece = bytes(self._held[:size])
        del self._held[:size]
        self._searched = 0
        return piece
