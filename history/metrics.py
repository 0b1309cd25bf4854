"""The history's metrics, in a registry of their own, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Counters and gauges of one history process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rows = Counter("commonwatt_history_rows", "Rows stored, new or replaced", registry=self.registry)
        self.malformed = Counter(
            "commonwatt_history_malformed", "Messages of INTERVALS that are no settled interval", registry=self.registry
        )
        self.position = Gauge(
            "commonwatt_history_position", "Sequence up to which INTERVALS is stored", registry=self.registry
        )
        self.behind = Gauge("commonwatt_history_behind", "Messages of INTERVALS not stored yet", registry=self.registry)
        self.ready = Gauge("commonwatt_history_ready", "1 while questions are answered", registry=self.registry)
        self.bytes = Gauge("commonwatt_history_file_bytes", "Size of the file", registry=self.registry)
        self.writing = Histogram(
            "commonwatt_history_write_seconds",
            "Time to store a batch of intervals",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.questions = Histogram(
            "commonwatt_history_question_seconds",
            "Time to answer a question, by what is asked",
            ["question"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "commonwatt_history_refused",
            "Questions without an answer, by why: refused, unavailable or failed",
            ["question", "why"],
            registry=self.registry,
        )
