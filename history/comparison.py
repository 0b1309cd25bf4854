"""Comparisons: what a home or a community did, beside an earlier time, or beside the mean of other homes.

A mean is taken only over intervals in which enough other homes were measured: no home can be told
from it, nor from the difference of two means.
"""

from typing import Final

import duckdb

from bus.history import LEAST_OTHERS, TOO_FEW_HOMES, CompareQuestion, Comparison
from bus.micro import QuestionError
from history.periods import period_before, year_before
from history.tables import ENERGIES, MIXED, QUALITIES, WORTH, WORTHS
from history.totals import Party, total, totals_of

_MISSING: Final = QUALITIES.index("MISSING")
_PRESENT: Final = " + ".join(f"i.{quality}" for quality in QUALITIES if quality != "MISSING")
_VALUES: Final = (*ENERGIES, *WORTHS)

_BASE: Final = f"""
SELECT i.start, i.is_final, i.revision, i.currency, r.quality AS own_quality,
    ({_PRESENT}) - (r.quality <> {_MISSING})::INTEGER AS others,
    {", ".join(f"i.{name} - (r.quality = {index})::INTEGER AS {name}" for index, name in enumerate(QUALITIES))},
    {", ".join(f"r.{name} AS own_{name}, i.{name} - r.{name} AS {name}" for name in _VALUES)}
FROM rows r JOIN intervals i ON i.community = r.community AND i.start = r.start
WHERE r.home = $home AND r.start >= $since AND r.start < $until
    AND i.community = $community AND i.start >= $since AND i.start < $until
"""


def _mean(name: str) -> str:
    kind = WORTH if name in WORTHS else "BIGINT"
    return f"round(sum({name}::DOUBLE / others), {4 if name in WORTHS else 0})::{kind}"


_REST: Final = f"max(revision), CASE WHEN min(currency) = max(currency) THEN min(currency) ELSE '{MIXED}' END"
_BOTH: Final = f"""
WITH base AS ({_BASE}), kept AS MATERIALIZED (SELECT * FROM base WHERE others >= {LEAST_OTHERS})
SELECT 1 AS place, min(others), count(*), count_if(is_final),
    {", ".join(f"count_if(own_quality = {index})" for index in range(len(QUALITIES)))},
    {", ".join(f"sum(own_{name})::BIGINT" for name in ENERGIES)}, sum(own_allocated_wh)::BIGINT,
    {", ".join(f"sum(own_{name})" for name in WORTHS)},
    {_REST}, max(own_import_wh), arg_max(start, (own_import_wh, -start))
FROM kept
UNION ALL
SELECT 2, min(others), count(*), count_if(is_final),
    {", ".join(f"sum({quality})::BIGINT" for quality in QUALITIES)},
    {", ".join(_mean(name) for name in ENERGIES)}, {_mean("allocated_wh")},
    {", ".join(_mean(name) for name in WORTHS)},
    {_REST}, round(max(import_wh / others))::BIGINT, arg_max(start, (import_wh / others, -start))
FROM kept
ORDER BY place
"""


def compare(cursor: duckdb.DuckDBPyConnection, party: Party, question: CompareQuestion) -> Comparison:
    """Return the sums of a range, and what they are compared with; raise QuestionError for a mean of too few homes."""
    since, until = question.since, question.until
    if question.baseline == "COMMUNITY_AVERAGE":
        return _beside_others(cursor, party, since, until)
    shift = period_before if question.baseline == "PREVIOUS_PERIOD" else year_before
    before = shift(since, until, party.zone)
    return Comparison(
        totals=total(cursor, party, since, until),
        baseline=total(cursor, party, *before) if before[1] > 0 else None,
    )


def _beside_others(cursor: duckdb.DuckDBPyConnection, party: Party, since: int, until: int) -> Comparison:
    parameters = {"community": party.community, "home": party.home, "since": since, "until": until}
    own, mean = cursor.execute(_BOTH, parameters).fetchall()
    if own[1] is not None:
        return Comparison(
            totals=totals_of(own[2:], since, until, of_community=False),
            baseline=totals_of(mean[2:], since, until, of_community=False),
            others=own[1],
        )
    if total(cursor, party, since, until) is None:
        return Comparison(totals=None, baseline=None)
    raise QuestionError(
        TOO_FEW_HOMES,
        f"a mean of fewer than {LEAST_OTHERS} other homes is not given, and in this time no more were measured at once",
    )
