"""What devices measure, message by message, put together into readings.

A device says its registers in one message and its power in another, or both in one. A reading is
made of registers, at the moment at which they came, and of the power that was said last: never of
power alone, for registers of a minute ago would then stand where those of now should.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from bus.reading import Reading
from meters.gateways.quantities import whole
from meters.gateways.source import Given, Refusal, Register

POWER_AGE: Final = timedelta(seconds=60)
"""Power that was said longer ago is not put beside registers: the aggregator then works it out from these."""

_AGAIN: Final = timedelta(seconds=1)
_CLOCK_SET: Final = datetime(2020, 1, 1, tzinfo=UTC)
_CLOCK_OFF: Final = timedelta(minutes=1)


class Measured(NamedTuple):
    """What one message says of one channel of a device: registers in Wh, power in W (+ drawn, - fed in)."""

    channel: str
    import_wh: Decimal | None = None
    export_wh: Decimal | None = None
    power_w: float | None = None
    at: datetime | None = None
    """The device's own time, where the message says it with its offset."""
    registers: tuple[Register, ...] = ()
    hints: tuple[str, ...] = ()
    refusal: Refusal | None = None
    """Why it says nothing that can be used."""


class Channel:
    """One channel of a device: remembers what it said last."""

    def __init__(self, device: str, epoch: str, *, reverse: bool = False) -> None:
        """`device` is what its readings are told apart by. `reverse`: what it calls drawn was fed in."""
        self._device = device
        self._epoch = epoch
        self._reverse = reverse
        self._power: tuple[datetime, float] | None = None
        self._latest: Reading | None = None
        self._totals: tuple[int, int] | None = None

    def take(self, raw: bytes, measured: Measured, received: datetime) -> Given:
        """Return what a message becomes: a reading, a refusal, or neither where it only says the power."""
        given = Given(raw, None, measured.refusal, measured.registers, measured.hints, self._device)
        if measured.refusal is not None:
            return given
        at, hints = _moment(measured.at, received)
        hints = (*measured.hints, *hints)
        if measured.power_w is not None:
            self._power = (at, measured.power_w)
        if measured.import_wh is None and measured.export_wh is None:
            return given._replace(hints=hints)
        totals = whole(measured.import_wh or Decimal(0)), whole(measured.export_wh or Decimal(0))
        if totals == (0, 0) and self._totals != (0, 0):
            hints = (*hints, "all registers are 0: is the device new, or has it just started?")
        self._totals = totals
        reading = self._reading(at, totals)
        if self._is_known(reading):
            return given._replace(hints=(*hints, "the same again: delivered twice, and counted once"))
        self._latest = reading
        return given._replace(reading=reading, hints=hints)

    def _reading(self, at: datetime, totals: tuple[int, int]) -> Reading:
        power: float | None = None
        if self._power is not None and abs(at - self._power[0]) <= POWER_AGE:
            power = self._power[1]
        if self._reverse:
            totals = totals[1], totals[0]
            power = None if power is None else -power
        return Reading(
            at=at,
            epoch=self._epoch,
            import_wh=totals[0],
            export_wh=totals[1],
            power_import_w=None if power is None else max(0.0, power),
            power_export_w=None if power is None else max(0.0, -power),
        )

    def _is_known(self, reading: Reading) -> bool:
        """Say whether it is the reading before once more: redelivered, or told on a second topic, too."""
        known = self._latest
        if known is None or abs(reading.at - known.at) > _AGAIN:
            return False
        return (known.import_wh, known.export_wh, known.power_import_w, known.power_export_w) == (
            reading.import_wh,
            reading.export_wh,
            reading.power_import_w,
            reading.power_export_w,
        )


def _moment(said: datetime | None, received: datetime) -> tuple[datetime, tuple[str, ...]]:
    """Return when something was measured: as the device says, or when it came where its clock is not set."""
    if said is None:
        return received, ()
    if said < _CLOCK_SET:
        return received, (f"the device's clock is not set, it says {said:%Y-%m-%d %H:%M:%S} UTC: the time of receipt",)
    if abs(said - received) > _CLOCK_OFF:
        ahead = (said - received).total_seconds()
        which = "ahead" if ahead > 0 else "behind"
        return said, (f"the device's clock is {abs(ahead):.0f} s {which}: give it a time server",)
    return said, ()
