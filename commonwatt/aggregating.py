"""The aggregator, wired: connected to NATS, with its metrics on a port of their own."""

import gc
from contextlib import AsyncExitStack

from prometheus_client import start_http_server

from aggregator.metrics import Metrics
from aggregator.service import Aggregator, AggregatorOptions
from commonwatt.running import connected
from commonwatt.settings import Settings, SettingsError


async def aggregate(settings: Settings, options: AggregatorOptions) -> None:
    """Run the aggregator."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        if settings.metrics_port:
            try:
                server, _ = start_http_server(settings.metrics_port, settings.host, metrics.registry)
            except OSError as error:
                raise SettingsError(
                    f"metrics port {settings.metrics_port} on {settings.host}: {error.strerror}; choose another with "
                    "--metrics-port"
                ) from None
            stack.callback(server.shutdown)
        # States are long-lived and readings short-lived, and neither has cycles: collect rarely.
        gc.set_threshold(100_000, 50, 100)
        bus = await stack.enter_async_context(connected(settings, "aggregate"))
        await Aggregator(bus, options, metrics).run()
