"""Virtual time: an event loop on which an hour passes as soon as nobody has anything left to do.

Sockets are real, and both ends of each are on this loop. Time stands still while anything can be read or written, or
a byte is on its way from one end to the other; then it jumps to the next timer.
"""

import asyncio
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

from bench.watch_energy.sockets import CountedSocket, Ledger

_PATIENCE_S: Final = 10.0
START_S: Final = 60.0
"""Loop time at which the trace begins; before it the server starts."""


class CountedLoop(asyncio.SelectorEventLoop):
    """A loop whose streams are counted at their sockets; its time is the system's."""

    def __init__(self, ledger: Ledger, selector: selectors.BaseSelector | None = None) -> None:
        super().__init__(selector)
        self._ledger = ledger
        self._start_s = super().time() - START_S + 20

    def time(self) -> float:
        """Return seconds from a start of this loop's own."""
        return super().time() - self._start_s

    def _make_socket_transport(self, sock: socket.socket, *arguments: Any, **options: Any) -> Any:
        counted = CountedSocket(self._ledger, sock, ours=options.get("server") is None)
        return super()._make_socket_transport(counted, *arguments, **options)  # type: ignore[misc]  # asyncio's own


class VirtualLoop(CountedLoop):
    """A CountedLoop whose time is virtual."""

    def __init__(self, ledger: Ledger) -> None:
        self.now_s = 0.0
        super().__init__(ledger, _Jumping(self, ledger))

    def time(self) -> float:
        """Return the virtual time."""
        return self.now_s

    def run_in_executor(self, *_: Any) -> Any:  # type: ignore[override]  # whatever it is asked
        """Refuse: time would not wait for a thread."""
        raise RuntimeError("no threads in virtual time")


class _Jumping(selectors.DefaultSelector):
    """Waits by letting virtual time jump."""

    def __init__(self, loop: VirtualLoop, ledger: Ledger) -> None:
        super().__init__()
        self._loop = loop
        self._ledger = ledger
        self._writing: set[int] = set()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        self._note(key.fd, events)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().modify(fileobj, events, data)
        self._note(key.fd, events)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = super().unregister(fileobj)
        self._note(key.fd, 0)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if self._writing or self._ledger.in_flight:
            found = super().select(_PATIENCE_S)
            if not found:
                raise RuntimeError(f"{self._ledger.in_flight} bytes were sent that nobody reads")
            return found
        if timeout is None:
            raise RuntimeError("everybody waits, and for no time")
        self._loop.now_s += timeout
        return []

    def _note(self, fd: int, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._writing.add(fd)
        else:
            self._writing.discard(fd)


class Clock:
    """The time on the wall of a trace that begins at `begin_s` (since 1970 UTC), by its loop."""

    def __init__(self, loop: CountedLoop, begin_s: int) -> None:
        self._loop = loop
        self._offset_s = begin_s - START_S

    def wall_s(self) -> float:
        """Return seconds since 1970 UTC."""
        return self._offset_s + self._loop.time()

    def wall_ns(self) -> int:
        """Return whole ms since 1970 UTC, in ns."""
        return round(self.wall_s() * 1000) * 1_000_000

    async def until(self, second: float) -> None:
        """Wait until so many seconds after the beginning of the trace."""
        await asyncio.sleep(max(0.0, START_S + second - self._loop.time()))


@contextmanager
def told_by(clock: Clock, *, hub: Callable[..., Any]) -> Iterator[None]:
    """Have the whole process go by a clock; `hub` is the server's class, which keeps the clock that it began with."""
    with (
        patch("time.time", clock.wall_s),
        patch("time.time_ns", clock.wall_ns),
        patch("server.app.Hub", lambda *parts, **options: hub(*parts, **({"wall": clock.wall_s} | options))),
    ):
        yield
