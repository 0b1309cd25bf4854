"""What can go wrong with a configuration, and between us and NATS."""


class ConfigurationError(Exception):
    """Raised when something cannot work as it is configured; the text says what and what to do.

    The base of such errors in every folder: a command that meets one ends with exit code 2.
    """


class BusError(Exception):
    """Raised when NATS did not do what was asked; those below say which kind."""


class UnavailableError(BusError):
    """Raised when no answer came in time: whether a message was stored is not known."""


class ConflictError(BusError):
    """Raised when a subject holds another last message than expected: someone else wrote."""


class RefusedError(BusError, ConfigurationError):
    """Raised when NATS does not allow what was asked: the text says who may not publish or subscribe to what."""

    def __init__(self, text: str, subject: str) -> None:
        super().__init__(text)
        self.subject = subject
