"""The file: kept, locked, damaged in every way that happens to files, set aside by name."""

import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from history.store import DamagedError, Position, Store, StoreError, is_damage, set_aside
from tests.history.ledger import QUARTER, Ledger, chance_interval, ms

EVE = ms("2026-10-24T22:00")
OPEN = "import sys; from pathlib import Path; from history.store import Store; \
store = Store.open(Path(sys.argv[1]), memory_mb=100, threads=1); print('open', flush=True); sys.stdin.read()"


def opened(path: Path) -> Store:
    return Store.open(path, memory_mb=100, threads=2)


def fill(path: Path, intervals: int = 400, *, killed: bool = False) -> None:
    """Make a file with some intervals in it; `killed`: as a process leaves it that did not close it."""
    store = opened(path)
    ledger = Ledger(store.cursor())
    homes = [f"home-{number}" for number in range(50)]
    for first in range(0, intervals, 100):
        ledger.write(*(chance_interval(EVE + at * QUARTER, homes) for at in range(first, first + 100)))
    ledger.cursor.execute("CHECKPOINT")
    ledger.write(*(chance_interval(EVE + at * QUARTER, homes, 1) for at in range(20)))
    if killed:
        shutil.copy(path, path.with_suffix(".copy"))
        shutil.copy(f"{path}.wal", f"{path.with_suffix('.copy')}.wal")
    ledger.cursor.close()
    store.close()
    if killed:
        shutil.move(path.with_suffix(".copy"), path)
        shutil.move(f"{path.with_suffix('.copy')}.wal", f"{path}.wal")


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "history.duckdb"
    fill(path)
    store = opened(path)
    assert store.position == Position(420, 420, "420")
    assert store.communities == {"demo": 1}
    assert store.zones == {"demo": "Europe/Vienna"}
    assert len(store.homes) == 50
    assert store.cursor().execute("SELECT count(*) FROM rows").fetchall() == [(20_000,)]
    store.close()


def test_what_a_killed_process_left_is_there_too(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    fill(path, killed=True)
    assert Path(f"{path}.wal").exists()
    store = opened(path)
    assert store.position == Position(420, 420, "420")
    assert store.cursor().execute("SELECT sum(revision) FROM intervals").fetchall() == [(20,)]
    store.close()


def test_a_file_that_another_process_uses_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("history.store._LOCK_S", 0.2)
    path = tmp_path / "history.duckdb"
    holder = subprocess.Popen([sys.executable, "-c", OPEN, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreError, match="is in use by another process: end that one"):
            opened(path)
    finally:
        holder.kill()
        holder.communicate()
    opened(path).close()


def test_a_file_that_is_just_let_go_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    holder = subprocess.Popen([sys.executable, "-c", OPEN, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    holder.stdin.close()
    opened(path).close()
    assert holder.wait(10) == 0
    holder.stdout.close()


@pytest.mark.parametrize("name", ["garbage", "empty", "cut", "head", "other"])
def test_what_is_no_file_of_ours_is_damaged(tmp_path: Path, name: str) -> None:
    path = tmp_path / "history.duckdb"
    fill(path)
    data = path.read_bytes()
    match name:
        case "garbage":
            path.write_bytes(b"no database" * 5000)
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "head":
            path.write_bytes(b"\0" * 8192 + data[8192:])
        case "other":
            with duckdb.connect(path) as connection:
                connection.execute("UPDATE position SET version = 999")
    with pytest.raises(DamagedError):
        opened(path)


def test_every_damage_to_a_block_is_noticed_when_it_is_opened_or_read(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    fill(path, killed=True)
    good, log = path.read_bytes(), Path(f"{path}.wal").read_bytes()
    dice = random.Random(1)
    for number in range(20):
        path.write_bytes(good)
        Path(f"{path}.wal").write_bytes(log)
        victim = path if number % 2 else Path(f"{path}.wal")
        at = dice.randrange(victim.stat().st_size - 64)
        with victim.open("r+b") as file:
            file.seek(at)
            file.write(dice.randbytes(64))
        assert read_all(path) in ("damaged", "good"), at
        assert number % 2 or read_all(path) == "damaged"


def read_all(path: Path) -> str:
    try:
        store = opened(path)
    except DamagedError:
        return "damaged"
    try:
        found = [
            store.cursor().execute(f"SELECT count(*), sum(hash(t)) FROM {table} t").fetchall()
            for table in ("rows", "intervals", "days", "homes")
        ]
    except duckdb.Error as error:
        return "damaged" if is_damage(error) else repr(error)
    finally:
        store.close()
    return "good" if [one[0][0] for one in found] == [20_000, 400, 250, 50] else "lost"


def test_a_place_that_is_not_writable_is_said_and_nothing_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is not writable"):
        opened(tmp_path / "file" / "history.duckdb")
    (tmp_path / "folder.duckdb").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        opened(tmp_path / "folder.duckdb")


def test_a_file_that_is_set_aside_says_when_and_can_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    now = datetime(2026, 11, 23, 18, 5, 9, tzinfo=UTC)
    names = []
    for _ in range(2):
        fill(path, killed=True)
        aside = set_aside(path, now=now)
        names.append(aside.name)
        assert not path.exists()
        assert not Path(f"{path}.wal").exists()
        with duckdb.connect(aside, read_only=False) as connection:
            assert connection.execute("SELECT sequence FROM position").fetchall() == [(420,)]
    assert names == ["history-20261123T180509Z.duckdb", "history-20261123T180509Z-2.duckdb"]


def test_what_is_gone_already_need_not_be_set_aside(tmp_path: Path) -> None:
    assert not set_aside(tmp_path / "history.duckdb").exists()
