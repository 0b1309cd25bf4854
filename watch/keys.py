"""Keys: what is typed at a terminal, and whether somebody looks at it.

Bytes of the terminal come in, Keys go out. Entered, the keyboard gives each key at once and tells of the focus;
left, the terminal is as it was. Where standard input is no terminal, or not ours, nothing is ever typed.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, Final, Self

_FOCUS_ON, _FOCUS_OFF = "\x1b[?1004h", "\x1b[?1004l"  # xterm's focus events
_LONGEST: Final = 3


class Key(StrEnum):
    """What a key means here."""

    NEXT = "next"
    PREVIOUS = "previous"
    RECEIPT = "receipt"
    AMBIENT = "ambient"
    PAIR = "pair"
    LEAVE = "leave"
    QUIT = "quit"
    LOOKS = "looks"
    LOOKS_AWAY = "looks away"
    OTHER = "other"


_KEYS: Final = {
    b"\x1b[C": Key.NEXT,
    b"\x1bOC": Key.NEXT,
    b"\t": Key.NEXT,
    b" ": Key.NEXT,
    b"\x1b[D": Key.PREVIOUS,
    b"\x1bOD": Key.PREVIOUS,
    b"\x1b[Z": Key.PREVIOUS,
    b"r": Key.RECEIPT,
    b"a": Key.AMBIENT,
    b"p": Key.PAIR,
    b"u": Key.LEAVE,
    b"q": Key.QUIT,
    b"\x1b[I": Key.LOOKS,
    b"\x1b[O": Key.LOOKS_AWAY,
}


def read_keys(typed: bytes) -> Iterator[Key]:
    """Give the keys in what was typed, the unknown ones as OTHER."""
    while typed:
        length = next((n for n in range(_LONGEST, 0, -1) if typed[:n] in _KEYS), 0)
        yield _KEYS[typed[:length]] if length else Key.OTHER
        typed = typed[length or _length(typed) :]


def _length(typed: bytes) -> int:
    """Return how long the sequence is that means nothing here (ECMA-48, 5.4: it ends with one of @ to ~)."""
    if typed[:2] != b"\x1b[":
        return 1
    return next((n + 1 for n in range(2, len(typed)) if 0x40 <= typed[n] <= 0x7E), len(typed))


class Keyboard:
    """The keyboard of this process's terminal; `press` is called for each key."""

    def __init__(self, press: Callable[[Key], None]) -> None:
        self._press = press
        self._descriptor: int | None = None
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        if sys.platform == "win32" or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return self
        import termios
        import tty

        descriptor = sys.stdin.fileno()
        if not is_ours(descriptor):
            return self
        self._before = termios.tcgetattr(descriptor)
        self._descriptor = descriptor
        tty.setcbreak(descriptor)
        sys.stdout.write(_FOCUS_ON)
        sys.stdout.flush()
        asyncio.get_running_loop().add_reader(descriptor, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        if sys.platform == "win32" or self._descriptor is None or self._before is None:
            return
        import termios

        asyncio.get_running_loop().remove_reader(self._descriptor)
        sys.stdout.write(_FOCUS_OFF)
        sys.stdout.flush()
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
        self._descriptor = None

    def _read(self) -> None:
        assert self._descriptor is not None
        try:
            typed = os.read(self._descriptor, 1024)
        except OSError:
            typed = b""
        if not typed:  # the terminal is gone: nobody types any more
            asyncio.get_running_loop().remove_reader(self._descriptor)
            return
        for key in read_keys(typed):
            self._press(key)


def is_ours(descriptor: int) -> bool:
    """Say whether this process is in the foreground of a terminal: one in the background would be stopped there."""
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # nobody's controlling terminal
        return True
