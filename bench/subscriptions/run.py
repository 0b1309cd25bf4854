"""What a delivery costs `commonwatt serve`, beside other servers that do the same work.

    python -m bench.subscriptions.run --peers DIR [--scenarios ABCS] [--repeats 3] [--quick] [--json]

  A  one face     1,000 subscribers of one home: each update is one frame of its community of 50 homes
  B  own home     1,000 subscribers of 1,000 homes in 20 communities of 50: a community's changes go out at
                  once when its last frame is --gather ms old, and otherwise share one frame
  C  memory       5,000 subscribers of 1,000 homes, as in B, one update a second and home
  S  stalled      A and B once more with 1 % of the clients reading nothing, against A and B without

A and B first saturate the server (closed loop: --window undelivered updates per connection), then
measure latency at --rate deliveries a second. The server has core 0; NATS, the load client, which
also publishes, and this script share core 1. Figures are medians over the repeats, the repeats
outermost, so that a drift of the machine hits all alike.

DIR is a folder with a `run.py` that measures peers by name and writes its raw results with
`--out`; the peers are measured there, unchanged, in turn with ours. Without --peers only ours runs.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.subscriptions.load import LOAD_CORE, SERVER_CORE, Load, LoadError, build
from bench.subscriptions.prepare import HOMES, register
from bench.subscriptions.processes import Pinned, unsent
from bench.subscriptions.tables import OURS, Results, judged, tables
from bus.broker import Broker, free_port

_PEERS: Final = ("strawberry", "strawberry-core330", "graphql-ws-16", "mercurius", "rawcast")
_READY_S: Final = 30.0
_STUFF: Final = "1000 2000"
"""So many changes of each home that a stalled client watches, so many a second, that the kernel takes no more."""
_REPOSITORY: Final = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Shape:
    """Who watches what in a scenario, and whether changes share frames."""

    connections: int
    homes: int
    gathered: bool
    stalled: int = 0


SHAPES: Final = {
    "A": Shape(1000, 1, gathered=False),
    "B": Shape(1000, 1000, gathered=True),
    "C": Shape(5000, 1000, gathered=True),
    "SA": Shape(1000, 1, gathered=False, stalled=10),
    "SB": Shape(1000, 1000, gathered=True, stalled=10),
}


@dataclass(frozen=True, slots=True)
class Ours:
    """Where our servers run: one nats-server for all of them."""

    wsload: Path
    broker: Broker
    logs: Path
    serve: list[str]

    @contextmanager
    def server(self, name: str, directory: Path) -> Iterator[tuple[Pinned, int]]:
        """Run the server of a checkout; yield it and its port once it has sent a value that is right."""
        port = free_port()
        command = [sys.executable, "-m", "commonwatt", "serve", "--nats-url", self.broker.url, "--port", str(port)]
        log = self.logs / f"{name}.log"
        with Pinned(SERVER_CORE, [*command, *self.serve], log=log, cwd=directory) as server:
            deadline = time.monotonic() + _READY_S
            while True:
                try:
                    with Load(self.wsload, port, self.broker.port) as probe:
                        probe.join()
                    break
                except LoadError as error:
                    if server.ended or time.monotonic() > deadline:
                        raise LoadError(f"{name} is not ready: {error}\n{log.read_text()[-300:]}") from None
                    time.sleep(0.2)
            yield server, port


def measure(ours: Ours, name: str, directory: Path, kind: str, o: argparse.Namespace) -> dict[str, Any]:
    """Run one scenario against a fresh server of ours and return its raw figures."""
    shape = SHAPES[kind]
    with ExitStack() as stack:
        server, port = stack.enter_context(ours.server(name, directory))
        base = server.usage().rss
        load = stack.enter_context(
            Load(
                ours.wsload,
                port,
                ours.broker.port,
                connections=shape.connections,
                homes=shape.homes,
                gather_ms=o.gather if shape.gathered else 0,
                stalled=shape.stalled,
            )
        )
        up = load.join()
        load.do("idle 1")
        result: dict[str, Any] = {"connect_s": up["subscribed_s"], "first_s": up["secs"], "sample": up["sample"]}
        result |= {"rss_base": base, "rss_up": server.usage().rss}
        if kind == "C":
            result["rate"] = load.measured(f"rate {shape.homes} {o.memory_secs}", server)
        else:
            if shape.homes > shape.stalled > 0:
                load.do(f"stuff {_STUFF}")  # in A the flood is enough
            load.do(f"flood {o.warm_secs} {o.window}")
            result["flood"] = load.measured(f"flood {o.flood_secs} {o.window}", server)
            updates = o.rate * shape.homes / shape.connections
            result["rate"] = load.measured(f"rate {updates} {o.rate_secs}", server)
        result["rss_loaded"] = server.usage().rss
        result["unsent"] = unsent(port)
        for at in ("", "_loaded"):
            result[f"rss_conn{at}"] = (result[f"rss{at or '_up'}"] - base) / shape.connections
        return result


def measure_peer(folder: Path, name: str, kinds: str, o: argparse.Namespace) -> dict[str, Any]:
    """Have a peer measured once by the folder's own run.py; return its raw figures by scenario."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [
            sys.executable,
            str(folder / "run.py"),
            name,
            "--scenarios",
            kinds,
            "--repeats",
            "1",
            "--out",
            out.name,
        ]
        for option in ("window", "rate", "flood_secs", "warm_secs", "rate_secs", "memory_secs"):
            command += [f"--{option.replace('_', '-')}", f"{getattr(o, option):g}"]
        done = subprocess.run(command, capture_output=True, text=True)
        print(done.stderr.strip()[-2000:], file=sys.stderr, end="\n" if done.stderr else "", flush=True)
        text = Path(out.name).read_text()
    measured = json.loads(text) if text else {}
    return {key.rpartition("/")[2]: runs[0] for key, runs in measured.items() if runs}


