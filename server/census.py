"""The census: how many connections one process has open, in all, from each address and with each token.

A place is what one connection counts for; whoever has it gives it back. Addresses are those of
server.addresses; sockets and tokens themselves are not known here.
"""

from collections.abc import Container
from typing import Final, NamedTuple

from server.addresses import client_key
from server.refusals import Refusal, too_many_connections

RETRY_S: Final = 5
"""How long somebody waits who finds all places taken, in whole seconds."""


class FullError(Exception):
    """Raised when a place would be one too many; the refusal names the limit and says what to do."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.message} ({refusal.limit})")
        self.refusal = refusal


class CensusStatistics(NamedTuple):
    """What is open now, and was refused since the start."""

    connections: int
    addresses: int
    tokens: int
    refused: dict[str, int]
    """By the limit's name."""


class Census:
    """The places of one process."""

    def __init__(
        self, connections: int, per_address: int, per_token: int, uncounted: Container[str | None] = ()
    ) -> None:
        self._connections = connections
        self._per_address = per_address
        self._per_token = per_token
        self.uncounted = uncounted
        """Addresses that stand for nobody: those of proxies."""
        self._open = 0
        self._addresses: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        self._refused = dict.fromkeys(
            ("max_connections", "max_connections_per_address", "max_connections_per_token"), 0
        )

    def enter(self, address: str | None = None) -> "Place":
        """Return the place of one more connection, from an address if it is known; raise FullError."""
        if self._open >= self._connections:
            raise self._full("max_connections", self._connections, "on this server", "try again in a moment")
        place = Place(self)
        if address is not None:
            place.name_address(address)
        self._open += 1
        place.counted = True
        return place

    def visit(self, address: str | None = None, token: str | None = None) -> "Place":
        """Return a place for a part of a connection's time: it counts for these, not among all; raise FullError."""
        place = Place(self)
        try:
            if address is not None:
                place.name_address(address)
            if token is not None:
                place.name_token(token)
        except FullError:
            place.leave()
            raise
        return place

    def statistics(self) -> CensusStatistics:
        """Return what is open now, and was refused since the start."""
        return CensusStatistics(self._open, len(self._addresses), len(self._tokens), dict(self._refused))

    # --- called by places ---

    def add_address(self, key: str) -> None:
        """Count a connection from an address; raise FullError."""
        if self._addresses.get(key, 0) >= self._per_address:
            limit = "max_connections_per_address"
            raise self._full(limit, self._per_address, "from this address", "close some first")
        self._addresses[key] = self._addresses.get(key, 0) + 1

    def add_token(self, token: str) -> None:
        """Count a connection with a token; raise FullError."""
        if self._tokens.get(token, 0) >= self._per_token:
            raise self._full("max_connections_per_token", self._per_token, "with this token", "close one first")
        self._tokens[token] = self._tokens.get(token, 0) + 1

    def leave(self, place: "Place") -> None:
        """Count a connection no more."""
        if place.counted:
            place.counted = False
            self._open -= 1
        _drop(self._addresses, place.address)
        _drop(self._tokens, place.token)
        place.address = place.token = None

    def drop_token(self, token: str | None) -> None:
        """Count a connection with a token no more."""
        _drop(self._tokens, token)

    def _full(self, limit: str, most: int, where: str, way_out: str) -> FullError:
        self._refused[limit] += 1
        return FullError(too_many_connections(limit, most, where, way_out, RETRY_S))


class Place:
    """What one connection counts for."""

    __slots__ = ("_census", "address", "counted", "token")

    def __init__(self, census: Census) -> None:
        self._census = census
        self.address: str | None = None
        """What it is counted by, once it is named."""
        self.token: str | None = None
        self.counted = False
        """It counts among all."""

    def name_address(self, host: str | None) -> None:
        """Count it for the address of its client too, unless it does already; raise FullError."""
        if self.address is None and host not in self._census.uncounted:
            key = client_key(host)
            self._census.add_address(key)
            self.address = key

    def name_token(self, token: str) -> None:
        """Count it for a token, and no more for the one before; raise FullError, and all stays as it was."""
        if token != self.token:
            self._census.add_token(token)
            self._census.drop_token(self.token)
            self.token = token

    def leave(self) -> None:
        """Give the place back; the second time does nothing."""
        self._census.leave(self)


def _drop(counts: dict[str, int], key: str | None) -> None:
    if key is None:
        return
    rest = counts[key] - 1
    if rest:
        counts[key] = rest
    else:
        del counts[key]
