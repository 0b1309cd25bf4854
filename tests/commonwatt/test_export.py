"""`commonwatt export`: every row once, at its newest revision, in order; whole or not at all; in bounded memory."""

import asyncio
import csv
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast

import duckdb
import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from bus.client import Bus
from bus.community import Community, Version
from bus.history import Page, Totals
from bus.messages import Interval
from bus.registry import BEGINNING, Registry
from bus.registry import History as Versions
from commonwatt.cli import app
from commonwatt.settled import Plan, Settled
from commonwatt.tables import COLUMNS, Row
from resolvers.errors import NotReadyError
from resolvers.history import History
from tests.commonwatt.kept import kept, settle
from tests.history.ledger import expected, ms_of
from tests.resolvers.frames import eventually, register
from tests.server.archive import DAY_MS, HOMES, QUARTER_MS, at, settled, village

Commonwatt = Callable[..., Result]

SINCE: Final = at("2026-03-28T00:00+01:00")
UNTIL: Final = SINCE + 12 * DAY_MS
DEMO: Final = village()
SMALL: Final = village("small", homes=("zoo", "ark"), settlement_interval=timedelta(hours=1), members=())
FEWER: Final = village(homes=HOMES[:5])


def published() -> list[Interval]:
    """Return twelve days of a community, of which one home left after six, with corrections; and one of another."""
    left = SINCE + 6 * DAY_MS
    intervals = [settled(DEMO if start < left else FEWER, start) for start in range(SINCE, UNTIL, QUARTER_MS)]
    intervals += [settled(DEMO, start, 1) for start in range(SINCE, SINCE + 40 * QUARTER_MS, QUARTER_MS)]
    intervals += [settled(DEMO, SINCE, 2)]
    return intervals + [settled(SMALL, start) for start in range(SINCE, SINCE + DAY_MS, 4 * QUARTER_MS)]


def newest(intervals: Sequence[Interval]) -> list[dict[str, Any]]:
    """Return what must be exported of intervals: a row for each home and interval, in order."""
    found = {
        (one.community, row.home, ms_of(one.start)): (one, row)
        for one in sorted(intervals, key=lambda one: one.revision)
        for row in one.rows
    }
    rows = []
    for (community, home, start), (one, row) in sorted(found.items(), key=lambda item: item[0]):
        rows.append(
            {
                "community": community,
                "home": home,
                "start": datetime.fromtimestamp(start / 1000, UTC),
                "end": datetime.fromisoformat(one.end),
                "revision": one.revision,
                "status": one.status,
                "quality": row.quality,
                **{name: getattr(row, name) for name in COLUMNS if name.endswith("_wh")},
                "saving_minor": Decimal(row.saving),
                "credit_minor": Decimal(row.credit),
                "co2_avoided_g": Decimal(row.co2_avoided_g),
                "currency": "EUR",
            }
        )
    return rows


def from_csv(text: str) -> list[dict[str, Any]]:
    def read(name: str, value: str) -> Any:
        if name in ("start", "end"):
            return datetime.fromisoformat(value)
        if name.endswith("_wh") or name == "revision":
            return int(value)
        return Decimal(value) if name.endswith(("_minor", "_g")) else value

    return [{name: read(name, value) for name, value in line.items()} for line in csv.DictReader(text.splitlines())]


def from_parquet(path: Path) -> list[dict[str, Any]]:
    times = ", ".join(f'epoch_ms("{name}") AS "{name}"' for name in ("start", "end"))
    with closing(duckdb.connect()) as connection:
        found = connection.execute(f"SELECT * REPLACE ({times}) FROM read_parquet(?)", [str(path)])
        assert found.description is not None
        names = [column[0] for column in found.description]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return [row | {name: datetime.fromtimestamp(row[name] / 1000, UTC) for name in ("start", "end")} for row in rows]


@pytest.fixture
def commonwatt(monkeypatch: pytest.MonkeyPatch, nats_url: str) -> Commonwatt:
    """Run the command line in this process, on the session's nats-server."""
    monkeypatch.setattr("commonwatt.running.configure", lambda *_: None)
    monkeypatch.setattr("commonwatt.export._HISTORY_PATIENCE_S", 0.5)
    runner = CliRunner(env={"COLUMNS": "200", "COMMONWATT_CONFIG": None, "TERM": "dumb"})

    def run(*words: str) -> Result:
        with capture_logs():
            return runner.invoke(app, ["export", *words, "--nats-url", nats_url], prog_name="commonwatt")

    return run


@pytest.fixture
def history(nats_url: str, tmp_path: Path) -> Iterator[None]:
    """A history that keeps what is published."""
    (tmp_path / "history").mkdir()
    versions: list[tuple[Community, date | None]] = [(DEMO, None), (FEWER, date(2026, 4, 3)), (SMALL, None)]
    with kept(nats_url, tmp_path / "history", settle(nats_url, versions, published())):
        yield


