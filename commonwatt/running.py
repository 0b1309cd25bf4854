"""Running one process: its event loop, its end by SIGINT or SIGTERM, its exit code.

0 is a clean end, also by a signal; 2 a configuration that cannot work (one line says why and
what to do); 3 another process took over; 1 anything unexpected.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
import typer
import uvloop

from aggregator.outbox import FencedError
from bus.client import Bus
from bus.errors import ConfigurationError, UnavailableError
from commonwatt.logs import configure
from commonwatt.settings import Settings
from commonwatt.standard import is_of_output

log = structlog.get_logger(__name__)

MISCONFIGURED: Final = 2
TAKEN_OVER: Final = 3

_END_S: Final = 3.5


def run(
    process: str, settings: Settings, work: Callable[[], Coroutine[Any, Any, None]], *, end_s: float = _END_S
) -> None:
    """Run `work` until it ends or a signal cancels it; leave with the exit code that its end asks for.

    What has not ended `end_s` after the signal is cancelled again.
    """
    configure(process, settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_until_signal(work, end_s))
        except BaseExceptionGroup as group:
            leave(_first(group))
        except Exception as error:
            leave(error)


def leave(error: BaseException) -> None:
    """End with the exit code of an error; what was foreseen is one line on stderr.

    One of standard output goes on: it is the same for all commands (commonwatt.standard).
    """
    if is_of_output(error):
        raise error
    if isinstance(error, ConfigurationError):
        say(str(error))
        raise typer.Exit(MISCONFIGURED)
    if isinstance(error, OSError) and error.filename:
        say(f"{error.filename}: {error.strerror}")
        raise typer.Exit(MISCONFIGURED)
    if isinstance(error, FencedError):
        say(f"{error}: this one stops")
        raise typer.Exit(TAKEN_OVER)
    if isinstance(error, UnavailableError):
        say(str(error))
        raise typer.Exit(1)
    log.error("unexpected error", exc_info=error)
    raise typer.Exit(1)


def say(line: str) -> None:
    """Print one line on stderr, in the program's name."""
    print(f"commonwatt: {line}", file=sys.stderr, flush=True)  # noqa: T201 - a command's last word


async def connect(settings: Settings, name: str, *, patience_s: float | None = None) -> Bus:
    """Connect to NATS as the settings say; waits for it, or raises UnavailableError after `patience_s`."""
    return await Bus.connect(settings.nats, name=name, keep=settings.retention, patience_s=patience_s)


@asynccontextmanager
async def connected(settings: Settings, name: str) -> AsyncIterator[Bus]:
    """Connect to NATS, waiting for it; close the connection at the end."""
    bus = await connect(settings, name)
    try:
        yield bus
    finally:
        await bus.close()


async def _until_signal(work: Callable[[], Coroutine[Any, Any, None]], end_s: float) -> None:
    task = asyncio.ensure_future(work())
    loop = asyncio.get_running_loop()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()
        # A wait inside a library may swallow a cancellation; what has not ended by then is told again.
        loop.call_later(end_s, stop)

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopped:
            raise


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error of a group that says most: a foreseen one before others."""
    errors = [_first(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    return next((error for error in errors if isinstance(error, (ConfigurationError, FencedError))), errors[0])
