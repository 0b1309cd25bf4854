"""An SML frame, and the reading that it becomes.

pysml checks the frame's checksums and takes it apart; nothing of a frame that fails is believed. Meters say their own
seconds or none, so a reading is of the time of receipt.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sml import SmlBase  # type: ignore[import-untyped]  # it has no types

from bus.reading import Reading
from meters.gateways.registers import EXPORT, IMPORT, Said, energies, power, split
from meters.gateways.serials import epoch_of
from meters.gateways.source import MOST_RAW, Given, RefusedError, Register

WIRES: Final = {9600: "8N1", 115_200: "8N1"}
"""Speeds of an optical head on the meter's front, and of what copies it."""

_BEGIN: Final = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
_POWER: Final = "1-0:16.7.0"
_SERIALS: Final = ("1-0:96.1.0", "1-0:0.0.9")
_READ: Final = frozenset((*IMPORT, *EXPORT, _POWER, *_SERIALS))
_NOW: Final = "255"
"""The last part of a name where its value is no stored one."""


def given(raw: bytes, received: datetime) -> Given:
    """Return what a piece of an SML stream became: a reading, or why it is none.

    The epoch is the meter's server id as its plate shows it; "0" where it says none.
    """
    registers: list[Register] = []
    hints: list[str] = []
    try:
        reading = _reading(_lists(raw), received, registers, hints)
    except RefusedError as error:
        return Given(raw[:MOST_RAW], None, error.refusal, tuple(registers), tuple(hints))
    return Given(raw, reading, None, tuple(registers), tuple(hints), timed=False)


def _lists(raw: bytes) -> list[dict[str, Any]]:
    """Return the lists of values in a frame."""
    if not raw.startswith(_BEGIN):
        raise RefusedError(
            "garbage", f"{len(raw)} bytes that belong to no frame; is the speed right, and the head dry?"
        )
    if raw[-8:-3] != b"\x1b\x1b\x1b\x1b\x1a":
        if len(raw) >= MOST_RAW:
            raise RefusedError("too_large", f"over {MOST_RAW} bytes without an end; no frame is so long")
        raise RefusedError("cut", f"the frame ends after {len(raw)} bytes, without its checksum")
    try:
        _, frame = SmlBase.find_frame(raw)
    except Exception as error:  # the library raises whatever the step of its own that failed raises
        raise RefusedError(
            "malformed", f"the frame cannot be read: {str(error)[:100] or type(error).__name__}"
        ) from None
    if frame is None:
        raise RefusedError("checksum", f"the checksum of the frame of {len(raw)} bytes does not match")
    bodies = (message["messageBody"] for message in frame)
    return [body for body in bodies if isinstance(body, dict) and "valList" in body]


def _reading(lists: list[dict[str, Any]], received: datetime, registers: list[Register], hints: list[str]) -> Reading:
    """Return what a frame's lists say; fills `registers` and `hints` as far as it comes."""
    values = _values(lists)
    said = {name: _said(name, values[name]) for name in (*IMPORT, *EXPORT) if "value" in values.get(name, ())}
    import_wh, export_wh = energies(said, registers, hints)
    drawn_w, fed_w = _powers(values, registers)
    if drawn_w is None:
        hints.append(
            "the meter says no power: enter its PIN (from the grid operator) and switch on the full view (InF)"
        )
    return Reading(
        at=received,
        epoch=_serial(lists, values, registers, hints),
        import_wh=import_wh,
        export_wh=export_wh,
        power_import_w=drawn_w,
        power_export_w=fed_w,
    )


def _values(lists: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the values of now by the names of their objects, `1-0:1.8.0`.

    Newer meters send those of a day, a week, a month and a year ago, too: `1-0:1.8.0*96` and on.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in _entries(lists):
        name, _, period = str(entry.get("objName", "")).partition("*")
        if period != _NOW:
            continue
        if name in found and name in _READ:
            raise RefusedError("duplicate", f"{name} is there twice: two frames in one")
        found[name] = entry
    return found


def _entries(lists: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in lists:
        yield from one["valList"]


def _powers(values: dict[str, dict[str, Any]], registers: list[Register]) -> tuple[float | None, float | None]:
    """Return the power drawn and fed in, in W: the meter's one power, split by its sign. None if it says none."""
    if "value" not in values.get(_POWER, ()):
        return None, None
    return split(power(_POWER, _said(_POWER, values[_POWER]), registers, signed=True))


def _serial(
    lists: list[dict[str, Any]], values: dict[str, dict[str, Any]], registers: list[Register], hints: list[str]
) -> str:
    server = str(next((one["serverId"] for one in lists if one.get("serverId")), ""))
    named = next(
        (str(values[name]["value"]) for name in _SERIALS if isinstance(values.get(name, {}).get("value"), str)), ""
    )
    serial = named or server
    if not serial:
        hints.append("the meter says no serial number: tell of its exchange with `commonwatt meter exchange`")
        return "0"
    registers.append(Register("server id", server or named, "epoch", epoch_of(serial)))
    return epoch_of(serial)


def _said(name: str, entry: dict[str, Any]) -> Said:
    value, unit = entry["value"], str(entry.get("unit") or "")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError("wrong_type", f"{name} is {str(value)[:40]!r}; expected a number")
    # What the library divided by a power of ten is the nearest float, which prints as the meter meant it.
    return Said(Decimal(repr(value)), unit, f"{value} {unit}".strip()[:80])
