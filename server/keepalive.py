"""Keep-alive: pings to all connections of a server, and the end of those that do not answer.

One timer serves all, and a connection keeps nothing but the payload that it is to send back. Pongs
come in elsewhere: the connection notes them.
"""

import asyncio
import math
import struct
from typing import Final

from server.connection import OPEN, Connection
from server.frames import INTERNAL_ERROR, PING, frame

ANSWERED: Final = b""
"""In `connection.ping`, in place of the payload of a ping that was answered; None there: no ping was sent."""

_TURNS: Final = 100  # by which a keep-alive interval is divided: bounds how many pings go at once
_LEAST_TURN_S: Final = 0.01


class Rounds:
    """Keep-alive of all connections of a server: they take turns, by one timer, which stops when there are none."""

    __slots__ = ("_interval_s", "_loop", "_timeout_s", "_timer", "_turn_s", "_turns")

    def __init__(self, loop: asyncio.AbstractEventLoop, interval_s: float, timeout_s: float) -> None:
        """Ping every `interval_s`, and fail a connection that has not answered after `timeout_s`; infinite: never."""
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._loop = loop
        self._turn_s = max(_LEAST_TURN_S, min(interval_s, timeout_s) / _TURNS)
        self._turns: dict[int, list[Connection]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def join(self, connection: Connection) -> None:
        """Give a new connection its turns, the first after the interval; it leaves with its first turn not open."""
        self._add(connection, self._loop.time() + self._interval_s)
        self._wait()

    def _add(self, connection: Connection, at_s: float) -> None:
        self._turns.setdefault(math.ceil(at_s / self._turn_s), []).append(connection)

    def _wait(self) -> None:
        if self._timer is None and self._turns:
            self._timer = self._loop.call_at(min(self._turns) * self._turn_s, self._take_turns)

    def _take_turns(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        now = math.floor(now_s / self._turn_s + 1e-6)  # the timer may come a rounding error early
        payload = struct.pack("!Q", now)
        ping = frame(PING, payload)
        for turn in sorted(turn for turn in self._turns if turn <= now):
            for connection in self._turns.pop(turn):
                rest_s = self._take_turn(connection, payload, ping)
                if rest_s is not None:
                    self._add(connection, now_s + rest_s)
        self._wait()

    def _take_turn(self, connection: Connection, payload: bytes, ping: bytes) -> float | None:
        """Send a ping, or look for its answer; return the seconds until the next turn, None for no more."""
        if connection.state != OPEN:
            return None
        awaited = connection.ping
        if awaited == ANSWERED:
            connection.ping = None
            if self._interval_s > self._timeout_s:
                return self._interval_s - self._timeout_s
        elif awaited is not None:
            if connection.held:
                return self._timeout_s  # it is us who do not read
            left_s = self._left_s(awaited, payload)
            if left_s > _LEAST_TURN_S / 2:
                return left_s
            connection.fail(INTERNAL_ERROR, "keepalive ping timeout")
            return None
        connection.write(ping)
        if self._timeout_s < math.inf:
            connection.ping = payload
        return min(self._interval_s, self._timeout_s)

    def _left_s(self, sent: bytes, now: bytes) -> float:
        """Return the seconds left for the answer to a ping; both are payloads, which number the turns."""
        return self._timeout_s - (int.from_bytes(now, "big") - int.from_bytes(sent, "big")) * self._turn_s
