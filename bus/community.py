"""A community as its registry file describes it: homes, meters, members, keys, tariff, rules.

One frozen model from the TOML file to the aggregator; whatever is not in it is an error that
names the key. Prices are per kWh in units of the currency, exact decimals; carbon intensity is
in g CO2 per kWh; durations are ISO 8601.
"""

import tomllib
from datetime import date, time, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bus.errors import ConfigurationError
from bus.identifiers import COMMUNITY_ALERTS, Id

MAX_HOMES: Final = 1000
"""Homes of one community; its frames and states stay far under NATS's 1 MiB. Larger: several communities."""

AllocationKey = Literal["DYNAMIC", "STATIC", "STATIC_ROUNDS", "HYBRID", "VIRTUAL"]
MeterRole = Literal["GRID", "PV", "BATTERY"]
MemberRole = Literal["member", "operator"]

_KEYED: Final = frozenset({"STATIC", "STATIC_ROUNDS", "HYBRID"})
_INTERVALS: Final = {timedelta(minutes=15), timedelta(minutes=30), timedelta(hours=1)}


class RegistryError(ConfigurationError, ValueError):
    """Raised when a community file is not usable; the text names the key and the form expected."""


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("not an IANA time zone; expected a name such as Europe/Vienna")
    return value


def _exact(value: Any) -> Any:
    """Take 0.28 as it was written, not as the binary fraction next to it."""
    return str(value) if isinstance(value, float) else value


def _interval(value: timedelta) -> timedelta:
    if value not in _INTERVALS:
        raise ValueError("expected PT15M, PT30M or PT1H")
    return value


Price = Annotated[Decimal, BeforeValidator(_exact), Field(ge=-100, le=100, decimal_places=8)]
Fraction = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=1, decimal_places=12)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PricePeriod(_Part):
    """Prices that hold every day from `start` (inclusive) to `end` (exclusive), local time; may span midnight."""

    start: time
    end: time
    supplier_price: Price | None = None
    community_price: Price | None = None
    feed_in_price: Price | None = None


class Tariff(_Part):
    """What energy costs, per kWh in units of `currency`."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    minor_units: Annotated[int, Field(ge=0, le=4)] = 2
    """Digits of the currency's smallest unit: 2 for cents."""
    supplier_price: Price
    community_price: Price
    feed_in_price: Price
    grid_fee_reduction: Price = Decimal(0)
    time_of_day: tuple[PricePeriod, ...] = ()


class LightRule(_Part):
    """When the light is green, red or unknown (fractions of the load, W, and of the homes)."""

    surplus_w: Annotated[float, Field(ge=0)] = 100
    surplus_of_load: Annotated[float, Field(ge=0, le=1)] = 0.05
    red_below_production: Annotated[float, Field(ge=0, le=1)] = 0.5
    unknown_over_stale: Annotated[float, Field(ge=0, le=1)] = 0.2
    hold: timedelta = timedelta(seconds=30)


class AlertRules(_Part):
    """When members are told: surplus thresholds in W with hysteresis, and how long a meter may be silent."""

    surplus_start_w: Annotated[float, Field(ge=0)] = 1000
    surplus_end_w: Annotated[float, Field(ge=0)] = 500
    meter_silent: timedelta = timedelta(minutes=15)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.surplus_end_w > self.surplus_start_w:
            raise ValueError("surplus_end_w must not exceed surplus_start_w")
        return self


class Meter(_Part):
    """A meter of a home. `connection_w`: the most that its connection can carry, in W."""

    id: Id
    role: MeterRole = "GRID"
    connection_w: Annotated[int, Field(gt=0, le=10_000_000)] = 50_000


class Home(_Part):
    """A home, its key (a fraction of the community's production) and participation in percent."""

    id: Id
    name: Annotated[str, Field(max_length=100)] = ""
    key: Fraction | None = None
    participation: Annotated[int, Field(ge=1, le=100)] = 100
    import_limit_w: Annotated[float, Field(gt=0)] | None = None
    meters: Annotated[tuple[Meter, ...], Field(min_length=1, max_length=20)]


