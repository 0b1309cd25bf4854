"""A message as a stream holds it."""

from datetime import datetime
from typing import NamedTuple

from nats.aio.msg import Msg


class Stored(NamedTuple):
    """A stored message: its subject, stream sequence, JetStream time (ms since 1970 UTC) and data."""

    subject: str
    sequence: int
    time_ms: int
    data: bytes


def from_direct_get(reply: Msg) -> Stored | None:
    """Return the message in a direct-get reply, or None where it says that there is none."""
    headers = reply.headers or {}
    if "Nats-Sequence" not in headers:
        return None
    at = datetime.fromisoformat(headers["Nats-Time-Stamp"][:26].rstrip("Z") + "+00:00")
    return Stored(headers["Nats-Subject"], int(headers["Nats-Sequence"]), int(at.timestamp() * 1000), reply.data)
