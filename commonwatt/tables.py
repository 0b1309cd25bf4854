"""Tables of settled intervals, written row by row: CSV (RFC 4180), and Parquet by way of DuckDB's own file."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

import duckdb

from bus.history import Totals

Row = tuple[str, str, Totals]
"""Community, home, and one settled interval of it."""

_WORTH: Final = "DECIMAL(38, 11)"
"""As exact as the history keeps it."""

COLUMNS: Final = {
    "community": "VARCHAR",
    "home": "VARCHAR",
    "start": "BIGINT",
    "end": "BIGINT",
    "revision": "INTEGER",
    "status": "VARCHAR",
    "quality": "VARCHAR",
    "import_wh": "BIGINT",
    "export_wh": "BIGINT",
    "pv_wh": "BIGINT",
    "load_wh": "BIGINT",
    "charge_wh": "BIGINT",
    "discharge_wh": "BIGINT",
    "allocated_wh": "BIGINT",
    "residual_import_wh": "BIGINT",
    "residual_export_wh": "BIGINT",
    "saving_minor": "VARCHAR",
    "credit_minor": "VARCHAR",
    "co2_avoided_g": "VARCHAR",
    "currency": "VARCHAR",
}
"""What is written of a row, and how DuckDB holds it until it becomes Parquet."""
_TIMES: Final = ("start", "end")
_WORTHS: Final = ("saving_minor", "credit_minor", "co2_avoided_g")
_QUALITIES: Final = ("measured", "substituted", "estimated", "missing")
_MEMORY: Final = "256MB"
_AT_ONCE: Final = 20_000
"""Rows of one transaction: each is synced to disk."""


class Table(Protocol):
    """What rows are written to. Not for several threads at a time."""

    rows: int
    """How many have been written."""

    def write(self, rows: Sequence[Row]) -> None:
        """Take more rows."""

    def finish(self) -> None:
        """Write what is left."""

    def interrupt(self) -> None:
        """Have `finish` end early, from another thread; it then fails."""


class CsvTable:
    """CSV in UTF-8, a line of names first; times as RFC 3339 in UTC."""

    def __init__(self, file: BinaryIO) -> None:
        self.rows = 0
        self._file = file
        self._write([tuple(COLUMNS)])

    def write(self, rows: Sequence[Row]) -> None:
        """Take more rows."""
        all_values = [_values(row) for row in rows]
        self._write((*values[:2], _time(values[2]), _time(values[3]), *values[4:]) for values in all_values)
        self.rows += len(rows)

    def finish(self) -> None:
        """Write what is left; the file stays open."""
        self._file.flush()

    def interrupt(self) -> None:
        """Do nothing: it is quick."""

    def _write(self, lines: Iterable[tuple[object, ...]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(lines)
        self._file.write(text.getvalue().encode())


class ParquetTable:
    """Parquet, compressed with Zstandard; times are timestamps in UTC, money and CO2 decimals.

    Rows lie in a file of DuckDB beside the draft until they are complete: memory stays bounded.
    """

    def __init__(self, draft: Path) -> None:
        self.rows = 0
        self._draft = draft
        self._staging = draft.with_name(f"{draft.name}.staging")
        self._connection = duckdb.connect(
            str(self._staging),
            config={"memory_limit": _MEMORY, "threads": "2", "temp_directory": f"{self._staging}.tmp"},
        )
        columns = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
        self._connection.execute(f"CREATE TABLE settled ({columns})")
        self._waiting: list[Row] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        for suffix in ("", ".wal"):
            Path(f"{self._staging}{suffix}").unlink(missing_ok=True)

    def write(self, rows: Sequence[Row]) -> None:
        """Take more rows."""
        self._waiting += rows
        self.rows += len(rows)
        if len(self._waiting) >= _AT_ONCE:
            self._append()

    def finish(self) -> None:
        """Make Parquet of all rows."""
        self._append()
        shown = [f'to_timestamp("{name}" / 1000) AS "{name}"' for name in _TIMES]
        shown += [f"{name}::{_WORTH} AS {name}" for name in _WORTHS]
        target = str(self._draft).replace("'", "''")
        self._connection.execute(
            f"COPY (SELECT * REPLACE ({', '.join(shown)}) FROM settled) "  # noqa: S608 - names of our own
            f"TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )

    def interrupt(self) -> None:
        """Have `finish` end early; it raises duckdb.InterruptException then."""
        self._connection.interrupt()

    def _append(self) -> None:
        with self._connection.appender("settled") as appender:
            appender.append_rows(_values(row) for row in self._waiting)
        self._waiting.clear()


def _values(row: Row) -> tuple[object, ...]:
    community, home, totals = row
    return (
        community,
        home,
        totals.start,
        totals.end,
        totals.revision,
        "FINAL" if totals.final else "PROVISIONAL",
        next((name.upper() for name in _QUALITIES if getattr(totals, name)), "MISSING"),
        totals.import_wh,
        totals.export_wh,
        totals.pv_wh,
        totals.load_wh,
        totals.charge_wh,
        totals.discharge_wh,
        totals.allocated_wh,
        totals.residual_import_wh,
        totals.residual_export_wh,
        totals.saving,
        totals.credit,
        totals.co2_avoided_g,
        totals.currency,
    )


def _time(ms: object) -> str:
    from schema.scalars import show_time

    return show_time(ms)
