"""SML frames for tests: one of a real meter, and ones put together byte by byte."""

from sml import Crc  # type: ignore[import-untyped]  # it has no types

ESCAPE = b"\x1b" * 4

REAL = bytes.fromhex(
    "1b1b1b1b0101010176050f1a20606200620072630101760101050508b5760b090149534b000403df63010163c4ba0076050f1a206162"
    "0062007263070177010b090149534b000403df63070100620affff7262016507aff5dc7a77078181c78203ff010101010449534b0177"
    "070100000009ff010101010b090149534b000403df630177070100010800ff650000018201621e52ff59000000000d637e0801770701"
    "00010801ff0101621e52ff59000000000d637e080177070100010802ff0101621e52ff59000000000000000001770701001007 00ff01"
    "01621b520055000000a80177070100240700ff0101621b520055000000750177070100380700ff0101621b5200550000001601770701"
    "004c0700ff0101621b5200550000001d0177078181c78205ff0101010183020c2de05c56024e1cd45280f4a0769a95e629cae205c55c"
    "9f1683ca5419778e1d9bcfa1c577a6b36a92709ebf05ea21bd01010163291c0076050f1a206262006200726302017101630054001b1b"
    "1b1b1a00ae84"
)
"""What an ISKRA MT175 pushed: 22,462,413.6 Wh drawn, 168 W now, no export register."""

WH, W = 30, 27
SERVER = bytes.fromhex("0a0149534b000516465c")


def octets(value: bytes) -> bytes:
    """Return an octet string with its length."""
    size = len(value) + 1
    return (bytes([size]) if size < 16 else bytes([0x80 | (size + 1) >> 4, (size + 1) & 15])) + value


def number(value: int, size: int = 8, *, signed: bool = True) -> bytes:
    """Return a whole number of `size` bytes."""
    return bytes([(0x50 if signed else 0x60) | size + 1]) + value.to_bytes(size, "big", signed=signed)


def listed(*items: bytes) -> bytes:
    """Return a list of up to 15 items."""
    return bytes([0x70 | len(items)]) + b"".join(items)


def entry(name: str, value: bytes | int, unit: int = 0, scaler: int = 0, *, period: int = 255) -> bytes:
    """Return a value with its name, `1.8.0`, in a unit and times a power of ten; `period` is when it was stored."""
    code = octets(bytes([1, 0, *map(int, name.split(".")), period]))
    said = number(value) if isinstance(value, int) else value
    return listed(code, b"\1", b"\1", number(unit, 1, signed=False) if unit else b"\1", number(scaler, 1), said, b"\1")


def message(kind: int, body: bytes) -> bytes:
    """Return a message with its checksum."""
    choice = listed(number(kind, 2, signed=False), body)
    begin = b"\x76" + octets(b"\1") + number(0, 1, signed=False) + number(0, 1, signed=False) + choice
    return begin + number(Crc.crc16(begin), 2, signed=False) + b"\0"


def frame(*entries: bytes, server: bytes = SERVER) -> bytes:
    """Return a frame with these values."""
    body = listed(b"\1", octets(server), b"\1", b"\1", listed(*entries), b"\1", b"\1")
    return wrapped(message(0x0701, body))


def wrapped(messages: bytes) -> bytes:
    """Return the frame around messages, with its escapes, filling bytes and checksum."""
    inside = messages.replace(ESCAPE, ESCAPE * 2)
    filling = -len(inside) % 4
    begin = ESCAPE + b"\1" * 4 + inside + bytes(filling) + ESCAPE + b"\x1a" + bytes([filling])
    checksum: int = Crc.crc16(begin)
    return begin + checksum.to_bytes(2, "big")
