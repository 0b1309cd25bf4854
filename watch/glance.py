"""What one result says: the fields of a screen's document, checked, with their units.

The `data` of a GraphQL result comes in as the network gave it; a frozen Glance goes out. Anything that is not of
the form the document asked for raises GarbledError, so that no face ever meets nonsense. No clock, no network.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from watch.news import printable


class Light(StrEnum):
    """The answer at a glance; what the server may add later reads as UNKNOWN."""

    GREEN = "GREEN"
    YELLOW = "YELLOW"
    RED = "RED"
    UNKNOWN = "UNKNOWN"


class Trend(StrEnum):
    """Where the surplus of the community is going."""

    RISING = "RISING"
    STEADY = "STEADY"
    FALLING = "FALLING"


class GarbledError(ValueError):
    """Raised when a result is not of the form that the document asked for; the message names the field."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What both screens show. Null on the wire is None: not known, or not there."""

    light: Light
    surplus_w: float | None  # + the community gives to the grid
    shared_w: float | None  # a home: what it uses of others'; a community: what is shared within
    trend: Trend | None
    measured_at: datetime | None
    self_sufficiency: float | None  # 0..1

    @property
    def fresh(self) -> bool:
        """Whether the server holds these figures for current: staleness shows in the light."""
        return self.light is not Light.UNKNOWN


@dataclass(frozen=True, slots=True)
class HomeGlance(Glance):
    """What the home screen shows, the fields of home.graphql."""

    net_w: float | None  # + the home draws from the grid
    quality: str | None

    @property
    def fresh(self) -> bool:
        """Whether the server holds these figures for current: staleness shows in light or quality."""
        return self.light is not Light.UNKNOWN and self.quality == "MEASURED"


@dataclass(frozen=True, slots=True)
class CommunityGlance(Glance):
    """What the community screen shows, the fields of community.graphql."""

    homes_reporting: int | None
    homes_total: int | None


def read_home(data: Mapping[str, Any]) -> HomeGlance:
    """Read the data of home.graphql; raises GarbledError."""
    home = _Fields(data).below("home")
    community = home.below("community")
    return HomeGlance(
        light=home.light("light"),
        surplus_w=community.number("surplusPower"),
        trend=community.trend("trend"),
        shared_w=home.number("sharedPower"),
        net_w=home.number("netPower"),
        measured_at=home.time("measuredAt"),
        self_sufficiency=home.number("selfSufficiency"),
        quality=home.word("quality"),
    )


def read_community(data: Mapping[str, Any]) -> CommunityGlance:
    """Read the data of community.graphql; raises GarbledError."""
    community = _Fields(data).below("community")
    return CommunityGlance(
        light=community.light("light"),
        surplus_w=community.number("surplusPower"),
        shared_w=community.number("sharedPower"),
        trend=community.trend("trend"),
        measured_at=community.time("measuredAt"),
        self_sufficiency=community.number("selfSufficiency"),
        homes_reporting=community.count("homesReporting"),
        homes_total=community.count("homesTotal"),
    )


class _Fields:
    """One object of a result, read field by field; the path names the place in an error."""

    def __init__(self, fields: object, path: str = "") -> None:
        if not isinstance(fields, Mapping):
            raise GarbledError(f"{path or 'data'} is {_shown(fields)}, expected an object")
        self._fields = fields
        self._path = path

    def below(self, name: str) -> "_Fields":
        return _Fields(self._get(name), self._at(name))

    def number(self, name: str) -> float | None:
        value = self._get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e15:
            raise self._wrong(name, value, "a number")
        if not math.isfinite(value):
            raise self._wrong(name, value, "a finite number")
        return float(value)

    def count(self, name: str) -> int | None:
        value = self.number(name)
        if value is not None and (value < 0 or value != int(value)):
            raise self._wrong(name, value, "a count")
        return None if value is None else int(value)

    def word(self, name: str) -> str | None:
        value = self._get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, value, "a word")
        return None if value is None else printable(value, 24)

    def light(self, name: str) -> Light:
        word = self.word(name)
        return Light(word) if word in set(Light) else Light.UNKNOWN

    def trend(self, name: str) -> Trend | None:
        word = self.word(name)
        return Trend(word) if word in set(Trend) else None

    def time(self, name: str) -> datetime | None:
        value = self._get(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        except ValueError as error:
            raise self._wrong(name, value, "an RFC 3339 time") from error
        if moment.tzinfo is None:
            raise self._wrong(name, value, "a time with its zone")
        return moment.astimezone(UTC)

    def _get(self, name: str) -> object:
        if name not in self._fields:
            raise GarbledError(f"{self._at(name)} is missing")
        value: object = self._fields[name]
        return value

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _wrong(self, name: str, value: object, expected: str) -> GarbledError:
        return GarbledError(f"{self._at(name)} is {_shown(value)}, expected {expected}")


def _shown(value: object) -> str:
    return printable(repr(value), 40)
