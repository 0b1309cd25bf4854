"""What the server counts, in a Prometheus registry of its own.

Requests are counted here as they pass; what the live state knows is read when someone asks.
"""

import time
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bus.client import Bus
from resolvers.directory import Directory
from resolvers.live import Live
from schema.receipt import Tally
from server.census import Census
from server.hub import Hub

_PATHS: Final = frozenset({"/", "/graphql", "/health", "/ready", "/metrics"})
_POWERS_OF_TEN: Final = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The instruments of one app."""

    def __init__(self, bus: Bus, directory: Directory, live: Live, hub: Hub, census: Census) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "commonwatt_http_requests", "HTTP requests answered.", ["method", "path", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "commonwatt_http_request_seconds",
            "Time from a request to the begin of its response.",
            ["path"],
            registry=self.registry,
        )
        self.frame_seconds = Histogram(
            "commonwatt_frame_to_write_seconds",
            "Time from a frame to the last write that it caused at once.",
            buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
            registry=self.registry,
        )
        self.websockets = Gauge("commonwatt_websocket_connections", "WebSockets open.", registry=self.registry)
        self._connection_bytes = Histogram(
            "commonwatt_connection_bytes",
            "Bytes that passed on a connection that has ended.",
            ["transport", "direction"],
            buckets=_POWERS_OF_TEN[2:],
            registry=self.registry,
        )
        self._connection_messages = Histogram(
            "commonwatt_connection_messages",
            "Messages that passed on a connection that has ended.",
            ["transport", "direction"],
            buckets=_POWERS_OF_TEN[:-2],
            registry=self.registry,
        )
        self._connection_pings = Histogram(
            "commonwatt_connection_pings",
            "Pings, or comments of an event stream, sent on a connection that has ended.",
            ["transport"],
            buckets=_POWERS_OF_TEN[:-4],
            registry=self.registry,
        )
        self._connection_wakeups = Histogram(
            "commonwatt_connection_wakeups",
            "Bursts over 1 s apart, each of which wakes the client's radio, on a connection that has ended.",
            ["transport"],
            buckets=_POWERS_OF_TEN[:-4],
            registry=self.registry,
        )
        self._connection_seconds = Histogram(
            "commonwatt_connection_seconds",
            "Time for which a connection that has ended was open.",
            ["transport"],
            buckets=(1, 10, 60, 600, 3600, 21_600, 86_400),
            registry=self.registry,
        )
        self.registry.register(_State(bus, directory, live, hub, census))
        ProcessCollector(registry=self.registry)

    def tallied(self, transport: str, tally: Tally) -> None:
        """Note what has passed on a connection that is over; nobody counts what comes in by an event stream."""
        passed = [("out", tally.bytes_out, tally.messages_out)]
        if tally.bytes_in:
            passed.append(("in", tally.bytes_in, tally.messages_in))
        for direction, size, messages in passed:
            self._connection_bytes.labels(transport, direction).observe(size)
            self._connection_messages.labels(transport, direction).observe(messages)
        self._connection_pings.labels(transport).observe(tally.pings)
        self._connection_wakeups.labels(transport).observe(tally.wakeups)
        self._connection_seconds.labels(transport).observe(tally.lasted_s)

    async def show(self, _: Request) -> Response:
        """Answer /metrics."""
        return Response(generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _State(Collector):
    """What the bus, the directory and the live state know, read at each scrape."""

    def __init__(self, bus: Bus, directory: Directory, live: Live, hub: Hub, census: Census) -> None:
        self._bus = bus
        self._census = census
        self._directory = directory
        self._live = live
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        now = self._live.statistics()
        yield GaugeMetricFamily("commonwatt_nats_connected", "1 while NATS is connected.", float(self._bus.connected))
        yield GaugeMetricFamily(
            "commonwatt_registry_loaded", "1 once the registry was read.", float(self._directory.loaded)
        )
        yield GaugeMetricFamily("commonwatt_communities_followed", "Communities followed.", now.communities)
        yield GaugeMetricFamily("commonwatt_watchers", "Groups and streams that wait for a change.", now.watchers)
        census = self._census.statistics()
        yield GaugeMetricFamily("commonwatt_connections", "Connections open, of any kind.", census.connections)
        refused = CounterMetricFamily("commonwatt_connections_refused", "Connections refused.", labels=["limit"])
        for limit, number in census.refused.items():
            refused.add_metric([limit], number)
        yield refused
        hub = self._hub.statistics()
        yield GaugeMetricFamily("commonwatt_subscriptions", "Subscriptions open.", hub.members)
        yield GaugeMetricFamily("commonwatt_groups", "Groups of subscriptions that show the same.", hub.groups)
        yield GaugeMetricFamily("commonwatt_stalled", "Connections that take nothing just now.", hub.stalled)
        yield CounterMetricFamily("commonwatt_payloads_encoded", "Payloads encoded, once per group.", hub.encoded)
        yield CounterMetricFamily("commonwatt_messages_sent", "Messages of subscriptions sent.", hub.sent)
        yield CounterMetricFamily("commonwatt_message_bytes", "Bytes of those messages.", hub.bytes)
        yield CounterMetricFamily("commonwatt_suppressed", "Changes not sent, being invisible.", hub.suppressed)
        yield CounterMetricFamily("commonwatt_conflated", "States skipped for slow connections.", hub.conflated)
        yield CounterMetricFamily("commonwatt_fallbacks", "Payloads made by graphql-core.", hub.fallbacks)
        yield GaugeMetricFamily(
            "commonwatt_frame_age_seconds",
            "Age of the oldest of the latest frames of the communities followed; 0 without any.",
            max(self._live.ages_s().values(), default=0.0),
        )
        yield CounterMetricFamily("commonwatt_frames", "Frames taken in.", now.frames)
        yield CounterMetricFamily("commonwatt_frames_malformed", "Malformed frames and homes skipped.", now.malformed)
        yield CounterMetricFamily("commonwatt_frame_gaps", "Frames whose number was not the successor.", now.gaps)


class CountRequests:
    """Counts and times each HTTP response. Paths and methods that are not ours share one label."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = _label(scope["path"])
        method = scope["method"] if scope["method"] in _METHODS else "other"
        began = time.perf_counter()

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(method, path, str(message["status"])).inc()
                self._metrics.request_seconds.labels(path).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, count)


def _label(path: str) -> str:
    if path in _PATHS:
        return path
    for prefix in ("/static/", "/watch/"):
        if path.startswith(prefix):
            return prefix
    return "other"
