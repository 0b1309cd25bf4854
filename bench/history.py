"""How fast the history answers over a year of a large community, and how fast it stores.

    python -m bench.history [--homes 1000] [--days 365] [--repeats 15] [--file FILE] [--json]

Fills a DuckDB file with generated quarter hours (1,000 homes and a year are 35 M rows), by the
history's own tables and in its own order; `--file` keeps it, and uses it again. Then, in this
process, by the history's own code:

- `page_ms`, `page_1000_ms`: the first page of a home's month, quarter by quarter: 100 and 1,000 periods;
- `community_year_ms`: a community's year by month; `summary_ms`: all sums of a home's year; and others;
- `ingest_rows_per_s`: decoding and storing messages of 1,000 rows as they come from INTERVALS, while
  another thread asks one question after the other; `revise_rows_per_s`: the same for revisions of
  what is stored; `asked_meanwhile_ms`: the median of those questions.

Questions and answers are encoded and decoded; homes differ from question to question. Figures are
medians. `rss_mb` is the most memory that the process had at any time.
"""

import argparse
import json
import random
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bus.history import BEST_HOURS, COMPARE, INTERVALS, SUMMARY
from bus.messages import Interval, IntervalRow, encode
from bus.stored import Stored
from history.decoding import decode
from history.periods import DAY_MS, following, midnight, starts
from history.questions import Questions
from history.store import Position, Store
from history.writer import Writer

QUARTER_MS: Final = 900_000
ZONE: Final = ZoneInfo("Europe/Vienna")
BEGIN_MS: Final = midnight(datetime(2025, 1, 1, tzinfo=UTC).date(), ZONE)
ROWS: Final = 1000
MESSAGES: Final = 100
PIECES: Final = 4

_DAY: Final = f"""
INSERT INTO new_rows
SELECT 1, home, $begin + quarter * {QUARTER_MS}, drawn, injected, sun, drawn - injected + sun, 0, 0, shared,
    drawn - shared, injected - injected // 3, (shared * 0.0135)::VARCHAR, (injected // 3 * 0.008)::VARCHAR,
    (shared * 0.21)::VARCHAR, 0
FROM (
    SELECT *, injected + 200 + (hash(home + quarter) % 500)::BIGINT AS sun, (drawn * ratio)::BIGINT AS shared
    FROM (
        SELECT home, quarter, (150 + hash(home * 7919 + quarter * 31 + $begin) % 700)::BIGINT AS drawn,
            CASE WHEN quarter BETWEEN 30 AND 72 THEN (hash(home * 104729 + quarter * 17 + $begin) % 900)::BIGINT
                ELSE 0 END AS injected,
            (hash(quarter + $begin) % 100) / 100 AS ratio
        FROM range($quarters) q (quarter), range(1, $homes + 1) h (home)
    )
)
"""
_INTERVALS: Final = f"""
INSERT INTO new_intervals
SELECT 1, start, start + {QUARTER_MS}, 1, true, 'EUR', sum(allocated_wh)::BIGINT FROM new_rows GROUP BY start
"""


