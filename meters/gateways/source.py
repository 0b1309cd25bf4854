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
