"""The intake of one meter: what its source gives goes into the buffer, or is refused. Nothing vanishes untold.

A reading is held against what the aggregator takes for one (`bus.reading.parse`); whether it is
plausible, and its time right, is the aggregator's to say, who knows what came before.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from bus.reading import Reading, RefusalError, parse
from meters.gateways.buffer import Buffer
from meters.gateways.feed import Place
from meters.gateways.metrics import Metrics
from meters.gateways.notices import Notices
from meters.gateways.source import Given, Refusal

MOST_A_SECOND: Final = 20
"""What a meter may give in a second; more is refused."""

MOST_LATE: Final = 7200
"""Readings that may come late, all at once, where each is of another second of the meter's: two hours."""

_AHEAD: Final = timedelta(minutes=5)  # the aggregator refuses what is later

_PRESSED: Final = 10
"""So many times as much, and its source is not read before the next second."""
_SECOND: Final = timedelta(seconds=1)


class Intake:
    """Takes what one meter's source gives. `per_second` None: as much as there is."""

    def __init__(
        self,
        place: Place,
        buffer: Buffer,
        metrics: Metrics,
        *,
        per_second: int | None = MOST_A_SECOND,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self.readings = 0
        """Readings taken: in the buffer, or published."""
        self.refused = 0
        self.skipped = 0
        """Readings left out because they are published already, or thinned."""
        self.newest: datetime | None = None
        """Readings that are not later are published already. Set it for a source that is read again."""
        self.subject = place.subject
        self.name = place.name
        self._place = place
        self._buffer = buffer
        self._metrics = metrics
        self._per_second = per_second
        self._monotonic = monotonic
        self._now = now
        self._notices = Notices(place.name, self._publish, monotonic=monotonic, now=now)
        self._second = int(monotonic())
        self._count = 0
        self._late = float(MOST_LATE)
        self._late_since = monotonic()
        self._latest: datetime | None = None
        self._slot: int | None = None
        self._last = b""

    def take(self, given: Given) -> float:
        """Take what was received; return for how many seconds the source is not to be read, 0 as a rule."""
        if self._per_second is not None and not self._is_next(given) and self._counted() > self._per_second:
            self.refuse(Refusal("flood", f"more than {self._per_second} in a second"), given.raw)
            return self._rest()
        if given.refusal is not None:
            self.refuse(given.refusal, given.raw)
        elif given.reading is not None:
            self._take_reading(given.reading, given.raw)
        return 0.0

    def refuse(self, refusal: Refusal, raw: bytes) -> None:
        """Count a refusal and tell of it."""
        self.refused += 1
        self._metrics.refuse(self._place.name, refusal.reason)
        self._notices.tell(refusal, raw)

    def settle(self, *, end: bool = False) -> None:
        """Tell of refusals that were counted only: to be called now and then, and at the end."""
        self._notices.settle(end=end)

    def _take_reading(self, reading: Reading, raw: bytes) -> None:
        epoch = reading.epoch if self._place.epoch is None else self._place.epoch
        if reading.meter is not None or epoch != reading.epoch:
            reading = msgspec.structs.replace(reading, meter=None, epoch=epoch)
        data = reading.to_bytes()
        try:
            parse(data)
        except RefusalError as error:
            return self.refuse(Refusal(error.reason, str(error)), raw)
        if self.newest is not None and reading.at <= self.newest:
            self.skipped += 1
        elif data == self._last:
            # Harmless, and no news: a device that says the same again is counted, not told of.
            self.refused += 1
            self._metrics.refuse(self._place.name, "repeated")
        elif self._is_left_out(reading):
            self.skipped += 1
            self._metrics.thinned.labels(self._place.name).inc()
        else:
            self._last = data
            self.readings += 1
            self._metrics.readings.labels(self._place.name).inc()
            self._metrics.latest.labels(self._place.name).set(self._now().timestamp())
            self._publish(data)
        return None

    def _is_left_out(self, reading: Reading) -> bool:
        if not self._place.every_s:
            return False
        before, self._slot = self._slot, reading.at_ms // (1000 * self._place.every_s)
        return before == self._slot

    def _publish(self, data: bytes) -> None:
        self._buffer.add(self.subject, data)

    def _is_next(self, given: Given) -> bool:
        """Return whether it is of a second of the meter's own that comes after those before it.

        After a network that stood still a meter's backlog comes at once: what is right in it is not lost. There can be
        no more of these than seconds went by, whatever time a device makes up.
        """
        if given.reading is None or not given.timed:
            return False
        at, now_s = given.reading.at, self._monotonic()
        if at > self._now() + _AHEAD or (self._latest is not None and at < self._latest + _SECOND):
            return False
        self._late = min(MOST_LATE, self._late + now_s - self._late_since)
        self._late_since = now_s
        if self._late < 1:
            return False
        self._late -= 1
        self._latest = at
        return True

    def _counted(self) -> int:
        second = int(self._monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count

    def _rest(self) -> float:
        assert self._per_second is not None
        return self._second + 1 - self._monotonic() if self._count >= self._per_second * _PRESSED else 0.0
