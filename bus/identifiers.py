"""Identifiers and subjects: the only place where a string becomes a NATS subject.

Identifiers are lower-case `[a-z0-9-]{1,64}`; nothing else ever reaches a subject, so no
identifier can add a token, a wildcard or a space to one.
"""

import re
from typing import Annotated, Final

from pydantic import StringConstraints

from bus.errors import ConfigurationError

ID_PATTERN: Final = r"^[a-z0-9-]{1,64}$"
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]

TICK_SUBJECT: Final = "readings.tick"

COMMUNITY_ALERTS: Final = "community"
"""Stands in a subject where a home would, for alerts that concern all homes; no home may have this id."""

_matches = re.compile(r"[a-z0-9-]{1,64}").fullmatch


class InvalidIdError(ConfigurationError, ValueError):
    """Raised when a string cannot be an identifier."""

    def __init__(self, value: str) -> None:
        super().__init__(f"{value[:80]!r} is not an identifier: 1 to 64 of the characters a-z, 0-9 and '-' are allowed")


def check_id(value: str) -> str:
    """Return `value` if it is an identifier; raise InvalidIdError otherwise."""
    if _matches(value) is None:
        raise InvalidIdError(value)
    return value


def is_id(value: str) -> bool:
    """Say whether `value` is an identifier."""
    return _matches(value) is not None


def reading_subject(community: str, meter: str) -> str:
    """Return the subject of a meter's readings."""
    return f"readings.{check_id(community)}.{check_id(meter)}"


def live_subject(community: str) -> str:
    """Return the subject of a community's frames."""
    return f"live.{check_id(community)}"


def intervals_subject(community: str) -> str:
    """Return the subject of a community's settled intervals."""
    return f"intervals.{check_id(community)}"


def alerts_subject(community: str, home: str) -> str:
    """Return the subject of a home's alerts."""
    return f"alerts.{check_id(community)}.{check_id(home)}"


def rejected_subject(community: str, meter: str) -> str:
    """Return the subject of refused readings; parts that are no identifiers become `invalid`."""
    return f"rejected.{community if is_id(community) else 'invalid'}.{meter if is_id(meter) else 'invalid'}"


def home_key(community: str, home: str) -> str:
    """Return the id of a home as clients see it: opaque to them, `<community>.<home>` inside."""
    return f"{community}.{home}"


def split_home_key(key: str) -> tuple[str, str] | None:
    """Return (community, home) of a client's home id, or None if it cannot be one."""
    community, dot, home = key.partition(".")
    if dot and is_id(community) and is_id(home):
        return community, home
    return None
