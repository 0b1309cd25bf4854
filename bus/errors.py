"""What a process cannot start or go on with: its configuration."""


class ConfigurationError(Exception):
    """Raised when something cannot work as it is configured; the text says what and what to do.

    The base of such errors in every folder: a command that meets one ends with exit code 2.
    """
