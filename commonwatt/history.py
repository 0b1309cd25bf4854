"""The history, wired: connected to NATS, with its file below the data directory, and metrics on a port of their own."""

import os
import time
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Final

from commonwatt.running import connected
from commonwatt.scraping import scraped
from commonwatt.settings import Settings
from history.metrics import Metrics
from history.service import History, HistoryOptions

_MOST_THREADS: Final = 4


async def keep_history(settings: Settings) -> None:
    """Run the history."""
    metrics = Metrics()
    options = HistoryOptions(
        path=settings.history_file or settings.data_dir / "history" / "history.duckdb",
        memory_mb=settings.history_memory,
        threads=min(_MOST_THREADS, os.cpu_count() or 1),
        version=version("commonwatt"),
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(scraped(metrics.registry, settings.host, settings.history_metrics_port))
        bus = await stack.enter_async_context(connected(settings, "history"))
        await History(bus, options, metrics, now_ms=lambda: time.time_ns() // 1_000_000).run()
