"""What folding a stored reading costs, against a bare nats-py ordered consumer on the same stream.

    python -m bench.aggregator [--readings 1000000] [--homes 10000] [--repeats 5] [--json]

Starts a nats-server of its own, stores readings of many homes (communities of 100, one GRID
meter each, every 10 s), and then lets two processes in turn read them all: nats-py's ordered
consumer with a callback that only counts, and `commonwatt aggregate`. Their CPU time (user and
system) is taken from the operating system, from the first message to the last.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from bus.broker import Broker, free_port
from bus.client import MAX_BATCH, Bus, Message, connection_of
from bus.community import Community, Home, Meter, Tariff
from bus.registry import apply
from bus.settings import NatsSettings

_COMMUNITY = 100
_EVERY_S = 10


def communities(homes: int) -> list[Community]:
    """Return the communities of a benchmark: 100 homes each, a GRID meter in every home."""
    tariff = Tariff(supplier_price=Decimal("0.28"), community_price=Decimal("0.16"), feed_in_price=Decimal("0.08"))
    return [
        Community(
            id=f"c{number:03}",
            name=f"Community {number}",
            timezone="Europe/Vienna",
            tariff=tariff,
            homes=tuple(Home(id=f"h{home:03}", meters=(Meter(id=f"m{home:03}"),)) for home in range(_COMMUNITY)),
        )
        for number in range(homes // _COMMUNITY)
    ]


async def store(bus: Bus, homes: int, readings: int) -> None:
    """Store the readings, home after home in every cycle, as live meters would."""
    for community in communities(homes):
        await apply(bus, community, now=datetime.now(UTC))
    cycles = readings // homes
    start = int(time.time()) - cycles * _EVERY_S
    batch: list[Message] = []
    for cycle in range(cycles):
        for home in range(homes):
            community, meter = divmod(home, _COMMUNITY)
            sun = (home % 3 == 0) * 3000
            at = datetime.fromtimestamp(start + cycle * _EVERY_S + home * _EVERY_S // homes, UTC)
            data = (
                f'{{"at":"{at:%Y-%m-%dT%H:%M:%SZ}","import_wh":{1000 + cycle * 2},"export_wh":{500 + cycle},'
                f'"power_import_w":{400 + (home * 7 + cycle * 13) % 900},"power_export_w":{sun}}}'
            )
            batch.append(Message(f"readings.c{community:03}.m{meter:03}", data.encode()))
            if len(batch) == MAX_BATCH:
                await bus.publish_batch(batch)
                batch.clear()
    if batch:
        await bus.publish_batch(batch)


def run_consumer(url: str, until: int) -> float:
    """Return the CPU seconds of a bare ordered consumer that reads up to a stream sequence."""
    command = [sys.executable, "-m", "bench.aggregator", "--consume", url, str(until)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def consume(url: str, until: int) -> float:
    """Read the stream with nats-py alone; return CPU seconds from the first message to the last."""
    bus = await Bus.connect(NatsSettings(url=url), name="bench")
    done = asyncio.Event()
    started = 0.0
    count = 0

    async def count_it(_: object) -> None:
        nonlocal started, count
        if not count:
            started = time.process_time()
        count += 1
        if count >= until:
            done.set()

    jetstream = connection_of(bus).jetstream()
    await jetstream.subscribe("readings.>", stream="READINGS", ordered_consumer=True, cb=count_it)
    await done.wait()
    used = time.process_time() - started
    await bus.close()
    return used


async def run_aggregator(url: str, bus: Bus, until: int) -> tuple[float, float, float]:
    """Return CPU seconds, wall seconds and peak MiB of an aggregator that folds everything stored."""
    await purge(bus)
    port = free_port()
    command = [sys.executable, "-m", "commonwatt", "aggregate", "--nats-url", url, "--metrics-port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            await asyncio.sleep(0.1)
            before = 0.0
            began = 0.0
            while True:
                used, memory = _usage(process.pid)
                folded = await asyncio.to_thread(_folded, port)
                if folded is None or folded == 0:
                    before, began = used, time.monotonic()
                elif folded >= until:
                    return used - before, time.monotonic() - began, memory
                await asyncio.sleep(0.05)
        finally:
            process.terminate()
            process.wait(10)


async def purge(bus: Bus) -> None:
    """Forget what an aggregator left behind, so that the next one begins from the start."""
    jetstream = connection_of(bus).jetstream()
    for stream in ("KV_checkpoints", "INTERVALS", "ALERTS", "REJECTED", "LIVE"):
        await jetstream.purge_stream(stream)


def _usage(pid: int) -> tuple[float, float]:
    """Return CPU seconds and resident MiB of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _folded(port: int) -> int | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
    except OSError:
        return None
    return next((int(float(line.split()[1])) for line in lines if line.startswith("commonwatt_readings_total")), None)


async def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Run both in turn and return medians."""
    with tempfile.TemporaryDirectory() as directory:
        broker = Broker(Path(directory), free_port())
        server = subprocess.Popen(broker.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            bus = await Bus.connect(NatsSettings(url=broker.url), name="bench")
            began = time.monotonic()
            await store(bus, arguments.homes, arguments.readings)
            stored_s = time.monotonic() - began
            _, last = await bus.stream_bounds("READINGS")
            folds, consumers = [], []
            for repeat in range(arguments.repeats):
                _, now_last = await bus.stream_bounds("READINGS")
                consumers.append(await asyncio.to_thread(run_consumer, broker.url, now_last) / now_last * 1e6)
                cpu, wall, memory = await run_aggregator(broker.url, bus, arguments.readings)
                folds.append((cpu / arguments.readings * 1e6, arguments.readings / wall, memory))
                print(
                    f"{repeat + 1}: consumer {consumers[-1]:.2f} µs, aggregator {folds[-1][0]:.2f} µs a reading, "
                    f"{folds[-1][1]:,.0f} readings/s, {memory:.0f} MiB",
                    file=sys.stderr,
                )
            await bus.close()
        finally:
            server.terminate()
            server.wait(10)
    ratios = [fold[0] / consumer for fold, consumer in zip(folds, consumers, strict=True)]
    return {
        "readings": arguments.readings,
        "homes": arguments.homes,
        "stored_per_s": round(last / stored_s),
        "consumer_us": round(statistics.median(consumers), 2),
        "aggregator_us": round(statistics.median(fold[0] for fold in folds), 2),
        "ratio": round(statistics.median(ratios), 2),
        "readings_per_s": round(statistics.median(fold[1] for fold in folds)),
        "memory_mib": round(statistics.median(fold[2] for fold in folds)),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=1_000_000)
    parser.add_argument("--homes", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--consume", nargs=2, metavar=("URL", "UNTIL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.consume:
        print(asyncio.run(consume(arguments.consume[0], int(arguments.consume[1]))))
        return
    result = asyncio.run(measure(arguments))
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:16} {value:,}")


if __name__ == "__main__":
    main()
