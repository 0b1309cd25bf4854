"""What is said while NATS is waited for: why, and not more often than every few seconds."""

import time
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_SAY_EVERY_S: Final = 5.0


class Waiting:
    """A connection that waits for NATS."""

    def __init__(self) -> None:
        self.reason = ""
        """Why NATS does not do what is asked, if it is reached at all."""
        self._said = 0.0

    def say(self, why: Exception | str) -> None:
        """Log what is waited for, unless it was just said."""
        text = str(why) or type(why).__name__
        if not isinstance(why, ConnectionError | TimeoutError):
            self.reason = text
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY_S:
            self._said = now
            log.warning("waiting for NATS", reason=text)
