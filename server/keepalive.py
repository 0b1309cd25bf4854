"""Keep-alive: which connections have lost their peer, found out while waking as few watches as can be.

A ping wakes a radio. So a connection is pinged only once it has been silent: nothing came from its peer, and
nothing that was written was confirmed by the peer's system (TCP acknowledges for nothing). How long a silence may
last is the client's to say: by what its subscriptions ask for (`every`, `maxSilence`), on top of the interval. What
goes out and is not confirmed is asked after. And whatever is confirmed, the peer itself is asked now and then, since
a proxy, or a system whose watch has stopped, confirms too.

One timer serves all. Pongs come in elsewhere: the connection notes them.
"""

import asyncio
import math
import struct
from typing import Final

from server.connection import OPEN, Connection
from server.frames import INTERNAL_ERROR, PING, frame

ANSWERED: Final = b""
"""In `connection.ping`, in place of the payload of a ping that was answered; None there: no ping was sent."""
MOST_S: Final = 1800.0
"""The longest silence that is granted, and after which a peer is asked whatever passes; the interval is added."""

_TURNS: Final = 100  # by which a keep-alive interval is divided: bounds how many pings go at once
_LEAST_TURN_S: Final = 0.01


class Rounds:
    """Keep-alive of all connections of a server: they take turns, by one timer, which stops when there are none."""

    __slots__ = ("_interval_s", "_loop", "_most_s", "_timeout_s", "_timer", "_turn_s", "_turns")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, interval_s: float, timeout_s: float, most_s: float = MOST_S
    ) -> None:
        """Look every `interval_s`, and fail a connection that has not answered a ping after `timeout_s`.

        An infinite timeout: never. `most_s` bounds what clients may ask for.
        """
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._most_s = most_s
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
        """Look at a connection; return the seconds until the next turn, None for no more."""
        if connection.state != OPEN:
            return None
        awaited = connection.ping
        if awaited == ANSWERED:
            connection.ping = None
        elif awaited is not None:
            return self._await(connection, awaited, payload)
        if self._lives(connection):
            return self._interval_s
        connection.write(ping, 0)
        connection.pings += 1
        connection.unasked = 0
        if self._timeout_s < math.inf:
            connection.ping = payload
        return min(self._interval_s, self._timeout_s)

    def _lives(self, connection: Connection) -> bool:
        """See what passed since the last look; say whether the peer need not be asked."""
        confirmed = connection.confirmed
        passed = connection.came + max(0, confirmed)
        alive = passed > connection.passed
        late = not alive and 0 <= confirmed < connection.went
        connection.passed = passed
        connection.quiet = 0 if alive else connection.quiet + 1
        connection.unasked += 1
        granted_s = min(connection.patience_s, self._most_s)
        interval_s = self._interval_s - _LEAST_TURN_S / 2
        quiet_s, unasked_s = connection.quiet * self._interval_s, connection.unasked * self._interval_s
        return not late and quiet_s < granted_s + interval_s and unasked_s < self._most_s + interval_s

    def _await(self, connection: Connection, sent: bytes, now: bytes) -> float | None:
        """Go on waiting for the answer to a ping, or fail the connection; both payloads number the turns."""
        if connection.held:
            return self._timeout_s  # it is us who do not read
        left_s = self._timeout_s - (int.from_bytes(now, "big") - int.from_bytes(sent, "big")) * self._turn_s
        if left_s > _LEAST_TURN_S / 2:
            return left_s
        connection.fail(INTERNAL_ERROR, "keepalive ping timeout")
        return None
