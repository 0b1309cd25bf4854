"""Limits of a server: values alone, frozen. All of them hold per process, so several servers allow so much more."""

from dataclasses import dataclass, field

from schema.limits import DocumentLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a server takes from its clients. A setting's name is `max_` and the name here, unless it is a time.

    An address is the client's; of IPv6 its network (/64), which one customer has as a whole.
    """

    documents: DocumentLimits = field(default_factory=DocumentLimits)
    connections: int = 10_000
    """Open at a time, of any kind."""
    connections_per_address: int = 1_000
    """Homes behind one carrier's address translation are many."""
    connections_per_token: int = 20
    """WebSockets and event streams."""
    requests_per_second: int = 100
    """From one address, over 10 s."""
    messages_per_second: int = 50
    """On one WebSocket, over 4 s."""
    message_bytes: int = 64 * 1024
    """Of one WebSocket message."""
    body_bytes: int = 64 * 1024
    """Of one HTTP request."""
    header_bytes: int = 32 * 1024
    """Of the head of one HTTP request."""
    operations: int = 100
    """Open on one WebSocket."""
    init_timeout_s: float = 10.0
    """For a WebSocket to send connection_init."""
    idle_timeout_s: float = 300.0
    """For a WebSocket without operations to send anything."""
    request_timeout_s: float = 10.0
    """For an HTTP request to arrive: its head, and then its body."""
