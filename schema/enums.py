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
