"""`commonwatt registry`: apply and show communities."""

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from bus.community import RegistryError, load_community
from bus.registry import Registry, apply
from commonwatt.options import with_nats
from commonwatt.running import connect, run
from commonwatt.settings import Settings

registry = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Apply and show communities.",
)

_PATIENCE_S = 10.0


@registry.command(
    "apply",
    help=(
        "Add a community's file to the registry, as a version that holds from a local midnight on.\n\n"
        "The first version holds for all time before it, too; later ones from today's midnight unless told otherwise."
        "\n\n**Examples**\n\n    commonwatt registry apply examples/community.toml\n\n"
        "    commonwatt registry apply community.toml --valid-from 2027-01-01"
    ),
)
@with_nats
def apply_file(
    settings: Settings,
    file: Annotated[Path, typer.Argument(help="The community's TOML file.", metavar="FILE")],
    valid_from: Annotated[str | None, typer.Option(help="Day from whose local midnight it holds.")] = None,
) -> None:
    """Apply a community's file."""

    async def work() -> None:
        community = load_community(file)
        start = parse_day(valid_from)
        bus = await connect(settings, "registry", patience_s=_PATIENCE_S)
        try:
            version = await apply(bus, community, valid_from=start, now=datetime.now(UTC))
        finally:
            await bus.close()
        console = Console(highlight=False)
        if version is None:
            console.print(f"{community.id}: nothing changed, the registry says the same already")
        else:
            meters = sum(len(home.meters) for home in community.homes)
            console.print(
                f"{community.id}: {len(community.homes)} homes, {meters} meters, {len(community.members)} members; "
                f"valid from {_first_day(version.valid_from)}",
                soft_wrap=True,
            )

    run("registry", settings, work)


@registry.command(
    "show",
    help=(
        "Show the communities of the registry, or one of them whole.\n\n**Examples**\n\n"
        "    commonwatt registry show\n\n    commonwatt registry show demo --json"
    ),
)
@with_nats
def show(
    settings: Settings,
    community: Annotated[str | None, typer.Argument(help="Id of a community.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All versions, as JSON.")] = False,
) -> None:
    """Show communities."""

    async def work() -> None:
        known = Registry()
        bus = await connect(settings, "registry", patience_s=_PATIENCE_S)
        try:
            await known.load(bus)
        finally:
            await bus.close()
        if community is not None and community not in known.communities:
            names = ", ".join(sorted(known.communities)) or "none"
            raise RegistryError(f"no community {community!r} is registered; known: {names}")
        chosen = sorted(known.communities) if community is None else [community]
        if as_json:
            versions = [version.model_dump_json() for name in chosen for version in known.communities[name]]
            sys.stdout.write("[" + ",".join(versions) + "]\n")
            return
        # Narrow enough for 80 columns: names take a second line, what is typed elsewhere is never cut.
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("Community", no_wrap=True)
        table.add_column("Name", overflow="fold")
        for column in ("Homes", "Meters", "Members", "Key", "Valid from"):
            table.add_column(column, no_wrap=True)
        for name in chosen:
            for version in known.communities[name]:
                one = version.community
                table.add_row(
                    one.id,
                    one.name,
                    str(len(one.homes)),
                    str(len(one.home_of_meter)),
                    str(len(one.members)),
                    one.allocation_key,
                    _first_day(version.valid_from),
                )
        console = Console(highlight=False)
        console.print(table)
        if community is not None:
            latest = known.communities[community].latest.community
            interval = f"{latest.settlement_interval.total_seconds() / 60:g} min"
            console.print(f"Time zone {latest.timezone}, settled every {interval}.\n")
            homes = Table("Home", "Name", "Key", "Participation", "Meters", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
            for home in latest.homes:
                meters = "\n".join(f"{meter.id} ({meter.role})" for meter in home.meters)
                homes.add_row(home.id, home.name, str(home.key or ""), f"{home.participation} %", meters)
            console.print(homes)

    run("registry", settings, work)


def parse_day(text: str | None) -> date | None:
    """Return the day that an option names, if it is given; raise RegistryError where it is none."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RegistryError(f"valid from {text!r}; expected a day such as 2027-01-01") from None


def _first_day(day: date) -> str:
    return "the beginning" if day.year == 1970 else f"{day}"
