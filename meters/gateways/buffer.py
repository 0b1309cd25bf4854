"""The buffer: messages that wait for NATS, in the order in which they came.

What NATS takes within a moment is in memory alone. What waits longer is written to a file (SQLite,
synced), where it survives the process however that ends, and a power cut; `spill`, called now and
then and at the end, is what writes it. Bounded in number and size: the oldest are dropped, counted
and logged. One process has the file.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import structlog

from bus.errors import ConfigurationError

log = structlog.get_logger(__name__)

MOST: Final = 2_000_000
"""Messages kept: 23 days of one meter that speaks every second."""

MOST_BYTES: Final = 512 * 1024 * 1024

_MOST_IN_MEMORY: Final = 50_000
_OVERHEAD: Final = 100
"""Bytes that a message takes beside its own, in the file and roughly in memory."""
_VERSION: Final = 1
_SAY_EVERY_S: Final = 60.0
_AGAIN_S: Final = 1.0
_VACUUM_OVER: Final = 16 * 1024 * 1024
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, subject TEXT NOT NULL, data BLOB NOT NULL)"
)
_SIZES: Final = f"SELECT count(*), coalesce(sum(length(subject) + length(data) + {_OVERHEAD}), 0)"

_Measure = tuple[int, int, int]
"""Messages in the file, what they take, and the number of the last."""
_Given = TypeVar("_Given")
_Got = TypeVar("_Got")


class BufferError(ConfigurationError):
    """Raised when the buffer's file cannot be used; the text says why and what to do."""


class Waiting(NamedTuple):
    """A message that waits. Numbers grow in the order in which messages came."""

    number: int
    subject: str
    data: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.subject) + len(self.data) + _OVERHEAD


