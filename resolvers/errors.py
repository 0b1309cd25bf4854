"""What can go wrong between a question and its answer.

ResolverError
├── NotFoundError      what was asked for does not exist, or the asker may not know that it does
└── NotReadyError      the answer is not here yet
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
