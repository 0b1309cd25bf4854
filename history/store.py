"""The history's file: opened, checked, set aside when it is not usable, and what its numbers stand for.

DuckDB gives a file to one process. What is in it can be made again from the stream, so nothing is
repaired: a damaged file is renamed, and the next one begins empty.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Self

import duckdb

from bus.errors import ConfigurationError
from history.tables import DEFINITION, VERSION

_LOCK_S: Final = 10.0
"""How long a process that is just ending may hold the file."""

_LOCKED: Final = "Could not set lock"
_UNUSABLE: Final = ("No space left", "Permission denied", "Read-only file system", "Is a directory", "Not a directory")
_DAMAGED: Final = (
    "orrupt",
    "checksum",
    "not a valid DuckDB database file",
    "Could not read enough bytes",
    "replaying WAL",
    "version number",  # made by another DuckDB
)


class StoreError(ConfigurationError):
    """Raised when the history's file cannot be used where it is; the text says what to do."""


class DamagedError(Exception):
    """Raised when the file does not hold what it should: it is to be set aside."""


class Position(NamedTuple):
    """How far the stream was read: the sequence, JetStream time and digest of the last message; 0: nothing yet."""

    sequence: int = 0
    time_ms: int = 0
    digest: str | None = None


class Store:
    """An open file. `communities` and `homes` (by community number and id) are what numbers stand for.

    `zones`: the time zone by which each community's days are counted.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.communities: dict[str, int] = {}
        self.zones: dict[str, str] = {}
        self.homes: dict[tuple[int, str], int] = {}
        self.position = Position()

    @classmethod
    def open(cls, path: Path, *, memory_mb: int, threads: int) -> Self:
        """Open the file, or make it; wait a moment where another process is just leaving it.

        Raises DamagedError, and StoreError where the file could be good but cannot be used.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"history: {path.parent} is not writable ({error.strerror})") from None
        try:
            store = cls(_connect(path, memory_mb, threads))
        except duckdb.Error as error:
            raise _why_not_open(path, error) from error
        try:
            store.reload()
        except duckdb.Error as error:
            store.close()
            raise _why_not_open(path, error) from error
        except BaseException:
            store.close()
            raise
        return store

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection to the file for one thread."""
        return self._connection.cursor()

    def close(self) -> None:
        """Close the file; connections to it must have ended."""
        self._connection.close()

    def reload(self) -> None:
        """Read anew what the numbers stand for, and the position; make the tables where there are none."""
        connection = self._connection
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'position'").fetchall():
            connection.execute(f"BEGIN; {DEFINITION} COMMIT")
        found = connection.execute("SELECT version, sequence, time_ms, digest FROM position").fetchall()
        if len(found) != 1 or found[0][0] != VERSION:
            raise DamagedError(f"its tables have version {found[0][0] if found else None}, this is {VERSION}")
        self.position = Position(*found[0][1:])
        communities = connection.execute("SELECT community, number, zone FROM communities").fetchall()
        self.communities = {community: number for community, number, _ in communities}
        self.zones = {community: zone for community, _, zone in communities}
        homes = connection.execute("SELECT community, home, number FROM homes").fetchall()
        self.homes = {(community, home): number for community, home, number in homes}


def set_aside(path: Path, *, now: datetime | None = None) -> Path:
    """Rename the file and what belongs to it, as far as it is there; return the new name, which says when."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.stem}-{stamp}{path.suffix}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.stem}-{stamp}-{number}{path.suffix}")
    for before, after in ((path, aside), (_wal(path), _wal(aside))):
        if before.exists():
            before.rename(after)
    return aside


def is_damage(error: duckdb.Error) -> bool:
    """Say whether an error while the file is in use means that it does not hold what it should."""
    text = str(error)
    return any(one in text for one in _DAMAGED) and not any(reason in text for reason in _UNUSABLE)


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _connect(path: Path, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
    options: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": threads,
        "temp_directory": str(path.with_name(f"{path.name}.tmp")),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            return duckdb.connect(path, config=options)
        except duckdb.IOException as error:
            if _LOCKED not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _why_not_open(path: Path, error: duckdb.Error) -> Exception:
    text = str(error)
    if _LOCKED in text:
        return StoreError(f"history: {path} is in use by another process: end that one, or choose another --data-dir")
    if any(reason in text for reason in _UNUSABLE):
        return StoreError(f"history: {path} cannot be opened: {text.splitlines()[0]}")
    return DamagedError(text.splitlines()[0]) if is_damage(error) else error
