"""The aggregator's metrics, in a registry of their own, for Prometheus."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from aggregator.fold import Output
from bus.messages import Alert, Interval


class Metrics:
    """Counters and gauges of one aggregator process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.readings = Counter("commonwatt_readings", "Readings folded", registry=self.registry)
        self.rejected = Counter("commonwatt_rejected", "Readings refused", ["reason"], registry=self.registry)
        self.frames = Counter("commonwatt_frames", "Frames published", registry=self.registry)
        self.intervals = Counter(
            "commonwatt_intervals", "Interval messages published", ["status"], registry=self.registry
        )
        self.revisions = Counter("commonwatt_revisions", "Intervals that came out again", registry=self.registry)
        self.alerts = Counter("commonwatt_alerts", "Alerts published", ["kind"], registry=self.registry)
        self.checkpoints = Counter("commonwatt_checkpoints", "Checkpoints saved", registry=self.registry)
        self.behind = Gauge("commonwatt_readings_behind", "Stored messages not folded yet", registry=self.registry)
        self.communities = Gauge("commonwatt_communities", "Communities of this process", registry=self.registry)
        self.skew = Gauge(
            "commonwatt_clock_skew_seconds",
            "Largest difference between a meter's clock and its readings' arrival",
            ["community"],
            registry=self.registry,
        )
        self.batch = Histogram(
            "commonwatt_batch_messages",
            "Messages folded at a time",
            buckets=(1, 4, 16, 64, 256, 1024, 4096),
            registry=self.registry,
        )

    def count(self, outputs: Iterable[Output]) -> None:
        """Count what was published."""
        for output in outputs:
            if isinstance(output, Interval):
                self.intervals.labels(output.status).inc()
                if output.revision:
                    self.revisions.inc()
            elif isinstance(output, Alert):
                self.alerts.labels(output.kind).inc()
            else:
                self.rejected.labels(output.reason).inc(output.count)
