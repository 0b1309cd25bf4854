"""Registers and powers by their OBIS names, `1-0:1.8.1`, as P1 and SML share them: from what a meter says to Wh and W.

Each value that is read is noted as a Register, for a person to check.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from meters.gateways.quantities import energy_wh, power_w, whole
from meters.gateways.source import RefusedError, Register

IMPORT: Final = tuple(f"1-0:1.8.{tariff}" for tariff in range(5))
EXPORT: Final = tuple(f"1-0:2.8.{tariff}" for tariff in range(5))
"""The total, and four tariffs."""

_ROUNDED_WH: Final = 2  # a total and its tariffs may each be cut to what is shown


class Said(NamedTuple):
    """A value, its unit, and both as the meter printed them."""

    value: Decimal
    unit: str
    shown: str


def energies(said: Mapping[str, Said], registers: list[Register], hints: list[str]) -> tuple[int, int]:
    """Return what was drawn and fed in, ever, in whole Wh; 0 for the direction that the meter has no register of.

    Raises RefusedError where it has none at all, or one is no energy.
    """
    drawn = _energy(IMPORT, said, "import_wh", registers, hints)
    fed = _energy(EXPORT, said, "export_wh", registers, hints)
    if drawn is None and fed is None:
        raise RefusedError("missing_field", "no register of electricity (1.8.x or 2.8.x): this is no electricity meter")
    if drawn is None or fed is None:
        hints.append(f"the meter has no {'export' if fed is None else 'import'} register: it is taken as 0")
    return drawn or 0, fed or 0


def power(name: str, said: Said, registers: list[Register], *, fed: bool = False, signed: bool = False) -> float:
    """Return a power in W: what is drawn, or what is `fed` in; below zero only where it is `signed`."""
    watts = power_w(name, said.value, said.unit, signed=signed)
    field = "power_export_w" if fed or watts < 0 else "power_import_w"
    registers.append(Register(name, said.shown, field, f"{abs(watts):g} W"))
    return watts


def split(watts: float) -> tuple[float, float]:
    """Return what is drawn and what is fed in, of a power that is below zero when fed in."""
    return max(watts, 0.0), max(-watts, 0.0)


def _energy(
    names: tuple[str, ...], said: Mapping[str, Said], field: str, registers: list[Register], hints: list[str]
) -> int | None:
    """Return a direction's register: its total, else the sum of its tariffs, else None."""
    total, *tariffs = names
    found = {name: energy_wh(name, said[name].value, said[name].unit) for name in names if name in said}
    for name, energy in found.items():
        is_counted = name == total or total not in found
        becomes = (field, f"{energy.normalize():f} Wh") if is_counted else ("", "")
        registers.append(Register(name, said[name].shown, *becomes))
    if not found:
        return None
    parts = sum((found[name] for name in tariffs if name in found), Decimal(0))
    if total not in found:
        return whole(parts)
    if len(found) > 1 and abs(found[total] - parts) > _ROUNDED_WH * len(found):
        hints.append(f"{total} is {found[total]:f} Wh and its tariffs are {parts:f} Wh: the total is taken")
    return whole(found[total])
