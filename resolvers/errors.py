"""What can go wrong between a question and its answer.

ResolverError
├── NotFoundError      what was asked for does not exist, or the asker may not know that it does
├── NotReadyError      the answer is not here yet
├── CursorExpiredError the cursor stands for what is no longer kept
└── TooSlowError       more waits for a subscription than is kept for it
"""


class ResolverError(Exception):
    """Raised when a question has no answer; the text may be shown to whoever asked."""


class NotFoundError(ResolverError):
    """Raised when no community or home has the id that was asked for."""

    def __init__(self, what: str, key: str) -> None:
        shown = key if len(key) <= 80 else key[:80] + "…"
        super().__init__(f"there is no {what} {shown!r}")


class NotReadyError(ResolverError):
    """Raised when the registry is not read yet, or NATS did not answer; asking again may help."""


class CursorExpiredError(ResolverError):
    """Raised when alerts after a cursor are gone; `oldest` is the oldest cursor that still works."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"alerts after this cursor are not kept any more; the oldest cursor that works is {oldest}")
        self.oldest = oldest


class TooSlowError(ResolverError):
    """Raised when alerts came faster than they were taken; `cursor` is where to resume."""

    def __init__(self, cursor: int) -> None:
        super().__init__(f"more alerts wait than are kept for one subscription; resume after the cursor {cursor}")
        self.cursor = cursor
