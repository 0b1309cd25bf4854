"""Tasmota devices, as they publish by MQTT: `tele/<topic>/SENSOR`, every TelePeriod.

The object ENERGY is that of a device that measures: `Total` and `ExportActive` in kWh, `Power` in W,
+ drawn; with several phases they are lists, and added up. A meter read through an optical head has
an object named in its script, with names of that script's own: the usual ones are known, others
are given as paths. `Time` is local and names no zone, as a rule: then the time of receipt counts.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from meters.gateways.documents import document_of, number_of
from meters.gateways.measured import Measured
from meters.gateways.quantities import energy_wh, power_w
from meters.gateways.source import Refusal, RefusedError, Register

_IMPORT: Final = ("total_in", "e_in", "energy_in", "1_8_0", "total")
_EXPORT: Final = ("total_out", "e_out", "energy_out", "2_8_0", "exportactive")
_POWER: Final = ("power_curr", "power_cur", "power_total", "16_7_0", "power", "p")
_OLDEST: Final = 2020


class Names(NamedTuple):
    """Where the values are, as paths such as `SML.Total_in`; several are added up. Empty: where they usually are."""

    import_kwh: tuple[str, ...] = ()
    export_kwh: tuple[str, ...] = ()
    power_w: tuple[str, ...] = ()


def measured(payload: bytes, names: Names = Names()) -> Measured:  # noqa: B008 - it is frozen
    """Return what a SENSOR message says of the device's one channel."""
    document = document_of(payload)
    if isinstance(document, Refusal):
        return Measured("", refusal=document)
    chosen = names if names.import_kwh or names.export_kwh else _usual(document)
    if chosen is None:
        return Measured("", refusal=Refusal("missing_field", _nothing(document)))
    shown: list[Register] = []
    try:
        imported = _energy(document, chosen.import_kwh, "import_wh", shown)
        exported = _energy(document, chosen.export_kwh, "export_wh", shown)
        power = _power(document, chosen.power_w, shown)
    except RefusedError as error:
        return Measured("", registers=tuple(shown), refusal=error.refusal)
    at, hints = _time(document.get("Time"))
    return Measured("", imported or Decimal(0), exported or Decimal(0), power, at, tuple(shown), hints)


def _usual(document: Mapping[str, Any]) -> Names | None:
    """Return the paths of the first object that has a register under a usual name; one of a meter before ENERGY."""
    for group in sorted(document, key=lambda name: name == "ENERGY"):
        values = document[group]
        if not isinstance(values, dict):
            continue
        paths = [_first(group, values, usual) for usual in (_IMPORT, _EXPORT, _POWER)]
        if paths[0] or paths[1]:
            return Names(*paths)
    return None


def _first(group: str, values: Mapping[str, Any], usual: Sequence[str]) -> tuple[str, ...]:
    known = {name.lower(): name for name in values}
    return next(((f"{group}.{known[name]}",) for name in usual if name in known), ())


def _nothing(document: Mapping[str, Any]) -> str:
    groups = [f"{group} with {', '.join(list(values)[:8])}" for group, values in document.items() if _is_group(values)]
    found = "; ".join(groups[:4])[:300] or "nothing of a meter"
    return f"no energy register under a usual name, but {found}: name the paths of import and export"


def _is_group(values: Any) -> bool:
    return isinstance(values, dict)


def _energy(document: Mapping[str, Any], paths: Sequence[str], field: str, shown: list[Register]) -> Decimal | None:
    total: Decimal | None = None
    for path in paths:
        value = _sum(path, _at(document, path))
        energy = energy_wh(path, value, "kWh")
        shown.append(Register(path, f"{value} kWh", field, f"{int(energy)} Wh"))
        total = (total or Decimal(0)) + energy
    return total


def _power(document: Mapping[str, Any], paths: Sequence[str], shown: list[Register]) -> float | None:
    total: float | None = None
    for path in paths:
        value = _sum(path, _at(document, path))
        power = power_w(path, value, "W", signed=True)
        field = "power_import_w" if power >= 0 else "power_export_w"
        shown.append(Register(path, f"{value} W", field, f"{abs(power):g} W"))
        total = (total or 0.0) + power
    return total


def _sum(path: str, value: Any) -> Decimal:
    """Return a value, or the sum over the phases."""
    if isinstance(value, list):
        return sum((number_of(path, one) for one in value[:8]), Decimal(0))
    return number_of(path, value)


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            raise RefusedError("missing_field", f"there is no {path}")
        value = value[name]
    return value


def _time(text: Any) -> tuple[datetime | None, tuple[str, ...]]:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None, ()
    if at.year < _OLDEST:
        return None, (f"the device's clock is not set, it says {text}: the time of receipt",)
    return (at, ()) if at.tzinfo is not None else (None, ())
