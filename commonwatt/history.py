"""The history, wired: connected to NATS, with its file below the data directory, and metrics on a port of their own."""

import os
import time
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Final

from prometheus_client import start_http_server

from commonwatt.running import connected
from commonwatt.settings import Settings, SettingsError
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
    port = settings.history_metrics_port
    async with AsyncExitStack() as stack:
        if port:
            try:
                server, _ = start_http_server(port, settings.host, metrics.registry)
            except OSError as error:
                raise SettingsError(
                    f"metrics port {port} on {settings.host}: {error.strerror}; choose another with --metrics-port"
                ) from None
            stack.callback(server.shutdown)
        bus = await stack.enter_async_context(connected(settings, "history"))
        await History(bus, options, metrics, now_ms=lambda: time.time_ns() // 1_000_000).run()
