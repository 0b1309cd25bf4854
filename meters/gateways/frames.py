"""Where an SML frame begins and ends (BSI TR-03109-1 B, 5).

A frame is an escape sequence and 01 01 01 01, messages in steps of four bytes, an escape sequence, 1a, the count of
filling bytes and a checksum.
"""

from typing import Final

from meters.gateways.pieces import Pieces

_ESCAPE: Final = b"\x1b\x1b\x1b\x1b"
_BEGIN: Final = _ESCAPE + b"\x01\x01\x01\x01"
_STEP: Final = 4


class Frames(Pieces):
    """Cuts a stream into frames."""

    _MARK = len(_BEGIN)

    def _begin(self) -> int:
        return self._held.find(_BEGIN)

    def _size(self) -> int:
        self._searched = max(self._searched, len(_BEGIN))
        while (place := self._held.find(_ESCAPE, self._searched)) >= 0:
            if self._held.startswith(_BEGIN, place):
                return place
            if place % _STEP:
                # Escape sequences stand at steps; these are four bytes of a value and of what follows it.
                self._searched = place + 1
                continue
            after = self._held[place + _STEP : place + 2 * _STEP]
            if len(after) < _STEP:
                self._searched = place
                return 0
            if after[0] == 0x1A:
                self._forgiven = 0
                return place + 2 * _STEP
            self._searched = place + 2 * _STEP if after == _ESCAPE else place + 1
        self._searched = max(self._searched, len(self._held) - len(_BEGIN) + 1)
        return 0
