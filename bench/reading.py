"""What reading a stream costs: bus.reader.Reader against the consumers of nats-py.

    python -m bench.reading [--messages 300000] [--repeats 5]

Each way reads all messages of one stream in order; the two that can, again while the reader
does 0.2 s of work after every 10,000 messages, as a fold does that settles an interval.
"""

import argparse
import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from bench.publishing import messages, readings
from bus.broker import Broker, free_port
from bus.client import MAX_BATCH, Bus, connection_of
from bus.settings import NatsSettings

_EVERY = 10_000
_WORK_S = 0.2
_UNACKNOWLEDGED = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=60.0, mem_storage=True)


def work(seen: int, busy: bool) -> None:
    """Do now and then what keeps the event loop busy."""
    if busy and seen % _EVERY == 0:
        time.sleep(_WORK_S)


async def reader(bus: Bus, count: int, busy: bool) -> int:
    """Read with our own pull reader."""
    ours = bus.read("READINGS", buffer=2000)
    seen = 0
    last = 0
    async for batch in ours:
        for stored in batch:
            seen += 1
            assert stored.sequence == last + 1
            last = stored.sequence
            work(seen, busy)
        if seen >= count:
            break
    await ours.close()
    return seen


async def ordered(bus: Bus, count: int, busy: bool) -> int:
    """Read with nats-py's ordered consumer and a callback."""
    done = asyncio.Event()
    seen = 0

    async def take(message: Msg) -> None:
        nonlocal seen
        seen += 1
        work(seen, busy)
        if message.metadata.sequence.stream >= count:
            done.set()

    subscription = await connection_of(bus).jetstream().subscribe("readings.>", ordered_consumer=True, cb=take)
    try:
        async with asyncio.timeout(60):
            await done.wait()
    except TimeoutError:
        pass
    await subscription.unsubscribe()
    return seen


async def fetched(bus: Bus, count: int, busy: bool) -> int:
    """Read with nats-py's pull subscription, 500 at a time, acknowledging nothing."""
    subscription = await connection_of(bus).jetstream().pull_subscribe("readings.>", config=_UNACKNOWLEDGED)
    seen = 0
    while seen < count:
        for _ in await subscription.fetch(500):
            seen += 1
            work(seen, busy)
    await subscription.unsubscribe()
    return seen


Way = Callable[[Bus, int, bool], Awaitable[int]]
WAYS: dict[str, Way] = {"our reader": reader, "ordered consumer": ordered, "pull, 500 each": fetched}


async def main() -> None:
    arguments = argparse.ArgumentParser(description="What reading a stream costs.")
    arguments.add_argument("--messages", type=int, default=300_000)
    arguments.add_argument("--repeats", type=int, default=5)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder), free_port())
        process = subprocess.Popen(broker.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            bus = await Bus.connect(NatsSettings(url=broker.url), name="bench", patience_s=10)
            pending = messages(readings(given.messages, 1000))
            for start in range(0, len(pending), MAX_BATCH):
                await bus.publish_batch(pending[start : start + MAX_BATCH])
            for busy in (False, True):
                print(f"{given.messages} messages, {'busy now and then' if busy else 'idle'}: messages per second")
                for name, way in WAYS.items():
                    rates, lost = [], 0
                    for _ in range(given.repeats):
                        began = time.perf_counter()
                        seen = await way(bus, given.messages, busy)
                        rates.append(seen / (time.perf_counter() - began))
                        lost += given.messages - seen
                    median = statistics.median(rates)
                    print(f"{name:>18} {median:>10,.0f}   {min(rates):,.0f} to {max(rates):,.0f}, {lost} not seen")
            await bus.close()
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    asyncio.run(main())
