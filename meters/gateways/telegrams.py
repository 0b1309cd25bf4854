"""Where a P1 telegram begins and ends: `/`, a header, lines, `!` at the start of a line, a checksum or none."""

import re
from typing import Final

from meters.gateways.pieces import Pieces

_END: Final = re.compile(rb"\n!(?:[0-9A-Fa-f]{4}|[^\n/]{0,8}\n)")
_REACH: Final = 12  # bytes that an end may already have when the rest of it is still to come
_TRAILER: Final = 128  # what meters without a checksum may send behind the `!`


class Telegrams(Pieces):
    """Cuts a stream into telegrams. A `/` within one is the next one: it is written nowhere else."""

    _FILLER = b"\r\n\t \0\xff"

    def _begin(self) -> int:
        return self._held.find(b"/")

    def _size(self) -> int:
        after = max(1, self._searched - _REACH)
        end = _END.search(self._held, after)
        again = self._held.find(b"/", after, end.start() if end else len(self._held))
        if again > 0:
            return again
        if end is None:
            self._searched = len(self._held)
            return 0
        self._forgiven = 0 if self._held[end.start() + 2 : end.end()].strip() else _TRAILER
        return end.end()