def run(o: argparse.Namespace) -> Results:
    """Run everything and return the raw figures."""
    kinds = [kind for letter in o.scenarios for kind in (("SA", "SB") if letter == "S" else (letter,))]
    peer_kinds = "".join(letter for letter in o.scenarios if letter in "ABC")
    peers = list(o.peer or _PEERS) if o.peers and peer_kinds else []
    named = (ours.partition("=") for ours in o.ours or [f"{OURS}={_REPOSITORY}"])
    checkouts = {name: Path(path).resolve() for name, _, path in named}
    results: Results = {}

    def keep(name: str, kind: str, figures: dict[str, Any]) -> None:
        results.setdefault((name, kind), []).append(figures)
        print(f"{len(results[name, kind])} {name:20} {_summary(kind, figures)}", file=sys.stderr, flush=True)
        if o.out:
            o.out.write_text(json.dumps({"/".join(key): runs for key, runs in results.items()}))

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        wsload = build(Path(folder))
        broker = Broker(Path(folder) / "nats", free_port())
        stack.enter_context(Pinned(LOAD_CORE, broker.command()))
        asyncio.run(register(broker.url, -(-max(shape.homes for shape in SHAPES.values()) // HOMES)))
        ours = Ours(wsload, broker, Path(folder), o.serve.split())
        for _ in range(o.repeats):
            for name in peers:
                for kind, figures in measure_peer(o.peers, name, peer_kinds, o).items():
                    keep(name, kind, figures)
            for name, directory in checkouts.items():
                for kind in kinds:
                    try:
                        keep(name, kind, measure(ours, name, directory, kind, o))
                    except LoadError as error:
                        print(f"{name} {kind} left out: {error}", file=sys.stderr, flush=True)
    return results


def _summary(kind: str, figures: dict[str, Any]) -> str:
    rate, main = figures["rate"], figures.get("flood", figures["rate"])
    speed, per_cpu = main["messages"] / main["secs"], main["messages"] / max(main["cpu"], 0.01)
    p50, p99 = (rate["lat_us"][quantile] / 1e3 for quantile in ("p50", "p99"))
    return (
        f"{kind:2} {speed:9,.0f}/s {per_cpu:9,.0f} per CPU-s  server {main['server_busy']:4.0%} "
        f"core 1 {main['core1_busy']:4.0%}  p50 {p50:.2f} p99 {p99:.2f} ms  "
        f"{figures['rss_conn'] / 1024:.1f}/{figures['rss_conn_loaded'] / 1024:.1f} KiB  "
        f"errors {main['errors'] + rate['errors']} {rate['trouble'][:100]}"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--peers", type=Path, metavar="DIR", help="folder of the peers, with its run.py")
    add("--peer", action="append", metavar="NAME", help=f"a peer to measure (default: {', '.join(_PEERS)})")
    add(
        "--ours", action="append", metavar="NAME=DIR", help=f"a checkout whose server to run (default: {OURS}=this one)"
    )
    add(
        "--serve",
        default="--development --sign-in=off",
        metavar="OPTIONS",
        help="further options of `commonwatt serve`",
    )
    add("--scenarios", default="ABCS")
    add("--repeats", type=int, default=3)
    add("--window", type=int, default=4, help="undelivered updates per connection in the closed loop")
    add("--gather", type=float, default=5, help="ms in which the changes of a community share a frame")
    add("--rate", type=float, default=2000, help="deliveries/s of the latency measurement")
    add("--warm-secs", type=float, default=3)
    add("--flood-secs", type=float, default=6)
    add("--rate-secs", type=float, default=8)
    add("--memory-secs", type=float, default=12)
    add("--quick", action="store_true", help="one repeat, a third of the time: to see that it works")
    add("--out", type=Path, metavar="FILE", help="write all raw figures, after each run")
    add("--show", type=Path, metavar="FILE", help="only print the tables of raw figures that --out wrote")
    add("--json", action="store_true", help="print one JSON object instead of the tables")
    o = parser.parse_args()
    if not set(o.scenarios) <= set("ABCS"):
        parser.error(f"scenarios are A, B, C and S, not {o.scenarios!r}")
    if o.peers and not (o.peers / "run.py").is_file():
        parser.error(f"{o.peers} has no run.py")
    if o.quick:
        o.repeats, o.warm_secs, o.flood_secs, o.rate_secs, o.memory_secs = 1, 1.0, 2.0, 3.0, 4.0
    if o.show:
        results = {tuple(key.split("/")): runs for key, runs in json.loads(o.show.read_text()).items()}
    else:
        if len(os.sched_getaffinity(0)) < 2:
            parser.error("two cores are needed: one for the server, one for the load")
        os.sched_setaffinity(0, {LOAD_CORE})
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        results = run(o)
    if o.json:
        raw = {"/".join(key): runs for key, runs in results.items()}
        print(json.dumps({"targets": [target._asdict() for target in judged(results)], "runs": raw}))
    else:
        print(*tables(results, o.rate), sep="\n")
    sys.exit(not results)


if __name__ == "__main__":
    main()
