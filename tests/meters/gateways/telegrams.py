"""P1 telegrams for tests: those at hand from real meters, and ones made of them."""

import re
from pathlib import Path

from meters.gateways.checksums import crc16
from tests.conftest import SHARED, absent

FOLDER = SHARED / "data" / "dsmr_p1"


def telegram(name: str) -> bytes:
    """Return a telegram at hand; `v5` is telegram_v5.txt."""
    path = FOLDER / f"telegram_{name}.txt"
    if not path.is_file():
        absent(f"{path} is not there")
    return path.read_bytes()


def signed(text: bytes) -> bytes:
    """Return a telegram with the checksum that it should have."""
    body = text[: text.rindex(b"!") + 1]
    return body + b"%04X\r\n" % crc16(body)


def changed(name: str, *changes: tuple[bytes, bytes]) -> bytes:
    """Return a telegram at hand with changes, each of which must apply once, and the checksum that it then has."""
    text = telegram(name)
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return signed(text) if re.search(rb"![0-9A-F]", text) else text


def written(folder: Path, *pieces: bytes) -> Path:
    """Return a file of these pieces."""
    path = folder / "telegrams.txt"
    path.write_bytes(b"".join(pieces))
    return path
