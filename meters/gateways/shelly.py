"""Shelly devices of the second generation and later, as they publish by MQTT.

`<prefix>/status/<component>` holds the status of a component, `<prefix>/events/rpc` a notification
(`NotifyStatus`, `NotifyFullStatus`) with that of several, some only in part, and its time. Power is
signed, registers are in Wh; those of the three phases are added up by the device. Field names are
those of Shelly's API reference: EM and EMData, EM1 and EM1Data, PM1, Switch.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from meters.gateways.documents import document_of, number_of
from meters.gateways.measured import Measured
from meters.gateways.quantities import energy_wh, power_w
from meters.gateways.source import Refusal, RefusedError, Register

CHANNELS: Final = ("em", "em1", "pm1", "switch", "cover", "light")
"""Components that measure; a channel is one with its number, such as `em:0`."""

_COMPONENT: Final = re.compile(r"(em|emdata|em1|em1data|pm1|switch|cover|light):(\d{1,3})")
_POWER: Final = {"em": "total_act_power", "em1": "act_power"}
_REGISTERS: Final = {"emdata": ("total_act", "total_act_ret"), "em1data": ("total_act_energy", "total_act_ret_energy")}
_WHO_MEASURES: Final = {"emdata": "em", "em1data": "em1"}
_LAST_TS: Final = 4_102_444_800


def measured(tail: str, payload: bytes) -> tuple[Measured, ...]:
    """Return what a message says of the device's channels; `tail` is its topic without the prefix.

    Nothing where it is no message of measurements. What cannot be read is one refusal, of no channel.
    """
    if tail == "events/rpc":
        return _notified(payload)
    kind, _, component = tail.partition("/")
    if kind != "status" or _COMPONENT.fullmatch(component) is None:
        return ()
    document = document_of(payload)
    if isinstance(document, Refusal):
        return (Measured("", refusal=document),)
    found = _status(component, document, None)
    return () if found is None else (found,)


def channel_of(component: str) -> str:
    """Return the channel that a component belongs to: `em:0` for `emdata:0`."""
    kind, _, number = component.partition(":")
    return f"{_WHO_MEASURES.get(kind, kind)}:{number}"


def _notified(payload: bytes) -> tuple[Measured, ...]:
    document = document_of(payload)
    if isinstance(document, Refusal):
        return (Measured("", refusal=document),)
    params = document.get("params")
    if document.get("method") not in ("NotifyStatus", "NotifyFullStatus") or not isinstance(params, dict):
        return ()
    ts = params.get("ts")
    at = None
    if isinstance(ts, Decimal) and ts.is_finite() and 0 <= ts < _LAST_TS:
        at = datetime.fromtimestamp(float(ts), UTC)
    found = [
        _status(component, status, at)
        for component, status in params.items()
        if _COMPONENT.fullmatch(component) and isinstance(status, dict)
    ]
    return tuple(one for one in found if one is not None)


def _status(component: str, status: Mapping[str, Any], at: datetime | None) -> Measured | None:
    """Return what the status of a component says, in part or whole; None where it says nothing of energy."""
    kind = component.partition(":")[0]
    channel = channel_of(component)
    shown: list[Register] = []
    try:
        if kind in _REGISTERS:
            names = _REGISTERS[kind]
            imported, exported = (_energy(component, name, status.get(name), shown) for name in names)
            power = None
        elif kind in _POWER:
            imported = exported = None
            power = _power(component, _POWER[kind], status.get(_POWER[kind]), shown)
        else:
            imported = _energy(component, "aenergy.total", _total(status, "aenergy"), shown, "import_wh")
            exported = _energy(component, "ret_aenergy.total", _total(status, "ret_aenergy"), shown, "export_wh")
            power = _power(component, "apower", status.get("apower"), shown)
    except RefusedError as error:
        return Measured(channel, at=at, registers=tuple(shown), refusal=error.refusal)
    if imported is None and exported is not None:
        imported = Decimal(0)  # so that both are there, or none
    if imported is None and power is None:
        return _without(component, channel, kind, status)
    return Measured(channel, imported, exported, power, at, tuple(shown), _faults(status))


def _without(component: str, channel: str, kind: str, status: Mapping[str, Any]) -> Measured | None:
    faults = _faults(status)
    named = {*_REGISTERS.get(kind, ()), _POWER.get(kind, "apower")} & status.keys()
    if not named and not faults:
        return None  # a switch was turned, a temperature changed
    detail = f"{component} has nothing to say: {', '.join(sorted(named))} is null" if named else component
    return Measured(channel, refusal=Refusal("missing_field", "; ".join((detail, *faults))))


def _faults(status: Mapping[str, Any]) -> tuple[str, ...]:
    errors = status.get("errors")
    if not isinstance(errors, list):
        return ()
    return tuple(f"the device says: {str(error)[:60]}" for error in errors[:8])


def _total(status: Mapping[str, Any], name: str) -> Any:
    counter = status.get(name)
    return counter.get("total") if isinstance(counter, dict) else None


def _energy(component: str, name: str, value: Any, shown: list[Register], field: str = "") -> Decimal | None:
    if value is None:
        return None
    full = f"{component} {name}"
    field = field or ("export_wh" if "_ret" in name else "import_wh")
    energy = energy_wh(full, number_of(full, value), "Wh")
    shown.append(Register(full, f"{value} Wh", field, f"{int(energy)} Wh"))
    return energy


def _power(component: str, name: str, value: Any, shown: list[Register]) -> float | None:
    if value is None:
        return None
    full = f"{component} {name}"
    power = power_w(full, number_of(full, value), "W", signed=True)
    field = "power_import_w" if power >= 0 else "power_export_w"
    shown.append(Register(full, f"{value} W", field, f"{abs(power):g} W"))
    return power
