"""Counting at sockets: every byte that a client reads and writes, and what is on its way between the two ends.

Sockets of both ends are wrapped; nothing of what they carry is looked at.
"""

import asyncio
from contextvars import ContextVar
from socket import IPPROTO_TCP, TCP_NODELAY, TCP_QUICKACK, SocketType, socket
from typing import Any, Final

from bench.watch_energy.radio import Passed

_Ends = frozenset[Any]


class Traffic:
    """What passed the sockets of one client, in order."""

    def __init__(self) -> None:
        self.passed: list[Passed] = []
        self.over = False

    def note(self, came: int, went: int, *, opened: bool) -> None:
        """Count a read or a write."""
        if not self.over:
            self.passed.append(Passed(asyncio.get_running_loop().time(), came, went, opened))


CLIENT: Final[ContextVar[Traffic]] = ContextVar("CLIENT")
"""Whose sockets are opened in this context."""


class Ledger:
    """Bytes that were sent and not read yet, over all connections with both ends here."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._by_ends: dict[_Ends, int] = {}

    def open(self, ends: _Ends) -> None:
        """A connection has come to be, or is known already."""
        self._by_ends.setdefault(ends, 0)

    def move(self, ends: _Ends, count: int) -> None:
        """Count bytes sent, or with a minus read."""
        if ends in self._by_ends:
            self._by_ends[ends] += count
            self.in_flight += count

    def close(self, ends: _Ends) -> None:
        """Forget a connection of which one end is closed: nobody reads on."""
        self.in_flight -= self._by_ends.pop(ends, 0)


class CountedSocket(socket):
    """A stream's socket, taken over from the one given. `ours`: it is a client's, of this context."""

    __slots__ = ("_ends", "_first", "_ledger", "_traffic")

    def __init__(self, ledger: Ledger, taken: socket, *, ours: bool) -> None:
        family, kind, protocol = taken.family, taken.type, taken.proto
        super().__init__(family, kind, protocol, taken.detach())
        self.setblocking(False)
        self.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # as uvloop has it, which serves otherwise
        self._ledger = ledger
        self._ends = ends_of(self)
        self._traffic = CLIENT.get(None) if ours else None
        self._first = True
        ledger.open(self._ends)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send, and count."""
        sent = super().send(data, flags)
        self._note(0, sent)
        self._ledger.move(self._ends, sent)
        return sent

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read, and count."""
        data = super().recv(size, flags)
        self._read(len(data))
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Read, and count."""
        came = super().recv_into(buffer, size, flags)
        self._read(came)
        return came

    def close(self) -> None:
        """Close, and let go of what was not read."""
        self._ledger.close(self._ends)
        super().close()

    def _read(self, count: int) -> None:
        self._ledger.move(self._ends, -count)
        self._note(count, 0)
        if count:
            # Acknowledged at once: the server looks at that, and the system's timers know no virtual time.
            self.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 1)

    def _note(self, came: int, went: int) -> None:
        if self._traffic is not None and (came or went):
            self._traffic.note(came, went, opened=self._first)
            self._first = False


def direct_socket(ledger: Ledger) -> type[SocketType]:
    """Return a class for the bare sockets by which the server writes past its transports."""

    class Direct(SocketType):
        def send(self, data: Any, flags: int = 0) -> int:
            sent = super().send(data, flags)
            ledger.move(ends_of(self), sent)
            return sent

    return Direct


def ends_of(sock: SocketType) -> _Ends:
    """Return what names a connection, the same at both ends."""
    return frozenset((sock.getsockname(), sock.getpeername()))
