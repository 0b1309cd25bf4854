"""`commonwatt nats`: who may sign in to NATS, and the configuration with which nats-server knows them."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from bus.accounts import FOLDER, Accounts
from bus.permissions import PROCESSES, account_of
from commonwatt.options import DataDirectory, UsersDirectory, with_logging, with_nats
from commonwatt.running import run
from commonwatt.settings import Settings, SettingsError

nats = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Keys of processes, credentials of meters, and the configuration of nats-server.",
)

_PORT: Final = 4222
_AGAIN: Final = "nats-server knows it when it has read its configuration again: commonwatt nats reload, or SIGHUP"

_Simulate = Annotated[
    list[str] | None, typer.Option(metavar="COMMUNITY", help="Have a simulator for this community; repeatable.")
]
_Rotate = Annotated[bool, typer.Option("--rotate", help="New secrets in the place of those that there are.")]


@nats.command(
    "keys",
    help=(
        "Give each process a key to sign in to NATS with, and write the account files for nats-server.\n\n"
        "Keys that there are stay as they are. Without ROLE: of all processes but simulators.\n\n**Examples**\n\n"
        "    commonwatt nats keys --dir /etc/nats\n\n    commonwatt nats keys aggregator server --simulate demo\n\n"
        "    commonwatt nats keys server --rotate"
    ),
)
@with_logging
def keys(
    settings: Settings,
    role: Annotated[list[str] | None, typer.Argument(help="Roles to give a key.", metavar="ROLE")] = None,
    simulate: _Simulate = None,
    rotate: _Rotate = False,
    data_dir: DataDirectory = None,
    directory: UsersDirectory = None,
) -> None:
    """Make keys."""
    _run(settings, directory, lambda accounts: _make_keys(accounts, role, simulate, rotate=rotate))


@nats.command(
    "config",
    help=(
        "Write a configuration for nats-server, with keys for all processes. What it says may be changed by hand: "
        "it is not written again unless --overwrite is given.\n\n**Examples**\n\n"
        "    commonwatt nats config --dir /etc/nats --store /var/lib/nats\n\n"
        "    commonwatt nats config --dir /etc/nats --tls-cert /etc/nats/server.pem --tls-key /etc/nats/server.key "
        "--mqtt 0.0.0.0:8883"
    ),
)
@with_logging
def config(
    settings: Settings,
    listen: Annotated[str, typer.Option(help="Where NATS listens.", metavar="HOST:PORT")] = "0.0.0.0:4222",
    monitor: Annotated[str, typer.Option(help="Where it shows its health.", metavar="HOST:PORT")] = "127.0.0.1:8222",
    store: Annotated[str, typer.Option(help="Folder of the streams.")] = "/data",
    tls_cert: Annotated[str | None, typer.Option(help="Its certificate, as nats-server finds it.")] = None,
    tls_key: Annotated[str | None, typer.Option(help="The key of it.")] = None,
    tls_client_ca: Annotated[
        str | None, typer.Option(help="Authority whose certificate clients must show, too.")
    ] = None,
    mqtt: Annotated[str | None, typer.Option(help="Where it listens for MQTT.", metavar="HOST:PORT")] = None,
    simulate: _Simulate = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write the configuration anew.")] = False,
    rotate: _Rotate = False,
    data_dir: DataDirectory = None,
    directory: UsersDirectory = None,
) -> None:
    """Write a configuration."""
    from bus.configuration import Tls, server_configuration

    def work(accounts: Accounts) -> None:
        if (tls_cert is None) != (tls_key is None) or (tls_client_ca and tls_cert is None):
            raise SettingsError("--tls-cert and --tls-key are given together, --tls-client-ca with both")
        tls = Tls(tls_cert, tls_key, tls_client_ca) if tls_cert and tls_key else None
        text = server_configuration(listen=listen, monitor=monitor, store=store, tls=tls, mqtt=mqtt)
        _make_keys(accounts, None, simulate, rotate=rotate)
        path = accounts.directory / "nats-server.conf"
        if path.exists() and not overwrite and path.read_text("utf-8") != text:
            _say(f"kept {path}, which says something else: --overwrite writes it anew")
            return
        path.write_text(text, encoding="utf-8")
        _say(f"nats-server --config {path}")

    _run(settings, directory, work)


@nats.command(
    "meter",
    help=(
        "Give a meter credentials, with which it may publish its own readings and nothing else. "
        "The password is shown once.\n\n**Examples**\n\n"
        "    commonwatt nats meter sonnenhang bakery-grid --mqtt-only\n\n"
        "    commonwatt nats meter sonnenhang bakery-grid --nats-url tls://nats.example.org --json"
    ),
)
@with_nats
def meter(
    settings: Settings,
    community: Annotated[str, typer.Argument(help="Id of the community.")],
    meter: Annotated[str, typer.Argument(help="Id of the meter.")],
    mqtt_only: Annotated[bool, typer.Option("--mqtt-only", help="Not by NATS's own protocol.")] = False,
    rotate: _Rotate = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    data_dir: DataDirectory = None,
    directory: UsersDirectory = None,
) -> None:
    """Give a meter credentials."""

    def work(accounts: Accounts) -> None:
        login = accounts.add_meter(community, meter, mqtt_only=mqtt_only, renew=rotate)
        where = urlsplit(settings.nats_url.partition(",")[0])
        rows = {
            "host": where.hostname or "127.0.0.1",
            "port": str(where.port or _PORT),
            "user": login.user,
            "password": login.password,
            "subject": login.subject,
            "inbox_prefix": login.inbox,
            "mqtt_topic": login.subject.replace(".", "/"),
        }
        if as_json:
            sys.stdout.write(json.dumps(rows) + "\n")
            return
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, value in rows.items():
            table.add_row(name.replace("_", " "), value)
        Console(highlight=False).print(table)
        _say(_AGAIN)

    _run(settings, directory, work)


@nats.command(
    "gateway",
    help=(
        "Give a gateway a key, with which it may publish readings for all meters of the communities named, or of "
        "all communities.\n\n**Examples**\n\n    commonwatt nats gateway attic sonnenhang"
    ),
)
@with_logging
def gateway(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="What it is called.")],
    community: Annotated[list[str] | None, typer.Argument(help="Communities.", metavar="COMMUNITY")] = None,
    rotate: _Rotate = False,
    data_dir: DataDirectory = None,
    directory: UsersDirectory = None,
) -> None:
    """Give a gateway a key."""

    def work(accounts: Accounts) -> None:
        _say(f"its key: {accounts.add_gateway(name, community or (), renew=rotate)}")
        _say(_AGAIN)

    _run(settings, directory, work)


@nats.command(
    "users",
    help="List who may sign in, without secrets.\n\n**Examples**\n\n    commonwatt nats users",
)
@with_logging
def users(settings: Settings, data_dir: DataDirectory = None, directory: UsersDirectory = None) -> None:
    """List users."""

    def work(accounts: Accounts) -> None:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        # Where the terminal is narrow, it is the public keys that are cut short.
        table.add_column("User", min_width=max((len(user.name) for user in accounts.users), default=0))
        table.add_column("Role", min_width=max(map(len, PROCESSES)))
        table.add_column("Account", min_width=max(len(account_of(role)) for role in PROCESSES))
        table.add_column("Communities", overflow="fold", min_width=len("Communities"))
        table.add_column("Signs in by", no_wrap=True)
        for user in accounts.users:
            by = user.nkey or ("password" if user.password else "nothing")
            table.add_row(user.name, user.role, account_of(user.role), ", ".join(user.communities), by)
        Console(highlight=False).print(table)

    _run(settings, directory, work)


@nats.command(
    "remove",
    help="Take a user's right to sign in away.\n\n**Examples**\n\n    commonwatt nats remove sonnenhang.bakery-grid",
)
@with_logging
def remove(
    settings: Settings,
    user: Annotated[str, typer.Argument(help="Its name, as `commonwatt nats users` shows it.")],
    data_dir: DataDirectory = None,
    directory: UsersDirectory = None,
) -> None:
    """Remove a user."""

    def work(accounts: Accounts) -> None:
        accounts.remove(user)
        _say(_AGAIN.replace("knows it", "refuses it"))

    _run(settings, directory, work)


@nats.command(
    "reload",
    help=(
        "Have nats-server read its configuration again, by the key of the role reloader. "
        "Of a cluster, each server by its own address.\n\n**Examples**\n\n    commonwatt nats reload\n\n"
        "    commonwatt nats reload --nats-url tls://nats.example.org --dir /etc/nats"
    ),
)
@with_nats
def reload(settings: Settings, data_dir: DataDirectory = None, directory: UsersDirectory = None) -> None:
    """Have nats-server reload."""
    from bus.administration import reload_server

    async def work() -> None:
        how = settings.nats
        if how.nkey_seed is None and how.credentials is None and how.user is None:
            seed = _accounts(settings, directory).seed("reloader")
            if not seed.is_file():
                raise SettingsError(
                    f"there is no key {seed}: name it with --nats-nkey-seed, or the folder of the users with --dir"
                )
            how = how.model_copy(update={"nkey_seed": seed})
        _say(f"{await reload_server(how)} read its configuration again")

    run("nats", settings, work)


def _make_keys(
    accounts: Accounts, names: Sequence[str] | None, simulate: Sequence[str] | None, *, rotate: bool
) -> None:
    wrong = [name for name in names or () if name not in (*PROCESSES, "simulator")]
    if wrong:
        raise SettingsError(f"{wrong[0]!r} is no role of a process: known are {', '.join(PROCESSES)}, simulator")
    if names and "simulator" in names:
        simulate = simulate or ()
    roles = [role for role in PROCESSES if not names or role in names]
    new = accounts.keep(roles, simulate=simulate, renew=rotate)
    for name in (*roles, *(("simulator",) if simulate is not None else ())):
        _say(f"{'new ' if name in new else 'kept'} {accounts.seed(name)}")


def _run(settings: Settings, directory: Path | None, work: Callable[[Accounts], None]) -> None:
    async def do() -> None:
        work(_accounts(settings, directory))

    run("nats", settings, do)


def _accounts(settings: Settings, directory: Path | None) -> Accounts:
    return Accounts(directory or settings.data_dir / FOLDER)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
