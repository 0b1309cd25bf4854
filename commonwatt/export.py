"""`commonwatt export`: settled intervals of homes as one Parquet or CSV file, however many there are."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from commonwatt.options import with_nats
from commonwatt.running import connect, run
from commonwatt.settings import Settings, SettingsError
from commonwatt.standard import leave_output

if TYPE_CHECKING:
    from commonwatt.tables import Table

HELP: Final = (
    "Export settled intervals: one row for each home and interval, at its newest revision, ordered by community, home "
    "and time.\n\nTimes are UTC, energy is in Wh, saving and credit are in minor units of the currency (cents). A day "
    "begins at the community's local midnight. It needs NATS and a running history.\n\n**Examples**\n\n"
    "    commonwatt export --out demo.parquet\n\n"
    "    commonwatt export --format csv --from 2026-05-01 --to 2026-06-01 --community demo --out may.csv\n\n"
    "    commonwatt export --format csv --out - > all.csv"
)

Form = Literal["parquet", "csv"]

_PATIENCE_S = 10.0
_HISTORY_PATIENCE_S = 60.0


@with_nats
def export(
    settings: Settings,
    out: Annotated[str, typer.Option(help="File, replaced whole; -: stdout, as CSV.", metavar="FILE")],
    format: Annotated[
        Form | None, typer.Option(help="parquet or csv.", show_default="by the end of --out's name")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="First day, or time.", show_default="all that is settled")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Day, or time, before which to end.", show_default="all that is settled")
    ] = None,
    community: Annotated[list[str] | None, typer.Option(help="Export this community only; repeatable.")] = None,
) -> None:
    """Export settled intervals."""
    form = _form(format, out)
    run("export", settings, lambda: _export(settings, out, form, since, until, tuple(community or ())))


async def _export(
    settings: Settings, out: str, form: Form, since: str | None, until: str | None, communities: tuple[str, ...]
) -> None:
    from rich.console import Console

    from bus.errors import UnavailableError
    from bus.registry import Registry
    from commonwatt.progress import bar_on
    from commonwatt.settled import Settled, ranges
    from resolvers.errors import NotReadyError
    from resolvers.history import History, OutOfRangeError

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    bus = await connect(settings, "export", patience_s=_PATIENCE_S)
    try:
        registry = Registry()
        await registry.load(bus)
        settled = Settled(History(bus), registry, pause=bus.pause, patience_s=_HISTORY_PATIENCE_S)
        wanted = ranges(registry, communities, since, until)
        with bar_on(console) as bar, _table(form, out) as table:
            task = bar.add_task("looking", total=None)
            plan = await settled.plan(wanted)
            bar.update(task, description="reading", total=plan.rows)
            async for rows in settled.rows(plan):
                await asyncio.to_thread(table.write, rows)
                bar.update(task, advance=len(rows))
            bar.update(task, description="writing")
            await _finished(table)
        console.print(f"{'stdout' if out == '-' else out}: {table.rows:,} rows")
    except NotReadyError as error:
        raise UnavailableError(str(error)) from None
    except OutOfRangeError as error:
        raise SettingsError(str(error)) from None
    except BrokenPipeError:
        leave_output()
        raise UnavailableError("whoever read stdout went away") from None
    finally:
        await bus.close()


async def _finished(table: "Table") -> None:
    """Finish a table; where that is broken off, do not leave it at work behind."""
    task = asyncio.create_task(asyncio.to_thread(table.finish))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        table.interrupt()
        await asyncio.wait([task])
        raise


def _form(form: Form | None, out: str) -> Form:
    """Return the format that is asked for, by a name's end where nothing is said."""
    if out == "-":
        if form == "parquet":
            raise typer.BadParameter("Parquet cannot go to stdout: name a file", param_hint="--out")
        return "csv"
    if form is not None:
        return form
    if out.endswith(".parquet"):
        return "parquet"
    if out.endswith(".csv"):
        return "csv"
    raise typer.BadParameter(f"{out!r} does not tell it; give --format parquet or csv", param_hint="--format")


@contextmanager
def _table(form: Form, out: str) -> "Iterator[Table]":
    """Give the table to write to; a file is put in its place at the end of the block, if nothing failed."""
    from commonwatt.output import replacing
    from commonwatt.tables import CsvTable, ParquetTable

    if out == "-":
        yield CsvTable(sys.stdout.buffer)
    elif form == "csv":
        with replacing(Path(out)) as draft, draft.open("wb") as file:
            yield CsvTable(file)
    else:
        with replacing(Path(out)) as draft, ParquetTable(draft) as table:
            yield table
