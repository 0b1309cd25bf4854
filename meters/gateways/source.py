"""What a source of readings gives: each piece as it was received, and what it became."""

from collections.abc import AsyncIterator
from typing import Final, NamedTuple, Protocol

from bus.reading import Reading

MOST_RAW: Final = 16 * 1024
"""Bytes of a received piece that are kept; no telegram or message of a meter is longer."""


class Refusal(NamedTuple):
    """Why something that was received is no reading: a short code, and a sentence that names value and limit."""

    reason: str
    detail: str


REASONS: Final = {
    "cut": "it ends in the middle",
    "garbage": "bytes that belong to nothing that the source sends",
    "checksum": "its checksum does not match",
    "no_checksum": "its checksum is missing, though such meters send one",
    "too_large": "it is longer than anything that a meter sends",
    "duplicate": "a value is there twice",
    "encrypted": "it is encrypted",
    "malformed": "it is whole, and yet not as its format says",
    "missing_field": "what every reading needs is not in it",
    "wrong_type": "a value is no number",
    "unknown_unit": "a value is in a unit that is none of energy or power",
    "not_finite": "a value is NaN or infinite",
    "negative": "a register or power is below zero",
    "out_of_range": "a value is beyond what a meter can show",
    "invalid_time": "the meter's time is none",
    "no_time": "it is recorded, and the meter says no time: nobody knows when it was",
    "unconfirmed": "another serial number, without a checksum that vouches for it, and once only",
}
"""Why something is no reading; labels of metrics, so there are no others."""


class RefusedError(ValueError):
    """Raised where what was received turns out to be no reading; carries why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, detail)


class Register(NamedTuple):
    """A value as the source gave it, and what it became: `1-0:1.8.1`, `123.456 kWh`, `import_wh`, `123456 Wh`.

    `becomes` is empty for what is left out, such as the gas meter behind a P1 port.
    """

    name: str
    given: str
    field: str = ""
    becomes: str = ""


class Given(NamedTuple):
    """One telegram, frame or message, and what it became: a reading, or why it is none. Never both."""

    raw: bytes
    reading: Reading | None = None
    refusal: Refusal | None = None
    registers: tuple[Register, ...] = ()
    """What was read from it, as far as it was read, for a person to check."""
    hints: tuple[str, ...] = ()
    """What seems wrong without being refused: a sentence each."""
    device: str = ""
    """Which device of several behind one source; empty where there is one."""
    checked: bool = True
    """Whether a checksum of the meter's, or of the protocol's, vouches for it."""
    timed: bool = True
    """Whether its time is one that the meter said, and not that of receipt; P1 and SML tell."""


class SourceLostError(Exception):
    """Raised when a source is gone, or cannot be reached: says which, why, and what to do."""


class Source(Protocol):
    """A place that readings come from: a serial line, a TCP socket, a file, MQTT topics."""

    @property
    def name(self) -> str:
        """What a person calls it: `p1:tcp:10.0.0.5:2001`."""

    def read(self) -> AsyncIterator[Given]:
        """Yield what comes, in its order; end where a file ends. Raise SourceLostError where the source is lost.

        Connects when iterated; iterating again connects again. Closing the iterator disconnects.
        """
