"""Measuring: the traces in two processes, with a bar on a terminal; and the check of virtual time against real time."""

import multiprocessing
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.watch_energy.figures import Table, table
from bench.watch_energy.run import Outcome, run
from bench.watch_energy.trace import Trace, recorded, simulated
from bench.watch_energy.ways import WAYS

_SAY_EVERY: Final = 60


def measure(name: str, *, hour: bool, quick: bool, folder: Path, queue: Any) -> Table:
    """Return the figures of a trace; say on the queue how far it is."""
    trace = _trace(name, hour=hour, folder=folder)
    ways = [way for way in WAYS if (way.quick or not quick) and (way.day or hour)]

    def step(done: int) -> None:
        if done % _SAY_EVERY == 0:
            queue.put((name, hour, done))

    return table(run(trace, ways, seconds=trace.seconds, step=step))


def _trace(name: str, *, hour: bool, folder: Path) -> Trace:
    return recorded(folder, hour=hour) if name == "CityLearn" else simulated(hour=hour)


def measure_all(console: Console, *, quick: bool, folder: Path) -> list[Table]:
    """Measure the traces in two processes, the long ones first; return hours before days."""
    wanted = [(name, hour) for hour in ((True,) if quick else (False, True)) for name in ("CityLearn", "simulator")]
    context = multiprocessing.get_context("spawn")
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(2, mp_context=context) as pool,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as progress,
    ):
        queue = manager.Queue()
        bars = {one: progress.add_task(named(*one), total=3_600 if one[1] else 86_400) for one in wanted}

        def follow() -> None:
            while (said := queue.get()) is not None:
                name, hour, done = said
                progress.update(bars[name, hour], completed=done)

        follower = threading.Thread(target=follow)
        follower.start()
        try:
            works = {
                one: pool.submit(measure, one[0], hour=one[1], quick=quick, folder=folder, queue=queue)
                for one in wanted
            }
            done = {one: work.result() for one, work in works.items()}
        finally:
            queue.put(None)
            follower.join()
    return [done[one] for one in sorted(wanted, key=lambda one: not one[1])]


def named(name: str, hour: bool) -> str:
    """Return what a table is of."""
    return f"{name}, {'an hour' if hour else 'a day'}"


def check(seconds: int, folder: Path) -> list[str]:
    """Run the beginning of the hour in virtual and in real time; return what differs."""
    trace = recorded(folder, hour=True)
    virtual, real = (run(trace, WAYS, seconds=seconds, real=real) for real in (False, True))
    found = []
    for one, other in zip(virtual.outcomes, real.outcomes, strict=True):
        left, right = _counts(one), _counts(other)
        print(f"{one.way.name:12} {left} {'as' if left == right else 'but'} {right} in real time", file=sys.stderr)
        if left != right or (one.surplus_w, one.share_w) != (other.surplus_w, other.share_w):
            found.append(f"{one.way.name}: {left} in virtual time, {right} in real time, or other figures on the wrist")
    return found


def _counts(outcome: Outcome) -> dict[str, int]:
    came, went = (sum(getattr(one, name) for one in outcome.passed) for name in ("came", "went"))
    return {"in": came, "out": went, "messages": outcome.messages}
