"""From the meter's line to the watch: lines die and come back, NATS is away, the gateway is killed; nothing is lost.

GATEWAY_OUTAGE_S says for how many seconds NATS is away: 60 for the whole minute.
"""

import asyncio
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from bus.broker import free_port
from bus.client import Bus
from bus.reading import Reading, RefusalError, parse
from bus.settings import NatsSettings
from tests.aggregator.service.process import AggregatorProcess, eventually
from tests.aggregator.service.village import held, intervals, register, rejected, village
from tests.commonwatt.tree import command, environment
from tests.conftest import NatsServer
from tests.meters.gateways.fake_meters import EVERY, MIDNIGHT, Dongle, FakeMeter, SerialMeter
from tests.server.served import ask, serving

pytestmark = pytest.mark.slow

Start = Callable[..., "GatewayProcess"]

OUTAGE_S = float(os.environ.get("GATEWAY_OUTAGE_S", "2"))
PACE_S = 1 / 16
"""Between two telegrams: a gateway takes twenty a second."""

TODAY = """{
  one: home(id: "demo.h1") { live { measuredAt powerImport quality today { imported exported } } }
  two: home(id: "demo.h2") { live { measuredAt powerImport quality today { imported exported } } }
}"""


class GatewayProcess:
    """`commonwatt gateway p1`, to be killed."""

    def __init__(self, url: str, config: Path, data_dir: Path, log: Path) -> None:
        self._port = free_port()
        self._log = log
        words = ("gateway", "p1", "--config", str(config), "--data-dir", str(data_dir), "--nats-url", url)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command(*words, "--metrics-port", str(self._port), "--log-format", "text"),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def end(self, how: signal.Signals) -> int:
        """End it and return its exit code."""
        self._process.send_signal(how)
        return self._process.wait(20)

    def remove(self) -> None:
        if self._process.poll() is None:
            self.end(signal.SIGKILL)

    async def count(self, metric: str, meter: str = "") -> float:
        """Return a metric; 0 where it is not there yet."""
        return await asyncio.to_thread(self._count, metric, meter)

    def _count(self, metric: str, meter: str) -> float:
        assert self._process.poll() is None, self.log
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return 0.0
        wanted = f'commonwatt_gateway_{metric}{{meter="{meter}"}} ' if meter else f"commonwatt_gateway_{metric} "
        return float(next((line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(wanted)), 0))


class House:
    """A meter on its line, and what a gateway that listens has heard of it."""

    def __init__(self, name: str, meter: FakeMeter, line: Dongle | SerialMeter) -> None:
        self.name = name
        self.meter = name.partition("/")[2]
        self.line = line
        self.heard: list[Reading] = []
        """What the gateway has to publish."""
        self._fake = meter

    async def say(self, gateway: GatewayProcess, numbers: range, pace_s: float = PACE_S) -> None:
        """Say telegrams to a gateway that listens, the first until it is heard, as a meter repeats what it says."""
        before = await gateway.count("readings_total", self.name)

        async def is_heard() -> bool:
            await self.line.say(self._fake.telegram(numbers[0]))
            await asyncio.sleep(PACE_S)
            return await gateway.count("readings_total", self.name) > before

        await eventually(is_heard, f"a gateway that hears {self.name}: {gateway.log}", 60)
        for number in numbers[1:]:
            await asyncio.sleep(pace_s)
            await self.line.say(self._fake.telegram(number))

        async def are_heard() -> bool:
            return await gateway.count("readings_total", self.name) - before == len(numbers)

        await eventually(are_heard, f"all telegrams of {self.name} to be heard: {gateway.log}", 30)
        self.heard += [self._fake.reading(number) for number in numbers]

    async def say_wrongly(self, number: int) -> None:
        """Say a telegram in which a digit is wrong."""
        await self.line.say(self._fake.telegram(number).replace(b"1-0:1.8.1(00", b"1-0:1.8.1(90"))

    async def break_off(self, number: int) -> None:
        """Say half a telegram, and die."""
        await self.line.say(self._fake.telegram(number)[:200])
        await self.line.die()
        await self.line.say(self._fake.telegram(number))


@pytest.fixture
def gateways(tmp_path: Path, own_nats: NatsServer) -> Iterator[Start]:
    """Start gateways on one configuration and data directory."""
    started: list[GatewayProcess] = []

    def start(*houses: House) -> GatewayProcess:
        config = tmp_path / "gateway.toml"
        config.write_text(
            "".join(
                f'[[meter]]\ncommunity = "demo"\nmeter = "{house.meter}"\nsource = "{house.line.spec}"\n'
                for house in houses
            ),
            "utf-8",
        )
        started.append(GatewayProcess(own_nats.url, config, tmp_path / "data", tmp_path / "gateway.log"))
        return started[-1]

    yield start
    for gateway in started:
        gateway.remove()


