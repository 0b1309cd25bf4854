"""A connection as the parts of the server that work for it see it: its state, and what they may ask of it.

Names only; server.websocket has the connection itself, and knows these parts. They know nothing of it.
"""

import logging
from typing import Final, Protocol

from server.handshake import Headers

# Ordered: from FLUSHING on, nothing that the peer sends counts.
CONNECTING: Final = 0
"""The upgrade request is not answered yet."""
OPEN: Final = 1
"""Frames go both ways."""
CLOSING: Final = 2
"""Our close frame is out, the peer's is awaited."""
FLUSHING: Final = 3
"""Nothing more will be said; the transport ends."""
CLOSED: Final = 4
"""The transport has ended."""


class Connection(Protocol):
    """A connection as the ASGI application on it and the keep-alive see it."""

    state: int
    """One of CONNECTING to CLOSED; theirs to read."""
    ping: bytes | None
    """What keep-alive notes here, and the peer's pong answers; see server.keepalive."""
    pings: int
    """How many keep-alive sent; its to count, as are the next three."""
    passed: int
    """Bytes that had come or been confirmed by its last look."""
    quiet: int
    """Looks in a row that found no sign of life."""
    unasked: int
    """Looks since the last ping."""
    came: int
    """Bytes from the peer."""
    went: int
    """Bytes written."""

    @property
    def confirmed(self) -> int:
        """Bytes written that the system of the peer has confirmed; -1 where nobody tells."""

    @property
    def patience_s(self) -> float:
        """For how long its subscriptions ask to hear nothing; 0: for no time at all."""

    @property
    def held(self) -> bool:
        """Whether the socket is not read until the application has taken what waits."""

    @property
    def logger(self) -> logging.Logger:
        """Where the server logs."""

    def accept(self, key: bytes, subprotocol: str | None, headers: Headers, early: bytes) -> None:
        """Accept the upgrade request that had this key, and go on with the frames that came early."""

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer the upgrade request with a plain response, and end."""

    def write(self, frame: bytes, messages: int = 1) -> None:
        """Send whole frames of the server, in order of the calls; `messages`: how many of them are messages."""

    def read_on(self) -> None:
        """Read from the socket again."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""

    def fail(self, code: int, reason: str) -> None:
        """Close without awaiting an answer (RFC 6455, 7.1.7)."""

    def returned(self, *, failed: bool) -> None:
        """Note that the application's task ended."""
