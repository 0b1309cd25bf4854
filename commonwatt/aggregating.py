"""The aggregator, wired: connected to NATS, with its metrics on a port of their own."""

import gc
from contextlib import AsyncExitStack

from aggregator.metrics import Metrics
from aggregator.service import Aggregator, AggregatorOptions
from commonwatt.running import connected
from commonwatt.scraping import scraped
from commonwatt.settings import Settings


async def aggregate(settings: Settings, options: AggregatorOptions) -> None:
    """Run the aggregator."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        stack.enter_context(scraped(metrics.registry, settings.host, settings.metrics_port))
        # States are long-lived and readings short-lived, and neither has cycles: collect rarely.
        gc.set_threshold(100_000, 50, 100)
        bus = await stack.enter_async_context(connected(settings, "aggregate"))
        await Aggregator(bus, options, metrics).run()
