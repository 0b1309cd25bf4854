"""Standard input, output and error, as whoever started the command left them: closed, full, or read no more."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_OUTPUT: Final = "stdout"


class _Output(io.FileIO):
    """Standard output, whose failures name it, so that they are told from those of other files and of sockets."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = _OUTPUT
            raise


def open_standard() -> None:
    """Open /dev/null in place of standard input, output and error where they are closed.

    Else a socket would get their number, and uvloop ends a process that closes one of these.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Python has None for those that were closed: whoever reads may ask for that, whoever writes never does.
    sys.stdout = sys.stdout or _nowhere(1)
    sys.stderr = sys.stderr or _nowhere(2)


def is_of_output(error: BaseException) -> bool:
    """Say whether an error means that standard output takes no more; holds within `written`."""
    return isinstance(error, OSError) and error.filename == _OUTPUT


def leave_output() -> None:
    """Write no more to standard output: what is still to be flushed goes nowhere, since it would fail once more."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def written() -> Iterator[None]:
    """Run a command in the block, and see to it that what it said has been written.

    Where it cannot be, end with exit code 1: without a word if its reader has had enough, else with one line on
    stderr. Whatever catches errors in between leaves those of `is_of_output` alone.
    """
    sys.stdout = _named(sys.stdout)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if not is_of_output(error):
            raise
        leave_output()
        if not isinstance(error, BrokenPipeError):
            with suppress(OSError):
                sys.stderr.write(f"commonwatt: {_OUTPUT}: {error.strerror}\n")
        sys.exit(1)


def _nowhere(number: int) -> TextIO:
    return os.fdopen(number, "w", encoding="utf-8", closefd=False)


def _named(stdout: TextIO) -> TextIO:
    """Return standard output anew, as it was, but for its failures."""
    raw = _Output(stdout.fileno(), "w", closefd=False)
    at_once = isinstance(stdout, io.TextIOWrapper) and stdout.write_through  # python -u
    return io.TextIOWrapper(
        raw if at_once else io.BufferedWriter(raw),  # as Python itself does
        encoding=stdout.encoding,
        errors=stdout.errors,
        line_buffering=bool(stdout.line_buffering),
        write_through=at_once,
    )
