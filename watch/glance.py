"""What one result says: each screen's fields, checked, with their units.

The object of a GraphQL result comes in as the network gave it; a frozen glance goes out. Anything that is not of
the form the document asked for raises GarbledError, so that no face ever meets nonsense. Each field names its
place in the document; tests hold them to be the document's, and their types the schema's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints

from watch.events import Kind, Screen
from watch.text import printable

_MOST_HOURS: Final = 48
_LONGEST: Final = 80


class Light(StrEnum):
    """The answer at a glance; what the server may add later reads as UNKNOWN."""

    GREEN = "GREEN"
    YELLOW = "YELLOW"
    RED = "RED"
    UNKNOWN = "UNKNOWN"


class Trend(StrEnum):
    """Where the surplus of the community is going; what the server may add later reads as None."""

    RISING = "RISING"
    STEADY = "STEADY"
    FALLING = "FALLING"


class GarbledError(ValueError):
    """Raised when a result is not of the form that the document asked for; the message names the field."""


@dataclass(frozen=True)
class Glance:
    """What every screen shows. Null on the wire is None: not known, or not there."""

    light: Annotated[Light, "light"]
    measured_at: Annotated[datetime | None, "measuredAt"]

    @property
    def current(self) -> bool:
        """Whether the server holds these figures for current: staleness shows in the light."""
        return self.light is not Light.UNKNOWN


@dataclass(frozen=True)
class _OfHome(Glance):
    quality: Annotated[str, "quality"]

    @property
    def current(self) -> bool:
        """Whether the server holds these figures for current: staleness shows in light or quality."""
        return self.light is not Light.UNKNOWN and self.quality == "MEASURED"


@dataclass(frozen=True)
class _Today:
    imported_wh: Annotated[float | None, "today.imported"]
    shared_wh: Annotated[float | None, "today.shared"]
    saved: Annotated[str | None, "today.saved"]  # exact decimal, in minor units of the currency: + a gain
    currency: Annotated[str | None, "today.currency"]


@dataclass(frozen=True)
class HomeGlance(_OfHome):
    """A home's first screen, the fields of HomeGlance."""

    surplus_w: Annotated[float, "community.surplusPower"]  # + the community gives to the grid
    share_w: Annotated[float | None, "sharedPower"]  # what it uses of others'
    trend: Annotated[Trend | None, "community.trend"]


@dataclass(frozen=True)
class CommunityGlance(Glance):
    """A community's first screen, the fields of CommunityGlance."""

    surplus_w: Annotated[float, "surplusPower"]  # + it gives to the grid
    share_w: Annotated[float, "sharedPower"]  # what is shared within
    trend: Annotated[Trend | None, "trend"]


@dataclass(frozen=True)
class HomeToday(_Today, _OfHome):
    """A home's second screen, the fields of HomeToday: energy since local midnight."""


@dataclass(frozen=True)
class CommunityToday(_Today, Glance):
    """A community's second screen, the fields of CommunityToday: energy since local midnight."""


@dataclass(frozen=True)
class ExpectedHour:
    """One hour to come: what is expected of it, and how probable a surplus is, 0 to 1."""

    start: Annotated[datetime, "start"]
    end: Annotated[datetime, "end"]
    surplus_wh: Annotated[float, "surplus"]  # + the community gives to the grid
    sure: Annotated[float, "sure"]


@dataclass(frozen=True)
class _Hours:
    """What a forecast says is current until the next one, and has no light."""

    @property
    def light(self) -> None:
        """None: a forecast is not of now."""

    @property
    def measured_at(self) -> None:
        """None: nobody measures what is to come."""

    @property
    def current(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True)
class HomeHours(_Hours):
    """A home's third screen, the fields of HomeHours: when its community will probably have a surplus."""

    hours: Annotated[tuple[ExpectedHour, ...] | None, "community.bestHours.hours"]  # in order of time
    reason: Annotated[str | None, "community.bestHours.reason"]  # why there is no forecast