def fill(store: Store, homes: int, days: int, tick: Callable[[], None]) -> None:
    """Fill the tables with days of one community, each at once, as the writer does it."""
    cursor = store.cursor()
    writer = Writer(store, cursor)
    cursor.execute("INSERT INTO communities VALUES (1, 'bench', ?)", [ZONE.key])
    cursor.execute("INSERT INTO homes SELECT h, 1, format('home-{:04}', h) FROM range(1, ? + 1) r (h)", [homes])
    store.reload()
    for start in list(starts(BEGIN_MS, BEGIN_MS + days * DAY_MS, "DAY", ZONE)):
        end = following(start, "DAY", ZONE)
        cursor.execute("BEGIN")
        cursor.execute(_DAY, {"begin": start, "quarters": (end - start) // QUARTER_MS, "homes": homes})
        cursor.execute("DELETE FROM new_intervals")
        cursor.execute(_INTERVALS)
        writer.settle([(1, start, end)])
        cursor.execute("COMMIT")
        tick()
    cursor.execute("CHECKPOINT")
    cursor.close()


def message(at: int, homes: int, revision: int, dice: random.Random) -> Stored:
    """Return an interval of INTERVALS."""
    start, end = (f"{datetime.fromtimestamp(one / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}" for one in (at, at + QUARTER_MS))
    rows = []
    for home in range(1, homes + 1):
        drawn, injected = dice.randrange(150, 850), dice.choice((0, dice.randrange(900)))
        shared = dice.randrange(drawn)
        rows.append(
            IntervalRow(
                home=f"home-{home:04}",
                start=start,
                end=end,
                import_wh=drawn,
                export_wh=injected,
                pv_wh=injected + 200,
                load_wh=drawn + 200,
                charge_wh=0,
                discharge_wh=0,
                allocated_wh=shared,
                residual_import_wh=drawn - shared,
                residual_export_wh=injected,
                saving=f"{shared * 0.0135:.4f}",
                credit=f"{injected * 0.008:.3f}",
                co2_avoided_g=f"{shared * 0.21:.2f}",
                quality="MEASURED",
            )
        )
    one = Interval(
        community="bench",
        start=start,
        end=end,
        revision=revision,
        status="PROVISIONAL",
        currency="EUR",
        shared_wh=0,
        rows=rows,
    )
    return Stored("intervals.bench", 1, 1, encode(one))


class Bench:
    """Questions to a file."""

    def __init__(self, store: Store, homes: int, days: int, repeats: int) -> None:
        self.store = store
        self._questions = Questions(store, lambda _: None)
        self._dice = random.Random(1)
        self._homes = homes
        self._repeats = repeats
        self.since, self.until = BEGIN_MS, BEGIN_MS + days * DAY_MS
        self.months = [
            (start, following(start, "MONTH", ZONE)) for start in starts(self.since, self.until, "MONTH", ZONE)
        ]

    def home(self) -> str:
        """Return any home."""
        return f"home-{self._dice.randrange(1, self._homes + 1):04}"

    def month(self) -> dict[str, int]:
        """Return any month."""
        since, until = self._dice.choice(self.months)
        return {"since": since, "until": until}

    def median_ms(self, endpoint: str, ask: Callable[[], dict[str, Any]]) -> float:
        """Return how long a question takes, in ms."""
        cursor = self.store.cursor()
        took = [self.ask_ms(cursor, endpoint, ask()) for _ in range(self._repeats + 1)][1:]
        cursor.close()
        return round(statistics.median(took), 1)

    def ask_ms(self, cursor: Any, endpoint: str, fields: dict[str, Any]) -> float:
        """Ask once; return ms."""
        began = time.perf_counter()
        found = self._questions.answer(cursor, endpoint, msgspec.json.encode({"community": "bench", **fields}))
        msgspec.json.decode(found)
        return (time.perf_counter() - began) * 1000

    def asked(self) -> dict[str, float]:
        """Return how long each kind of question takes."""
        year = {"since": self.since, "until": self.until}
        quarters = {"resolution": "QUARTER_HOUR"}
        kinds: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
            "page_ms": (INTERVALS, lambda: {"home": self.home(), **self.month(), **quarters}),
            "page_1000_ms": (INTERVALS, lambda: {"home": self.home(), **self.month(), **quarters, "first": 1000}),
            "home_month_by_hour_ms": (
                INTERVALS,
                lambda: {"home": self.home(), **self.month(), "resolution": "HOUR", "first": 750},
            ),
            "home_year_by_day_ms": (
                INTERVALS,
                lambda: {"home": self.home(), **year, "resolution": "DAY", "first": 400},
            ),
            "community_year_ms": (INTERVALS, lambda: {**year, "resolution": "MONTH"}),
            "community_page_1000_ms": (INTERVALS, lambda: {**self.month(), **quarters, "first": 1000}),
            "summary_ms": (SUMMARY, lambda: {"home": self.home(), **year}),
            "compare_average_ms": (
                COMPARE,
                lambda: {"home": self.home(), **self.month(), "baseline": "COMMUNITY_AVERAGE"},
            ),
            # Another time each, for the history keeps what it has found.
            "best_hours_ms": (BEST_HOURS, lambda: {"next_ms": DAY_MS + self._dice.randrange(1, DAY_MS)}),
        }
        return {name: self.median_ms(endpoint, ask) for name, (endpoint, ask) in kinds.items()}

    @contextmanager
    def asking(self) -> Iterator[list[float]]:
        """Ask one question after the other in another thread; the value is how long they took, in ms."""
        took: list[float] = []
        over = threading.Event()

        def ask() -> None:
            cursor = self.store.cursor()
            while not over.is_set():
                fields = {"home": self.home(), **self.month(), "resolution": "QUARTER_HOUR"}
                took.append(self.ask_ms(cursor, INTERVALS, fields))
            cursor.close()

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield took
        finally:
            over.set()
            thread.join()


def ingest(bench: Bench, first: int, homes: int, revision: int, asked: list[float]) -> float:
    """Decode and store messages while questions are asked; return rows a second."""
    dice = random.Random(revision)
    cursor = bench.store.cursor()
    writer = Writer(bench.store, cursor)
    seconds = 0.0
    rows = 0
    for piece in range(PIECES):
        # Messages are made before the clock runs, and a piece at a time: they are not the history's memory.
        begin = first + piece * MESSAGES * QUARTER_MS
        messages = [message(begin + at * QUARTER_MS, homes, revision, dice) for at in range(MESSAGES)]
        with bench.asking() as took:
            began = time.perf_counter()
            rows += writer.write([decode(one) for one in messages], Position(1, 1, ""), lambda _: ZONE.key)
            seconds += time.perf_counter() - began
        asked += took
    cursor.close()
    return rows / seconds


def measure(arguments: argparse.Namespace, path: Path) -> dict[str, float]:
    """Fill the file where that is not done, and measure."""
    homes, days = arguments.homes, arguments.days
    store = Store.open(path, memory_mb=arguments.memory, threads=2)
    console = Console(stderr=True)
    began = time.perf_counter()
    if not store.communities:
        bar = Progress(
            TextColumn("filling, day by day"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        with bar:
            task = bar.add_task("days", total=days)
            fill(store, homes, days, lambda: bar.advance(task))
    filled_s = time.perf_counter() - began
    rows = store.cursor().execute("SELECT count(*) FROM rows").fetchall()[0][0]
    end = store.cursor().execute("SELECT max(until) FROM intervals").fetchall()[0][0]
    bench = Bench(store, homes, days, arguments.repeats)
    result = {"rows": rows, "filled_s": round(filled_s), **bench.asked()}
    asked: list[float] = []
    new = ingest(bench, end, min(homes, ROWS), 0, asked)
    again = ingest(bench, end, min(homes, ROWS), 1, asked)
    store.close()
    return result | {
        "ingest_rows_per_s": round(new),
        "revise_rows_per_s": round(again),
        "asked_meanwhile_ms": round(statistics.median(asked), 1),
        "file_mb": round(path.stat().st_size / 2**20),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--homes", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--memory", type=int, default=400, help="MB that the database may take")
    parser.add_argument("--file", type=Path, help="keep the filled file here, and use it again")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        result = measure(arguments, arguments.file or Path(directory) / "history.duckdb")
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:24} {value:,}")


if __name__ == "__main__":
    main()
