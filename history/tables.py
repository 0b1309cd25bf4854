"""The tables of the history's file, and the sums that every question is answered from.

    rows         one home in one settled interval, at its newest revision
    intervals    one settled interval of a community: revision, status, and the sums of its rows
    days         one home on one local day: the sums of its rows
    communities, homes    what their numbers in the other tables stand for
    position     how far the stream was read, and what lies there

Within what was written at once, rows are ordered by home and time, so that a home's day lies
together: a question about a home touches few blocks. Days are what makes a year 365 rows.
"""

from typing import Final

VERSION: Final = 1
"""Of the tables. A file with another version is set aside and made anew from the stream."""

QUALITIES: Final = ("MEASURED", "SUBSTITUTED", "ESTIMATED", "MISSING")
"""In rows, quality is an index here."""

ENERGIES: Final = (
    "import_wh",
    "export_wh",
    "pv_wh",
    "load_wh",
    "charge_wh",
    "discharge_wh",
    "allocated_wh",
    "residual_import_wh",
    "residual_export_wh",
)
WORTHS: Final = ("saving", "credit", "co2_avoided_g")

SCALE: Final = 11
"""Digits after the point of what energy is worth: a price per kWh has eight, and a Wh is a thousandth."""
WORTH: Final = f"DECIMAL(38, {SCALE})"

COUNTS: Final = ("intervals", "final", *(quality.lower() for quality in QUALITIES))

SUMMED: Final = (*COUNTS, *ENERGIES, "shared_wh", *WORTHS)
"""Columns of totals that are added up; the others are the highest revision, the currency and the peak."""

MIXED: Final = ""
"""The currency of days with several."""


def _columns(names: tuple[str, ...], kind: str) -> str:
    return ", ".join(f"{name} {kind} NOT NULL" for name in names)


DEFINITION: Final = f"""
CREATE TABLE position (version INTEGER NOT NULL, sequence BIGINT NOT NULL, time_ms BIGINT NOT NULL, digest VARCHAR);
CREATE TABLE communities (number INTEGER NOT NULL, community VARCHAR NOT NULL, zone VARCHAR NOT NULL);
CREATE TABLE homes (number INTEGER NOT NULL, community INTEGER NOT NULL, home VARCHAR NOT NULL);
CREATE TABLE intervals (
    community INTEGER NOT NULL, start BIGINT NOT NULL, until BIGINT NOT NULL, revision INTEGER NOT NULL,
    is_final BOOLEAN NOT NULL, currency VARCHAR NOT NULL, shared_wh BIGINT NOT NULL,
    {_columns(tuple(quality.lower() for quality in QUALITIES), "INTEGER")},
    {_columns(ENERGIES, "BIGINT")}, {_columns(WORTHS, WORTH)}
);
CREATE TABLE rows (
    community INTEGER NOT NULL, home INTEGER NOT NULL, start BIGINT NOT NULL,
    {_columns(ENERGIES, "BIGINT")}, {_columns(WORTHS, WORTH)}, quality UTINYINT NOT NULL
);
CREATE TABLE days (
    community INTEGER NOT NULL, home INTEGER NOT NULL, start BIGINT NOT NULL, until BIGINT NOT NULL,
    {_columns(COUNTS, "INTEGER")}, revision INTEGER NOT NULL, currency VARCHAR NOT NULL,
    {_columns(ENERGIES, "BIGINT")}, {_columns(WORTHS, WORTH)},
    peak_import_wh BIGINT NOT NULL, peak_import_at BIGINT NOT NULL
);
INSERT INTO position VALUES ({VERSION}, 0, 0, NULL);
"""

STAGING: Final = f"""
CREATE TEMP TABLE new_intervals AS SELECT community, start, until, revision, is_final, currency, shared_wh
    FROM intervals LIMIT 0;
CREATE TEMP TABLE new_rows (
    community INTEGER, home INTEGER, start BIGINT,
    {", ".join(f"{name} BIGINT" for name in ENERGIES)}, {", ".join(f"{name} VARCHAR" for name in WORTHS)},
    quality UTINYINT
);
CREATE TEMP TABLE touched (community INTEGER, start BIGINT, until BIGINT);
"""


def worths() -> str:
    """Return the worths of table `new_rows`, where they are text, as numbers."""
    return ", ".join(f"{name}::{WORTH} AS {name}" for name in WORTHS)


def qualities(column: str) -> str:
    """Return the expressions that count rows by quality."""
    return ", ".join(f"count_if({column} = {index})" for index in range(len(QUALITIES)))


def sums(*names: str) -> str:
    """Return the sums of columns: whole numbers as BIGINT, worths as they are."""
    return ", ".join(f"sum({name})" if name in WORTHS else f"sum({name})::BIGINT" for name in names)
