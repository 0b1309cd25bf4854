"""What storing readings costs by each way of publishing, synced to disk before it is acknowledged and not.

    python -m bench.publishing [--readings 100000] [--meters 1000]

Starts a nats-server of its own per figure. "one by one" awaits each acknowledgement, "200 in
flight" keeps so many open; both store twice what is sent twice. "batches" are JetStream atomic
batches of 500; "once" is bus.readings.ReadingsWriter, which adds what each subject must end at,
and looks at the stream first; "again" is the same readings to it a second time: nothing is stored.
"""

import argparse
import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.broker import Broker, free_port
from bus.client import MAX_BATCH, Bus, Message
from bus.identifiers import reading_subject
from bus.reading import Reading
from bus.readings import Outgoing, ReadingsWriter
from bus.settings import NatsSettings

_IN_FLIGHT = 200
_FEWER = 10  # the slow ways publish a tenth


@contextmanager
def nats(synced: bool) -> Iterator[str]:
    """Run a nats-server as we configure it, or with the server's own interval of two minutes; give its URL."""
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder), free_port())
        command = broker.command()
        if not synced:
            configuration = Path(command[-1])
            text = configuration.read_text("utf-8")
            configuration.write_text(text.replace("  sync_interval: always\n", ""), "utf-8")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield broker.url
        finally:
            process.kill()
            process.wait()


def readings(count: int, meters: int) -> list[Outgoing]:
    """Return readings of all meters, one after the other in each cycle, as live meters would send them."""
    start = datetime(2026, 6, 1, tzinfo=UTC)
    return [
        Outgoing(
            "bench",
            f"m{number % meters}",
            Reading(
                at=start + timedelta(seconds=10 * (number // meters)),
                import_wh=1_000_000 + number // meters,
                export_wh=0,
                power_import_w=float(number % 3000),
                power_export_w=0.0,
            ),
        )
        for number in range(count)
    ]


def messages(outgoing: list[Outgoing]) -> list[Message]:
    """Return readings as messages that expect nothing."""
    return [Message(reading_subject(one.community, one.meter), one.reading.to_bytes()) for one in outgoing]


async def one_by_one(bus: Bus, outgoing: list[Outgoing]) -> int:
    for message in messages(outgoing[::_FEWER]):
        await bus.publish(message)
    return len(outgoing[::_FEWER])


async def in_flight(bus: Bus, outgoing: list[Outgoing]) -> int:
    pending = messages(outgoing[::_FEWER])
    for start in range(0, len(pending), _IN_FLIGHT):
        await asyncio.gather(*(bus.publish(message) for message in pending[start : start + _IN_FLIGHT]))
    return len(pending)


async def batches(bus: Bus, outgoing: list[Outgoing]) -> int:
    pending = messages(outgoing)
    for start in range(0, len(pending), MAX_BATCH):
        await bus.publish_batch(pending[start : start + MAX_BATCH])
    return len(pending)


async def once(bus: Bus, outgoing: list[Outgoing]) -> int:
    writer = ReadingsWriter(bus)
    await writer.write(outgoing)
    assert (writer.stored, writer.skipped) == (len(outgoing), 0)
    return writer.stored


async def again(bus: Bus, outgoing: list[Outgoing]) -> int:
    writer = ReadingsWriter(bus)
    await writer.write(outgoing)
    assert (writer.stored, writer.skipped) == (0, len(outgoing))
    return writer.skipped


Way = Callable[[Bus, list[Outgoing]], Awaitable[int]]
WAYS: dict[str, tuple[Way, ...]] = {
    "one by one": (one_by_one,),
    f"{_IN_FLIGHT} in flight": (in_flight,),
    f"batches of {MAX_BATCH}": (batches,),
    "once": (once,),
    "again": (once, again),
}


async def rate(ways: tuple[Way, ...], outgoing: list[Outgoing], *, synced: bool) -> float:
    """Return readings per second of the last of some ways, run one after the other on an empty stream."""
    with nats(synced) as url:
        bus = await Bus.connect(NatsSettings(url=url), name="bench", patience_s=10)
        try:
            for way in ways:
                began = time.perf_counter()
                done = await way(bus, outgoing)
                took = time.perf_counter() - began
        finally:
            await bus.close()
    return done / took


async def main() -> None:
    arguments = argparse.ArgumentParser(description="What storing readings costs, by way of publishing.")
    arguments.add_argument("--readings", type=int, default=100_000)
    arguments.add_argument("--meters", type=int, default=1_000)
    given = arguments.parse_args()
    outgoing = readings(given.readings, given.meters)
    print(f"{given.readings} readings of {given.meters} meters, {os.cpu_count()} cores; readings per second")
    print(f"{'':>16} {'synced':>10} {'not synced':>10} {'ratio':>6}")
    for name, ways in WAYS.items():
        synced, unsynced = [await rate(ways, outgoing, synced=choice) for choice in (True, False)]
        print(f"{name:>16} {synced:>10,.0f} {unsynced:>10,.0f} {synced / unsynced:>6.2f}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
