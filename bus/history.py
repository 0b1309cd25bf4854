"""The questions that the history answers, and its answers, as they travel: JSON, no logic.

Times are milliseconds since 1970-01-01 UTC, energy is in whole Wh, money and CO2 are exact decimals
as text. A question about a community has no home. Totals are arrays, in the order of their fields:
a page holds up to a thousand of them. New fields go to the end, with a default, so that a server
and a history of different age understand each other.
"""

from typing import Final, Literal

import msgspec

Resolution = Literal["QUARTER_HOUR", "HOUR", "DAY", "WEEK", "MONTH", "YEAR"]
"""By local time of the community; QUARTER_HOUR: interval by interval, as they were settled. Weeks begin on Monday."""

Baseline = Literal["PREVIOUS_PERIOD", "PREVIOUS_YEAR", "COMMUNITY_AVERAGE"]

SERVICE: Final = "history"
INTERVALS: Final = "intervals"
SUMMARY: Final = "summary"
COMPARE: Final = "compare"
BEST_HOURS: Final = "best_hours"
HOMES: Final = "homes"
"""Endpoints of the service; a question is asked on the subject `history.<endpoint>`."""

MAX_FIRST: Final = 1000
MAX_HOMES: Final = 1000
"""Homes of one question: as many as a community has."""
MAX_ANSWER_BYTES: Final = 900 * 1024
"""Far enough under NATS's 1 MiB."""
MAX_NEXT_MS: Final = 48 * 3_600_000
"""How far ahead `best_hours` looks."""
LEAST_OTHERS: Final = 4
"""Fewer other homes yield no average: one of them could be told from it."""

OUT_OF_RANGE: Final = "400"
TOO_FEW_HOMES: Final = "409"
"""Codes of the refusals that are meant for whoever asked."""


class IntervalsQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What happened from `since` to `until`, period by period; `after`: the start of the last period seen."""

    community: str
    home: str | None = None
    since: int
    until: int
    resolution: Resolution
    first: int = 100
    after: int | None = None


class SummaryQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What happened from `since` to `until`, in one sum."""

    community: str
    home: str | None = None
    since: int
    until: int


class HomesQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What each of these homes did from `since` to `until`, in one sum each."""

    community: str
    homes: list[str]
    since: int
    until: int


class CompareQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What happened from `since` to `until`, beside something else. A community has no COMMUNITY_AVERAGE."""

    community: str
    home: str | None = None
    since: int
    until: int
    baseline: Baseline


class BestHoursQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """When the community will probably have a surplus, in the next `next_ms` ms (at most 48 h)."""

    community: str
    next_ms: int = 24 * 3_600_000


class Totals(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a home, or all homes of a community, did in the settled intervals that start from `start` to `end`."""

    start: int
    end: int
    intervals: int
    """Settled intervals."""
    final: int
    """Those of them that are FINAL; the others are PROVISIONAL."""
    revision: int
    """The highest revision among them."""
    measured: int
    substituted: int
    estimated: int
    missing: int
    """Intervals by quality; of a community, intervals times homes."""
    import_wh: int
    export_wh: int
    pv_wh: int
    load_wh: int
    charge_wh: int
    discharge_wh: int
    allocated_wh: int
    """Of the community's production, used by the home or homes."""
    shared_wh: int
    """The same for a home; of a community what it shared, which is not allocated to homes where its key is VIRTUAL."""
    residual_import_wh: int
    residual_export_wh: int
    saving: str | None
    """Saved as consumers, in minor units of the currency; None where the intervals have several currencies."""
    credit: str | None
    """Earned more as producers, in minor units; None as above."""
    currency: str | None
    co2_avoided_g: str
    self_sufficiency: float | None
    self_consumption: float | None
    """Ratios 0..1; of a community with what it shared; None where there is no load, or no production."""
    peak_import_wh: int
    """The most that was drawn from the grid in one settled interval, by all homes together for a community."""
    peak_import_at: int
    """The start of the first such interval."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Periods in order of time, those without any settled interval left out."""

    periods: list[Totals]
    has_next: bool


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The sum, or None where nothing is settled."""

    totals: Totals | None


class Homes(msgspec.Struct, frozen=True, kw_only=True):
    """The sums by home; without those of which nothing is settled."""

    totals: dict[str, Totals]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A sum, and what it is compared with: an earlier sum, or a mean of other homes. None: nothing is settled there.

    `others`: how many other homes are in the mean at the least, in any of its intervals.
    """

    totals: Totals | None
    baseline: Totals | None
    others: int | None = None


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """What an hour will probably bring: `surplus_wh` is the export expected less the import, of all homes together."""

    start: int
    end: int
    surplus_wh: int
    """+ the community gives, - it draws."""
    sure: float
    """How probable a surplus is, 0..1."""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How the forecast did on the last days, beside "as in the same hour yesterday"; less is better.

    Errors are means of absolute differences in Wh an hour; briers are means of squared
    differences between how sure it was and what happened (0 or 1).
    """

    days: int
    hours: int
    error_wh: float
    yesterday_error_wh: float
    brier: float
    yesterday_brier: float


class BestHours(msgspec.Struct, frozen=True, kw_only=True):
    """The hours to come, in order of time; none where no forecast is offered, for the reason given."""

    hours: list[Hour]
    reason: str | None = None
    score: Score | None = None


Question = IntervalsQuestion | SummaryQuestion | HomesQuestion | CompareQuestion | BestHoursQuestion
Answer = Page | Summary | Homes | Comparison | BestHours
