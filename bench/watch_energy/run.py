"""One run: a trace, second by second, through the server to all ways at once; figures per way come out.

In virtual time a day takes minutes; the same run in the system's time is the check that it tells no other story.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import server.hub
from bench.watch_energy.clock import START_S, Clock, CountedLoop, VirtualLoop, told_by
from bench.watch_energy.folded import Second, seconds_of
from bench.watch_energy.radio import Passed
from bench.watch_energy.site import Site, serving
from bench.watch_energy.sockets import Ledger
from bench.watch_energy.trace import SEED, Trace
from bench.watch_energy.ways import Client, Place, Way

_FRAME_S: Final = 0.005
"""How long after its second a frame comes: the aggregator's time."""
_SAMPLE_S: Final = 1.004
"""When what is shown is held against a second's truth: just before the next frame. `every` of 1 s has had its slot."""
_START_S: Final = 0.1


@dataclass
class Outcome:
    """What one way cost and showed, with a value a second; None: nothing yet."""

    way: Way
    passed: list[Passed] = field(default_factory=list)
    messages: int = 0
    parse_us: int = 0
    surplus_w: list[float | None] = field(default_factory=list)
    share_w: list[float | None] = field(default_factory=list)
    words: list[str | None] = field(default_factory=list)
    age_s: list[float] = field(default_factory=list)


@dataclass
class Run:
    """What came of a trace: what was true in each second, and the outcomes of all ways."""

    trace: str
    seconds: int
    surplus_w: list[float] = field(default_factory=list)
    share_w: list[float] = field(default_factory=list)
    words: list[tuple[str, str, str]] = field(default_factory=list)
    """Light, trend and quality."""
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def truth(self) -> list[tuple[float, float]]:
        """The two figures of each second."""
        return list(zip(self.surplus_w, self.share_w, strict=True))


def run(
    trace: Trace, ways: Sequence[Way], *, seconds: int, real: bool = False, step: Callable[[int], None] = lambda _: None
) -> Run:
    """Run the first `seconds` of a trace, in virtual time unless `real`; `step` is told each second that is done."""
    ledger = Ledger()
    loop = CountedLoop(ledger) if real else VirtualLoop(ledger)
    clock = Clock(loop, trace.begin_s)
    random.seed(SEED)  # by which the server gives a device its phase
    with asyncio.Runner(loop_factory=lambda: loop) as runner, told_by(clock, hub=server.hub.Hub):
        return runner.run(_run(trace, ways, seconds, ledger, clock, step))


async def _run(
    trace: Trace, ways: Sequence[Way], seconds: int, ledger: Ledger, clock: Clock, step: Callable[[int], None]
) -> Run:
    found = Run(trace.name, seconds)
    loop = asyncio.get_running_loop()
    frames = seconds_of(trace)
    before = next(frames)
    async with serving(trace.community, ledger) as site:
        place = Place(site.url, trace.home_key, clock, loop.time)
        site.publish(before.frame, trace.begin_s * 1000 - 1000)
        if loop.time() > START_S:
            raise RuntimeError(f"the server took until {loop.time():.0f} s to start; {START_S:.0f} s are allowed")
        clients: list[tuple[Client, asyncio.Task[None]]] = []
        try:
            for number in range(seconds):
                second = next(frames)
                await _publish(site, second, trace.begin_s + number, clock, number)
                if not clients:
                    await clock.until(_START_S)
                    clients = [way.start(place) for way in ways]
                    found.outcomes = [Outcome(way) for way in ways]
                found.surplus_w.append(second.surplus_w)
                found.share_w.append(second.share_w)
                found.words.append(second.words)
                await clock.until(number + _SAMPLE_S)
                for (client, task), outcome in zip(clients, found.outcomes, strict=True):
                    _sample(client, task, outcome, clock.wall_s() * 1000)
                step(number + 1)
            for (client, _), outcome in zip(clients, found.outcomes, strict=True):
                cost = client.cost
                cost.traffic.over = True
                outcome.passed = [one._replace(at_s=one.at_s - START_S) for one in cost.traffic.passed]
                outcome.messages, outcome.parse_us = cost.messages, cost.parse_us
        finally:
            tasks: list[asyncio.Task[Any]] = [task for _, task in clients]
            for client, task in clients:
                client.cost.traffic.over = True
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=10)
    return found


async def _publish(site: Site, second: Second, at_s: int, clock: Clock, number: int) -> None:
    await clock.until(number + _FRAME_S)
    site.publish(second.frame, at_s * 1000)


def _sample(client: Client, task: "asyncio.Task[None]", outcome: Outcome, now_ms: float) -> None:
    if task.done():
        task.result()
        raise RuntimeError(f"{outcome.way.name} has ended")
    shown, age_ms = client.shown(now_ms)
    outcome.surplus_w.append(None if shown is None else shown.surplus_w)
    outcome.share_w.append(None if shown is None else shown.share_w)
    outcome.words.append(None if shown is None else shown.words)
    if shown is not None:
        outcome.age_s.append(age_ms / 1000)
