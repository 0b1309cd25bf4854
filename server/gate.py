"""The gate: what bounds all connections of one server, and the one timer that looks after the slow and the idle.

It knows addresses and times. What is said on a connection is known elsewhere; each registers here
itself, and is told of the time.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from starlette.types import Scope

from schema.context import Context
from server.addresses import Proxies
from server.census import Census, Place
from server.documents import is_operator
from server.frames import NORMAL
from server.limits import Limits

EXTENSION: Final = "commonwatt.place"
"""The name in `scope["extensions"]`; the value is the connection's Place."""
MESSAGES_BURST_S: Final = 4
"""Over which messages of a WebSocket are counted."""
_LOOK_S: Final = 1.0
_IDLE_LOOKS: Final = 10  # so many within the idle time
_ROUNDING_S: Final = 1e-6


@contextmanager
def visiting(census: Census, scope: Scope, token: str | None) -> Iterator[Place]:
    """Count a request that lasts, for its client's address and its viewer's token; raise FullError.

    An address that its connection counts for already is not counted again.
    """
    place: Place | None = (scope.get("extensions") or {}).get(EXTENSION)
    client = scope.get("client")
    counted = place is not None and place.address is not None
    visit = census.visit(None if counted or not client else client[0], token)
    try:
        yield visit
    finally:
        visit.leave()


def counted_token(context: Context) -> str | None:
    """Return by what a viewer's connections are counted; None for operators, who run what serves others."""
    viewer = context.viewer
    if viewer is None or is_operator(context):
        return None
    return viewer.token or viewer.subject


class Request(Protocol):
    """A connection for HTTP."""

    def look(self, now_s: float) -> None:
        """End it if what it awaits is late, in the loop's time."""


class Socket(Protocol):
    """A WebSocket."""

    heard_s: float
    """When its last message came, in the loop's time, and later the more came at once: the gate's to count by."""

    @property
    def busy(self) -> bool:
        """Whether something is open on it, so that its silence means nothing."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""


class Gate:
    """What the connections of one server share."""

    def __init__(self, limits: Limits, proxies: Proxies | None = None) -> None:
        self.limits = limits
        self.census = Census(
            limits.connections, limits.connections_per_address, limits.connections_per_token, proxies or Proxies()
        )
        self.refused = 0
        """Connections open that are let in only to be told that they are too many."""
        self._requests: set[Request] = set()
        self._sockets: set[Socket] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._idle_at_s = 0.0

    def enter(self, host: str | None) -> Place:
        """Return the place of a connection; raise FullError. A proxy's own address counts for nobody."""
        return self.census.enter(host)

    def may_refuse(self) -> bool:
        """Say whether there is room to tell one more connection that it is one too many; else it is just dropped."""
        return self.refused < max(1, self.limits.connections // 10)

    def join_request(self, connection: Request) -> None:
        """Have a connection for HTTP look at the time every second."""
        self._requests.add(connection)
        self._look_later()

    def leave_request(self, connection: Request) -> None:
        """Forget a connection for HTTP."""
        self._requests.discard(connection)

    def join(self, socket: Socket, now_s: float) -> None:
        """Count the messages of a WebSocket, and end it when it is idle."""
        socket.heard_s = now_s
        self._sockets.add(socket)
        self._look_later()

    def leave(self, socket: Socket) -> None:
        """Forget a WebSocket."""
        self._sockets.discard(socket)

    def takes_message(self, socket: Socket, now_s: float) -> bool:
        """Count a message; say whether it is not one too many."""
        socket.heard_s = max(socket.heard_s, now_s) + 1 / self.limits.messages_per_second
        return socket.heard_s - now_s <= MESSAGES_BURST_S + _ROUNDING_S

    def look(self, now_s: float) -> None:
        """End what is late, and now and then what is idle."""
        for connection in list(self._requests):
            connection.look(now_s)
        if now_s >= self._idle_at_s:
            self._idle_at_s = now_s + self.limits.idle_timeout_s / _IDLE_LOOKS
            most_s = self.limits.idle_timeout_s
            for socket in [one for one in self._sockets if now_s - one.heard_s >= most_s and not one.busy]:
                socket.close(NORMAL, f"idle for {most_s:g} s (idle_timeout): connect again to ask for something")

    def _look_later(self) -> None:
        if self._timer is None and (self._requests or self._sockets):
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        try:
            self.look(asyncio.get_running_loop().time())
        finally:
            self._look_later()
