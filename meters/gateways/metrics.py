"""A gateway's metrics, in a registry of their own, for Prometheus."""

import re
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

_MOST_REASONS: Final = 64
_REASON: Final = re.compile(r"[a-z0-9_]{1,40}")


class Metrics:
    """Counters and gauges of one gateway process; `meter` is `<community>/<meter>`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.readings = Counter(
            "commonwatt_gateway_readings", "Readings taken from sources", ["meter"], registry=self.registry
        )
        self.thinned = Counter(
            "commonwatt_gateway_thinned", "Readings left out, as `every` asks", ["meter"], registry=self.registry
        )
        self._refused = Counter(
            "commonwatt_gateway_refused",
            "What was received and is no reading, by reason",
            ["meter", "reason"],
            registry=self.registry,
        )
        self.latest = Gauge(
            "commonwatt_gateway_latest_seconds",
            "When the latest reading was taken, in seconds since 1970",
            ["meter"],
            registry=self.registry,
        )
        self.connected = Gauge(
            "commonwatt_gateway_source_connected",
            "1 while a source gives something",
            ["source"],
            registry=self.registry,
        )
        self.lost = Counter(
            "commonwatt_gateway_source_lost",
            "Times that a source was lost, or not to be reached",
            ["source"],
            registry=self.registry,
        )
        self.published = Counter("commonwatt_gateway_published", "Messages stored in READINGS", registry=self.registry)
        self.waiting = Gauge("commonwatt_gateway_waiting", "Messages that wait for NATS", registry=self.registry)
        self.bytes = Gauge("commonwatt_gateway_waiting_bytes", "Their size", registry=self.registry)
        self.on_disk = Gauge("commonwatt_gateway_on_disk", "Those of them that are on disk", registry=self.registry)
        self.dropped = Counter(
            "commonwatt_gateway_dropped", "Messages dropped, the oldest of a full buffer", registry=self.registry
        )
        self._reasons: set[str] = set()

    def refuse(self, meter: str, reason: str) -> None:
        """Count a refusal; what is no reason's code, or one too many of them, is `other`."""
        if reason not in self._reasons:
            if len(self._reasons) >= _MOST_REASONS or not _REASON.fullmatch(reason):
                reason = "other"
            self._reasons.add(reason)
        self._refused.labels(meter, reason).inc()
