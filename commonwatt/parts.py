"""The parts, wired: each function connects one process to NATS and runs it until cancelled."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import structlog
from prometheus_client import start_http_server
from rich.console import Console

from aggregator.metrics import Metrics
from aggregator.service import Aggregator, AggregatorOptions
from bus.client import Bus
from commonwatt.running import connect
from commonwatt.settings import Settings, SettingsError
from commonwatt.supervisor import Child, Supervisor
from commonwatt.waiting import answering
from meters.errors import OptionError
from meters.replay import ReplayOptions, run_replay
from meters.simulator import SimulationOptions, run_simulation
from server.options import ServerOptions
from server.run import listen, serve

log = structlog.get_logger(__name__)

WATCH: Final = Path(__file__).resolve().parent.parent / "watch" / "web"


async def serve_by_workers(settings: Settings, workers: int) -> None:
    """Run several servers on one port, each on its own; the system spreads connections over them.

    A port that is taken, or 0, is refused: all of them must know it.
    """
    if settings.port == 0:
        raise SettingsError("port 0 with several workers: they need one port to share, choose it with --port")
    listen(settings.host, settings.port).close()
    command = [sys.executable, "-m", "commonwatt", "serve", "--shared-port"]
    children = [Child(f"serve-{number}", command, environment=settings.environment) for number in range(1, workers + 1)]
    log.info("serving", workers=workers, url=f"http://{settings.host}:{settings.port}")
    await Supervisor(children).run()


async def serve_graphql(settings: Settings, *, shared: bool = False) -> None:
    """Run the server; with `shared` others may listen on its port."""
    options = ServerOptions(
        development=settings.development,
        watch_directory=WATCH if WATCH.is_dir() else None,
        allowed_origins=settings.allowed_origins,
    )
    async with AsyncExitStack() as stack:
        async with answering(settings.host, settings.port, shared=shared):
            bus = await stack.enter_async_context(_connected(settings, "serve"))
        # What is there by now stays; a full collection of a large heap would stop the world for long.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        await serve(
            bus,
            options,
            settings.host,
            settings.port,
            on_started=lambda url: log.info("serving", url=url),
            shared=shared,
        )


async def aggregate(settings: Settings, options: AggregatorOptions) -> None:
    """Run the aggregator."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        if settings.metrics_port:
            try:
                server, _ = start_http_server(settings.metrics_port, settings.host, metrics.registry)
            except OSError as error:
                raise SettingsError(
                    f"metrics port {settings.metrics_port} on {settings.host}: {error.strerror}; choose another with "
                    "--metrics-port"
                ) from None
            stack.callback(server.shutdown)
        # States are long-lived and readings short-lived, and neither has cycles: collect rarely.
        gc.set_threshold(100_000, 50, 100)
        bus = await stack.enter_async_context(_connected(settings, "aggregate"))
        await Aggregator(bus, options, metrics).run()


async def simulate(settings: Settings, options: SimulationOptions) -> None:
    """Run simulated meters."""
    async with _connected(settings, "simulate") as bus:
        await run_simulation(bus, options)


async def replay(settings: Settings, options: ReplayOptions) -> None:
    """Replay a recording and say what was done."""
    console = Console(stderr=True)
    async with _connected(settings, "replay") as bus:
        report = await run_replay(bus, options, console)
    rate = report.stored / report.seconds if report.seconds else 0.0
    Console(highlight=False, file=sys.stdout).print(
        f"{report.community}: {report.stored} readings stored, {report.skipped} were stored before; "
        f"{report.meters} meters, {report.first_at.isoformat()} to {report.last_at.isoformat()}, "
        f"{report.seconds:.1f} s ({rate:,.0f} readings/s)",
        soft_wrap=True,
    )


def recording_format(name: str) -> Literal["citylearn"]:
    """Return a format of recordings; raise OptionError for one that is not known."""
    if name != "citylearn":
        raise OptionError(f"format is {name!r}; expected citylearn")
    return "citylearn"


def parse_start(text: str | None) -> datetime | None:
    """Return the time that `--start` gives; raise OptionError if it is none."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise OptionError(f"start is {text!r}; expected a date or time such as 2025-08-01T00:00") from None


@asynccontextmanager
async def _connected(settings: Settings, name: str) -> AsyncIterator[Bus]:
    bus = await connect(settings, name)
    try:
        yield bus
    finally:
        await bus.close()
