"""Where an SML frame begins and ends in a stream of bytes that may be cut, glued or garbage (BSI TR-03109-1 B, 5).

A frame is an escape sequence and 01 01 01 01, messages in steps of four bytes, an escape sequence, 1a, the count of
filling bytes and a checksum. Nothing is judged here: what is no frame comes out too, as the piece that it is.
"""

from collections.abc import Iterator
from typing import Final

from meters.gateways.source import MOST_RAW

_ESCAPE: Final = b"\x1b\x1b\x1b\x1b"
_BEGIN: Final = _ESCAPE + b"\x01\x01\x01\x01"
_STRETCH: Final = 2048  # a frame that was joined in its middle is shorter
_STEP: Final = 4


class Frames:
    """Cuts a stream into frames and what lies between. Holds 16 KiB at the most, and what is fed."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = len(_BEGIN)
        self._forgiven = _STRETCH
        """Bytes outside of frames that are no fault: of a frame joined in its middle."""

    @property
    def held(self) -> int:
        """Bytes that wait for more."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the pieces that `data` completes, frames and others."""
        self._held += data
        while True:
            if not self._held.startswith(_BEGIN):
                begin = self._held.find(_BEGIN)
                yield from self._stray(begin)
                if begin < 0:
                    return
            size = self._first()
            if not size:
                return
            yield self._take(size)
            self._forgiven = 0

    def end(self) -> Iterator[bytes]:
        """Yield what is left when nothing more will come: a frame without its end, or garbage."""
        if self._held.startswith(_BEGIN):
            yield self._take(len(self._held))
        else:
            yield from self._stray(len(self._held))

    def _first(self) -> int:
        """Return the size of the frame, or of the cut one, that what is held begins with; 0 if more must come."""
        while (place := self._held.find(_ESCAPE, self._searched)) >= 0:
            after = self._held[place + _STEP : place + 2 * _STEP]
            if self._held.startswith(_BEGIN, place):
                return place
            if place % _STEP:
                # Escape sequences stand at steps; these are four bytes of a value and of what follows it.
                self._searched = place + 1
                continue
            if len(after) < _STEP:
                self._searched = place
                break
            if after[0] == 0x1A:
                return place + 2 * _STEP
            self._searched = place + 2 * _STEP if after == _ESCAPE else place + 1
        else:
            self._searched = max(self._searched, len(self._held) - len(_BEGIN) + 1)
        return MOST_RAW if len(self._held) > MOST_RAW else 0

    def _stray(self, begin: int) -> Iterator[bytes]:
        """Take what lies before `begin`, or if that is below 0 what cannot begin a frame; yield it if it is a fault."""
        if begin < 0 and len(self._held) <= _STRETCH:
            return
        stray = self._take(begin if begin >= 0 else len(self._held) - len(_BEGIN) + 1)
        if not stray.strip(b"\0"):
            return
        forgiven, self._forgiven = self._forgiven, 0
        if len(stray) > forgiven:
            for start in range(0, len(stray), MOST_RAW):
                yield stray[start : start + MOST_RAW]

    def _take(self, size: int) -> bytes:
        piece = bytes(self._held[:size])
        del self._held[:size]
        self._searched = len(_BEGIN)
        return piece
