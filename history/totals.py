"""Totals: the sums of what a home or a community did, over any range of time, read from the tables.

Whole local days of a home come from table `days`, what is cut off at the ends from `rows`; a
community's from `intervals`. All of it is exact: sums are whole Wh and decimals.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import duckdb

from bus.history import Totals
from history.periods import floor, following
from history.tables import COUNTS, ENERGIES, MIXED, QUALITIES, SUMMED, WORTHS, sums

_REST: Final = ("revision", "currency", "peak_import_wh", "peak_import_at")
_COLUMNS: Final = (*SUMMED, *_REST)

_STATUS: Final = "1 AS intervals, i.is_final::INTEGER AS final"
_OF_ROWS: Final = f"""
SELECT r.home, r.start AS moment, i.until, {_STATUS},
    {", ".join(f"(r.quality = {index})::INTEGER AS {name}" for index, name in enumerate(QUALITIES))},
    {", ".join(f"r.{name}" for name in ENERGIES)}, r.allocated_wh AS shared_wh,
    {", ".join(f"r.{name}" for name in WORTHS)},
    i.revision, i.currency, r.import_wh AS peak_import_wh, r.start AS peak_import_at
FROM rows r JOIN intervals i ON i.community = r.community AND i.start = r.start
WHERE r.{{whose}} AND r.start >= {{since}} AND r.start < {{until}}
    AND i.community = $community AND i.start >= {{since}} AND i.start < {{until}}
"""
_OF_DAYS: Final = f"""
SELECT home, start AS moment, until, {", ".join(COUNTS)}, {", ".join(ENERGIES)}, allocated_wh AS shared_wh,
    {", ".join(WORTHS)}, {", ".join(_REST)}
FROM days WHERE {{whose}} AND start >= {{since}} AND start < {{until}}
"""
_OF_INTERVALS: Final = f"""
SELECT NULL AS home, i.start AS moment, i.until, {_STATUS}, {", ".join(QUALITIES)}, {", ".join(ENERGIES)}, i.shared_wh,
    {", ".join(WORTHS)}, i.revision, i.currency, i.import_wh AS peak_import_wh, i.start AS peak_import_at
FROM intervals i WHERE i.community = $community AND i.start >= {{since}} AND i.start < {{until}}
"""

_OF_HOME: Final = "home = $home"
_OF_COMMUNITY: Final = "community = $community"

AGGREGATES: Final = f"""
{sums(*SUMMED)}, max(revision),
CASE WHEN min(currency) = max(currency) THEN min(currency) ELSE '{MIXED}' END,
max(peak_import_wh), arg_max(peak_import_at, (peak_import_wh, -peak_import_at))
"""


class Party(NamedTuple):
    """Whom a question is about: a community, or one of its homes, by their numbers; and the community's time zone."""

    community: int
    home: int | None
    zone: ZoneInfo


def total(cursor: duckdb.DuckDBPyConnection, party: Party, since: int, until: int) -> Totals | None:
    """Return the sums of the intervals that start in a range; None where there is none."""
    pieces, parameters = _pieces(party, since, until, by_days=True)
    row = cursor.execute(f"SELECT {AGGREGATES} FROM ({pieces})", parameters).fetchall()[0]
    return None if row[0] is None else totals_of(row, since, until, of_community=party.home is None)


def totals_of_homes(cursor: duckdb.DuckDBPyConnection, community: Party, since: int, until: int) -> dict[int, Totals]:
    """Return the sums of each home of a community by its number, without homes of which nothing is in the range."""
    pieces, parameters = _pieces(community, since, until, by_days=True, by_homes=True)
    rows = cursor.execute(f"SELECT home, {AGGREGATES} FROM ({pieces}) GROUP BY home", parameters).fetchall()
    return {row[0]: totals_of(row[1:], since, until, of_community=False) for row in rows}


