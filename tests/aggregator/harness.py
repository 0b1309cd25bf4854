"""A fold at work without NATS: messages in, outputs out, in the order in which the service does it.

The streams are in memory: `Memory` numbers readings and intervals as JetStream would and is the
source that jobs are answered from. `Bench` drives the fold and can be stopped at a checkpoint
and taken up again from it.
"""

from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import msgspec

from aggregator.fetching import answer
from aggregator.fold import Fold
from aggregator.rows import parse_rfc3339
from aggregator.state import State
from bus.community import Community, Home, Meter, Tariff, Version
from bus.messages import Alert, Interval, IntervalRow, Rejected, encode
from bus.reading import Reading, RefusalError, parse
from bus.registry import History
from bus.stored import Stored

_T = TypeVar("_T")

SECOND = 1_000
MINUTE = 60_000
QUARTER = 900_000
HOUR = 3_600_000
DAY = 86_400_000


def ms(text: str) -> int:
    """Return ms since 1970 of an RFC 3339 time."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


NOON = ms("2026-06-15T12:00:00Z")
"""A Monday."""


class Said(NamedTuple):
    """A message of the stream: a reading's JSON, or a tick where `meter` is empty."""

    time: int
    meter: str = ""
    data: bytes = b""


def said(meter: str, at: int, imp: int, exp: int = 0, *, time: int | None = None, **more: Any) -> Said:
    """Return a reading of a meter at `at`, which arrives at `time` (default: at once)."""
    fields = {"at": datetime.fromtimestamp(at / 1000, UTC), "import_wh": imp, "export_wh": exp, **more}
    return Said(at if time is None else time, meter, Reading(**fields).to_bytes())


def ticks(since: int, until: int, every: int = 10 * SECOND) -> list[Said]:
    """Return the ticks between two times."""
    return [Said(time) for time in range(since, until, every)]


def home(id: str, *roles: str, key: str | None = None, **more: Any) -> Home:
    """Return a home with a meter per role (default GRID), named `<home>-<role>`; a second one of a role gets a 2."""
    meters: list[Meter] = []
    for role in roles or ("GRID",):
        name = f"{id}-{role.lower()}"
        while name in {meter.id for meter in meters}:
            name += "2"
        meters.append(Meter.model_validate({"id": name, "role": role}))
    return Home(id=id, key=None if key is None else Decimal(key), meters=tuple(meters), **more)


def community(*homes: Home | str, **more: Any) -> Community:
    """Return a community of homes, in Europe/Vienna by default."""
    fields: dict[str, Any] = {
        "id": "test",
        "name": "Test",
        "timezone": "Europe/Vienna",
        "tariff": Tariff(
            supplier_price=Decimal("0.28"), community_price=Decimal("0.16"), feed_in_price=Decimal("0.08")
        ),
        "homes": tuple(home(one) if isinstance(one, str) else one for one in homes),
    }
    return Community(**{**fields, **more})


def history(*versions: tuple[str, Community]) -> History:
    """Return a registry's history: (valid from, community), in the order in which they were written."""
    known = History()
    for sequence, (since, one) in enumerate(versions, 1):
        known.add(Version(valid_from=date.fromisoformat(since), community=one), sequence)
    return known


class Memory:
    """What JetStream would hold. An output that is known by its identity is stored once, and must not differ."""

    def __init__(self) -> None:
        self.messages: list[Stored] = []
        self.intervals_sent: list[Interval] = []
        self.alerts: list[Alert] = []
        self.rejected: list[Rejected] = []
        self.fetched = 0
        self._sequences: dict[tuple[Any, ...], int] = {}
        self._bytes: dict[int, bytes] = {}
        self._known: dict[tuple[Any, ...], bytes] = {}

    def publish(self, output: Interval | Alert | Rejected) -> int:
        """Store an output; return its sequence among the intervals."""
        if isinstance(output, Interval):
            key: tuple[Any, ...] = ("interval", output.start, output.revision)
        else:
            key = ("alert", output.key) if isinstance(output, Alert) else ("rejected", output.sequence)
        data = encode(output)
        if key in self._known:
            assert self._known[key] == data, f"{key} came out again, and differs"
            return self._sequences[key]
        self._known[key] = data
        self._sequences[key] = sequence = len(self._known)
        self._bytes[sequence] = data
        kept: list[Any] = (
            self.intervals_sent
            if isinstance(output, Interval)
            else self.alerts
            if isinstance(output, Alert)
            else self.rejected
        )
        kept.append(output)
        return sequence

    async def intervals(self, sequences: Iterable[int]) -> dict[int, bytes]:
        """Return stored intervals (aggregator.fetching.Source)."""
        wanted = list(sequences)
        self.fetched += len(wanted)
        return {sequence: self._bytes[sequence] for sequence in wanted}

    async def readings(self, community: str, meters: Iterable[str], after: int, until: int) -> AsyncIterator[Stored]:
        """Return stored readings (aggregator.fetching.Source)."""
        subjects = {f"readings.{community}.{meter}" for meter in meters}
        for stored in self.messages[after:until]:
            if stored.subject in subjects:
                yield stored


