"""Settled intervals on a real nats-server, and a history in a process of its own that keeps them."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from signal import SIGTERM

from bus.client import Bus
from bus.community import Community
from bus.messages import Interval
from bus.registry import apply
from bus.settings import NatsSettings
from tests.history.process import HistoryProcess
from tests.history.running import publish
from tests.resolvers.frames import eventually


def settle(nats_url: str, versions: Sequence[tuple[Community, date | None]], intervals: Sequence[Interval]) -> int:
    """Register communities, or versions of them from a day on, and publish intervals; return the last sequence."""

    async def work() -> int:
        bus = await Bus.connect(NatsSettings(url=nats_url), name="test", patience_s=10)
        try:
            for community, valid_from in versions:
                await apply(bus, community, valid_from=valid_from, now=datetime.now(UTC))
            return await publish(bus, *intervals)
        finally:
            await bus.close()

    return asyncio.run(work())


@contextmanager
def kept(nats_url: str, folder: Path, last: int) -> Iterator[HistoryProcess]:
    """Run a history; the block begins once it has read the stream up to `last`."""
    process = HistoryProcess(nats_url, folder / "history.duckdb", folder / "history.log")

    async def has_read() -> bool:
        assert process.code is None, process.log
        return process.position >= last and "history ready" in process.log

    try:
        asyncio.run(eventually(has_read, timeout=60))
        yield process
    finally:
        if process.code is None:
            process.end(SIGTERM)