@pytest.mark.usefixtures("history")
def test_every_row_is_exported_once_at_its_newest_revision(commonwatt: Commonwatt, tmp_path: Path) -> None:
    wanted = newest(published())
    result = commonwatt("--out", str(tmp_path / "all.csv"))
    assert result.exit_code == 0, result.output
    assert result.stderr == f"{tmp_path / 'all.csv'}: {len(wanted):,} rows\n"
    assert from_csv((tmp_path / "all.csv").read_text("utf-8")) == wanted
    result = commonwatt("--format", "parquet", "--out", str(tmp_path / "all"))
    assert result.exit_code == 0, result.output
    assert from_parquet(tmp_path / "all") == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "all.csv", "history"]

    result = commonwatt("--out", "-", "--community", "small")
    assert from_csv(result.stdout) == [row for row in wanted if row["community"] == "small"]
    assert result.stderr == "stdout: 48 rows\n"

    # the day on which clocks went forward: 23 hours
    result = commonwatt("--out", "-", "--from", "2026-03-29", "--to", "2026-03-30", "--community", "demo")
    day = [row for row in wanted if row["community"] == "demo" and row["start"].astimezone(DEMO.zone).day == 29]
    assert len(day) == 23 * 4 * 6
    assert from_csv(result.stdout) == day
    times = ("--from", "2026-03-29T01:00:00Z", "--to", "2026-03-29T01:15:00+00:00")
    found = from_csv(commonwatt("--out", "-", *times, "--community", "demo", "--community", "small").stdout)
    moment = datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert found == [row for row in wanted if row["start"] == moment]

    result = commonwatt("--out", str(tmp_path / "none.parquet"), "--to", "2020-01-01")
    assert (result.exit_code, from_parquet(tmp_path / "none.parquet")) == (0, [])


@pytest.mark.usefixtures("history")
def test_the_types_of_parquet_are_those_of_the_values(commonwatt: Commonwatt, tmp_path: Path) -> None:
    path = tmp_path / "it's.parquet"
    assert commonwatt("--out", str(path), "--community", "small").exit_code == 0
    with closing(duckdb.connect()) as connection:
        found = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
        packed = connection.execute("SELECT DISTINCT compression FROM parquet_metadata(?)", [str(path)]).fetchall()
    kinds = {name: kind for name, kind, *_ in found}
    assert list(kinds) == list(COLUMNS)
    assert kinds["start"] == kinds["end"] == "TIMESTAMP WITH TIME ZONE"
    assert kinds["saving_minor"] == kinds["co2_avoided_g"] == "DECIMAL(38,11)"
    assert (kinds["import_wh"], kinds["revision"], kinds["quality"]) == ("BIGINT", "INTEGER", "VARCHAR")
    assert packed == [("ZSTD",)]


@pytest.mark.usefixtures("history")
def test_whoever_stops_reading_ends_it_with_one_line(nats_url: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMMONWATT_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "commonwatt", "export", "--out", "-", "--nats-url", nats_url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b"community,home,start")
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(30) == 1
    assert said == "commonwatt: whoever read stdout went away\n"


@pytest.mark.parametrize("name", ["all.csv", "all.parquet"])
async def test_an_export_that_is_broken_off_leaves_what_was_there(
    bus: Bus, nats_url: str, tmp_path: Path, name: str
) -> None:
    await register(bus, SMALL)
    (tmp_path / name).write_text("of yesterday")
    words = ["-m", "commonwatt", "export", "--out", str(tmp_path / name), "--nats-url", nats_url]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMMONWATT_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )

    async def has_begun() -> bool:  # it waits for a history that is not there
        return len(os.listdir(tmp_path)) > 1

    await eventually(has_begun, timeout=30)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        await process.wait()
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "of yesterday"


def test_what_cannot_be_is_one_line_and_leaves_no_file(commonwatt: Commonwatt, nats_url: str, tmp_path: Path) -> None:
    settle(nats_url, [(SMALL, None)], [])
    out = str(tmp_path / "out.csv")
    for words, code, said in (
        (("--community", "nowhere"), 2, "no community 'nowhere' is registered; known: small"),
        (("--from", "2026-05-02", "--to", "2026-05-01"), 2, "--from 2026-05-02 is not before --to 2026-05-01"),
        (("--from", "tomorrow"), 2, "--from is 'tomorrow'; expected a day such as 2026-05-01, or a time such as"),
        (("--to", "1960-01-01"), 2, "--to is in 1959; expected 1970 to 2200"),
        ((), 1, "settled data is not to be had just now"),
    ):
        result = commonwatt("--out", out, *words)
        assert (result.exit_code, result.stdout) == (code, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"commonwatt: {said}")
    assert list(tmp_path.iterdir()) == []
    for words, said in (
        (("--out", str(tmp_path / "file")), "give --format parquet or csv"),
        (("--out", "-", "--format", "parquet"), "Parquet cannot go to stdout: name a file"),
        ((), "Missing option '--out'"),
    ):
        result = commonwatt(*words)
        assert result.exit_code == 2
        assert said in result.stderr
    absent = commonwatt("--out", str(tmp_path / "absent" / "out.csv"))
    assert absent.exit_code == 2
    assert "No such file or directory" in absent.stderr


