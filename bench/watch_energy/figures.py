"""Figures of a run: per way, per hour; and the ratios that the aims are about.

A Run comes in, plain frozen figures go out, as they are printed, drawn and written as JSON.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from bench.watch_energy.error import Error, error
from bench.watch_energy.needed import fewest, refreshed
from bench.watch_energy.radio import RADIOS, WIFI, Radio, awake_s, bursts, joules, wire
from bench.watch_energy.run import Outcome, Run
from bench.watch_energy.ways import BASELINE
from watch.events import Screen, Show
from watch.modes import PACES

STEPS_W: Final = (500.0, 50.0)
"""Of the community's surplus and the home's share: the foreground's. Ambient and background have four times these."""
AIMS: Final = {"wakeups": 20, "bytes": 50, "ambient_wakeups": 200}


@dataclass(frozen=True)
class Row:
    """What a way costs in an hour, and how well it shows what is so. Errors in steps, ages in s."""

    name: str
    title: str
    wakeups: float
    """By the tail of Wi-Fi: with that of LTE, 1 s polling is one burst that never ends."""
    bytes: float
    wire_bytes: float
    messages: float
    parse_ms: float
    wakeups_by_radio: dict[str, float]
    awake_s: dict[str, float]
    joules: dict[str, float]
    max_error: float
    mean_error: float
    max_error_now: float
    mean_error_now: float
    mean_age_s: float
    max_age_s: float


def row(run: Run, outcome: Outcome) -> Row:
    """Return the figures of a way."""
    hours = run.seconds / 3600
    passed = outcome.passed
    every, now = _errors(run, outcome, outcome.way.every_s), _errors(run, outcome, 1)

    def of(measure: Any) -> dict[str, float]:
        return {radio.name: round(measure(radio) / hours, 3) for radio in RADIOS}

    def woken(radio: Radio) -> int:
        return len(bursts(passed, radio.tail_s))

    return Row(
        name=outcome.way.name,
        title=outcome.way.title,
        wakeups=woken(WIFI) / hours,
        bytes=sum(one.came + one.went for one in passed) / hours,
        wire_bytes=sum(wire(passed)) / hours,
        messages=outcome.messages / hours,
        parse_ms=outcome.parse_us / 1000 / hours,
        wakeups_by_radio=of(woken),
        awake_s=of(lambda radio: awake_s(passed, radio.tail_s)),
        joules=of(lambda radio: joules(passed, radio)),
        max_error=round(max(one.largest for one in every), 3),
        mean_error=round(sum(one.mean for one in every) / len(every), 3),
        max_error_now=round(max(one.largest for one in now), 3),
        mean_error_now=round(sum(one.mean for one in now) / len(now), 3),
        mean_age_s=round(sum(outcome.age_s) / max(1, len(outcome.age_s)), 1),
        max_age_s=round(max(outcome.age_s, default=0.0), 1),
    )


def _errors(run: Run, outcome: Outcome, window: int) -> list[Error]:
    """Return the error of each figure, in steps."""
    pairs = ((run.surplus_w, outcome.surplus_w), (run.share_w, outcome.share_w))
    found = [error(truth, shown, window) for truth, shown in pairs]
    return [Error(one.largest / step, one.mean / step) for one, step in zip(found, STEPS_W, strict=True)]


@dataclass(frozen=True)
class Table:
    """A run in figures."""

    trace: str
    seconds: int
    rows: tuple[Row, ...]
    ratios: dict[str, float]
    causes: dict[str, float]
    """Why the foreground's face changed, an hour: the surplus, the share, words alone (light, trend, quality)."""
    needed: dict[str, float]
    """Updates an hour: `fewest`, for anyone who knows the future; with all figures brought up to date by each, at two
    margins; and at that of a step of the whole face, trend and light and silences included."""
    by_hour: tuple[dict[str, int], ...]
    """Hour by hour: the foreground's wake-ups, and the `fewest` updates."""