class Member(_Part):
    """A person or device that may look: a member sees `homes`, an operator the community."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,128}$")]
    role: MemberRole = "member"
    homes: tuple[Id, ...] = ()


class Community(_Part):
    """A community: the unit of settlement and of partition."""

    id: Id
    name: Annotated[str, Field(min_length=1, max_length=100)]
    timezone: Annotated[str, AfterValidator(_zone)]
    settlement_interval: Annotated[timedelta, AfterValidator(_interval)] = timedelta(minutes=15)
    allocation_key: AllocationKey = "DYNAMIC"
    clock: Literal["wall", "event"] = "wall"
    """`event`: readings' own times are now (replay, simulation faster than life)."""
    grid_carbon_intensity: Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=10_000, decimal_places=8)] = (
        Decimal(0)
    )
    """g CO2 per kWh."""
    grace: timedelta = timedelta(minutes=5)
    patience: timedelta = timedelta(minutes=30)
    finality: timedelta = timedelta(days=16)
    show_totals_to_members: bool = False
    """The members of a community of fewer than 5 homes agreed to see its totals."""
    tariff: Tariff
    light: LightRule = LightRule()
    alerts: AlertRules = AlertRules()
    homes: Annotated[tuple[Home, ...], Field(min_length=1)]
    members: tuple[Member, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.homes) > MAX_HOMES:
            raise ValueError(
                f"{len(self.homes)} homes; a community has at most {MAX_HOMES}: make several communities of it"
            )
        _unique("home", [home.id for home in self.homes])
        _unique("meter", [meter.id for home in self.homes for meter in home.meters])
        _unique("member", [member.id for member in self.members])
        known = {home.id for home in self.homes}
        if COMMUNITY_ALERTS in known:
            raise ValueError(f"no home can have the id {COMMUNITY_ALERTS!r}: it stands for all homes")
        for member in self.members:
            if unknown := set(member.homes) - known:
                raise ValueError(f"member {member.id!r} names the unknown home {min(unknown)!r}")
        if self.allocation_key in _KEYED:
            if missing := [home.id for home in self.homes if home.key is None]:
                raise ValueError(f"home {missing[0]!r} has no key; {self.allocation_key} needs one for each home")
            total = sum((home.key or Decimal(0) for home in self.homes), Decimal(0))
            if total != 1:
                raise ValueError(f"the homes' keys add up to {total}; expected exactly 1")
        for name, low, high in (
            ("grace", timedelta(0), timedelta(hours=24)),
            ("patience", timedelta(minutes=1), timedelta(days=7)),
            ("finality", timedelta(hours=1), timedelta(days=30)),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}; expected between {low} and {high}")
        return self

    @cached_property
    def zone(self) -> ZoneInfo:
        """The community's time zone."""
        return ZoneInfo(self.timezone)

    @cached_property
    def homes_by_id(self) -> dict[str, Home]:
        """Homes by id, in the file's order."""
        return {home.id: home for home in self.homes}

    @cached_property
    def members_by_id(self) -> dict[str, Member]:
        """Members by id."""
        return {member.id: member for member in self.members}

    @cached_property
    def home_of_meter(self) -> dict[str, tuple[Home, Meter]]:
        """Home and meter by the meter's id."""
        return {meter.id: (home, meter) for home in self.homes for meter in home.meters}


class Version(_Part):
    """A community as it is from the local midnight that begins `valid_from`, until the next version."""

    valid_from: date
    community: Community


def _unique(what: str, ids: list[str]) -> None:
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise ValueError(f"{what} {one!r} occurs twice")
        seen.add(one)


def load_community(path: Path) -> Community:
    """Read a community's TOML file; raise RegistryError with the line or the key that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RegistryError(f"{path}: not readable: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RegistryError(f"{path}: not readable: {error}") from None
    return parse_community(text, str(path))


def parse_community(text: str, source: str = "community") -> Community:
    """Parse a community's TOML text; raise RegistryError with the line or the key that is wrong."""
    try:
        return Community.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RegistryError(f"{source}: not TOML: {error}") from None
    except ValidationError as error:
        raise RegistryError("\n".join(f"{source}: {line}" for line in describe(error))) from None


def describe(error: ValidationError) -> list[str]:
    """Return one line per fault: the key's path, what was expected, and the value found."""
    lines = []
    faults = error.errors(include_url=False, include_context=False)
    for fault in faults:
        inside = len(fault["loc"])
        if fault["type"] == "too_short" and any(
            len(one["loc"]) > inside and one["loc"][:inside] == fault["loc"] for one in faults
        ):
            continue  # its items are there, and faulty
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "unknown key"
        elif fault["type"] == "missing":
            message = "is missing"
        elif not isinstance(fault["input"], dict | list):
            message += f" (got {str(fault['input'])[:60]!r})"
        lines.append(f"{where or 'community'}: {message}")
    return lines
