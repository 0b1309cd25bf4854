"""A P1 telegram, and the reading that it becomes.

The whole telegram is under its checksum; the lines that a reading is made of go through dsmr-parser, the others are
looked at for their names alone. A telegram is refused rather than guessed at.
"""

import re
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from dsmr_parser.exceptions import ParseError  # type: ignore[import-untyped]  # it has no types
from dsmr_parser.parsers import CosemParser, ValueParser  # type: ignore[import-untyped]

from bus.reading import Reading
from meters.gateways.checksums import crc16
from meters.gateways.localtime import ClockError, utc_of
from meters.gateways.registers import EXPORT, IMPORT, Said, energies, power, split
from meters.gateways.serials import epoch_of
from meters.gateways.source import MOST_RAW, Given, RefusedError, Register
from meters.gateways.specifications import Specification, is_whole, specification

WIRES: Final = {115_200: "8N1", 9600: "7E1"}
"""Speeds of a P1 port: since version 4, and before."""

_DRAWN: Final = "1-0:1.7.0"
_FED: Final = "1-0:2.7.0"
_CLOCK: Final = "0-0:1.0.0"
_SERIALS: Final = ("0-0:96.1.1", "0-0:96.1.0", "0-0:42.0.0", "0-0:96.1.255", "1-0:0.0.0")
_READ: Final = frozenset((*IMPORT, *EXPORT, _DRAWN, _FED, _CLOCK, *_SERIALS))

_LINE: Final = re.compile(r"(\d+-\d+:\d+\.\d+\.\d+)(?:\*255)?(\(.*\))")
_VALUE: Final = re.compile(r"\(-?\d{1,12}(?:\.\d{1,8})?\*[A-Za-z]{1,8}\)")
_HEADER: Final = re.compile(r"/[A-Za-z]{3}[^\r\n]{1,60}")
_SUBMETER: Final = re.compile(r"0-([1-9]\d?):(24\.\d+\.\d+|96\.1\.\d+)")
_NO_TEXT: Final = re.compile(rb"[^\x20-\x7e\r\n]")
_DIGITS: Final = re.compile(rb"[0-9A-Fa-f]{1,4}")
_MEDIA: Final = {2: "electricity", 3: "gas", 4: "heat", 6: "warm water", 7: "water", 12: "heat or cold"}

_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){4,48}")
_PLATE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]*")


class _Telegram(NamedTuple):
    """A telegram, taken apart but not yet understood."""

    header: str
    kind: Specification
    objects: dict[str, str]
    """What an object says, brackets and all, by its name."""
    checked: bool
    """Whether it carries a checksum, and so a right one."""


def given(raw: bytes, received: datetime, zone: ZoneInfo | None = None) -> Given:
    """Return what a piece of a P1 stream became: a reading, or why it is none.

    `zone` is where the meter is; None: where meters of its kind are. What a meter without a clock says is of the time
    of receipt. The epoch is the serial number, as the meter's plate shows it; "0" where it says none.
    """
    registers: list[Register] = []
    hints: list[str] = []
    try:
        telegram = _taken_apart(raw)
        reading = _reading(telegram, received, zone, registers, hints)
    except RefusedError as error:
        return Given(raw[:MOST_RAW], None, error.refusal, tuple(registers), tuple(hints))
    timed = _CLOCK in telegram.objects
    return Given(raw, reading, None, tuple(registers), tuple(hints), checked=telegram.checked, timed=timed)


def _taken_apart(raw: bytes) -> _Telegram:
    """Return the objects of a telegram that is whole, by its checksum or, where its kind has none, by its lines."""
    body, checked = _checked(raw)
    header, *lines = body.decode("latin-1").split("\r\n")
    if not _HEADER.fullmatch(header):
        raise RefusedError("malformed", f"the first line is {header[:40]!r}; expected /, three letters and a name")
    objects: dict[str, str] = {}
    strange = ""
    for line in lines[:-1]:
        found = _LINE.fullmatch(line)
        if found is None:
            # Version 2 continues the gas meter's line on the next one.
            if line and not (line.startswith("(") and len(objects) > 0):
                strange = strange or line
            continue
        name, says = found.groups()
        if name in objects and (name in _READ or not checked):
            raise RefusedError(
                "duplicate", f"{name} is there twice: two telegrams in one, or a line that was not erased"
            )
        objects[name] = says
    kind = specification(header[1:], objects)
    if not checked:
        if kind.checksum or not is_whole(kind, objects):
            raise RefusedError("no_checksum", f"the checksum is missing, and telegrams of {kind.name} have one")
        if harmed := _NO_TEXT.search(body):
            raise RefusedError("malformed", f"byte {harmed.start()} is {harmed[0]!r}, as where the parity is wrong")
        if strange or lines[0]:
            raise RefusedError("malformed", f"a line is {(strange or lines[0])[:40]!r}, which no meter writes")
    return _Telegram(header[1:], kind, objects, checked)


def _checked(raw: bytes) -> tuple[bytes, bool]:
    """Return a telegram from its `/` to its `!`, and whether it has a checksum. Raises RefusedError if it is wrong."""
    end = raw.rfind(b"\n!") + 1
    if not raw.startswith(b"/"):
        if b"\xdb\x08" in raw:
            raise RefusedError(
                "encrypted",
                "the telegram is encrypted: ask the grid operator for its key, and say ?key=FILE behind the line",
            )
        raise RefusedError("garbage", f"{len(raw)} bytes that belong to no telegram; is the speed right?")
    if not end:
        if len(raw) >= MOST_RAW:
            raise RefusedError("too_large", f"over {MOST_RAW} bytes without an end; no telegram is so long")
        raise RefusedError("cut", f"the telegram ends after {len(raw)} bytes, without its last line")
    body, said = raw[: end + 1], raw[end + 1 :].strip(b"\r\n\0 ")
    if not said:
        return _with_line_ends(body), False
    if not _DIGITS.fullmatch(said):
        raise RefusedError("checksum", f"the checksum is {said[:20]!r}; expected up to four hexadecimal digits")
    expected, found = int(said, 16), crc16(body)
    if found != expected:
        # Some dongles take the carriage returns out, which the meter's checksum is over.
        body = _with_line_ends(body)
        if crc16(body) != expected:
            raise RefusedError("checksum", f"the checksum is {expected:04X}; the telegram's is {found:04X}")
    return body, True


