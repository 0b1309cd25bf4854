"""The recorded year through every process: replay, aggregator, history, and the answers against the oracle."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bus.client import Bus
from bus.settings import NatsSettings
from meters.citylearn import load_citylearn
from resolvers.errors import NotReadyError
from resolvers.history import History as Asking
from tests.aggregator.test_citylearn_oracle import BEGIN_MS
from tests.conftest import NatsServer
from tests.history.process import HistoryProcess
from tests.history.recorded import END_MS, HOUR, by_local, differences, tell
from tests.resolvers.frames import eventually

pytestmark = pytest.mark.slow

UNTIL = END_MS - 3 * HOUR
"""The last hours stay open: no reading comes that would close them."""


def start(log: Path, *words: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "commonwatt", *words, "--log-format", "text"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


@pytest.mark.timeout(900)
async def test_the_recorded_year_is_what_the_oracle_says(own_nats: NatsServer, citylearn: Path, tmp_path: Path) -> None:
    url = own_nats.url
    told = [one for one in await asyncio.to_thread(tell, citylearn) if one.start < UNTIL]
    community = load_citylearn(citylearn).community("citylearn")
    bus = await Bus.connect(NatsSettings(url=url), name="test", patience_s=10)
    asking = Asking(bus)
    replay = start(tmp_path / "replay.log", "replay", str(citylearn), "--nats-url", url)
    aggregate = start(tmp_path / "aggregate.log", "aggregate", "--nats-url", url)
    history = HistoryProcess(url, tmp_path / "history.duckdb", tmp_path / "history.log")

    async def settled() -> bool:
        assert replay.poll() in (None, 0)
        assert aggregate.poll() is None
        assert history.code is None, history.log
        try:
            whole = await asking.summary("citylearn", None, BEGIN_MS, UNTIL)
        except NotReadyError:
            return False
        return whole is not None and whole.intervals == len(told)

    try:
        await eventually(settled, timeout=800)
        for home in (None, "building-01", "building-09", "building-15"):
            whole = await asking.summary("citylearn", home, BEGIN_MS, UNTIL)
            assert whole is not None
            assert differences(whole, told, home, community) == []
            page = await asking.intervals("citylearn", home, BEGIN_MS, UNTIL, "MONTH")
            months = by_local(told, lambda local: (local.year, local.month))
            assert len(page.periods) == len(months) == 12
            for shown, hours in zip(page.periods, months, strict=True):
                assert differences(shown, hours, home, community) == []
            assert page.periods[0].final == page.periods[0].intervals
            assert page.periods[-1].final < page.periods[-1].intervals
        best = await asking.best_hours("citylearn", 24 * HOUR)
        assert best.score is not None
        assert best.score.error_wh < best.score.yesterday_error_wh
        assert len(best.hours) in (24, 25)
        compared = await asking.compare("citylearn", "building-01", BEGIN_MS, UNTIL, "COMMUNITY_AVERAGE")
        assert compared.others == 16
        assert await asyncio.to_thread(history.end, signal.SIGTERM) == 0
    finally:
        for process in (replay, aggregate):
            process.kill()
            process.wait(10)
        if history.code is None:
            history.end(signal.SIGKILL)
        await bus.close()
    assert "Traceback" not in history.log
    assert "set aside" not in history.log