def table(run: Run) -> Table:
    """Return a run in figures."""
    rows = tuple(row(run, outcome) for outcome in run.outcomes)
    by_name = {one.name: one for one in rows}
    base, foreground, ambient = by_name[BASELINE], by_name["foreground"], by_name["ambient"]
    hours = run.seconds / 3600
    return Table(
        trace=run.trace,
        seconds=run.seconds,
        rows=rows,
        ratios={
            "wakeups": round(base.wakeups / foreground.wakeups, 1),
            "bytes": round(base.bytes / foreground.bytes, 1),
            "ambient_wakeups": round(base.wakeups / ambient.wakeups, 1),
            "max_error_steps": foreground.max_error,
        },
        causes=_causes(next(one for one in run.outcomes if one.way.name == "foreground"), hours),
        needed={
            "fewest": round(fewest(run.truth, STEPS_W) / hours, 1),
            "margin_1": round(refreshed(run.truth, STEPS_W, 1.0) / hours, 1),
            "margin_075": round(refreshed(run.truth, STEPS_W, 0.75) / hours, 1),
            "face_1": round(_face(run) / hours, 1),
        },
        by_hour=tuple(_by_hour(run, next(one for one in run.outcomes if one.way.name == "foreground"))),
    )


def _face(run: Run) -> int:
    """Return the updates of the whole face, with its words and silences."""
    silence_s = PACES[Show.FOREGROUND, Screen.GLANCE, False].max_silence_ms // 1000
    return refreshed(run.truth, STEPS_W, 1.0, words=["".join(one) for one in run.words], silence_s=silence_s)


def _by_hour(run: Run, foreground: Outcome) -> Iterator[dict[str, int]]:
    began = [begin for begin, _ in bursts(foreground.passed, WIFI.tail_s)]
    for begin in range(0, run.seconds, 3600):
        end = begin + 3600
        woken = sum(begin <= at_s < end for at_s in began)
        yield {"wakeups": woken, "fewest": fewest(run.truth[begin:end], STEPS_W)}


def _causes(outcome: Outcome, hours: float) -> dict[str, float]:
    found = {"surplus": 0, "share": 0, "words": 0}
    shown = zip(outcome.surplus_w, outcome.share_w, outcome.words, strict=True)
    for before, after in pairwise(shown):
        found["surplus"] += before[0] != after[0]
        found["share"] += before[1] != after[1]
        found["words"] += before[:2] == after[:2] and before[2] != after[2]
    return {name: round(count / hours, 1) for name, count in found.items()}


def worst(ratios: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the least of each ratio over several runs, and the largest error."""
    every = list(ratios)
    return {name: (max if name == "max_error_steps" else min)(one[name] for one in every) for name in every[0]}


def missed(table: Table) -> list[str]:
    """Say of each aim that is missed by how much, and what that is due to."""
    found = []
    for name, aim in AIMS.items():
        if table.ratios[name] < aim:
            found.append(f"{name} ÷ {table.ratios[name]:g}, the aim is ÷ {aim}")
    if table.ratios["max_error_steps"] > 1:
        found.append(f"an error of {table.ratios['max_error_steps']:g} steps, the aim is 1")
    return found


COLUMNS: Final = (
    "way",
    "wake-ups",
    "kB",
    "kB with TLS, TCP, IP",
    "messages",
    "parsing ms",
    *(f"J {radio.name}" for radio in RADIOS),
    "largest error",
    "mean",
    "age s",
)


def cells(one: Row) -> Sequence[str]:
    """Return a row as it is printed."""
    return (
        one.title,
        _short(one.wakeups),
        _short(one.bytes / 1000),
        _short(one.wire_bytes / 1000),
        _short(one.messages),
        _short(one.parse_ms),
        *(_short(one.joules[radio.name]) for radio in RADIOS),
        f"{one.max_error:.2f}",
        f"{one.mean_error:.2f}",
        _short(one.mean_age_s),
    )


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}" if value >= 0.01 else f"{value:.4f}"
