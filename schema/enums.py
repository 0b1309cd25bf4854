"""The enums of the API. Their values are the words of the domain, so a domain string is a value as it is."""

from enum import Enum

import strawberry
from strawberry import enum_value


@strawberry.enum(description="Whether now is a good time to use energy.")
class Light(Enum):
    GREEN = enum_value("GREEN", description="The community has surplus: use it now.")
    YELLOW = enum_value("YELLOW", description="Neither surplus nor scarcity.")
    RED = enum_value("RED", description="Own production covers less than half of the load: wait if you can.")
    UNKNOWN = enum_value("UNKNOWN", description="Too many homes are stale to say.")


@strawberry.enum(description="Where the surplus of the community went over the last 10 minutes.")
class Trend(Enum):
    RISING = enum_value("RISING", description="The surplus grows.")
    STEADY = enum_value("STEADY", description="The surplus stays as it is.")
    FALLING = enum_value("FALLING", description="The surplus shrinks.")


@strawberry.enum(description="How far figures rest on readings.")
class Quality(Enum):
    MEASURED = enum_value("MEASURED", description="From readings.")
    SUBSTITUTED = enum_value("SUBSTITUTED", description="Interpolated over a gap of less than two hours.")
    ESTIMATED = enum_value("ESTIMATED", description="Estimated over a longer gap, from comparable days.")
    MISSING = enum_value("MISSING", description="There is nothing to go by.")
    STALE = enum_value("STALE", description="From readings that are older than the meter's usual gap allows.")


@strawberry.enum(description="Whether settled figures may still change.")
class IntervalStatus(Enum):
    PROVISIONAL = enum_value("PROVISIONAL", description="Late readings and corrections may still change it.")
    FINAL = enum_value("FINAL", description="It will not change any more.")


@strawberry.enum(description="The rule by which a community shares its production among its homes.")
class AllocationKey(Enum):
    DYNAMIC = enum_value("DYNAMIC", description="In proportion to what each home consumes in the interval.")
    STATIC = enum_value("STATIC", description="By fixed keys; what a home does not use stays with the producer.")
    STATIC_ROUNDS = enum_value(
        "STATIC_ROUNDS", description="By fixed keys, in rounds among those who still want energy."
    )
    HYBRID = enum_value("HYBRID", description="By fixed keys in one round, the rest in proportion to what is wanted.")
    VIRTUAL = enum_value("VIRTUAL", description="For the community as a whole; nothing is netted per home.")


@strawberry.enum(description="What an alert says.")
class AlertKind(Enum):
    SURPLUS_STARTED = enum_value("SURPLUS_STARTED", description="The community has surplus, and it lasts.")
    SURPLUS_ENDED = enum_value("SURPLUS_ENDED", description="The surplus is over.")
    METER_SILENT = enum_value("METER_SILENT", description="A meter has not been heard for long.")
    METER_BACK = enum_value("METER_BACK", description="A silent meter is heard again.")
    IMPORT_PEAK_STARTED = enum_value("IMPORT_PEAK_STARTED", description="The home draws more than its own limit.")
    IMPORT_PEAK_ENDED = enum_value("IMPORT_PEAK_ENDED", description="The home draws less than its own limit again.")


@strawberry.enum(description="How long the periods are into which a time range is cut, by local time of the community.")
class Resolution(Enum):
    QUARTER_HOUR = enum_value(
        "QUARTER_HOUR",
        description="Interval by interval, as they were settled: 15 minutes where nothing else is agreed.",
    )
    HOUR = enum_value("HOUR", description="Full hours of the local clock.")
    DAY = enum_value("DAY", description="Local days: of 23 or 25 hours where clocks change.")
    WEEK = enum_value("WEEK", description="Weeks that begin on Monday.")
    MONTH = enum_value("MONTH", description="Calendar months.")
    YEAR = enum_value("YEAR", description="Calendar years.")


@strawberry.enum(description="What a time range is compared with.")
class Baseline(Enum):
    PREVIOUS_PERIOD = enum_value(
        "PREVIOUS_PERIOD",
        description="As much time before it: as many months or days where it is made of whole ones.",
    )
    PREVIOUS_YEAR = enum_value("PREVIOUS_YEAR", description="The same days of the year before.")
    COMMUNITY_AVERAGE = enum_value(
        "COMMUNITY_AVERAGE",
        description="The mean of the other homes of the community in the same intervals, where at least 4 others "
        "were measured. A community has none.",
    )


@strawberry.enum(description="What a meter measures.")
class MeterRole(Enum):
    GRID = enum_value("GRID", description="What its home draws from the grid and injects.")
    PV = enum_value("PV", description="What is produced.")
    BATTERY = enum_value("BATTERY", description="What a battery takes and gives.")


@strawberry.enum(description="Whether a meter is heard.")
class MeterCondition(Enum):
    HEARD = enum_value("HEARD", description="It is heard, and its readings are used.")
    SILENT = enum_value(
        "SILENT",
        description="It was not heard for longer than the community allows, and for three times its usual gap.",
    )
    REFUSED = enum_value("REFUSED", description="It is heard, but its newest reading was refused.")
    NEVER = enum_value("NEVER", description="It is registered, and nothing of it is kept.")


@strawberry.enum(description="Where energy came from or went to, on a statement.")
class LineKind(Enum):
    FROM_SUPPLIER = enum_value(
        "FROM_SUPPLIER", description="Drawn from the grid and not shared: at the supplier's price."
    )
    FROM_COMMUNITY = enum_value("FROM_COMMUNITY", description="Of others' production: at the community's price.")
    GRID_FEE_REDUCTION = enum_value(
        "GRID_FEE_REDUCTION", description="What the grid fees are lower for energy of the community."
    )
    TO_COMMUNITY = enum_value("TO_COMMUNITY", description="Injected and used by others: at the community's price.")
    TO_GRID = enum_value("TO_GRID", description="Injected and used by nobody here: at the feed-in price.")