class Buffer:
    """Messages that wait, in memory and in a file. Use from one event loop; `close` it."""

    def __init__(
        self,
        path: Path,
        *,
        most: int = MOST,
        most_bytes: int = MOST_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the file, made if absent; one that is damaged is set aside. Raises BufferError."""
        self.dropped = 0
        """Messages dropped since the start."""
        self._path = path
        self._most = most
        self._most_bytes = most_bytes
        self._monotonic = monotonic
        self._file, (self._kept, self._kept_bytes, last) = _open(path)
        self._next = last + 1
        self._fresh: deque[Waiting] = deque()
        self._fresh_bytes = 0
        self._old = 0
        """Up to which number messages were there when `spill` was called last."""
        self._taken = 0
        """Up to which number messages are on their way, and not to be dropped."""
        self._turn = asyncio.Lock()
        self._came = asyncio.Event()
        self._left = asyncio.Event()
        self._said: dict[str, float] = {}

    def __len__(self) -> int:
        """Messages that wait."""
        return self._kept + len(self._fresh)

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return self._kept_bytes + self._fresh_bytes

    @property
    def kept(self) -> int:
        """Messages in the file."""
        return self._kept

    def add(self, subject: str, data: bytes) -> None:
        """Take a message, which is in memory until it is stored or spilled."""
        waiting = Waiting(self._next, subject, data)
        self._next += 1
        self._fresh.append(waiting)
        self._fresh_bytes += waiting.size
        if len(self._fresh) > _MOST_IN_MEMORY:  # the file takes none, or not fast enough
            self._shed(1)
        self._came.set()

    async def take(self, most: int) -> list[Waiting]:
        """Wait for messages, and return the oldest, at most so many; they stay here until they are `done`.

        Raises BufferError where the file can no longer be read.
        """
        while not len(self):
            self._came.clear()
            await self._came.wait()
        async with self._turn:
            try:
                batch = await _apart(self._oldest, most) if self._kept else []
            except sqlite3.Error as error:
                raise BufferError(f"{self._path}: not readable: {error}: look at the disk") from error
            batch += islice(self._fresh, most - len(batch))
            if batch:
                self._taken = batch[-1].number
        return batch

    async def done(self, number: int) -> None:
        """Forget messages up to a number: they are stored. Waits while the file takes no change."""
        while True:
            async with self._turn:
                self._forget_fresh(number)
                try:
                    if self._kept:
                        await _apart(self._delete, number)
                    break
                except sqlite3.Error as error:
                    self._say_not_written(error)
            await asyncio.sleep(_AGAIN_S)
        self._left.set()

    async def below(self, count: int) -> None:
        """Wait until fewer than so many messages wait."""
        while len(self) >= count:
            self._left.clear()
            await self._left.wait()

    async def spill(self) -> None:
        """Write to the file what waits since before the last call, and drop the oldest of too many."""
        old, self._old = self._old, self._next - 1
        if not self._fresh or self._fresh[0].number > old:
            return
        async with self._turn:
            rows = list(self._fresh)
            try:
                await _apart(self._insert, rows)
            except sqlite3.Error as error:
                self._say_not_written(error)
                return
            if rows:
                self._forget_fresh(rows[-1].number)
        self._left.set()  # of what was dropped

    def close(self) -> None:
        """Write all that waits to the file and close it; raises BufferError where it cannot be written."""
        with contextlib.closing(self._file):
            try:
                if self._fresh:
                    self._insert(list(self._fresh))
                    self._forget_fresh(self._next)
            except sqlite3.Error as error:
                lost = f"{len(self._fresh)} messages that were in memory are lost"
                raise BufferError(f"{self._path}: {error}: {lost}; make room on the disk") from error

    # --- in memory ---

    def _forget_fresh(self, number: int) -> None:
        while self._fresh and self._fresh[0].number <= number:
            self._fresh_bytes -= self._fresh.popleft().size

    def _shed(self, count: int) -> None:
        for _ in range(count):
            self._fresh_bytes -= self._fresh.popleft().size
        self._say_dropped(count)

    def _say_dropped(self, count: int) -> None:
        self.dropped += count
        if self._is_new("dropped"):
            log.warning(
                "buffer full, its oldest messages are dropped",
                dropped=self.dropped,
                waiting=len(self),
                size=self.size,
            )

    def _say_not_written(self, error: sqlite3.Error) -> None:
        if self._is_new("not written"):
            log.warning("buffer not written", path=str(self._path), reason=str(error), in_memory=len(self._fresh))

    def _is_new(self, what: str) -> bool:
        now = self._monotonic()
        if now - self._said.get(what, -_SAY_EVERY_S) < _SAY_EVERY_S:
            return False
        self._said[what] = now
        return True

    # --- in the file, from a thread, in turn ---

    def _oldest(self, most: int) -> list[Waiting]:
        return [Waiting(*row) for row in self._rows("SELECT * FROM waiting ORDER BY number LIMIT ?", most)]

    def _rows(self, query: str, *values: int) -> Iterator[tuple[int, str, bytes]]:
        yield from self._file.execute(query, values)

    def _insert(self, rows: list[Waiting]) -> None:
        with self._file:
            # Those that are there were written by a call of `spill` that was cancelled.
            self._file.executemany("INSERT OR IGNORE INTO waiting VALUES (?, ?, ?)", rows)
        self._kept += len(rows)
        self._kept_bytes += sum(row.size for row in rows)
        self._drop()

    def _delete(self, number: int) -> None:
        """Forget up to a number; a file that is empty again gives its room back."""
        before = self._kept_bytes
        with self._file:
            count, size = self._file.execute(f"{_SIZES} FROM waiting WHERE number <= ?", (number,)).fetchone()
            self._file.execute("DELETE FROM waiting WHERE number <= ?", (number,))
        self._kept -= count
        self._kept_bytes -= size
        if not self._kept and before and self._path.stat().st_size > _VACUUM_OVER:
            with contextlib.suppress(sqlite3.Error):
                self._file.execute("VACUUM")

    def _drop(self) -> None:
        """Drop the oldest of too many, but for those on their way."""
        over, over_bytes = self._kept - self._most, self._kept_bytes - self._most_bytes
        if over <= 0 and over_bytes <= 0:
            return
        last, count, size = 0, 0, 0
        for number, subject, data in self._rows("SELECT * FROM waiting WHERE number > ? ORDER BY number", self._taken):
            if count >= over and size >= over_bytes:
                break
            last, count, size = number, count + 1, size + Waiting(number, subject, data).size
        with self._file:
            self._file.execute("DELETE FROM waiting WHERE number > ? AND number <= ?", (self._taken, last))
        self._kept -= count
        self._kept_bytes -= size
        self._say_dropped(count)


async def _apart(work: Callable[[_Given], _Got], given: _Given) -> _Got:
    """Do work on the file in a thread; it is over when this ends, cancelled or not."""
    task = asyncio.ensure_future(asyncio.to_thread(work, given))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _open(path: Path) -> tuple[sqlite3.Connection, _Measure]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BufferError(f"{path.parent}: {error.strerror}: name another folder with --data-dir") from None
    try:
        return _connect(path)
    except sqlite3.OperationalError as error:
        why = "another gateway has it" if "locked" in str(error) else str(error)
        raise BufferError(f"{path}: {why}: end what uses it, or name another folder with --data-dir") from None
    except sqlite3.DatabaseError as error:
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        path.replace(aside)
        for more in ("-wal", "-shm"):
            path.with_name(path.name + more).unlink(missing_ok=True)
        log.error("buffer set aside, beginning anew", path=str(path), reason=str(error), aside=str(aside))
        return _connect(path)


def _connect(path: Path) -> tuple[sqlite3.Connection, _Measure]:
    """Return the file and what it holds, of which all is read: damage shows here."""
    file = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    try:
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        version = file.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise BufferError(
                f"{path} is of version {version}, expected {_VERSION}: name another folder with --data-dir"
            )
        with file:
            file.execute("BEGIN EXCLUSIVE")
            file.execute(_TABLE)
            file.execute(f"PRAGMA user_version = {_VERSION}")
        count, size, last = file.execute(f"{_SIZES}, coalesce(max(number), 0) FROM waiting").fetchone()
    except BaseException:
        file.close()
        raise
    return file, (count, size, last)
