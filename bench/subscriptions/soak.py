"""The server over time: clients that come, go and stall, NATS restarted twice. Exits 1 when something is wrong.

    python -m bench.subscriptions.soak [--minutes 10] [--clients 2000] [--json]

Starts a nats-server and `commonwatt serve` of its own and publishes frames of 20 communities of 50
homes, one a second each, acknowledged. Clients stay for a minute on average (a fifth of the time,
if that is less) and come again as others; one in a hundred has 100 operations and reads none.
NATS is killed after a third and after two thirds of the time, and is away for 3 s. Must hold:

- at the end every client that reads has the state of the last frame; none ever got an older one
  after a newer, one of somebody else, an error, or lost its connection;
- once all have left, the server holds no group, operation or connection;
- its memory is flat: the median of the last fifth of the time is at most 5 % and 4 MiB above the
  median of the second fifth. The first is for warming up.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from bench.subscriptions.crowd import Crowd
from bench.subscriptions.frames import Source
from bench.subscriptions.prepare import HOMES, register
from bench.subscriptions.processes import Pinned, unsent
from bus.broker import Broker, free_port
from bus.client import Bus, Message
from bus.errors import UnavailableError
from bus.settings import NatsSettings

_COMMUNITIES: Final = 20
_CHANGED: Final = 10
_STAY_S: Final = 60.0
_AWAY_S: Final = 3.0
_SETTLE_S: Final = 30.0
_SAMPLE_S: Final = 2.0
_GROWTH: Final = 1.05
_SLACK: Final = 4 * 2**20
_LEFT: Final = ("commonwatt_groups", "commonwatt_subscriptions", "commonwatt_websocket_connections")


class Nats:
    """A nats-server that can be killed and started again on its port."""

    def __init__(self, directory: Path, core: int | None) -> None:
        self.broker = Broker(directory, free_port())
        self._core = core
        self._running = Pinned(core, self.broker.command())

    async def restart(self) -> None:
        """Kill it, leave it away for a while, and start it again."""
        self._running.process.kill()
        self._running.stop()
        await asyncio.sleep(_AWAY_S)
        self._running = Pinned(self._core, self.broker.command())

    def stop(self) -> None:
        """End it."""
        self._running.stop()


class Publisher:
    """Publishes what changes, acknowledged, and all of it again after a reconnect, as the aggregator does."""

    def __init__(self, bus: Bus, source: Source, chance: random.Random) -> None:
        self._bus = bus
        self._source = source
        self._chance = chance
        self._stored = [False] * source.count
        self._turn = asyncio.Lock()
        bus.on_reconnect(self._publish_all)

    async def run(self, end: asyncio.Event) -> None:
        """Publish a frame of each community a second until `end`, then until the last of each is stored."""
        while not end.is_set():
            for community in range(self._source.count):
                homes = self._chance.sample(range(HOMES), _CHANGED)
                async with self._turn:
                    await self._store(community, self._source.change(community, homes))
                with suppress(TimeoutError):
                    await asyncio.wait_for(end.wait(), 1 / self._source.count)
        while not all(self._stored):
            await self._bus.pause()
            await self._publish_all()

    async def _publish_all(self) -> None:
        for community in range(self._source.count):
            async with self._turn:
                await self._store(community, self._source.whole(community))

    async def _store(self, community: int, frame: bytes) -> None:
        self._stored[community] = False
        if self._bus.connected:
            with suppress(UnavailableError):
                await self._bus.publish(Message(f"live.c{community:03}", frame), timeout=2)
                self._stored[community] = True


class Watch:
    """What the server's process and its metrics say, sampled."""

    def __init__(self, server: Pinned, port: int) -> None:
        self.samples: list[tuple[float, int]] = []
        """Time and resident bytes."""
        self.most_groups = 0.0
        self.most_blocked = 0
        """The most connections at one time for which the kernel held bytes that nobody took."""
        self._server = server
        self._port = port

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            self.samples.append((time.monotonic(), self._server.usage().rss))
            self.most_blocked = max(self.most_blocked, len(unsent(self._port)))
            metrics = await self.metrics()
            self.most_groups = max(self.most_groups, metrics.get(_LEFT[0], 0))
            await asyncio.sleep(_SAMPLE_S)

    async def metrics(self) -> dict[str, float]:
        """Return the server's metrics that have no labels; none while it does not answer."""
        return await asyncio.to_thread(_scrape, f"http://127.0.0.1:{self._port}/metrics")

    def memory(self, began: float, seconds: float) -> tuple[float, float]:
        """Return the median resident bytes of the second fifth and of the last fifth of the time."""

        def median(low: float, high: float) -> float:
            chosen = [rss for at, rss in self.samples if low <= (at - began) / seconds < high]
            return statistics.median(chosen) if chosen else float("nan")

        return median(0.2, 0.4), median(0.8, 1.0)


