"""What readings one after another say about units, signs and the meter itself, in sentences for who installs it.

Nothing is refused here: the aggregator judges readings, with more knowledge. Here a person gets told why it might.
"""

from datetime import timedelta
from typing import Final, NamedTuple

from bus.reading import Reading

_ENOUGH_WH: Final = 20.0
"""Energy from which on a power and a register are compared: at 1 kW that is 72 s."""

_ENOUGH: Final = timedelta(seconds=30)
_GAP: Final = timedelta(seconds=60)
_THOUSAND: Final = 30.0  # a factor over this is no measuring error but another unit
_HOUSE_W: Final = 100_000
_HOUSE_WH: Final = 10**9
_HOUR_S: Final = 3600


class _Window(NamedTuple):
    """Since when power and registers are compared, and the energy that the power came to since."""

    begin: Reading
    drawn_wh: float = 0.0
    fed_wh: float = 0.0


class Doubts:
    """Doubts about one meter. Keeps two readings, whatever comes."""

    def __init__(self) -> None:
        self._last: Reading | None = None
        self._window: _Window | None = None

    def of(self, reading: Reading) -> tuple[str, ...]:
        """Return what seems wrong with a reading, by itself and after those before it."""
        last, self._last = self._last, reading
        found = [*_alone(reading)]
        if last is None or last.epoch != reading.epoch:
            if last is not None:
                found.append(f"another meter: the serial number is {reading.epoch!r} and was {last.epoch!r}")
            self._window = _Window(reading)
            return tuple(found)
        if reading.at < last.at:
            found.append(f"the time went back from {last.at:%H:%M:%S} to {reading.at:%H:%M:%S} UTC")
        fallen = _fallen(last, reading)
        found += fallen
        if fallen or not last.at <= reading.at <= last.at + _GAP or self._window is None:
            self._window = _Window(reading)
            return tuple(found)
        self._window = _grown(self._window, last, reading)
        verdict = _compared(self._window, reading)
        if verdict is not None:
            found += verdict
            self._window = _Window(reading)
        return tuple(found)


def _alone(reading: Reading) -> list[str]:
    found = []
    for which, power in (("draws", reading.power_import_w), ("feeds in", reading.power_export_w)):
        if power is not None and power > _HOUSE_W:
            found.append(f"it {which} {power:,.0f} W, more than a house can: is its unit W, and not mW?")
    for which, energy in (("import", reading.import_wh), ("export", reading.export_wh)):
        if energy > _HOUSE_WH:
            found.append(f"the {which} register is {energy:,} Wh, more than a house's: is its unit Wh, and not kWh?")
    if reading.import_wh == reading.export_wh == 0:
        found.append("both registers are 0: the meter is new, or it has just started and does not know them yet")
    return found


def _fallen(last: Reading, reading: Reading) -> list[str]:
    found = []
    for which, was, now in (
        ("import", last.import_wh, reading.import_wh),
        ("export", last.export_wh, reading.export_wh),
    ):
        if now == 0 < was:
            found.append(f"the {which} register is 0 and was {was:,} Wh: the device started anew, or lost the value")
        elif now < was:
            found.append(f"the {which} register fell from {was:,} to {now:,} Wh, which none does")
    return found


def _grown(window: _Window, last: Reading, reading: Reading) -> _Window:
    """Return the window with the energy of the time since the last reading, at its power."""
    hours = (reading.at - last.at).total_seconds() / _HOUR_S
    return window._replace(
        drawn_wh=window.drawn_wh + (last.power_import_w or 0.0) * hours,
        fed_wh=window.fed_wh + (last.power_export_w or 0.0) * hours,
    )


def _compared(window: _Window, reading: Reading) -> list[str] | None:
    """Return what is wrong between powers and registers; None where too little has flown to tell."""
    begin = window.begin
    if reading.power_import_w is None or reading.at - begin.at < _ENOUGH:
        return None
    rose = reading.import_wh - begin.import_wh, reading.export_wh - begin.export_wh
    came = window.drawn_wh, window.fed_wh
    if max(*rose, *came) < _ENOUGH_WH:
        return None
    if _is_swapped(came, rose):
        return ["the power is of one direction and the register of the other rises: import and export are swapped"]
    found = [_rate(which, up, by) for which, up, by in zip(("import", "export"), rose, came, strict=True)]
    return [text for text in found if text]


def _is_swapped(came: tuple[float, float], rose: tuple[int, int]) -> bool:
    """Return whether the registers rose by what the powers of the other direction came to."""
    more = 0 if came[0] >= came[1] else 1
    came_most, rose_other = came[more], rose[1 - more]
    return (
        came_most >= _ENOUGH_WH
        and came[1 - more] < came_most / 4
        and rose[more] < came_most / 4
        and came_most / 2 <= rose_other <= came_most * 2
    )


def _rate(which: str, rose: int, came: float) -> str:
    """Return what is wrong between a register that rose, and the energy that the power came to; both in Wh."""
    if max(rose, came) < _ENOUGH_WH:
        return ""
    what = f"the {which} register rose by {rose:,} Wh and the power came to {came:,.0f} Wh"
    if rose == 0:
        return f"{what}: the register is in kWh taken for Wh, or shows whole kWh only"
    if rose > came * _THOUSAND:
        return f"{what}: the power is in kW taken for W, or the register in Wh taken for kWh"
    if came > rose * _THOUSAND:
        return f"{what}: the register is in kWh taken for Wh, or the power in W taken for kW"
    if came > rose * 3 or rose > came * 3:
        return f"{what}: they are not of the same meter, or not of all phases"
    return ""
