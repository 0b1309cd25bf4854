"""A history at work on a real nats-server: started, asked, ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bus.client import MAX_BATCH, Bus, Message
from bus.history import Totals
from bus.identifiers import intervals_subject
from bus.messages import Interval, encode
from history.metrics import Metrics
from history.service import History, HistoryOptions
from resolvers.errors import NotReadyError
from resolvers.history import History as Asking
from tests.history.ledger import DAY, QUARTER, chance_interval, expected, ms
from tests.resolvers.frames import eventually

BEGIN = ms("2026-06-01T00:00")
HOMES = [f"home-{number}" for number in range(6)]
ALL = (0, 30_000 * DAY)


def some(count: int, first: int = 0, revision: int = 0, seed: int = 0, homes: int = 6) -> list[Interval]:
    return [
        chance_interval(BEGIN + at * QUARTER, HOMES[:homes], revision, seed=seed) for at in range(first, first + count)
    ]


def asides(path: Path) -> list[str]:
    return [one.name for one in path.parent.glob("history-*.duckdb")]


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


async def publish(bus: Bus, *intervals: Interval) -> int:
    """Publish intervals in order; return the sequence of the last."""
    last = 0
    for first in range(0, len(intervals), MAX_BATCH):
        messages = [
            Message(intervals_subject(one.community), encode(one)) for one in intervals[first : first + MAX_BATCH]
        ]
        last = await bus.publish_batch(messages)
    return last


@asynccontextmanager
async def running(bus: Bus, path: Path, **options: Any) -> AsyncIterator[Metrics]:
    """Run a history on a file until the block ends."""
    metrics = Metrics()
    service = History(bus, HistoryOptions(path, memory_mb=200, version="1.0.0", **options), metrics, now_ms=wall_ms)
    task = asyncio.create_task(service.run())
    try:
        yield metrics
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=10)
    assert task.cancelled(), task.exception()


async def summary(asking: Asking, home: str | None = None, community: str = "demo") -> Totals | None:
    return await asking.summary(community, home, *ALL)


async def becomes(asking: Asking, intervals: Sequence[Interval], home: str | None = None) -> None:
    """Wait until the history says what the oracle says of these intervals."""
    wanted = expected(newest(intervals), home, *ALL)
    found: list[object] = []

    async def agrees() -> bool:
        try:
            found[:] = [await summary(asking, home)]
        except NotReadyError as error:
            found[:] = [error]
        return found == [wanted]

    try:
        await eventually(agrees, timeout=30)
    except BaseException:
        print(f"found {found}, wanted {wanted}")
        raise


def newest(intervals: Sequence[Interval]) -> list[Interval]:
    """Return the newest revision of each interval."""
    found: dict[tuple[str, str], Interval] = {}
    for one in intervals:
        key = one.community, one.start
        if key not in found or found[key].revision < one.revision:
            found[key] = one
    return list(found.values())


def count(metrics: Metrics, name: str) -> float:
    """Return the value of a metric."""
    value = metrics.registry.get_sample_value(f"commonwatt_history_{name}")
    assert value is not None
    return value