async def stored_readings(bus: Bus, meter: str) -> list[Reading]:
    """Return a meter's readings as they are stored, without what is told of refusals."""
    found = []
    for one in await held(bus, "READINGS", f"readings.demo.{meter}"):
        with suppress(RefusalError):
            found.append(parse(one.data))
    return found


async def test_lines_that_die_nats_that_is_away_and_a_killed_gateway_cost_nothing(
    own_nats: NatsServer, tmp_path: Path, gateways: Start
) -> None:
    houses = (
        House("demo/h1-grid", FakeMeter("E0047", 1_000_000, 5_000), Dongle(free_port())),
        House("demo/h2-grid", FakeMeter("E0048", 77_000, 0), SerialMeter(tmp_path / "ttyUSB0")),
    )
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=20)
    await register(bus, village(homes=2))
    aggregator = AggregatorProcess(own_nats.url, tmp_path / "aggregator.log")
    gateway = gateways(*houses)

    async def say(numbers: range, pace_s: float = PACE_S) -> None:
        await asyncio.gather(*(house.say(gateway, numbers, pace_s) for house in houses))

    try:
        await aggregator.ready()
        for house in houses:
            await house.line.live()
        await say(range(0, 14))
        for house in houses:
            await house.break_off(14)
        for house in houses:
            await house.line.live()
        await say(range(15, 24))
        await houses[0].say_wrongly(24)

        own_nats.kill()
        await say(range(24, 40), OUTAGE_S / 2 / 16)

        async def is_on_disk() -> bool:
            # Two are told of: the halves of telegrams.
            return bool(await gateway.count("on_disk") >= 32 and await gateway.count("waiting") < 36)

        await eventually(is_on_disk, f"all that waits to be on disk: {gateway.log}", 30)
        gateway.end(signal.SIGKILL)
        gateway = gateways(*houses)
        await say(range(40, 56), OUTAGE_S / 2 / 16)
        own_nats.start()
        await say(range(56, 64))

        async def is_published() -> bool:
            return await gateway.count("waiting") == 0

        await eventually(is_published, f"everything to be published: {gateway.log}", 60)
        assert gateway.end(signal.SIGINT) == 0

        for house in houses:
            assert await stored_readings(bus, house.meter) == house.heard
        await eventually(lambda: _settled(bus, 12), "the intervals", 30)
        await _check_intervals(bus, houses)
        await _check_refusals(bus)
        async with serving(bus) as url:

            async def is_shown() -> bool:
                answer = (await ask(url, TODAY)).get("data") or {}
                lives = [(answer.get(key) or {}).get("live") or {} for key in ("one", "two")]
                return all(
                    live.get("measuredAt") and datetime.fromisoformat(live["measuredAt"]) == house.heard[-1].at
                    for live, house in zip(lives, houses, strict=True)
                )

            await eventually(is_shown, "the last readings on the watch", 30)
            shown = (await ask(url, TODAY))["data"]
        for key, house in zip(("one", "two"), houses, strict=True):
            first, last = house.heard[0], house.heard[-1]
            live = shown[key]["live"]
            assert live["quality"] == "MEASURED"
            assert live["powerImport"] == last.power_import_w
            assert live["today"] == {
                "imported": last.import_wh - first.import_wh,
                "exported": last.export_wh - first.export_wh,
            }
    finally:
        aggregator.kill()
        for house in houses:
            await house.line.die()
        await bus.close()


async def _check_refusals(bus: Bus) -> None:
    """Hold what is on REJECTED, for the operator's page: the wrong telegram, and what was heard of the halves."""
    told = [one for one in await rejected(bus) if "checksum" in one.detail]
    assert [(one.reason, one.subject) for one in told] == [("refused_at_gateway", "readings.demo.h1-grid")]
    assert "1-0:1.8.1(90" in told[0].payload
    others = [one for one in await rejected(bus) if one not in told]
    assert len(others) <= 4
    assert {one.reason for one in others} <= {"refused_at_gateway"}


async def _settled(bus: Bus, count: int) -> bool:
    return len({interval.start for interval in await intervals(bus)}) >= count


async def _check_intervals(bus: Bus, houses: tuple[House, ...]) -> None:
    """Hold what is settled against the registers at the borders, at each of which there is a reading."""
    latest = {interval.start: interval for interval in await intervals(bus)}
    starts = sorted(datetime.fromisoformat(start) for start in latest)
    assert starts == [MIDNIGHT + number * 5 * EVERY for number in range(len(starts))], "no gap"
    checked = 0
    for start, interval in sorted(latest.items()):
        for row, house in zip(interval.rows, houses, strict=True):
            at = {reading.at: reading for reading in house.heard}
            first, last = at.get(datetime.fromisoformat(start)), at.get(datetime.fromisoformat(interval.end))
            assert row.quality == "MEASURED"
            if first is not None and last is not None:
                checked += 1
                assert (row.import_wh, row.export_wh) == (
                    last.import_wh - first.import_wh,
                    last.export_wh - first.export_wh,
                )
    assert checked >= 24
