"""Numbers with units, as meters print them, turned into whole Wh and into W. Exactly: no float before the end."""

from decimal import ROUND_DOWN, Decimal
from typing import Final

from bus.reading import MAX_POWER_W, MAX_REGISTER_WH
from meters.gateways.source import RefusedError

_ENERGY: Final = {"Wh": Decimal(1), "kWh": Decimal(1000), "MWh": Decimal(1_000_000)}
_POWER: Final = {"W": Decimal(1), "kW": Decimal(1000), "MW": Decimal(1_000_000)}


def energy_wh(name: str, value: Decimal, unit: str) -> Decimal:
    """Return a register in Wh, with its fraction. Raises RefusedError for another unit, or no value of a register."""
    energy = _converted(name, value, unit, _ENERGY)
    if energy >= MAX_REGISTER_WH:
        raise RefusedError("out_of_range", f"{name} is {value} {unit}; a register ends before {MAX_REGISTER_WH} Wh")
    return energy


def power_w(name: str, value: Decimal, unit: str, *, signed: bool = False) -> float:
    """Return a power in W. Raises RefusedError for another unit, too much or, unless `signed`, less than none."""
    power = _converted(name, value, unit, _POWER, signed=signed)
    if abs(power) > MAX_POWER_W:
        raise RefusedError("out_of_range", f"{name} is {value} {unit}; the most is {MAX_POWER_W} W")
    return float(power)


def whole(energy: Decimal) -> int:
    """Return whole Wh. The fraction of a register is cut, not rounded: it is not complete yet."""
    return int(energy.to_integral_value(ROUND_DOWN))


def _converted(name: str, value: Decimal, unit: str, units: dict[str, Decimal], *, signed: bool = False) -> Decimal:
    if unit not in units:
        raise RefusedError("unknown_unit", f"{name} is in {unit[:20] or 'no unit'}; expected {', '.join(units)}")
    if not value.is_finite():
        raise RefusedError("not_finite", f"{name} is {value}")
    if value < 0 and not signed:
        raise RefusedError("negative", f"{name} is {value} {unit}; the least is 0")
    return value * units[unit]
