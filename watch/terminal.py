"""The watch in a terminal: `run` is what `commonwatt watch` calls.

Four ways out, one per kind of reader: a face that redraws in place on a terminal; one spoken line per change into
a pipe; the first result alone; JSON lines for scripts. Results go to stdout, all else to stderr. It never
raises for what a server does, and gives the terminal back as it was.
"""

import asyncio
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.live import Live

from watch.address import AddressError
from watch.client import Watch
from watch.device import Device, Moment
from watch.face import draw
from watch.news import FINAL, Link, News, Result, Standing
from watch.panel import FacePanel
from watch.screen import Screen, community_screen, home_screen

ENDED, FAILED, MISUSED = 0, 1, 2
FIRST_RESULT_S = 30.0  # the longest that --once waits
REDRAW_S = 1.0


def run(url: str, home: str | None, community: str | None, token: str | None, once: bool, as_json: bool) -> int:
    """Watch one home or one community at `url` until told to end; return the exit code.

    `once`: the first result only. `as_json`: one line of JSON per result, in the form of a GraphQL response.
    0: ended by Ctrl-C or SIGTERM, or `once` had its result. 1: no result to be had (`once`: any failure, or
    none within 30 s; `as_json`: refused or unknown). 2: the arguments are wrong. One line on stderr says why.
    """
    screen = _screen(home, community)
    if screen is None:
        _complain("say which one to watch: either --home COMMUNITY.HOME or --community COMMUNITY")
        return MISUSED
    try:
        watch = Watch(url, token=token, random=random.SystemRandom().random)
    except AddressError as error:
        _complain(str(error))
        return MISUSED
    # Without a handler the logging module itself would write gql's warnings over the face.
    logging.getLogger("gql").addHandler(logging.NullHandler())
    logging.getLogger("websockets").addHandler(logging.NullHandler())
    console = Console(highlight=False)
    if once:
        way = _first(watch, screen, console, as_json)
    elif as_json:
        way = _lines(watch, screen)
    elif console.is_terminal:
        way = _show(watch, screen, console)
    else:
        way = _tell(watch, screen)
    try:
        return asyncio.run(_until_told(way))
    except KeyboardInterrupt:
        return ENDED
    except BrokenPipeError:  # the reader of the pipe has had enough
        with suppress(OSError, ValueError):  # what Python flushes at its end must not fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ENDED


def now() -> Moment:
    """Return this moment on both clocks."""
    return Moment(datetime.now(UTC), time.monotonic())


async def redraw(
    news: AsyncIterator[News], device: Device, show: Callable[[Device], None], wait_s: float = REDRAW_S
) -> None:
    """Show `device` after each of the `news` and at least every `wait_s` seconds: an age grows by itself.

    The `anext` of `news` must bear to be cancelled, as that of a Following does.
    """
    show(device)
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                device = device.after(await anext(news), now())
        show(device)


async def _show(watch: Watch, screen: Screen, console: Console) -> int:
    live = Live(console=console, auto_refresh=False, transient=True)

    def show(device: Device) -> None:
        live.update(FacePanel(draw(device, now())), refresh=True)

    async with watch, watch.follow(screen.document, screen.variables) as news:
        with live:
            await redraw(news, Device(screen, since=now().steady), show)
    return ENDED


async def _tell(watch: Watch, screen: Screen) -> int:
    device = Device(screen, since=now().steady)
    async with watch, watch.follow(screen.document, screen.variables) as all_news:
        async for news in all_news:
            device = device.after(news, now())
            _write(draw(device, now()).spoken)
    return ENDED


async def _lines(watch: Watch, screen: Screen) -> int:
    standing = Standing.CONNECTING
    async with watch, watch.follow(screen.document, screen.variables) as all_news:
        async for news in all_news:
            if isinstance(news, Result):
                standing = Standing.LIVE
                _write(_response(news))
                continue
            if news.standing not in (standing, Standing.WAITING):
                standing = news.standing
                _complain(_why(screen, news))
            if news.standing in FINAL:
                return FAILED
    return ENDED


async def _first(watch: Watch, screen: Screen, console: Console, as_json: bool) -> int:
    device = Device(screen, since=now().steady)
    try:
        async with (
            asyncio.timeout(FIRST_RESULT_S),
            watch,
            watch.follow(screen.document, screen.variables) as all_news,
        ):
            async for news in all_news:
                device = device.after(news, now())
                if device.link.standing in (Standing.CONNECTING, Standing.WAITING):
                    continue
                if device.link.standing is not Standing.LIVE:
                    _complain(_why(screen, device.link))
                    return FAILED
                if as_json and isinstance(news, Result):
                    _write(_response(news))
                else:
                    console.print(FacePanel(draw(device, now())))
                return ENDED
    except TimeoutError:
        _complain(f"{screen.title}: no result within {FIRST_RESULT_S:.0f} s")
    return FAILED


async def _until_told(way: Coroutine[Any, Any, int]) -> int:
    """Run `way`; SIGTERM ends it as Ctrl-C does."""
    task = asyncio.current_task()
    with suppress(NotImplementedError, RuntimeError, ValueError):  # not on Windows, not outside the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: task and task.cancel())
    try:
        return await way
    except asyncio.CancelledError:
        return ENDED


def _screen(home: str | None, community: str | None) -> Screen | None:
    if bool(home) == bool(community):
        return None
    return home_screen(home) if home else community_screen(community or "")


def _response(result: Result) -> str:
    response: dict[str, Any] = {"data": result.data}
    if result.errors:
        response["errors"] = result.errors
    return json.dumps(response, separators=(",", ":"))


def _why(screen: Screen, link: Link) -> str:
    return f"{screen.title}: {link.standing}" + (f", {link.reason}" if link.reason else "")


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _complain(line: str) -> None:
    sys.stderr.write(f"commonwatt watch: {line}\n")
