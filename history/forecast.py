"""Best hours: when a community will probably have a surplus, from what it had on comparable past days.

The expectation for an hour is a weighted mean of the same local hour on the 28 days before; days of
the same kind (working day or weekend) weigh twice as much, a day's weight halves every seven days, and
the latest day has three tenths of it all. How sure a surplus is, is the share of these weights
that had one. Before anything is said, both are computed for the days that are known, and compared
with "as in the same hour yesterday": who does not beat that is not listened to.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import duckdb

from bus.history import BestHours, Hour, Score
from history.periods import DAY_MS, HOUR_MS, following, starts
from history.totals import Party

_DAYS: Final = 28
_HALF_DAYS: Final = 7
_OTHER_KIND: Final = 0.5
_LATEST: Final = 0.3
_LEAST_PAST: Final = 5
"""Fewer comparable days tell nothing about an hour."""
_SCORED: Final = 60
_LEAST_SCORED: Final = 14
_FRESH_MS: Final = 7 * DAY_MS
_MOST_MISSING: Final = 0.2

_ONE_DAY: Final = timedelta(days=1)
_HOURS: Final = """
SELECT b.start, sum(i.export_wh - i.import_wh)::BIGINT, sum(i.until - i.start)::BIGINT,
    coalesce(sum(i.missing) / sum(i.measured + i.substituted + i.estimated + i.missing), 1)
FROM intervals i ASOF JOIN (SELECT unnest($borders::BIGINT[]) AS start) b ON i.start >= b.start
WHERE i.community = $community AND i.start >= $since AND i.start < $until
GROUP BY b.start
"""

Past = Mapping[tuple[date, int], int]
"""Surplus in Wh by local date and hour; hours that are not known are not in it."""


class Expected(NamedTuple):
    """What an hour will bring: surplus in Wh, and how probable one is."""

    surplus_wh: float
    sure: float


def best_hours(cursor: duckdb.DuckDBPyConnection, party: Party, next_ms: int, now: int | None) -> BestHours:
    """Return what the next hours will bring, or why that is not told. `now` None: the end of the data is now."""
    end = cursor.execute("SELECT max(until) FROM intervals WHERE community = ?", [party.community]).fetchall()[0][0]
    if end is None:
        return BestHours(hours=[], reason="nothing is settled yet")
    now = end if now is None else now
    if now - end > _FRESH_MS:
        return BestHours(hours=[], reason="nothing is settled of the last 7 days")
    past = known_hours(cursor, party, now - (_DAYS + _SCORED + 1) * DAY_MS, now)
    score = backtest(past)
    if score is None:
        return BestHours(hours=[], reason=f"less than {_LEAST_SCORED + _LEAST_PAST} comparable days are settled")
    if score.error_wh >= score.yesterday_error_wh or score.brier > score.yesterday_brier:
        reason = "past days tell no more about this community's next day than the day before it does"
        return BestHours(hours=[], reason=reason, score=score)
    hours = []
    for start in starts(now, now + next_ms, "HOUR", party.zone):
        local = _local(start, party.zone)
        expected = expect(past, local.date(), local.hour)
        if expected is not None:
            stop = following(start, "HOUR", party.zone)
            part = (stop - start) / HOUR_MS
            hours.append(
                Hour(start=start, end=stop, surplus_wh=round(expected.surplus_wh * part), sure=round(expected.sure, 3))
            )
    return BestHours(hours=hours, score=score)


def known_hours(cursor: duckdb.DuckDBPyConnection, party: Party, since: int, until: int) -> Past:
    """Return the full hours of a range that were measured well enough; of one that comes twice, the first."""
    borders = list(starts(since, until, "HOUR", party.zone))
    lengths = {start: end - start for start, end in pairwise([*borders, until])}
    found = cursor.execute(
        _HOURS, {"borders": borders, "community": party.community, "since": since, "until": until}
    ).fetchall()
    past: dict[tuple[date, int], int] = {}
    for start, surplus_wh, covered_ms, missing in sorted(found):
        if covered_ms == lengths[start] == HOUR_MS and missing <= _MOST_MISSING:
            local = _local(start, party.zone)
            past.setdefault((local.date(), local.hour), surplus_wh)
    return past


def expect(past: Past, day: date, hour: int) -> Expected | None:
    """Return what an hour of a local day will bring, from the days before; None where too little is known."""
    known: list[tuple[float, int]] = []
    for age in range(1, _DAYS + 1):
        before = day - age * _ONE_DAY
        surplus_wh = past.get((before, hour))
        if surplus_wh is not None:
            kind = 1.0 if _is_weekend(before) == _is_weekend(day) else _OTHER_KIND
            known.append((kind * 0.5 ** (age / _HALF_DAYS), surplus_wh))
    if len(known) < _LEAST_PAST:
        return None
    all_weights = sum(weight for weight, _ in known)
    shares = [(1 - _LATEST) * weight / all_weights for weight, _ in known]
    shares[0] += _LATEST
    values = [surplus_wh for _, surplus_wh in known]
    return Expected(
        sum(share * value for share, value in zip(shares, values, strict=True)),
        min(1.0, sum(share for share, value in zip(shares, values, strict=True) if value > 0)),
    )


def backtest(past: Past, days: int = _SCORED) -> Score | None:
    """Return how `expect` did on the latest days, and how yesterday did; None where too few are known."""
    latest = sorted({day for day, _ in past})[-days:]
    rows: list[tuple[date, Expected, int, int]] = []
    for day in latest:
        for hour in range(24):
            happened, yesterday = past.get((day, hour)), past.get((day - _ONE_DAY, hour))
            if happened is None or yesterday is None:
                continue
            expected = expect(past, day, hour)
            if expected is not None:
                rows.append((day, expected, happened, yesterday))
    scored = {day for day, *_ in rows}
    if len(scored) < _LEAST_SCORED:
        return None
    return Score(
        days=len(scored),
        hours=len(rows),
        error_wh=_mean([abs(expected.surplus_wh - happened) for _, expected, happened, _ in rows]),
        yesterday_error_wh=_mean([abs(yesterday - happened) for _, _, happened, yesterday in rows]),
        brier=_mean([(expected.sure - (happened > 0)) ** 2 for _, expected, happened, _ in rows]),
        yesterday_brier=_mean([float((yesterday > 0) != (happened > 0)) for _, _, happened, yesterday in rows]),
    )


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _is_weekend(day: date) -> bool:
    return day.weekday() >= 5


def _local(at: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at // 1000, UTC).astimezone(zone)