@dataclass(frozen=True)
class CommunityHours(_Hours):
    """A community's third screen, the fields of CommunityHours: when it will probably have a surplus."""

    hours: Annotated[tuple[ExpectedHour, ...] | None, "bestHours.hours"]  # in order of time
    reason: Annotated[str | None, "bestHours.reason"]  # why there is no forecast


Reading = HomeGlance | CommunityGlance | HomeToday | CommunityToday | HomeHours | CommunityHours
R = TypeVar("R", bound=Reading)

FORMS: Final[Mapping[tuple[Kind, Screen], type[Reading]]] = {
    ("home", Screen.GLANCE): HomeGlance,
    ("home", Screen.TODAY): HomeToday,
    ("community", Screen.GLANCE): CommunityGlance,
    ("community", Screen.TODAY): CommunityToday,
    ("home", Screen.HOURS): HomeHours,
    ("community", Screen.HOURS): CommunityHours,
}


def places(form: Any) -> Mapping[str, tuple[str, Any]]:
    """Return where in the document each field of a form is, and its type."""
    return _places(form)


def read(form: type[R], state: object) -> R:
    """Read what a result says of a home or a community; raises GarbledError."""
    return form(**{name: _read(hint, state, path) for name, (path, hint) in places(form).items()})


@cache
def _places(form: Any) -> Mapping[str, tuple[str, Any]]:
    hints = get_type_hints(form, include_extras=True)
    return {name: (hint.__metadata__[0], get_args(hint)[0]) for name, hint in hints.items()}


def _read(hint: Any, state: object, path: str) -> Any:
    *above, name = path.split(".")
    nullable = type(None) in get_args(hint)
    trail = ""
    for step in above:
        state = _get(state, step, trail)
        trail = f"{trail}{step}."
        if state is None and nullable:
            return None
    value = _get(state, name, trail)
    wanted = next((each for each in get_args(hint) if each is not type(None)), hint)
    if value is None:
        if not nullable:
            raise GarbledError(f"{path} is null, which it never is")
        return None
    return _READERS[wanted](path, value)


def _get(state: object, name: str, trail: str) -> object:
    if not isinstance(state, Mapping):
        raise GarbledError(f"{trail.rstrip('.') or 'it'} is {_shown(state)}, expected an object")
    if name not in state:
        raise GarbledError(f"{trail}{name} is missing")
    value: object = state[name]
    return value


def _number(path: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e15:
        raise _wrong(path, value, "a number")
    if not math.isfinite(value):
        raise _wrong(path, value, "a finite number")
    return float(value)


def _word(path: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(path, value, "a word")
    return printable(value, _LONGEST)


def _light(path: str, value: object) -> Light:
    word = _word(path, value)
    return Light(word) if word in set(Light) else Light.UNKNOWN


def _trend(path: str, value: object) -> Trend | None:
    word = _word(path, value)
    return Trend(word) if word in set(Trend) else None


def _hours(path: str, value: object) -> tuple[ExpectedHour, ...]:
    if not isinstance(value, list):
        raise _wrong(path, value, "a list")
    return tuple(
        ExpectedHour(**{name: _read(hint, each, where) for name, (where, hint) in places(ExpectedHour).items()})
        for each in value[:_MOST_HOURS]
    )


def _time(path: str, value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _wrong(path, value, "an RFC 3339 time") from error
    raise _wrong(path, value, "a time with its zone")


_READERS: Final[Mapping[Any, Any]] = {
    float: _number,
    str: _word,
    Light: _light,
    Trend: _trend,
    datetime: _time,
    tuple[ExpectedHour, ...]: _hours,
}


def _wrong(path: str, value: object, expected: str) -> GarbledError:
    return GarbledError(f"{path} is {_shown(value)}, expected {expected}")


def _shown(value: object) -> str:
    return printable(repr(value), 40)
