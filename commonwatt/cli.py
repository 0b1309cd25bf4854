"""The command line: one thin command per process, everything else is elsewhere.

Commands import what they run when they run, so that no process carries the parts of another.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from commonwatt.contract import contract
from commonwatt.export import HELP as EXPORT_HELP
from commonwatt.export import export
from commonwatt.gateway import gateway
from commonwatt.gateway_devices import SHELLY_HELP, TASMOTA_HELP, shelly, tasmota
from commonwatt.meter import meter
from commonwatt.meter_adding import HELP as ADD_HELP
from commonwatt.meter_adding import add
from commonwatt.meter_exchange import HELP as EXCHANGE_HELP
from commonwatt.meter_exchange import exchange
from commonwatt.nats import nats
from commonwatt.options import DataDirectory, with_logging, with_nats
from commonwatt.registry import registry
from commonwatt.running import run
from commonwatt.settings import Settings
from commonwatt.standard import open_standard, written
from commonwatt.statement import HELP as STATEMENT_HELP
from commonwatt.statement import statement
from commonwatt.tokens import token

if TYPE_CHECKING:
    from commonwatt.up import Addresses

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Live energy-community data for the wrist.",
)
app.add_typer(registry, name="registry")
app.add_typer(token, name="token")
app.add_typer(nats, name="nats")
gateway.command("shelly", help=SHELLY_HELP)(shelly)
gateway.command("tasmota", help=TASMOTA_HELP)(tasmota)
app.add_typer(gateway, name="gateway")
meter.command("add", help=ADD_HELP)(add)
meter.command("exchange", help=EXCHANGE_HELP)(exchange)
app.add_typer(meter, name="meter")
app.add_typer(contract, name="schema")

_Homes = Annotated[int | None, typer.Option(min=1, help="Homes to simulate.", show_default="as registered, or 20")]
_EXAMPLES: Final = "\n\n**Examples**\n\n"


def _help(text: str, *examples: str) -> str:
    return text + _EXAMPLES + "\n\n".join(f"    {example}" for example in examples)


@app.command(
    help=_help(
        "Run everything in one process tree: nats-server, aggregator, server, history, and a simulated community.",
        "commonwatt up",
        "commonwatt up --homes 100 --port 8080 --fresh",
    )
)
@with_logging
def up(
    settings: Settings,
    host: Annotated[str | None, typer.Option(help="Address of the server.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the server; 0: any free one.", show_default="8000")] = None,
    nats_port: Annotated[
        int | None, typer.Option(help="Port of NATS; 0: any free one.", show_default="4222, or a free one")
    ] = None,
    mqtt_port: Annotated[
        int | None,
        typer.Option(help="Port of NATS for MQTT; 0: any free one.", show_default="1883, or a free one"),
    ] = None,
    data_dir: DataDirectory = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the state of earlier runs.")] = False,
    homes: _Homes = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 1,
    rate: Annotated[float, typer.Option(help="Readings per second and meter.")] = 0.2,
) -> None:
    """Run everything."""
    from commonwatt.greeting import greet
    from commonwatt.up import UpOptions, demo_of, run_up

    assert host is not None
    assert port is not None
    assert data_dir is not None
    options = UpOptions(
        data_dir,
        host,
        port,
        nats_port,
        homes,
        seed,
        rate,
        fresh,
        settings.log_level,
        settings.log_format,
        mqtt_port,
        settings.nats_open,
    )

    def show(addresses: "Addresses", home: str) -> None:
        greet(addresses, demo_of(settings, home), data_dir)

    run("up", settings, lambda: run_up(options, show))


@app.command(
    help=_help(
        "Serve GraphQL: queries, subscriptions, GraphiQL, the watch page, health and metrics.",
        "commonwatt serve --nats-url nats://127.0.0.1:4222 --port 8000",
        "commonwatt serve --workers 4",
        "commonwatt serve --nats-url tls://nats.example.org --nats-credentials server.creds --host 0.0.0.0",
        "commonwatt serve --sign-in off --development",
    )
)
@with_nats
def serve(
    settings: Settings,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.", show_default="8000")] = None,
    development: Annotated[
        bool | None, typer.Option("--development", help="Show GraphiQL, take any document.", show_default="off")
    ] = None,
    sign_in: Annotated[
        str | None, typer.Option(help="required, or off on a loopback address.", show_default="required")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where the key for tokens lies, made if absent.", show_default="the user's data directory"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes on the one port.")] = 1,
    shared_port: Annotated[bool, typer.Option("--shared-port", hidden=True)] = False,
) -> None:
    """Serve GraphQL."""
    from commonwatt import serving

    if workers > 1:
        run("serve", settings, lambda: serving.serve_by_workers(settings, workers), end_s=settings.drain + 8)
    else:
        run("serve", settings, lambda: serving.serve_graphql(settings, shared=shared_port), end_s=settings.drain + 6)


@app.command(
    help=_help(
        "Fold readings into live frames, settled intervals and alerts.",
        "commonwatt aggregate",
        "commonwatt aggregate --community sunfield --community riverside",
        "commonwatt aggregate --part 1/4",
    )
)
@with_nats
def aggregate(
    settings: Settings,
    community: Annotated[list[str] | None, typer.Option(help="Settle this community only; repeatable.")] = None,
    part: Annotated[str, typer.Option(help="Settle part K of N of all communities, as K/N.")] = "1/1",
    rebuild: Annotated[
        list[str] | None,
        typer.Option(help="Set this community's checkpoint aside and compute it again; repeatable."),
    ] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port of the metrics; 0: none.", show_default="0")] = None,
) -> None:
    """Run the aggregator."""
    from aggregator.service import AggregatorOptions
    from commonwatt.aggregating import aggregate as work

    number, slash, count = part.partition("/")
    if not (slash and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count) <= 1024):
        raise typer.BadParameter(f"{part!r}; expected K/N with 1 <= K <= N <= 1024, such as 1/4", param_hint="--part")
    options = AggregatorOptions(tuple(community or ()), int(number), int(count), tuple(rebuild or ()))
    run("aggregate", settings, lambda: work(settings, options))


@app.command(
    help=_help(
        "Keep settled intervals for analytics, and answer the servers' questions about them.",
        "commonwatt history",
        "commonwatt history --file /var/lib/commonwatt/history.duckdb --metrics-port 9102",
    )
)
@with_nats
def history(
    settings: Settings,
    history_file: Annotated[
        Path | None,
        typer.Option("--file", help="The file.", show_default="history/history.duckdb in the data directory"),
    ] = None,
    data_dir: DataDirectory = None,
    history_memory: Annotated[
        int | None, typer.Option("--memory", help="MB that its database may take.", show_default="400")
    ] = None,
    history_metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", help="Port of the metrics; 0: none.", show_default="0")
    ] = None,
) -> None:
    """Run the history."""
    from commonwatt.history import keep_history

    run("history", settings, lambda: keep_history(settings))


@app.command(
    help=_help(
        "Simulate a community's meters: loads with appliances, sun and clouds, batteries, silent meters.",
        "commonwatt simulate --homes 20",
        "commonwatt simulate --homes 1000 --rate 1 --seed 7",
        "commonwatt simulate --community fast --speed 60 --duration 24",
    )
)
@with_nats
def simulate(
    settings: Settings,
    community: Annotated[str, typer.Option(help="Id of the community; registered if absent.")] = "demo",
    homes: _Homes = None,
    seed: Annotated[int, typer.Option(help="Seed: the same one gives the same readings.")] = 1,
    rate: Annotated[float, typer.Option(help="Readings per second and meter.")] = 0.2,
    speed: Annotated[float, typer.Option(help="Seconds of the meters' time per second; 0: as fast as possible.")] = 1.0,
    duration: Annotated[float | None, typer.Option(help="Hours of the meters' time.", show_default="for ever")] = None,
) -> None:
    """Simulate meters."""
    from commonwatt import metering
    from meters.simulator import SimulationOptions

    async def work() -> None:
        options = SimulationOptions(
            community=community,
            homes=homes,
            seed=seed,
            rate=rate,
            speed=speed,
            duration=None if duration is None else timedelta(hours=duration),
        )
        await metering.simulate(settings, options)

    run("simulate", settings, work)


@app.command(
    help=_help(
        "Publish recorded meter data. Run again, it goes on where the stream ends and stores nothing twice.",
        "commonwatt replay --format citylearn DIR",
        "commonwatt replay --format citylearn DIR --community sunfield --start 2025-08-01T00:00 --speed 3600",
    )
)
@with_nats
def replay(
    settings: Settings,
    directory: Annotated[Path, typer.Argument(help="Its folder.", metavar="DIR", exists=True, file_okay=False)],
    format: Annotated[str, typer.Option(help="Format of the recording: citylearn.")] = "citylearn",
    community: Annotated[str, typer.Option(help="Id of the community; registered if absent.")] = "citylearn",
    start: Annotated[
        str | None,
        typer.Option(help="When the recording begins; local time of the community.", show_default="2021-08-01T00:00"),
    ] = None,
    speed: Annotated[float, typer.Option(help="Seconds of the recording per second; 0: as fast as possible.")] = 0.0,
) -> None:
    """Replay a recording."""
    from commonwatt import metering
    from meters.replay import ReplayOptions

    async def work() -> None:
        options = ReplayOptions(
            directory=directory,
            format=metering.recording_format(format),
            community=community,
            start=metering.parse_start(start),
            speed=speed,
        )
        await metering.replay(settings, options)

    run("replay", settings, work)


@app.command(
    help=_help(
        "Compute the settled intervals again from the stored readings and compare; exit code 1 if any differs.",
        "commonwatt audit",
        "commonwatt audit --from 2026-11-01 --to 2026-12-01 --community demo",
    )
)
@with_nats
def audit(
    settings: Settings,
    since: Annotated[
        str | None, typer.Option("--from", help="First day, or time.", show_default="all that is stored")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Day, or time, before which to end.", show_default="all that is stored")
    ] = None,
    community: Annotated[list[str] | None, typer.Option(help="Audit this community only; repeatable.")] = None,
) -> None:
    """Audit the settled intervals."""
    from commonwatt.auditing import run_audit

    agrees = True

    async def work() -> None:
        nonlocal agrees
        agrees = await run_audit(settings, since, until, tuple(community or ()))

    run("audit", settings, work)
    raise typer.Exit(0 if agrees else 1)


app.command(help=STATEMENT_HELP)(statement)
app.command(help=EXPORT_HELP)(export)


@app.command(
    help=_help(
        "Show a home or a community, live, in this terminal.",
        "commonwatt watch --home demo.home-01",
        "commonwatt watch --url http://127.0.0.1:8000 --community demo",
        "commonwatt watch --home demo.home-01 --once --json",
        "commonwatt watch --pair",
    )
)
def watch(
    url: Annotated[str, typer.Option(help="Address of the server.")] = "http://127.0.0.1:8000",
    home: Annotated[str | None, typer.Option(help="Home, as COMMUNITY.HOME.")] = None,
    community: Annotated[str | None, typer.Option(help="Community.")] = None,
    token: Annotated[
        str | None, typer.Option(help="Token to sign in with.", envvar="COMMONWATT_TOKEN", show_envvar=True)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Show the first result and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per result.")] = False,
    screen: Annotated[str, typer.Option(help="glance, today or hours.")] = "glance",
    ambient: Annotated[bool, typer.Option("--ambient", help="Dimmed, rarer and coarser.")] = False,
    pair: Annotated[bool, typer.Option("--pair", help="Pair this watch first: a member approves its code.")] = False,
) -> None:
    """Watch."""
    from watch import terminal

    code = terminal.run(url, home, community, token, once, as_json, ambient=ambient, pair=pair, screen=screen)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line."""
    open_standard()
    with written():
        app()
