"""How long a reading takes to the wrist: from publishing it to `next` at a subscriber, idle system.

    python -m bench.latency [--readings 500] [--json]

Starts nats-server, aggregator and server as `commonwatt up` does, subscribes to a home over
graphql-transport-ws, and publishes one reading at a time, acknowledged, a quarter of a second
apart. Each reading carries a power of its own, so that its `next` is known.
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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

from bus.broker import Broker, free_port
from bus.client import Bus, Message
from bus.community import Community, Home, Meter, Tariff
from bus.reading import Reading
from bus.registry import apply
from bus.settings import NatsSettings

_PAUSE_S = 0.25


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[tuple[Bus, str]]:
    """Run the whole system with one registered community; yield the bus and the server's address."""
    broker = Broker(directory, free_port())
    port = free_port()
    nats = ["--nats-url", broker.url]
    commands = [
        broker.command(),
        [sys.executable, "-m", "commonwatt", "aggregate", *nats],
        [sys.executable, "-m", "commonwatt", "serve", *nats, "--port", str(port), "--development", "--sign-in", "off"],
    ]
    with Path(os.devnull).open("wb") as nowhere:
        processes = [subprocess.Popen(command, stdout=nowhere, stderr=nowhere) for command in commands]
    bus = await Bus.connect(NatsSettings(url=broker.url), name="bench")
    try:
        homes = tuple(Home(id=f"h{n}", meters=(Meter(id=f"m{n}"),)) for n in range(20))
        tariff = Tariff(supplier_price=Decimal("0.3"), community_price=Decimal("0.2"), feed_in_price=Decimal("0.1"))
        community = Community(id="bench", name="Bench", timezone="Europe/Vienna", tariff=tariff, homes=homes)
        await apply(bus, community, now=datetime.now(UTC))
        yield bus, f"ws://127.0.0.1:{port}/graphql"
    finally:
        await bus.close()
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(10)


async def measure(readings: int) -> dict[str, float]:
    """Return latencies in ms."""
    latencies: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        async with running(Path(directory)) as (bus, url):
            await _publish(bus, 0)
            client = Client(transport=WebsocketsTransport(url=url))
            session = await client.connect_async(reconnecting=True)
            document = gql('subscription { home(id: "bench.h0") { netPower } }')
            results = session.subscribe(document).__aiter__()
            await asyncio.wait_for(results.__anext__(), 20)
            for number in range(1, readings + 1):
                await asyncio.sleep(_PAUSE_S)
                began = time.perf_counter()
                publishing = asyncio.ensure_future(_publish(bus, number))
                while (await asyncio.wait_for(results.__anext__(), 10))["home"]["netPower"] != number:
                    pass
                latencies.append((time.perf_counter() - began) * 1000)
                await publishing
            await client.close_async()
    latencies.sort()
    return {
        "readings": readings,
        "p50_ms": round(statistics.median(latencies), 2),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)], 2),
        "max_ms": round(latencies[-1], 2),
    }


async def _publish(bus: Bus, number: int) -> None:
    reading = Reading(
        at=datetime.now(UTC), import_wh=1000 + number, export_wh=0, power_import_w=float(number), power_export_w=0.0
    )
    await bus.publish(Message("readings.bench.m0", reading.to_bytes()))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=500)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    result = asyncio.run(measure(arguments.readings))
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:10} {value}")


if __name__ == "__main__":
    main()
