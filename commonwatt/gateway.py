"""`commonwatt gateway`: real meters, read and published."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from commonwatt.files import allow_files
from commonwatt.options import with_nats
from commonwatt.running import connected, run
from commonwatt.settings import Settings

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from meters.gateways.feed import Feed
    from meters.gateways.runner import Gateway
    from meters.gateways.source import Source

gateway = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Read real meters and publish their readings; what NATS does not take yet waits on disk.",
)

_SAY_EVERY_S: Final = 5.0

_Community = Annotated[str | None, typer.Option(help="Id of the meter's community.", show_default=False)]
_Meter = Annotated[str | None, typer.Option(help="Id of the meter.", show_default=False)]
_Serial = Annotated[
    str | None,
    typer.Option(help="Its serial device; further ?baud=9600&framing=7E1.", metavar="DEVICE", show_default=False),
]
_Tcp = Annotated[
    str | None, typer.Option(help="Where a dongle or ser2net serves it.", metavar="HOST:PORT", show_default=False)
]
_File = Annotated[
    str | None,
    typer.Option(help="A file of what it said, read once; -: standard input.", metavar="PATH", show_default=False),
]
_Piped = Annotated[
    str | None,
    typer.Option(
        help="-: what another program pipes in. Recorded frames say no time, and are refused.",
        metavar="-",
        show_default=False,
    ),
]
_Config = Annotated[
    Path | None, typer.Option(help="A TOML file with many meters instead (docs/meters.md).", show_default=False)
]
_Every = Annotated[
    int, typer.Option(help="Seconds of which one reading is published; 0: all. A divisor of 900.", min=0, max=900)
]
_Epoch = Annotated[str | None, typer.Option(help="Its epoch.", show_default="the serial number that the meter says")]
_Zone = Annotated[str | None, typer.Option(help="Time zone of its clock.", show_default="where meters of its kind are")]
_DataDir = Annotated[
    Path | None,
    typer.Option(help="Below it, in gateways/, is what waits for NATS.", show_default="the user's data directory"),
]
_MetricsPort = Annotated[
    int | None, typer.Option("--metrics-port", help="Port of the metrics; 0: none.", show_default="0")
]


@gateway.command(
    "p1",
    help=(
        "Read P1 ports (DSMR and its relatives): one by options, or up to 1,000 that a file names.\n\n**Examples**\n\n"
        "    commonwatt gateway p1 --community sonnenhang --meter bakery-grid --serial /dev/ttyUSB0\n\n"
        "    commonwatt gateway p1 --community sonnenhang --meter bakery-grid --tcp 10.0.0.5:2001 --every 10\n\n"
        "    commonwatt gateway p1 --community sonnenhang --meter bakery-grid --file telegrams.txt\n\n"
        "    commonwatt gateway p1 --config gateway.toml --nats-url tls://nats.example.org --nats-nkey-seed attic.nk"
    ),
)
@with_nats
def p1(
    settings: Settings,
    community: _Community = None,
    meter: _Meter = None,
    serial: _Serial = None,
    tcp: _Tcp = None,
    file: _File = None,
    config: _Config = None,
    every: _Every = 0,
    epoch: _Epoch = None,
    zone: _Zone = None,
    data_dir: _DataDir = None,
    gateway_metrics_port: _MetricsPort = None,
) -> None:
    """Read P1 ports."""
    given = {"community": community, "meter": meter, "every": every, "epoch": epoch, "zone": zone}
    _run_lines(settings, "p1", {"serial": serial, "tcp": tcp, "file": file}, given, config)


@gateway.command(
    "sml",
    help=(
        "Read meters that speak SML: one by options, or up to 1,000 that a file names.\n\n**Examples**\n\n"
        "    commonwatt gateway sml --community sonnenhang --meter mill-grid --serial /dev/ttyUSB0\n\n"
        "    commonwatt gateway sml --config gateway.toml"
    ),
)
@with_nats
def sml(
    settings: Settings,
    community: _Community = None,
    meter: _Meter = None,
    serial: _Serial = None,
    tcp: _Tcp = None,
    file: _Piped = None,
    config: _Config = None,
    every: _Every = 0,
    epoch: _Epoch = None,
    data_dir: _DataDir = None,
    gateway_metrics_port: _MetricsPort = None,
) -> None:
    """Read SML."""
    given = {"community": community, "meter": meter, "every": every, "epoch": epoch}
    _run_lines(settings, "sml", {"serial": serial, "tcp": tcp, "file": file}, given, config)


def run_gateway(settings: Settings, name: str, make_feeds: Callable[[], Sequence["Feed"]]) -> None:
    """Run a gateway until its files are read, or a signal ends it.

    `name` tells its buffer from those of other gateways on this machine: `[a-z0-9.-]`.
    """
    run("gateway", settings, lambda: serve_feeds(settings, name, make_feeds()))


async def serve_feeds(settings: Settings, name: str, feeds: Sequence["Feed"]) -> None:
    """Read feeds and publish, with the metrics on their port, until all feeds have ended."""
    from commonwatt.scraping import scraped
    from meters.gateways.buffer import Buffer
    from meters.gateways.metrics import Metrics
    from meters.gateways.runner import Gateway

    metrics = Metrics()
    allow_files(len(feeds))
    async with AsyncExitStack() as stack:
        stack.enter_context(scraped(metrics.registry, settings.host, settings.gateway_metrics_port))
        buffer = Buffer(
            settings.data_dir / "gateways" / f"{name}.sqlite3",
            most=settings.gateway_buffer_readings,
            most_bytes=settings.gateway_buffer_mb * 1024 * 1024,
        )
        stack.callback(buffer.close)
        work = Gateway(feeds, buffer, lambda: connected(settings, "gateway"), metrics)
        if any(feed.ends for feed in feeds):
            saying = asyncio.ensure_future(_say_progress(work, Console(stderr=True, highlight=False)))
            stack.callback(saying.cancel)
        try:
            await work.run()
        finally:
            if any(feed.ends for feed in feeds):
                Console(highlight=False).print(_sentence(work), soft_wrap=True)


async def _say_progress(work: "Gateway", console: Console) -> None:
    said = _sentence(work)
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(_SAY_EVERY_S)
            if (now := _sentence(work)) != said:
                said = now
                console.print(said, soft_wrap=True)


def _sentence(work: "Gateway") -> str:
    done = work.report
    return (
        f"{done.readings} readings taken, {done.refused} refused, {done.skipped} left out; "
        f"{done.published} messages published, {done.waiting} waiting, {done.dropped} dropped"
    )


def _run_lines(
    settings: Settings, kind: str, lines: Mapping[str, str | None], given: Mapping[str, object], config: Path | None
) -> None:
    named = [f"{kind}:{line}:{where}" for line, where in lines.items() if where is not None]
    options = " or ".join(f"--{line}" for line in lines)
    if config is not None:
        if named or any(given.values()):
            raise typer.BadParameter(f"the file says it all: leave out {options} and the meter", param_hint="--config")
    elif len(named) != 1 or not given["community"] or not given["meter"]:
        raise typer.BadParameter(f"expected --community, --meter and one of {options}; or --config with many meters")

    def make_feeds() -> Sequence["Feed"]:
        from meters.gateways.plan import feeds, load_plan, plan_of_one

        if config is not None:
            return feeds(load_plan(config), _open, config)
        return feeds(plan_of_one(source=named[0], **given), _open)

    name = config.stem if config is not None else f"{given['community']}.{given['meter']}"
    run_gateway(settings, name, make_feeds)


def _open(spec: str, zone: "ZoneInfo | None") -> "Source":
    from meters.gateways.sources import source

    return source(spec, zone=zone)
