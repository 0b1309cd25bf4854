"""Raw figures of a run as Markdown tables, and the targets that the live engine is held to."""

import statistics
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

OURS: Final = "commonwatt"

Results = dict[tuple[str, ...], list[dict[str, Any]]]
"""The figures of each repeat, by (server, scenario)."""

_BASELINES: Final = {
    "strawberry": "strawberry",
    "strawberry-core330": "core330",
    "graphql-ws-16": "gql-ws-16",
    "rawcast": "rawcast",
}
_TITLES: Final = {
    "A": "A  one face: 1,000 subscribers of 1 home",
    "B": "B  own home: 1,000 subscribers of 1,000 homes",
    "C": "C  memory: 5,000 subscribers of 1,000 homes, one update a second and home",
    "SA": "A with 1 % of the clients stalled",
    "SB": "B with 1 % of the clients stalled",
}
_UNDER_WAY: Final = 4096
"""Bytes unsent on a connection that say nothing: it need not be stalled for them."""


class Target(NamedTuple):
    """A figure of ours, what it must be, and whether it is; `value` is None where it was not measured."""

    scenario: str
    figure: str
    at_least: bool
    limit: float
    value: float | None

    @property
    def met(self) -> bool | None:
        """Whether the value is on the right side of the limit."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def judged(results: Results) -> list[Target]:
    """Return all targets with the medians of our server."""
    targets = []

    def add(scenario: str, figure: str, sign: str, limit: float, value: float | None) -> None:
        targets.append(Target(scenario, figure, sign == "≥", limit, value))

    for scenario, limits in {"A": (24, 17, 5, 0.45), "B": (13, 11, 2.5, 0.5)}.items():
        for base, limit in zip(_BASELINES, limits, strict=True):
            ratio = _ratio(_per_cpu(results, OURS, scenario), _per_cpu(results, base, scenario))
            add(scenario, f"deliveries per server-CPU-s, × {base}", "≥", limit, ratio)
    for scenario, limit in {"A": 12, "B": 3}.items():
        add(scenario, "p99 in ms at the fixed rate", "≤", limit, _p99_ms(results, OURS, scenario))
    for key, figure, limit in (("rss_conn", "connected", 20), ("rss_conn_loaded", "under load", 24)):
        size = _median(results, OURS, "C", key)
        add("C", f"KiB a connection, {figure}", "≤", limit, None if size is None else size / 1024)
    first = _ratio(_median(results, OURS, "C", "first_s"), _median(results, "strawberry", "C", "connect_s"))
    add("C", "all have a first value, × the time in which strawberry's have subscribed", "≤", 0.15, first)
    for scenario in "AB":
        ratio = _ratio(_p99_ms(results, OURS, f"S{scenario}"), _p99_ms(results, OURS, scenario))
        add(f"S{scenario}", "p99 of the others, × that without stalled clients", "≤", 1.2, ratio)
    return targets


def tables(results: Results, rate: float) -> Iterator[str]:
    """Yield the lines of all tables: one a scenario, and the targets."""
    for scenario, title in _TITLES.items():
        names = [name for name, kind in results if kind == scenario]
        if names:
            yield from ("", f"### {title}", "")
            yield from _memory(results, names) if scenario == "C" else _speed(results, names, scenario, rate)
    yield from ("", "### Targets", "", "| | figure | target | measured | met |", "|---|---|--:|--:|---|")
    for target in judged(results):
        value = "-" if target.value is None else f"{target.value:.2f}"
        met = {None: "-", True: "yes", False: "**no**"}[target.met]
        sign = "≥" if target.at_least else "≤"
        yield f"| {target.scenario} | {target.figure} | {sign} {target.limit:g} | {value} | {met} |"


def _speed(results: Results, names: list[str], scenario: str, rate: float) -> Iterator[str]:
    ratios = " | ".join(f"× {short}" for short in _BASELINES.values())
    yield (
        f"| server | deliveries/s | spread | per server-CPU-s | {ratios} | core 0 / 1 busy "
        f"| p50 / p99 ms at {rate:g}/s | CPU µs each at {rate:g}/s | bytes | KiB/conn up / loaded | skipped | errors |"
    )
    yield "|---|" + "--:|" * (10 + len(_BASELINES))
    for name in names:
        runs = results[name, scenario]
        speeds = [run["flood"]["messages"] / run["flood"]["secs"] for run in runs]
        middle = statistics.median(speeds)
        per_cpu = _per_cpu(results, name, scenario)
        assert per_cpu is not None
        against = " | ".join(_shown(_ratio(per_cpu, _per_cpu(results, base, scenario))) for base in _BASELINES)
        cost = statistics.median(run["rate"]["cpu"] / max(run["rate"]["messages"], 1) * 1e6 for run in runs)
        yield (
            f"| {name} | {middle:,.0f} | ±{(max(speeds) - min(speeds)) / 2 / middle:.0%} | {per_cpu:,.0f} | {against} "
            f"| {_of(runs, 'flood', 'core0_busy'):.0%} / {_of(runs, 'flood', 'core1_busy'):.0%} "
            f"| {_of(runs, 'rate', 'lat_us', 'p50') / 1e3:.2f} / {_of(runs, 'rate', 'lat_us', 'p99') / 1e3:.2f} "
            f"| {cost:.1f} | {_of(runs, 'flood', 'bytes_per_message'):.0f} "
            f"| {_of(runs, 'rss_conn') / 1024:.0f} / {_of(runs, 'rss_conn_loaded') / 1024:.0f} "
            f"| {_total(runs, 'skipped')} | {_total(runs, 'errors')} |"
        )
        if scenario.startswith("S"):
            waiting = [[bytes_ for bytes_ in run["unsent"] if bytes_ > _UNDER_WAY] for run in runs]
            kept = ", ".join(f"{len(each)} ({sum(each) // 1024} KiB)" for each in waiting)
            yield f"\n{name}: connections in which the kernel keeps what nobody takes, in each repeat: {kept}.\n"


def _memory(results: Results, names: list[str]) -> Iterator[str]:
    yield (
        "| server | KiB/conn, connected | × strawberry | KiB/conn, after load | × strawberry "
        "| MiB fresh / connected / after load | server CPU | deliveries/s | p50 ms | p99 ms "
        "| all subscribed s | first value s | skipped | errors |"
    )
    yield "|---|" + "--:|" * 13
    for name in names:
        runs = results[name, "C"]
        ratios = [
            _shown(_ratio(_of(runs, key), _median(results, "strawberry", "C", key)))
            for key in ("rss_conn", "rss_conn_loaded")
        ]
        sizes = " / ".join(f"{_of(runs, key) / 2**20:.0f}" for key in ("rss_base", "rss_up", "rss_loaded"))
        speed = statistics.median(run["rate"]["messages"] / run["rate"]["secs"] for run in runs)
        yield (
            f"| {name} | {_of(runs, 'rss_conn') / 1024:.1f} | {ratios[0]} "
            f"| {_of(runs, 'rss_conn_loaded') / 1024:.1f} | {ratios[1]} "
            f"| {sizes} | {_of(runs, 'rate', 'server_busy'):.0%} | {speed:,.0f} "
            f"| {_of(runs, 'rate', 'lat_us', 'p50') / 1e3:.2f} | {_of(runs, 'rate', 'lat_us', 'p99') / 1e3:.1f} "
            f"| {_of(runs, 'connect_s'):.1f} | {_shown(_median(results, name, 'C', 'first_s'))} "
            f"| {_total(runs, 'skipped')} | {_total(runs, 'errors')} |"
        )


def _of(runs: list[dict[str, Any]], *path: str) -> float:
    """Return the median over the repeats of the figure at `path`."""

    def figure(run: Any) -> float:
        for key in path:
            run = run[key]
        return float(run)

    return statistics.median(map(figure, runs))


def _median(results: Results, name: str, scenario: str, *path: str) -> float | None:
    runs = results.get((name, scenario))
    return _of(runs, *path) if runs and path[0] in runs[0] else None


def _per_cpu(results: Results, name: str, scenario: str) -> float | None:
    runs = results.get((name, scenario))
    return statistics.median(run["flood"]["messages"] / run["flood"]["cpu"] for run in runs) if runs else None


def _p99_ms(results: Results, name: str, scenario: str) -> float | None:
    p99 = _median(results, name, scenario, "rate", "lat_us", "p99")
    return None if p99 is None else p99 / 1e3


def _total(runs: list[dict[str, Any]], what: str) -> int:
    return sum(int(run[phase][what]) for run in runs for phase in ("flood", "rate") if phase in run)


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
