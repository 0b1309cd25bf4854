"""What crosses between a connection and the session that takes it over: frames down, messages up.

Names of methods only. How frames reach a socket, and what messages say, is known on either side, not here.
"""

from typing import Protocol

from schema.receipt import Tally
from server.frames import NORMAL


class Session(Protocol):
    """What takes a connection over.

    Called in the event loop, never from within its own call of the wire, except by `take_over`; an
    exception is logged and closes the connection with 1011. A session with a true attribute
    `accepts_binary` gets binary messages too; else they close the connection with 1003. Its
    `patience_s`, where it has one, is how long a silence its subscriptions ask for, in seconds.
    """

    def on_message(self, data: bytes, /) -> None:
        """Take a complete message; text is valid UTF-8."""

    @property
    def answering(self) -> bool:
        """True while it owes an answer that should not be cut off."""

    def on_drained(self) -> None:
        """Go on writing: the buffer, once above its high-water mark, fell to its low-water mark."""

    def on_closed(self, code: int, /) -> None:
        """Forget the connection; comes once, and nothing after it.

        The code is the peer's (1005: it gave none), ours where we closed first, 1006 where the
        connection was lost.
        """


class Wire(Protocol):
    """A connection as the session sees it. After its end, calls do nothing."""

    paused: bool
    """Whether the write buffer has passed its high-water mark and not yet fallen to the low one."""

    @property
    def buffered(self) -> int:
        """Bytes written that the system has not taken yet."""

    def take_over(self, session: Session, /) -> None:
        """Give the connection to the session; see DirectWebSocketProtocol."""

    @property
    def tally(self) -> Tally:
        """What has passed so far."""

    def write(self, frame: bytes, messages: int = 1) -> None:
        """Send whole frames of the server, in order of the calls; `messages`: how many of them are messages."""

    def set_limits(self, high: int, low: int) -> None:
        """Set the water marks of the write buffer, bytes."""

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin the closing handshake."""

    def abort(self) -> None:
        """Drop the connection and what is buffered."""
