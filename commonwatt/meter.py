"""`commonwatt meter`: put a real meter to work: look at what it gives."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from commonwatt.options import with_nats
from commonwatt.running import run
from commonwatt.settings import Settings, SettingsError
from commonwatt.standard import leave_output

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from meters.gateways.source import Source

meter = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look at what a real meter gives, register it, exchange it.",
)


@meter.command(
    "test",
    help=(
        "Show what sources give and what it becomes, and what seems wrong with it. Nothing is published.\n\n"
        "A source is p1:serial:DEVICE, p1:tcp:HOST:PORT, p1:file:PATH, the same with sml, or mqtt:TOPIC. A file ends, "
        "the others run until Ctrl-C. Several sources of one meter are compared.\n\n"
        "Exit code 1 if a source gave no reading, or something was refused, lost or doubtful; 0 after Ctrl-C."
        "\n\n**Examples**\n\n"
        "    commonwatt meter test p1:serial:/dev/ttyUSB0\n\n"
        "    commonwatt meter test p1:tcp:10.0.0.5:2001 --seconds 60\n\n"
        "    commonwatt meter test p1:tcp:10.0.0.5:2001 mqtt:shellies/bakery/status/em:0\n\n"
        "    commonwatt meter test sml:serial:/dev/ttyUSB1 --json\n\n"
        "    commonwatt meter test p1:file:telegrams.txt"
    ),
)
@with_nats
def look(
    settings: Settings,
    sources: Annotated[list[str], typer.Argument(help="What to look at.", metavar="SOURCE")],
    zone: Annotated[
        str | None, typer.Option(help="Time zone of a P1 meter's clock.", show_default="where meters of its kind are")
    ] = None,
    silence: Annotated[float, typer.Option(help="Seconds after which a silent line is lost.", min=1, max=3600)] = 30.0,
    seconds: Annotated[
        float | None, typer.Option(help="End after so many seconds.", min=0.1, max=86_400, show_default="Ctrl-C")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each thing that came.")] = False,
) -> None:
    """Show what sources give."""
    sound = True

    async def work() -> None:
        nonlocal sound
        opened = _opened(sources, _zone(zone), silence, _others(settings))
        try:
            sound = await _looked(opened, seconds, as_json=as_json)
        except* BrokenPipeError:  # who reads the lines has had enough
            leave_output()

    run("meter", settings, work)
    raise typer.Exit(0 if sound else 1)


async def _looked(sources: "list[Source]", seconds: float | None, *, as_json: bool) -> bool:
    """Show what comes until all sources have ended, or the time is over; return whether all of it is sound."""
    from commonwatt.probe import Probe
    from commonwatt.probe_view import view_of
    from meters.gateways.sources import LineSource

    view = view_of(as_json=as_json)
    recorded = {source.name for source in sources if isinstance(source, LineSource) and source.ends}
    probe = Probe(sources, lambda seen: view.show(seen, probe), now=lambda: datetime.now(UTC), recorded=recorded)
    with view:
        try:
            async with asyncio.timeout(seconds) as limit:
                await probe.run()
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            view.end(probe)
    return probe.is_sound


def _opened(
    specs: list[str], zone: "ZoneInfo | None", silence_s: float, others: "Mapping[str, Callable[[str], Source]]"
) -> "list[Source]":
    from commonwatt.probe import MOST_SOURCES
    from meters.gateways.sources import source

    if len(specs) > MOST_SOURCES:
        raise SettingsError(f"{len(specs)} sources; at most {MOST_SOURCES} can be looked at side by side")
    twice = next((spec for spec in specs if specs.count(spec) > 1), None)
    if twice is not None:
        raise SettingsError(f"{twice!r} is there twice; a source is compared with others, not with itself")
    return [source(spec, zone=zone, silence_s=silence_s, others=others, as_of_now=True) for spec in specs]


def _others(settings: Settings) -> "Mapping[str, Callable[[str], Source]]":
    """Return the kinds of sources that are no lines, each with what makes one from its name."""
    from commonwatt.gateway_devices import topic_source

    return {"mqtt": partial(topic_source, settings)}


def _zone(name: str | None) -> "ZoneInfo | None":
    from zoneinfo import ZoneInfo

    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise SettingsError(f"zone is {name[:60]!r}; expected an IANA time zone such as Europe/Brussels") from None
