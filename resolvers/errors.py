"""What can go wrong between a question and its answer.

ResolverError
├── NotFoundError       what was asked for does not exist, or the asker may not know that it does
├── NotReadyError       the answer is not here yet
├── CursorExpiredError  the cursor stands for what is no longer kept
├── TooSlowError        more waits for a subscription than is kept for it
├── PairingError        no device can be paired, listed or removed by whoever asks
├── UserCodeError       no device waits with a code
├── TooManyCodesError   whoever asks gave too many wrong codes
├── TooManyDevicesError a home has as many devices as it may have
└── GrantError          a device gets no token, or not yet
"""

from math import ceil


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


class PairingError(ResolverError):
    """Raised when whoever asks can have nothing to do with the pairing of devices; the text says why."""


class UserCodeError(ResolverError):
    """Raised when no device waits with the code that was given: it is wrong, expired, or was answered."""

    def __init__(self, code: str) -> None:
        shown = code if len(code) <= 20 else code[:20] + "…"
        super().__init__(
            f"no device waits with the code {shown!r}: compare it with what the device shows; "
            "a code lives for 10 minutes and works once, then the device shows a new one"
        )


class TooManyCodesError(ResolverError):
    """Raised when somebody gave as many wrong codes as are allowed; `retry_s`: when the next one is."""

    def __init__(self, most: int, retry_s: float) -> None:
        super().__init__(f"{most} wrong codes an hour are allowed; try again in {ceil(retry_s / 60)} min")
        self.retry_s = retry_s


class TooManyDevicesError(ResolverError):
    """Raised when a home has as many devices as are allowed."""

    def __init__(self, home: str, most: int) -> None:
        super().__init__(f"home {home!r} has {most} devices, the most that it may have; remove one first")


class GrantError(ResolverError):
    """Raised when a device gets no token, or not yet; `code` is the error of RFC 6749, 5.2, or RFC 8628, 3.5."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
