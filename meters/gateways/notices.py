"""Notices: what a gateway tells of what it refuses, in the log and on the meter's subject. Never all of it.

A meter's first few refusals of a minute are told one by one, the others together when it is over.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from bus.reading import MAX_BYTES, MAX_REFUSED, Refused
from meters.gateways.source import Refusal

log = structlog.get_logger(__name__)

MOST: Final = 10
"""Refusals of a meter that are told one by one, in each period."""

PERIOD_S: Final = 60.0

_CUTS: Final = (3000, 1500, 600, 0)
_MOST_DETAIL: Final = 500


class Notices:
    """Tells what is refused of one meter. `publish` takes a message for the meter's subject."""

    def __init__(
        self,
        meter: str,
        publish: Callable[[bytes], None],
        *,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._meter = meter
        self._publish = publish
        self._monotonic = monotonic
        self._now = now
        self._until = monotonic()
        self._told = 0
        self._untold: Counter[str] = Counter()

    def tell(self, refusal: Refusal, raw: bytes) -> None:
        """Tell of a refusal, now or at the end of the period."""
        self.settle()
        if self._monotonic() >= self._until:
            self._until = self._monotonic() + PERIOD_S
            self._told = 0
        if self._told == MOST:
            self._untold[refusal.reason] += 1
            return
        if self._told == 0:
            log.warning("what a meter sent is refused", meter=self._meter, **refusal._asdict())
        self._told += 1
        self._publish(notice(refusal, raw, self._now()))

    def settle(self, *, end: bool = False) -> None:
        """Tell what was not told in a period that is over, or that ends here."""
        if not self._untold or not (end or self._monotonic() >= self._until):
            return
        count = self._untold.total()
        detail = f"{count} more within a minute: " + ", ".join(f"{n} {reason}" for reason, n in self._untold.items())
        most = self._untold.most_common(1)[0][0]
        self._untold.clear()
        log.warning("more of what a meter sent is refused", meter=self._meter, reason=most, count=count)
        self._publish(notice(Refusal(most, detail), b"", self._now(), count))


def notice(refusal: Refusal, raw: bytes, received_at: datetime, count: int = 1) -> bytes:
    """Return the message that tells of one refusal, or of `count`, with as much of what was received as fits."""
    text = raw.decode("utf-8", "backslashreplace")
    detail = refusal.detail.encode("utf-8", "backslashreplace").decode("utf-8")[:_MOST_DETAIL]
    for cut in _CUTS:
        message = Refused(
            refused=refusal.reason[:64],
            detail=detail,
            received_at=received_at,
            size=len(raw),
            payload=text[:cut],
            count=min(count, MAX_REFUSED),
        ).to_bytes()
        if len(message) <= MAX_BYTES:
            break
    return message