# --- reading ---


class Ledger:
    """Answers as the history does, from intervals at hand; as often as told it is away first."""

    def __init__(self, intervals: Sequence[Interval], *, away: int = 0) -> None:
        self._intervals = intervals
        self._away = away
        self.under_way = self.most = 0

    async def intervals(
        self,
        community: str,
        home: str | None,
        since: int,
        until: int,
        resolution: str,
        *,
        first: int,
        after: int | None,
    ) -> Page:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self._away:
            self._away -= 1
            raise NotReadyError("away")
        if resolution == "MONTH":
            whole = expected(self._intervals, None, since, until, community=community)
            return Page(periods=[] if whole is None else [whole], has_next=False)
        starts = sorted(ms_of(one.start) for one in self._intervals)
        found = [
            expected(self._intervals, home, start, start + QUARTER_MS, community=community)
            for start in starts
            if since <= start < until and (after is None or start > after)
        ]
        there = [totals for totals in found if totals is not None]
        return Page(periods=there[:first], has_next=len(there) > first)


def reading(ledger: Ledger, *, patience_s: float = 20.0) -> Settled:
    registry = Registry()
    registry.communities["demo"] = Versions()
    registry.communities["demo"].add(Version(valid_from=BEGINNING, community=DEMO), 1)

    async def pause() -> None:
        await asyncio.sleep(0)

    return Settled(cast(History, ledger), registry, pause=pause, patience_s=patience_s)


async def all_of(rows: AsyncIterator[Sequence[Row]]) -> list[tuple[str, int]]:
    return [(home, totals.start) async for batch in rows for _, home, totals in batch]


async def test_a_history_that_is_away_for_a_moment_is_asked_again() -> None:
    intervals = [settled(DEMO, SINCE + number * QUARTER_MS) for number in range(5)]
    ledger = Ledger(intervals, away=7)
    settled_ = reading(ledger)
    plan = await settled_.plan({"demo": (0, UNTIL)})
    assert plan.rows == 5 * 6
    found = await all_of(settled_.rows(plan))
    assert found == [(home, SINCE + number * QUARTER_MS) for home in HOMES for number in range(5)]
    assert ledger.most <= 4


async def test_a_history_that_stays_away_is_not_waited_for_for_ever() -> None:
    with pytest.raises(NotReadyError, match="away"):
        await reading(Ledger([], away=10**9), patience_s=0.05).plan({"demo": (0, UNTIL)})


async def test_no_question_is_left_behind_by_whoever_stops_reading() -> None:
    ledger = Ledger([settled(DEMO, SINCE + number * QUARTER_MS) for number in range(4)])
    settled_ = reading(ledger)
    rows = settled_.rows(Plan(24, {"demo": [(SINCE, SINCE + DAY_MS)]}))
    await anext(rows)
    await rows.aclose()  # type: ignore[attr-defined] # it is a generator
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


# --- memory ---


def many_rows(number: int) -> Iterator[list[Row]]:
    (totals,) = [expected([settled(DEMO, SINCE)], "home-1", SINCE, SINCE + QUARTER_MS)]
    assert totals is not None
    fields = {name: getattr(totals, name) for name in Totals.__struct_fields__}
    for first in range(0, number, 1000):
        yield [
            ("demo", f"home-{first % 7}", Totals(**(fields | {"start": at_, "end": at_ + QUARTER_MS})))
            for at_ in range(SINCE + first * QUARTER_MS, SINCE + (first + 1000) * QUARTER_MS, QUARTER_MS)
        ]


SCRIPT: Final = """
import resource, sys
from pathlib import Path
from commonwatt.tables import CsvTable, ParquetTable
from tests.commonwatt.test_export import many_rows

path = Path(sys.argv[1])
for _ in many_rows(1000): pass
def fill(table):
    for rows in many_rows(int(sys.argv[3])):
        table.write(rows)
    table.finish()
if sys.argv[2] == "csv":
    with path.open("wb") as file:
        fill(CsvTable(file))
else:
    with ParquetTable(path) as table:
        fill(table)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_ten_times_the_rows_take_no_more_memory(tmp_path: Path, form: str) -> None:
    def peak_mb(rows: int) -> int:
        words = [sys.executable, "-c", SCRIPT, str(tmp_path / f"{rows}"), form, str(rows)]
        found = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        assert found.returncode == 0, found.stderr
        return int(found.stdout)

    few, many = peak_mb(100_000), peak_mb(1_000_000)
    assert many - few < 150
    assert (tmp_path / "1000000").stat().st_size > 0
