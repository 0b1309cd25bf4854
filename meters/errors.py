"""What can be wrong with what a source of readings is given."""

from bus.errors import ConfigurationError


class MetersError(ConfigurationError, ValueError):
    """Raised when a source of readings cannot do what it is asked; the two below say why."""


class OptionError(MetersError):
    """Raised when an option, or its combination with what is registered or stored, does not work."""


class RecordingError(MetersError):
    """Raised when recorded data is not as its format says; the text names file, line and column."""