def totals_by(
    cursor: duckdb.DuckDBPyConnection, party: Party, borders: Sequence[int], limit: int, *, by_days: bool
) -> list[Totals]:
    """Return the sums between each border and the next, at most `limit`, leaving out where nothing is.

    `by_days`: no border lies within a local day, but the first and the last.
    """
    since, until = borders[0], borders[-1]
    pieces, parameters = _pieces(party, since, until, by_days=by_days)
    rows = cursor.execute(
        f"SELECT b.number, {AGGREGATES} FROM ({pieces}) p ASOF JOIN "
        "(SELECT unnest($borders::BIGINT[]) AS start, generate_subscripts($borders::BIGINT[], 1) AS number) b "
        "ON p.moment >= b.start GROUP BY b.number ORDER BY b.number LIMIT $limit",
        {**parameters, "borders": list(borders[:-1]), "limit": limit},
    ).fetchall()
    alone = party.home is None
    return [totals_of(row[1:], borders[row[0] - 1], borders[row[0]], of_community=alone) for row in rows]


def each(cursor: duckdb.DuckDBPyConnection, party: Party, since: int, until: int, limit: int) -> list[Totals]:
    """Return the settled intervals one by one, in order of time, at most `limit`."""
    template = (_OF_INTERVALS if party.home is None else _OF_ROWS).format(
        whose=_OF_HOME, since="$since", until="$until"
    )
    rows = cursor.execute(
        f"SELECT moment, until, {', '.join(_COLUMNS)} FROM ({template}) ORDER BY moment LIMIT $limit",
        {**_names(party), "since": since, "until": until, "limit": limit},
    ).fetchall()
    return [totals_of(row[2:], row[0], row[1], of_community=party.home is None) for row in rows]


def totals_of(row: Sequence[Any], start: int, end: int, *, of_community: bool) -> Totals:
    """Return totals from the values of the columns, in the order of AGGREGATES."""
    value: Mapping[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    currency = value["currency"] or None
    shared = value["shared_wh"] if of_community else 0
    used = value["load_wh"] - value["import_wh"] + shared
    kept = value["pv_wh"] - value["export_wh"] + shared
    return Totals(
        start=start,
        end=end,
        **{name: value[name] for name in (*COUNTS, *ENERGIES, "shared_wh")},
        revision=value["revision"],
        saving=text(value["saving"]) if currency else None,
        credit=text(value["credit"]) if currency else None,
        currency=currency,
        co2_avoided_g=text(value["co2_avoided_g"]),
        self_sufficiency=_ratio(used, value["load_wh"]),
        self_consumption=_ratio(kept, value["pv_wh"]),
        peak_import_wh=value["peak_import_wh"],
        peak_import_at=value["peak_import_at"],
    )


def text(value: Decimal) -> str:
    """Return a decimal without exponent or trailing zeros."""
    if not value:
        return "0"  # also for -0
    written = f"{value:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _ratio(part: int, whole: int) -> float | None:
    return min(1.0, max(0.0, part / whole)) if whole else None


def _names(party: Party) -> dict[str, object]:
    names: dict[str, object] = {"community": party.community}
    return names if party.home is None else {**names, "home": party.home}


def _pieces(
    party: Party, since: int, until: int, *, by_days: bool, by_homes: bool = False
) -> tuple[str, dict[str, object]]:
    """Return a query for all that happened in a range, in as few rows as it can be had, and its parameters.

    `by_homes`: of a community, the rows of its homes.
    """
    whole = _names(party) | {"since": since, "until": until}
    if party.home is None and not by_homes:
        return _OF_INTERVALS.format(since="$since", until="$until"), whole
    whose = _OF_COMMUNITY if party.home is None else _OF_HOME
    first, last = floor(since, "DAY", party.zone), floor(until, "DAY", party.zone)
    if first < since:
        first = following(since, "DAY", party.zone)
    if first >= last or not by_days:
        return _OF_ROWS.format(whose=whose, since="$since", until="$until"), whole
    parts = [_OF_DAYS.format(whose=whose, since="$first", until="$last")]
    names: dict[str, object] = {"community": party.community} if party.home is None else {"home": party.home}
    names |= {"first": first, "last": last}
    if since < first:
        parts.append(_OF_ROWS.format(whose=whose, since="$since", until="$first"))
        names |= {"community": party.community, "since": since}
    if last < until:
        parts.append(_OF_ROWS.format(whose=whose, since="$last", until="$until"))
        names |= {"community": party.community, "until": until}
    return " UNION ALL ".join(parts), names