class Bench:
    """A fold and its streams."""

    def __init__(self, known: History | Community, *, batch: int = 1) -> None:
        self.history = history(("1970-01-01", known)) if isinstance(known, Community) else known
        self.memory = Memory()
        self.batch = batch
        self.announced = 1
        self.position = 0
        self.fold = self._new_fold(State(self.history.latest.community.id, registry_sequence=1))

    def _new_fold(self, state: State) -> Fold:
        return Fold(state, self.history.until(state.registry_sequence))

    def run(self, messages: Iterable[Said]) -> "Bench":
        """Append messages to the stream and fold them."""
        for message in messages:
            self._store(message)
        self.catch_up()
        return self

    def _store(self, message: Said) -> None:
        subject = f"readings.{self.fold.state.community}.{message.meter}" if message.meter else "readings.tick"
        data = message.data or b'{"registry":%d}' % self.announced
        known = self.memory.messages
        known.append(Stored(subject, len(known) + 1, message.time, data))

    def catch_up(self, until: int | None = None) -> None:
        """Fold what the stream holds beyond the position."""
        for stored in self.memory.messages[self.position : until]:
            self.position = stored.sequence
            if stored.subject == "readings.tick":
                announced = int(msgspec.json.decode(stored.data)["registry"])
                self.fold.settlement.history.learn(self.history, announced)
                self.fold.tick(stored.time_ms, min(announced, self.fold.settlement.history.sequence))
            else:
                self._take(stored)
            self.answer()
            if self.position % self.batch == 0:
                self.flush()
        self.flush()

    def _take(self, stored: Stored) -> None:
        try:
            self.fold.take(stored.subject.rpartition(".")[2], parse(stored.data), stored)
        except RefusalError as refusal:
            self.fold.refuse(stored, refusal.reason, str(refusal), refusal.count)

    def answer(self) -> None:
        """Answer the fold's jobs, until it asks for nothing more."""
        while self.fold.job is not None:
            self.flush()
            finish(answer(self.fold, self.memory, self.position))

    def flush(self) -> None:
        """Publish the outputs so far."""
        outputs, self.fold.outputs[:] = list(self.fold.outputs), []
        for output in outputs:
            sequence = self.memory.publish(output)
            if isinstance(output, Interval):
                self.fold.settlement.published(parse_rfc3339(output.start), sequence)

    def checkpoint(self) -> tuple[bytes, int]:
        """Return state and position, as they would be saved."""
        self.flush()
        return msgspec.msgpack.encode(self.fold.state), self.position

    def restore(self, checkpoint: tuple[bytes, int]) -> None:
        """Take up from a checkpoint, as another process would."""
        state, self.position = msgspec.msgpack.decode(checkpoint[0], type=State), checkpoint[1]
        self.fold = self._new_fold(state)

    # --- what came out ---

    @property
    def intervals(self) -> dict[tuple[int, int], Interval]:
        """Intervals by (start, revision)."""
        return {(parse_rfc3339(one.start), one.revision): one for one in self.memory.intervals_sent}

    @property
    def latest(self) -> dict[int, Interval]:
        """The last revision of each interval, by start, in order of time."""
        return {start: one for (start, _), one in sorted(self.intervals.items())}

    @property
    def revisions(self) -> dict[int, int]:
        """The last revision's number of each interval, by start."""
        return {start: one.revision for start, one in self.latest.items()}

    @property
    def alerts(self) -> list[Alert]:
        """Alerts in order."""
        return self.memory.alerts

    @property
    def rejected(self) -> list[Rejected]:
        """Refused readings in order."""
        return self.memory.rejected

    @property
    def reasons(self) -> list[str]:
        """The reasons of refusals, in order."""
        return [one.reason for one in self.rejected]

    def rows(self, home: str) -> dict[int, IntervalRow]:
        """The latest rows of a home, by start."""
        return {
            start: next(row for row in interval.rows if row.home == home) for start, interval in self.latest.items()
        }

    def total(self, home: str, field: str = "import_wh") -> int:
        """The sum of a field over the latest rows of a home."""
        return sum(getattr(row, field) for row in self.rows(home).values())


def finish(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    raise AssertionError("it waits for something")


def steady(meter: str, since: int, until: int, every: int, watts: int, start_wh: int = 0) -> list[Said]:
    """Return a meter's readings of a constant power, registers rounded down."""
    return [said(meter, at, start_wh + watts * (at - since) // HOUR) for at in range(since, until, every)]


def merged(*streams: Sequence[Said]) -> list[Said]:
    """Return streams in order of arrival; where times are equal, as given."""
    return sorted((message for stream in streams for message in stream), key=lambda message: message.time)
