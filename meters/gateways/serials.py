"""Serial numbers of meters, as epochs of their readings: another number is another meter."""

import hashlib
from typing import Final

MOST: Final = 64
"""Characters of an epoch."""


def epoch_of(serial: str) -> str:
    """Return the epoch of a meter with this serial number: the number itself, for people to compare with the plate.

    One over 64 characters, or with characters that no plate shows, becomes its hash, shortened to as many.
    """
    if len(serial) <= MOST and serial.isprintable():
        return serial
    return f"sha256-{hashlib.sha256(serial.encode()).hexdigest()}"[:MOST]
