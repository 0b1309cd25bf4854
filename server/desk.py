"""The desk: what the sessions of a process share, and what each of them writes to.

Handed to each session; it holds no session itself.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from schema.receipt import Tally
from server import groups
from server.documents import Documents
from server.errands import Work
from server.hub import Hub
from server.signin import Guard, SignIn


class Wire(groups.Wire, Protocol):
    """The connection that a session writes to."""

    @property
    def tally(self) -> Tally | None:
        """What has passed so far; None where nobody counts."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection with a code and a reason of at most 123 bytes."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the sessions of a process share."""

    documents: Documents
    hub: Hub
    sign_in: SignIn
    guard: Guard
    work: Work
    max_operations: int
    init_timeout_s: float
    opened: Callable[[], None]
    closed: Callable[[], None]
    tallied: Callable[[Tally], None] = lambda _: None
    """Takes what has passed on a connection that is over."""
    wall: Callable[[], float] = time.time
