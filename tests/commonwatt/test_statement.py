"""`commonwatt statement`: to a file or to stdout, the same as from a server; what cannot be is one line."""

import csv
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from commonwatt.cli import app
from tests.commonwatt.kept import kept, settle
from tests.server.archive import at, settled, village
from tests.server.test_statements import CHANGE, HOUR_MS, dearer, may, owed, rows_of

REGISTERED = village(settlement_interval=timedelta(hours=1))

Commonwatt = Callable[..., Result]


@pytest.fixture
def commonwatt(monkeypatch: pytest.MonkeyPatch, nats_url: str) -> Commonwatt:
    """Run the command line in this process, on the session's nats-server."""
    monkeypatch.setattr("commonwatt.running.configure", lambda *_: None)
    runner = CliRunner(env={"COLUMNS": "200", "COMMONWATT_CONFIG": None, "TERM": "dumb"})

    def run(*words: str) -> Result:
        with capture_logs():
            return runner.invoke(app, [*words, "--nats-url", nats_url], prog_name="commonwatt")

    return run


@pytest.fixture
def history(nats_url: str, tmp_path: Path) -> Iterator[None]:
    """A history that keeps May of a village, with other prices from the 16th on."""
    last = settle(nats_url, [(REGISTERED, None), (dearer(REGISTERED), CHANGE)], may())
    with kept(nats_url, tmp_path, last):
        yield


@pytest.mark.usefixtures("history")
def test_a_statement_is_written_in_either_form_to_where_it_is_wanted(commonwatt: Commonwatt, tmp_path: Path) -> None:
    asked = ("statement", "--home", "demo.home-1", "--month", "2026-05")
    shown = commonwatt(*asked)
    assert (shown.exit_code, shown.stderr) == (0, "")
    table = list(csv.DictReader(shown.stdout.splitlines()))
    rows = rows_of(may())
    assert [int(line["drawn_wh"]) for line in table] == [row.import_wh for row in rows]
    assert sum(float(line["amount"]) for line in table) == pytest.approx(float(sum(map(owed, rows))) / 100)

    paths = {name: tmp_path / name for name in ("may.csv", "may.html", "page")}
    assert commonwatt(*asked, "--out", str(paths["may.csv"])).stdout == ""
    assert paths["may.csv"].read_bytes() == shown.stdout_bytes
    commonwatt(*asked, "--out", str(paths["may.html"]))
    commonwatt(*asked, "--format", "html", "--out", str(paths["page"]))
    pages = [paths[name].read_text("utf-8") for name in ("may.html", "page")]
    for page in pages:
        assert page.startswith("<!doctype html>")
        assert "Statement for May 2026" in page
        assert "<a " not in page
    assert sorted(path.name for path in tmp_path.glob(".*")) == []

    before = paths["may.csv"].read_bytes()
    again = commonwatt("statement", "--home", "demo.home-1", "--month", "2026-04", "--out", str(paths["may.csv"]))
    assert (again.exit_code, again.stderr) == (1, "commonwatt: nothing is settled of 2026-04 for demo.home-1\n")
    assert paths["may.csv"].read_bytes() == before


@pytest.mark.usefixtures("history")
def test_what_cannot_be_is_one_line(commonwatt: Commonwatt, tmp_path: Path) -> None:
    for home, month, code, said in (
        ("demo", "2026-05", 2, "home is 'demo'; expected COMMUNITY.HOME, such as demo.home-01"),
        ("nowhere.home-1", "2026-05", 2, "no community 'nowhere' is registered; known: demo"),
        ("demo.home-9", "2026-05", 2, "there is no home 'demo.home-9'"),
        ("demo.home-1", "May", 2, "month is 'May'; expected a year and month such as 2026-05, from 1970 to 2199"),
    ):
        result = commonwatt("statement", "--home", home, "--month", month)
        assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"commonwatt: {said}\n")
    absent = str(tmp_path / "absent" / "may.csv")
    result = commonwatt("statement", "--home", "demo.home-1", "--month", "2026-05", "--out", absent)
    assert result.exit_code == 2
    assert "No such file or directory" in result.stderr


def test_without_a_history_it_says_so(commonwatt: Commonwatt, nats_url: str) -> None:
    settle(nats_url, [(REGISTERED, None)], [settled(REGISTERED, at("2026-05-01T00:00+02:00") + HOUR_MS)])
    result = commonwatt("statement", "--home", "demo.home-1", "--month", "2026-05")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("commonwatt: settled data is not to be had just now")
