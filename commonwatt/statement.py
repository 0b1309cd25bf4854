"""`commonwatt statement`: a month of a home as CSV, or as a page that prints, from what the history holds."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from commonwatt.options import with_nats
from commonwatt.running import connect, run
from commonwatt.settings import Settings, SettingsError

HELP: Final = (
    "Make a statement: what a home drew, shared and injected in a month, at what price, with quality and revision.\n\n"
    "It needs NATS and a running history.\n\n**Examples**\n\n"
    "    commonwatt statement --home demo.home-01 --month 2026-05\n\n"
    "    commonwatt statement --home demo.home-01 --month 2026-05 --format html --out may.html"
)

Form = Literal["csv", "html"]

_PATIENCE_S = 10.0


@with_nats
def statement(
    settings: Settings,
    home: Annotated[str, typer.Option(help="Home, as COMMUNITY.HOME.", metavar="ID")],
    month: Annotated[str, typer.Option(help="Month of the community's time zone, such as 2026-05.", metavar="MONTH")],
    format: Annotated[
        Form | None, typer.Option(help="csv: interval by interval; html: to print.", show_default="by --out, or csv")
    ] = None,
    out: Annotated[str, typer.Option(help="File, replaced whole; -: stdout.", metavar="FILE")] = "-",
) -> None:
    """Make a statement."""
    form: Form = format or ("html" if out.endswith((".html", ".htm")) else "csv")

    async def work() -> None:
        body = await _make(settings, home, month, form)
        if out == "-":
            sys.stdout.buffer.write(body)
            sys.stdout.buffer.flush()
        else:
            _write(Path(out), body)

    run("statement", settings, work)


async def _make(settings: Settings, key: str, month: str, form: Form) -> bytes:
    from bus.errors import UnavailableError
    from bus.identifiers import split_home_key
    from bus.registry import Registry
    from commonwatt.signing import now_ms
    from resolvers.errors import NotFoundError, NotReadyError
    from resolvers.history import History, OutOfRangeError
    from resolvers.statements import read_statement
    from server.statement_page import show_page
    from server.statement_table import show_csv

    parts = split_home_key(key)
    if parts is None:
        raise SettingsError(f"home is {key[:80]!r}; expected COMMUNITY.HOME, such as demo.home-01")
    bus = await connect(settings, "statement", patience_s=_PATIENCE_S)
    try:
        registry = Registry()
        await registry.load(bus)
        versions = registry.communities.get(parts[0])
        if versions is None:
            known = ", ".join(sorted(registry.communities)) or "none"
            raise SettingsError(f"no community {parts[0]!r} is registered; known: {known}")
        found = await read_statement(History(bus), versions, parts[1], month)
    except (OutOfRangeError, NotFoundError) as error:
        raise SettingsError(str(error)) from None
    except NotReadyError as error:
        raise UnavailableError(str(error)) from None
    finally:
        await bus.close()
    if found is None:
        raise UnavailableError(f"nothing is settled of {month} for {key}")
    if form == "csv":
        return await asyncio.to_thread(show_csv, found)
    return await asyncio.to_thread(show_page, found, made_ms=now_ms())


def _write(path: Path, body: bytes) -> None:
    from commonwatt.output import replacing

    with replacing(path) as draft:
        draft.write_bytes(body)