def _with_line_ends(body: bytes) -> bytes:
    return re.sub(rb"\r?\n", b"\r\n", body)


def _reading(
    telegram: _Telegram, received: datetime, zone: ZoneInfo | None, registers: list[Register], hints: list[str]
) -> Reading:
    """Return what a telegram says; fills `registers` and `hints` as far as it comes."""
    objects = telegram.objects
    registers.append(Register("/", telegram.header, "kind", telegram.kind.name))
    registers.extend(_submeters(objects))
    said = {name: _said(name, objects[name]) for name in (*IMPORT, *EXPORT) if name in objects}
    import_wh, export_wh = energies(said, registers, hints)
    drawn_w, fed_w = _powers(objects, telegram.kind, registers)
    if drawn_w and fed_w:
        hints.append(f"the meter draws {drawn_w:g} W and feeds in {fed_w:g} W at once: phases are counted one by one")
    if not telegram.checked:
        hints.append(f"{telegram.kind.name} has no checksum: an error on the line may go unseen")
    at = _at(telegram, received, zone, registers, hints)
    return Reading(
        at=at,
        epoch=_serial(objects, registers, hints),
        import_wh=import_wh,
        export_wh=export_wh,
        power_import_w=drawn_w,
        power_export_w=fed_w,
    )


def _submeters(objects: dict[str, str]) -> list[Register]:
    """Return what hangs behind the meter, one register for each: it is shown, and becomes nothing."""
    found: dict[int, list[str]] = {}
    for name, says in objects.items():
        if part := _SUBMETER.fullmatch(name):
            about = found.setdefault(int(part[1]), ["", ""])
            if part[2] == "24.1.0":
                kind = says.strip("()")
                about[0] = _MEDIA.get(int(kind), "") if kind.isdigit() else ""
            elif part[2].startswith("24.2"):
                about[1] = says
    return [
        Register(f"0-{channel}", f"{medium or 'another meter'} {says}".strip())
        for channel, (medium, says) in sorted(found.items())
    ]


def _powers(
    objects: dict[str, str], kind: Specification, registers: list[Register]
) -> tuple[float | None, float | None]:
    """Return the power drawn and fed in, in W; None for what the meter does not say."""
    drawn, fed = (
        power(name, _said(name, objects[name]), registers, fed=name == _FED, signed=kind.signed)
        if name in objects
        else None
        for name in (_DRAWN, _FED)
    )
    if kind.signed and drawn is not None and fed is None:
        return split(drawn)
    return drawn, fed


def _at(
    telegram: _Telegram, received: datetime, zone: ZoneInfo | None, registers: list[Register], hints: list[str]
) -> datetime:
    says = telegram.objects.get(_CLOCK)
    if says is None:
        hints.append("the meter says no time: the time of receipt is taken")
        return received
    try:
        at, hint = utc_of(_text(_CLOCK, says), zone or ZoneInfo(telegram.kind.zone))
    except ClockError as error:
        raise RefusedError("invalid_time", str(error)) from None
    registers.append(Register(_CLOCK, _shown(says), "at", f"{at:%Y-%m-%dT%H:%M:%SZ}"))
    if hint:
        hints.append(hint)
    return at


def _serial(objects: dict[str, str], registers: list[Register], hints: list[str]) -> str:
    """Return the meter's serial number as people read it, in at most 64 characters; "0" where it says none."""
    for name in _SERIALS:
        if name not in objects:
            continue
        text = _text(name, objects[name])
        serial = _decoded(text)
        if not serial.strip("0"):
            continue
        registers.append(Register(name, text, "epoch", epoch_of(serial)))
        return epoch_of(serial)
    hints.append("the meter says no serial number: tell of its exchange with `commonwatt meter exchange`")
    return "0"


def _decoded(text: str) -> str:
    """Return what hexadecimal digits spell, if they spell something that a plate may show; else the text itself."""
    if _HEX.fullmatch(text):
        spelt = bytes.fromhex(text).decode("latin-1").strip()
        if _PLATE.fullmatch(spelt):
            return spelt
    return text


def _said(name: str, says: str) -> Said:
    """Return a number and its unit, read by dsmr-parser."""
    if not _VALUE.fullmatch(says):
        detail = f"{name} says {says[:40]!r}; expected a number and its unit, as (000123.456*kWh)"
        raise RefusedError("wrong_type", detail)
    value = _object(name, says, Decimal)
    return Said(value["value"], value["unit"], _shown(says))


def _text(name: str, says: str) -> str:
    """Return a text, read by dsmr-parser; "" where nothing is said."""
    return str(_object(name, says, str)["value"] or "")


def _object(name: str, says: str, kind: type) -> dict[str, Any]:
    try:
        values: list[dict[str, Any]] = _parser(kind).parse(name + says).values
    except (ParseError, ValueError, ArithmeticError):
        raise RefusedError("wrong_type", f"{name} says {says[:40]!r}, which cannot be read") from None
    return values[0]


@cache
def _parser(kind: type) -> CosemParser:
    return CosemParser(ValueParser(kind))


def _shown(says: str) -> str:
    return says[1:-1].replace("*", " ")[:80]
