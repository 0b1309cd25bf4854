"""Killed at any moment: no row is missing, none is there twice, and none is of an older revision."""

import asyncio
import signal
import time
from pathlib import Path
from random import Random

import duckdb
import pytest

from bus.client import Bus
from bus.messages import Interval
from bus.settings import NatsSettings
from resolvers.history import History as Asking
from tests.conftest import NatsServer
from tests.history.ledger import QUARTER, Ledger, chance_interval, ms, ms_of
from tests.history.process import HistoryProcess
from tests.history.running import becomes, newest, publish
from tests.resolvers.frames import eventually

pytestmark = pytest.mark.slow

BEGIN = ms("2026-03-20T00:00")
HOMES = [f"home-{number:02}" for number in range(15)]
KILLS = 10


def messages() -> list[Interval]:
    """Return four weeks of two communities, with revisions and repetitions among them."""
    dice = Random(11)
    sent = []
    for at in range(28 * 96):
        for name in ("demo", "other"):
            sent.append(chance_interval(BEGIN + at * QUARTER, HOMES, 0, community=name))
            if at > 200 and dice.random() < 0.3:
                again = BEGIN + dice.randrange(at) * QUARTER
                sent.append(chance_interval(again, HOMES[:12], dice.randrange(3), community=name))
    return sent


async def reaches(process: HistoryProcess, position: int) -> None:
    async def has() -> bool:
        assert process.code is None, process.log
        return await asyncio.to_thread(lambda: process.position) >= position

    await eventually(has, timeout=60)


@pytest.mark.timeout(300)
async def test_killed_ten_times_while_it_reads_it_has_every_row_once(own_nats: NatsServer, tmp_path: Path) -> None:
    path, log = tmp_path / "history.duckdb", tmp_path / "history.log"
    sent = await asyncio.to_thread(messages)
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    dice = Random(5)
    reached = []
    try:
        last = await publish(bus, *sent)
        for kill in range(KILLS):
            process = HistoryProcess(own_nats.url, path, log, script="tests.history.pieces")
            await reaches(process, last * (kill + 1) // (KILLS + 2))
            await asyncio.sleep(dice.random() * 0.05)  # anywhere within a piece, not always at its begin
            reached.append(process.position)
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
        assert reached == sorted(reached)
        assert reached[-1] < last
        process = HistoryProcess(own_nats.url, path, log, script="tests.history.pieces")
        await reaches(process, last)
        await becomes(Asking(bus), [one for one in sent if one.community == "demo"])
        began = time.monotonic()
        assert await asyncio.to_thread(process.end, signal.SIGTERM) == 0
        assert time.monotonic() - began < 5
    finally:
        await bus.close()
    assert "set aside" not in process.log
    assert "Traceback" not in process.log
    await asyncio.to_thread(check, path, sent)


def check(path: Path, sent: list[Interval]) -> None:
    """Compare the file with tables into which the newest revisions were written once."""
    with duckdb.connect(path) as connection:
        found = Ledger(connection)
        once = Ledger(zone="UTC")
        once.write(*newest(sent))
        rows = found.dump()["rows"]
        assert len(rows) == len({(community, home, start) for community, home, start, *_ in rows})
        assert len(rows) == sum(len(one.rows) for one in newest(sent))
        assert {(one[0], one[1]): one[3] for one in found.dump()["intervals"]} == {
            (one.community, ms_of(one.start)): one.revision for one in newest(sent)
        }
        assert found.dump() == once.dump()
        once.close()


@pytest.mark.timeout(120)
async def test_a_signal_ends_it_in_time_while_it_reads_and_answers(own_nats: NatsServer, tmp_path: Path) -> None:
    sent = [chance_interval(BEGIN + at * QUARTER, HOMES) for at in range(3000)]
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    try:
        await publish(bus, *sent)
        for how, position in ((signal.SIGINT, 1), (signal.SIGTERM, 200), (signal.SIGTERM, 3000)):
            process = HistoryProcess(
                own_nats.url, tmp_path / "history.duckdb", tmp_path / "log", script="tests.history.pieces"
            )
            await reaches(process, position)
            asking = [
                asyncio.create_task(Asking(bus, patience_s=1).summary("demo", None, 0, 10**12)) for _ in range(20)
            ]
            began = time.monotonic()
            assert await asyncio.to_thread(process.end, how) == 0
            assert time.monotonic() - began < 5
            await asyncio.gather(*asking, return_exceptions=True)
        assert "Traceback" not in process.log
    finally:
        await bus.close()


async def test_a_file_in_use_ends_it_with_one_line(own_nats: NatsServer, tmp_path: Path) -> None:
    first = HistoryProcess(own_nats.url, tmp_path / "history.duckdb", tmp_path / "first")
    await reaches(first, 0)

    async def opened() -> bool:
        return "history ready" in first.log

    await eventually(opened, timeout=20)
    second = HistoryProcess(own_nats.url, tmp_path / "history.duckdb", tmp_path / "second")

    async def ended() -> bool:
        return second.code is not None

    await eventually(ended, timeout=30)
    assert second.code == 2
    (line,) = [line for line in second.log.splitlines() if line.startswith("commonwatt:")]
    assert "is in use by another process: end that one, or choose another" in line
    assert await asyncio.to_thread(first.end, signal.SIGTERM) == 0