async def soak(nats: Nats, server: Pinned, port: int, clients: int, seconds: float) -> dict[str, Any]:
    """Run it all and return the report; `wrong` lists what must not be."""
    chance = random.Random(4)
    source = Source(_COMMUNITIES, surplus_moves=True)
    bus = await Bus.connect(NatsSettings(url=nats.broker.url), name="soak")
    crowd = Crowd(port, source, clients, min(_STAY_S, seconds / 5), chance)
    watch, end, began = Watch(server, port), asyncio.Event(), time.monotonic()
    wrong: list[str] = []
    async with asyncio.TaskGroup() as group:
        publishing = group.create_task(Publisher(bus, source, chance).run(end))
        watching = group.create_task(watch.run())
        visits = group.create_task(crowd.run())
        for part in (1, 2, 3):
            await asyncio.sleep(began + seconds * part / 3 - time.monotonic())
            if part < 3:
                await nats.restart()
        crowd.close()
        end.set()
        await publishing
        present = crowd.present
        if mistaken := await _until(crowd.mistaken):
            wrong += [f"{len(mistaken)} of {present} clients do not show the last frame", *mistaken[:5]]
        crowd.leave()
        await visits
        watching.cancel()
    await bus.close()

    async def left() -> list[str]:
        metrics = await watch.metrics()
        return [f"left behind: {name} is {metrics.get(name)}" for name in _LEFT if metrics.get(name) != 0]

    wrong += await _until(left)
    early, late = watch.memory(began, seconds)
    if not late <= early * _GROWTH + _SLACK:
        wrong.append(f"memory grew from {early / 2**20:.1f} to {late / 2**20:.1f} MiB")
    if present < clients * 0.9:
        wrong.append(f"only {present} of {clients} clients were there at the end")
    if server.ended:
        wrong.append("the server ended")
    return {
        "minutes": round(seconds / 60, 2),
        "clients": clients,
        "came": crowd.tally.came,
        "stalled": crowd.tally.stalled,
        "most_blocked_at_once": watch.most_blocked,
        "most_groups": int(watch.most_groups),
        "messages": crowd.tally.messages,
        "present_at_the_end": present,
        "memory_early_mib": round(early / 2**20, 1),
        "memory_late_mib": round(late / 2**20, 1),
        "server_cpu_s": round(server.usage().cpu_s, 1),
        "wrong": wrong + crowd.tally.faults,
    }


async def _until(faults: Any) -> list[str]:
    """Ask for faults until there are none, or for as long as the server may take; return the last answer."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        found = faults()
        found = await found if asyncio.iscoroutine(found) else found
        if not found or time.monotonic() > deadline:
            return list(found)
        await asyncio.sleep(0.5)


def _scrape(url: str) -> dict[str, float]:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            lines = reply.read().decode().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines if not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, value in pairs}


@contextmanager
def _running(log: Path, options: list[str], broker: Broker, core: int | None) -> Iterator[tuple[Pinned, int]]:
    port = free_port()
    command = [sys.executable, "-m", "commonwatt", "serve", "--nats-url", broker.url, "--port", str(port), *options]
    with Pinned(core, command, log=log) as server:
        yield server, port


async def run(o: argparse.Namespace) -> dict[str, Any]:
    """Start NATS and the server, and soak them."""
    several = len(os.sched_getaffinity(0)) > 1
    server_core, load_core = (0, 1) if several else (None, None)
    if several:
        os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as folder:
        nats = Nats(Path(folder) / "nats", load_core)
        log = o.log or Path(folder) / "server.log"
        try:
            await register(nats.broker.url, _COMMUNITIES)
            with _running(log, o.serve.split(), nats.broker, server_core) as (server, port):
                await _answering(port)
                return await soak(nats, server, port, o.clients, o.minutes * 60)
        finally:
            nats.stop()


async def _answering(port: int) -> None:
    """Wait until the server knows the communities."""
    async with asyncio.timeout(30):
        while True:
            metrics = await asyncio.to_thread(_scrape, f"http://127.0.0.1:{port}/metrics")
            if metrics.get("commonwatt_registry_loaded"):
                return
            await asyncio.sleep(0.2)


def main() -> None:
    """Run the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument(
        "--serve", default="--development --sign-in=off", metavar="OPTIONS", help="of `commonwatt serve`"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="where the server's log goes (default: nowhere)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    o = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    report = asyncio.run(run(o))
    if o.json:
        print(json.dumps(report))
    else:
        for key, value in report.items():
            if key != "wrong":
                print(f"{key:22} {value:,}")
        print("nothing wrong" if not report["wrong"] else "\n".join(["wrong:", *report["wrong"]]))
    sys.exit(bool(report["wrong"]))


if __name__ == "__main__":
    main()
