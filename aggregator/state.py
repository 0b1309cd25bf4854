"""The state of one community's fold: all of it, and nothing else, is in a checkpoint.

It is bounded by the number of meters and of intervals that are not final; readings are not
kept. `VERSION` changes whenever its shape or meaning does; a state of the versions down to `OLDEST`
is read as it is, for what it lacks has a default.
"""

from typing import Final

import msgspec

from aggregator.flood import Refusals
from aggregator.track import Track
from bus.messages import Light, Trend

VERSION: Final = 2
OLDEST: Final = 1


class DayTotal(msgspec.Struct):
    """What a home shared and saved since local midnight in closed intervals."""

    shared_wh: int = 0
    saved: str = "0"


class State(msgspec.Struct):
    """A community between two messages of READINGS. Times in ms since 1970 UTC."""

    community: str
    version: int = VERSION
    registry_sequence: int = 0
    now: int = 0
    """The community's clock."""
    heard: tuple[int, int] | None = None
    """Event clock: when the newest reading came, by JetStream, and its own time."""
    leap: int | None = None
    """Event clock: a time far ahead, which a second reading must confirm."""
    base: int | None = None
    """Start of the oldest open interval; None before the first reading."""
    first: int | None = None
    """Start of the first interval ever settled."""
    tracks: dict[str, Track] = {}
    settled: list[int] = []
    """INTERVALS sequences of the closed intervals that are not final, by time; the last one ends at `base`."""
    hours: list[tuple[int, int]] = []
    """(start of an hour, READINGS sequence at which its first reading came), oldest first."""
    refusals: dict[str, Refusals] = {}
    """By meter what was refused of it lately."""
    late: dict[str, tuple[int, int]] = {}
    """Homes with readings that came after their interval closed: (earliest, latest) time of those."""
    reshare_from: int | None = None
    """A version of the registry came that holds for closed intervals from here on."""
    frame: int = 0
    light: Light = "UNKNOWN"
    light_next: Light = "UNKNOWN"
    light_since: int = 0
    trend: Trend = "STEADY"
    trend_next: Trend = "STEADY"
    trend_since: int = 0
    surplus_dw: list[tuple[int, int]] = []
    """Samples of the surplus over the last 10 minutes, in tenths of a watt."""
    active: dict[str, int] = {}
    """Alerts that have begun and not ended, by their subject, with the time at which they began."""
    surplus_since: int | None = None
    """Since when the surplus has been beyond the threshold of the alert that comes next."""
    midnight: int = 0
    """The local midnight that `today` counts from."""
    today: dict[str, DayTotal] = {}
