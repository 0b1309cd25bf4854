"""Keep-alive: which connections have lost their peer, found out while waking as few watches as can be.

A ping wakes a radio. So a connection is pinged only once it has been silent: nothing came from its peer, and
nothing that was written was confirmed by the peer's system (TCP acknowledges for nothing). How long a silence may
last is the client's to say: by what its subscriptions ask for (`every`, `maxSilence`), on top of the interval. What
goes out and is not confirmed for an interval is asked after. And whatever is confirmed, the peer itself must be
heard now and then, since a proxy, or a system whose watch has stopped, confirms too.

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
"""The longest silence that is granted, and for how long a peer may say nothing itself; the interval is added."""

_TURNS: Final = 100  # by which a keep-alive interval is divided: bounds how many pings go at once
_LEAST_TURN_S: Final = 0.01


class _Vigil:
    """What is known of one connection: what had passed when it was looked at last, and how many looks ago it lived."""

    __slots__ = ("came", "confirmed", "connection", "quiet", "unheard", "went")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.came, self.went, self.confirmed = connection.came, connection.went, 0
        self.quiet = 0
        """Looks in a row that found no sign of life."""
        self.unheard = 0
        """Looks in a row that found nothing from the peer itself."""

    def look(self) -> bool:
        """See what passed since the last look; return whether what had gone out by then is still not confirmed."""
        connection = self.connection
        came, went, confirmed = connection.came, connection.went, self.confirmed
        if went != confirmed:
            confirmed = connection.confirmed
        heard = came != self.came
        late = not heard and 0 <= confirmed < self.went
        self.unheard = 0 if heard else self.unheard + 1
        self.quiet = 0 if heard or confirmed > self.confirmed else self.quiet + 1
        self.came, self.went, self.confirmed = came, went, confirmed
        return late


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
        self._turns: dict[int, list[_Vigil]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def join(self, connection: Connection) -> None:
        """Give a new connection its turns, the first after the interval; it leaves with its first turn not open."""
        self._add(_Vigil(connection), self._loop.time() + self._interval_s)
        self._wait()

    def _add(self, vigil: _Vigil, at_s: float) -> None:
        self._turns.setdefault(math.ceil(at_s / self._turn_s), []).append(vigil)

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
            for vigil in self._turns.pop(turn):
                rest_s = self._take_turn(vigil, payload, ping)
                if rest_s is not None:
                    self._add(vigil, now_s + rest_s)
        self._wait()

    def _take_turn(self, vigil: _Vigil, payload: bytes, ping: bytes) -> float | None:
        """Look at a connection; return the seconds until the next turn, None for no more."""
        connection = vigil.connection
        if connection.state != OPEN:
            return None
        awaited = connection.ping
        if awaited == ANSWERED:
            connection.ping = None
        elif awaited is not None:
            return self._await(connection, awaited, payload)
        late = vigil.look()
        if not late and not self._is_too_long(vigil):
            return self._interval_s
        connection.write(ping, 0)
        connection.pings += 1
        if self._timeout_s < math.inf:
            connection.ping = payload
        return min(self._interval_s, self._timeout_s)

    def _is_too_long(self, vigil: _Vigil) -> bool:
        """Say whether a silence is longer than the connection's subscriptions ask for, or than is granted."""
        granted_s = min(vigil.connection.patience_s, self._most_s)
        looks_s = self._interval_s - _LEAST_TURN_S / 2  # so many looks are not one too few by a rounding error
        quiet_s, unheard_s = vigil.quiet * self._interval_s, vigil.unheard * self._interval_s
        return quiet_s >= granted_s + looks_s or unheard_s >= self._most_s + looks_s

    def _await(self, connection: Connection, sent: bytes, now: bytes) -> float | None:
        """Go on waiting for the answer to a ping, or fail the connection; both payloads number the turns."""
        if connection.held:
            return self._timeout_s  # it is us who do not read
        left_s = self._timeout_s - (int.from_bytes(now, "big") - int.from_bytes(sent, "big")) * self._turn_s
        if left_s > _LEAST_TURN_S / 2:
            return left_s
        connection.fail(INTERNAL_ERROR, "keepalive ping timeout")
        return None
