"""Frames of a trace: the aggregator's own fold and framer, without NATS.

Readings of a second go in, the frame that follows them comes out, and what is true then. Clean readings in order
never ask for old ones; a job that does is an error.
"""

from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from typing import Any, NamedTuple

from aggregator.fetching import answer
from aggregator.fold import Fold
from aggregator.frames import Framer
from aggregator.rows import parse_rfc3339
from aggregator.state import State
from bench.watch_energy.trace import WARM_S, Batch, Trace
from bus.community import Version
from bus.messages import Interval, decode_frame, decode_home, encode
from bus.registry import BEGINNING, History
from bus.stored import Stored

_TICK_S = 10


class Second(NamedTuple):
    """A frame, and what it says of the wrist's figures, in W (the community's surplus, the home's share), and words."""

    frame: bytes
    surplus_w: float
    share_w: float
    words: tuple[str, str, str]


def seconds_of(trace: Trace) -> Iterator[Second]:
    """Yield a Second for each second of a trace that counts, and before them one: that of the moment before."""
    folding = _Folding(trace)
    for number, batch in enumerate(trace.batches()):
        at_s = trace.begin_s - WARM_S + number
        folding.take(at_s, batch)
        if at_s >= trace.begin_s - 1:
            yield folding.frame()


class _Folding:
    def __init__(self, trace: Trace) -> None:
        self._home = trace.home
        self._community = trace.community.id
        history = History()
        history.add(Version(valid_from=BEGINNING, community=trace.community), 1)
        self._fold = Fold(State(trace.community.id, registry_sequence=1), history)
        self._framer = Framer()
        self._sequence = 0
        self._intervals: dict[int, bytes] = {}

    def take(self, at_s: int, batch: Batch) -> None:
        fold = self._fold
        for meter, reading in batch:
            self._sequence += 1
            fold.take(meter, reading, Stored(f"readings.{self._community}.{meter}", self._sequence, at_s * 1000, b""))
            self._answer()
        if at_s % _TICK_S == 0:
            fold.tick(at_s * 1000, 1)
            self._answer()

    def frame(self) -> Second:
        payload = self._framer.frame(self._fold)
        frame = decode_frame(payload)
        home = decode_home(frame.homes[self._home])
        words = home.light, frame.state.trend, home.quality
        return Second(payload, frame.state.surplus_power_w, home.shared_power_w or 0.0, words)

    def _answer(self) -> None:
        self._publish()
        while self._fold.job is not None:
            _finish(answer(self._fold, self, self._sequence))
            self._publish()

    def _publish(self) -> None:
        outputs, self._fold.outputs[:] = list(self._fold.outputs), []
        for output in outputs:
            if isinstance(output, Interval):
                number = len(self._intervals) + 1
                self._intervals[number] = encode(output)
                self._fold.settlement.published(parse_rfc3339(output.start), number)

    async def intervals(self, sequences: Iterable[int]) -> dict[int, bytes]:
        """Return settled intervals (aggregator.fetching.Source)."""
        return {sequence: self._intervals[sequence] for sequence in sequences}

    async def readings(self, community: str, meters: Iterable[str], after: int, until: int) -> AsyncIterator[Stored]:
        """Refuse: readings of a trace are in order (aggregator.fetching.Source)."""
        if until > after:
            raise RuntimeError(f"the fold of {community} asks for readings {after} to {until}: they are not in order")
        nothing: tuple[Stored, ...] = ()
        for stored in nothing:
            yield stored


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Run to its end what never waits."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waits")
