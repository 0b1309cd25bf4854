"""Options that several commands share, turned into Settings before the command runs."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from bus.accounts import FOLDER
from commonwatt.running import leave
from commonwatt.settings import Settings, SettingsError, read_settings

DataDirectory = Annotated[
    Path | None, typer.Option("--data-dir", help="Where state is kept.", show_default="the user's data directory")
]
UsersDirectory = Annotated[
    Path | None,
    typer.Option("--dir", help="Directory of NATS's users.", show_default=f"{FOLDER} in the data directory"),
]

_PANEL = "NATS and logging"


def _logging(
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error.", rich_help_panel=_PANEL, show_default=False)
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="auto, text or json.", rich_help_panel=_PANEL, show_default=False)
    ] = None,
) -> None: ...


def _nats(
    nats_url: Annotated[
        str | None,
        typer.Option(
            help="NATS, as nats://host:port or tls://host:port. [default: nats://127.0.0.1:4222]",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    nats_credentials: Annotated[
        Path | None, typer.Option(help="Credentials file (JWT and seed).", rich_help_panel=_PANEL)
    ] = None,
    nats_nkey_seed: Annotated[Path | None, typer.Option(help="File with an nkey seed.", rich_help_panel=_PANEL)] = None,
    nats_tls_ca: Annotated[
        Path | None, typer.Option(help="Certificate of the authority that signed NATS's.", rich_help_panel=_PANEL)
    ] = None,
    nats_tls_cert: Annotated[Path | None, typer.Option(help="Client certificate.", rich_help_panel=_PANEL)] = None,
    nats_tls_key: Annotated[Path | None, typer.Option(help="Its key.", rich_help_panel=_PANEL)] = None,
) -> None: ...


def with_nats(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options for NATS and logging; it gets `settings` in their place."""
    return _with(command, (_nats, _logging))


def with_logging(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options for logging; it gets `settings` in their place."""
    return _with(command, (_logging,))


def _with(command: Callable[..., None], sources: tuple[Callable[..., None], ...]) -> Callable[..., None]:
    shared: dict[str, inspect.Parameter] = {}
    for source in sources:
        hints = get_type_hints(source, include_extras=True)
        for name, parameter in inspect.signature(source).parameters.items():
            shared[name] = parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "settings"]
    overridden = {name for name in signature.parameters if name in Settings.model_fields}

    @wraps(command)
    def run(**arguments: Any) -> None:
        chosen = {name: arguments.pop(name) for name in shared}
        chosen |= {name: arguments.pop(name) for name in overridden}
        try:
            settings = read_settings(**chosen)
        except SettingsError as error:
            leave(error)
            return
        command(settings=settings, **{name: getattr(settings, name) for name in overridden}, **arguments)

    run.__signature__ = signature.replace(parameters=[*own, *shared.values()])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (*own, *shared.values())}
    return run
