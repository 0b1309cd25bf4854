"""A gateway's plan: a TOML file that says which source each meter is read from.

[[meter]]
community = "sonnenhang"
meter = "bakery-grid"
source = "p1:tcp:10.0.0.5:2001"

[[meter]]
community = "sonnenhang"
meter = "mill-grid"
source = "sml:serial:/dev/ttyUSB0"
every = 10                  # seconds of which one reading is published; 0, or absent: all are
epoch = "2027"              # in place of the serial number that the meter says
zone = "Europe/Vienna"      # where a P1 meter's clock is, if not where meters of its kind are
"""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bus.community import describe
from bus.identifiers import Id
from meters.errors import OptionError
from meters.gateways.feed import Feed, Place
from meters.gateways.runner import MOST_METERS
from meters.gateways.source import Source

Open = Callable[[str, ZoneInfo | None], Source]
"""Opens the source that a text names, with the zone of its meter's clock; raises OptionError."""

_BORDER_S: Final = 900


def _some(entries: tuple["Entry", ...]) -> tuple["Entry", ...]:
    if not 0 < len(entries) <= MOST_METERS:
        raise ValueError(f"{len(entries)} meters; a gateway serves 1 to {MOST_METERS}")
    return entries


def _divides(every: int) -> int:
    if every and _BORDER_S % every:
        raise ValueError(f"expected a divisor of {_BORDER_S}, so that the reading at each quarter of an hour is kept")
    return every


def _zone(name: str | None) -> str | None:
    if name is not None:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, KeyError):
            raise ValueError("no time zone of this name is known; expected one such as Europe/Vienna") from None
    return name


class Entry(BaseModel):
    """A meter and where it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    community: Id
    meter: Id
    source: Annotated[str, Field(min_length=1, max_length=1000)]
    device: Annotated[str, Field(max_length=200)] = ""
    """Which of several devices behind one source it is."""
    epoch: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    every: Annotated[int, Field(ge=0, le=_BORDER_S, strict=True), AfterValidator(_divides)] = 0
    zone: Annotated[str | None, AfterValidator(_zone)] = None


class Plan(BaseModel):
    """Meters, and where they are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    meter: Annotated[tuple[Entry, ...], AfterValidator(_some)]


def load_plan(path: Path) -> Plan:
    """Read a plan; raise OptionError with the line or the key that is wrong, what is there, and what is expected."""
    try:
        return Plan.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: not readable: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise OptionError("\n".join(f"{path}: {line}" for line in describe(error))) from None


def plan_of_one(**values: object) -> Plan:
    """Return the plan of one meter from options of these names; raise OptionError with the one that is wrong."""
    try:
        return Plan(meter=(Entry.model_validate(values),))
    except ValidationError as error:
        raise OptionError("\n".join(f"--{line}" for line in describe(error))) from None


def feeds(plan: Plan, open_source: Open, path: Path | None = None) -> list[Feed]:
    """Return a plan's feeds, one for each source; raise OptionError, which names the file that it is from, if any.

    Meters with one source are its devices.
    """
    groups: dict[str, list[tuple[str, Entry]]] = {}
    for index, entry in enumerate(plan.meter):
        # In a plan of one no key is anybody's: --tcp and the like name what the error names itself.
        key = "" if path is None else f"{path}: meter[{index}]."
        groups.setdefault(entry.source, []).append((key, entry))
    return [_feed(group, open_source) for group in groups.values()]


def _feed(group: list[tuple[str, Entry]], open_source: Open) -> Feed:
    key, first = group[0]
    places: dict[str, Place] = {}
    for name, entry in group:
        if entry.device in places:
            doubled = f"the device {entry.device!r}" if entry.device else "the source"
            raise OptionError(
                f"{name}source: {doubled} of {entry.source!r} is another meter's already: {key.rstrip('.')}"
            )
        if entry.zone != first.zone:
            raise OptionError(f"{name}zone: {entry.zone!r}; {key.rstrip('.')} has the same source in {first.zone!r}")
        places[entry.device] = Place(entry.community, entry.meter, entry.epoch, entry.every)
    try:
        source = open_source(first.source, None if first.zone is None else ZoneInfo(first.zone))
    except OptionError as error:
        raise OptionError(f"{key}source: {error}" if key else str(error)) from None
    return Feed(source, places, ends=first.source.partition(":")[2].startswith("file:"))
