"""The watch in a terminal: `run` is what `commonwatt watch` calls.

Four ways out, one per kind of reader: a face that redraws in place on a terminal; one spoken line per change into
a pipe; the first result alone; JSON lines for scripts. Results go to stdout, all else to stderr. It never
raises for what a server does, and gives the terminal back as it was.
"""

import asyncio
import json
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console

from watch import events as on
from watch.address import Address, AddressError, read_address
from watch.client import moment
from watch.documents import read_documents
from watch.events import Screen, Show, Target
from watch.face import draw, pairing_notice
from watch.interactive import show_face
from watch.keys import is_ours
from watch.line import Party
from watch.memory import Memory
from watch.meter import Meter
from watch.pairing import Phase
from watch.panel import FacePanel
from watch.places import NoPlacesError, ask_places
from watch.shell import Shell
from watch.state import Known, State
from watch.step import TROUBLES
from watch.store import Store
from watch.text import plain, printable
from watch.transport import Limits
from watch.verdict import Standing
from watch.view import view

ENDED, FAILED, MISUSED = 0, 1, 2
FIRST_RESULT_S = 30.0  # the longest that --once waits
_SHOWN: Final = 12
_FINAL: Final = frozenset({Standing.REFUSED, Standing.UNKNOWN})
_WHICH: Final = "say which one to watch: either --home COMMUNITY.HOME or --community COMMUNITY"


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for on the command line."""

    address: Address
    target: Target | None
    token: str | None
    screen: Screen = Screen.GLANCE
    once: bool = False
    as_json: bool = False
    ambient: bool = False
    pair: bool = False


def run(
    url: str,
    home: str | None,
    community: str | None,
    token: str | None,
    once: bool,
    as_json: bool,
    *,
    ambient: bool = False,
    pair: bool = False,
    screen: str = "glance",
) -> int:
    """Watch one home or one community at `url` until told to end; return the exit code.

    Without either, the home that this watch was paired with, else the only one that the token may see; where nobody
    answers, what was watched last. Its last state is shown, with its age, until there is a newer one. `once`: the
    first result only. `as_json`: one line of JSON per result, in the form of a GraphQL response. `ambient`: dimmed,
    rarer and coarser. `pair`: get a token first, by a code that a member approves; it is stored. `screen`: glance,
    today or hours.
    0: ended by Ctrl-C, SIGTERM or q, or `once` had its result. 1: no result to be had (`once`: any failure, or
    none within 30 s; `as_json`: refused or unknown; pairing denied). 2: the arguments are wrong. One line on stderr
    says why.
    """
    if home and community:
        return _complain(_WHICH, MISUSED)
    if screen not in (Screen.GLANCE, Screen.TODAY, Screen.HOURS):
        return _complain(f"{screen!r} is no screen: it is glance, today or hours", MISUSED)
    try:
        address = read_address(url)
    except AddressError as error:
        return _complain(str(error), MISUSED)
    target = Target("home", home) if home else Target("community", community) if community else None
    order = Order(address, target, token or None, Screen(screen), once, as_json, ambient, pair)
    # Without a handler the logging module itself would write gql's warnings over the face.
    logging.getLogger("gql").addHandler(logging.NullHandler())
    logging.getLogger("websockets").addHandler(logging.NullHandler())
    try:
        return asyncio.run(_until_told(_run(order)))
    except KeyboardInterrupt:
        return ENDED
    except BrokenPipeError:  # the reader of the pipe has had enough
        with suppress(OSError, ValueError):  # what Python flushes at its end must not fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ENDED


async def _run(order: Order) -> int:
    store = Store()
    kept = None if order.token else store.find(order.address.server)
    paired = kept is not None and not order.pair
    token = kept.token if kept is not None and paired else order.token
    target = order.target
    if target is None and kept is not None and paired:
        target = Target("home", kept.home)
    documents = read_documents()
    # A script is told what is so now, or that nobody knows: the past is for who looks.
    memory = None if order.once or order.as_json else Memory()
    if target is None and not order.pair:
        meter = Meter(lambda: moment().steady)
        found = await _choose(Party(order.address, documents, Limits(), meter, token), memory)
        if isinstance(found, str):
            return _complain(found, MISUSED)
        target = found
    console = Console(highlight=False)
    tap = _tap_of(console, order)
    shell = Shell(order.address, documents, now=moment, client=_name(), store=store, memory=memory, tap=tap)
    want = Show.AMBIENT if order.ambient else Show.FOREGROUND
    async with shell:
        if not order.pair:
            known = memory.find(order.address.server, target) if memory is not None and target is not None else {}
            shell.put(on.Started(target, want, token, paired, kept=known))
        else:
            shell.put(on.Started(None, want, order.token))
            shell.put(on.Pair())
        if order.screen is not Screen.GLANCE:
            shell.put(on.Turned(order.screen))
        try:
            drawable = console.is_terminal and not console.is_dumb_terminal and is_ours(sys.stdout.fileno())
            if drawable and not order.once and not order.as_json:
                await show_face(shell, console, ambient=order.ambient)
                return ENDED
            if order.pair and (code := await _pair(shell)):
                return code
            if order.once:
                return await _first(shell, order, console)
            return await (_lines(shell, order) if order.as_json else _tell(shell))
        finally:
            if shell.complaint:
                _complain(shell.complaint)


async def _choose(party: Party, memory: Memory | None) -> Target | str:
    """Return the only home that there is to watch, the last one where nobody answers, or what to say."""
    try:
        found = await ask_places(party)
    except NoPlacesError as error:
        if error.standing is Standing.REFUSED:
            return f"refused ({error}): check the token, or pair this watch with --pair"
        last = memory.last(party.address.server) if memory is not None and error.standing is Standing.GONE else None
        if last is not None:
            return last
        return f"{_WHICH} ({error})"
    homes = [target for target in found if target.kind == "home"]
    if len(homes) == 1:
        return homes[0]
    options = [f"--{target.kind} {target.id}" for target in found]
    if not options:
        return f"{_WHICH} (there is nothing that you may see)"
    more = f" and {len(options) - _SHOWN} more" if len(options) > _SHOWN else ""
    return f"say which one to watch: {', '.join(options[:_SHOWN])}{more}"


async def _pair(shell: Shell) -> int:
    """Say the code on stderr and wait; return 0 once paired."""
    told = ""
    while (pairing := shell.state.pairing) is not None:
        left = max(0, pairing.ends - shell.now().steady)
        if pairing.phase is Phase.SHOWING and told != pairing.code:
            told = pairing.code
            sys.stderr.write(f"{pairing_notice(pairing, left)}\n")
            sys.stderr.flush()
        elif pairing.phase not in (Phase.ASKING, Phase.SHOWING):
            return _complain(pairing_notice(pairing, left).removesuffix(": pair again, or leave off"), FAILED)
        await shell.changed()
    return ENDED


async def _tell(shell: Shell) -> int:
    told: tuple[Known | None, object, str] = (None, None, "")
    while True:
        seen = view(shell.state, shell.now())
        screen = seen.screen
        what = (shell.state.readings.get(screen), seen.trouble, seen.why)
        if what != told:
            told = what
            _write(draw(seen, _title(shell.state), shell.receipt).spoken)
        await shell.changed()


async def _lines(shell: Shell, order: Order) -> int:
    known: Known | None = None
    complained: Standing | None = None
    while True:
        state = shell.state
        if (latest := state.readings.get(order.screen)) is not None and latest is not known:
            known, complained = latest, None
            _write(_response(state, latest))
        elif state.link in TROUBLES and state.link is not complained:
            complained = state.link
            _complain(_why(state))
        if state.link in _FINAL or state.pairing is not None:
            return FAILED
        await shell.changed()


async def _first(shell: Shell, order: Order, console: Console) -> int:
    try:
        async with asyncio.timeout(FIRST_RESULT_S):
            while (known := shell.state.readings.get(order.screen)) is None:
                if shell.state.link in TROUBLES:
                    return _complain(_why(shell.state), FAILED)
                await shell.changed()
    except TimeoutError:
        return _complain(f"{_title(shell.state)}: no result within {FIRST_RESULT_S:.0f} s", FAILED)
    if order.as_json:
        _write(_response(shell.state, known))
    else:
        console.print(FacePanel(draw(view(shell.state, shell.now()), _title(shell.state)), ambient=order.ambient))
    return ENDED


async def _until_told(way: Coroutine[Any, Any, int]) -> int:
    """Run `way`; SIGTERM ends it as Ctrl-C does."""
    task = asyncio.current_task()
    with suppress(NotImplementedError, RuntimeError, ValueError):  # not on Windows, not outside the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: task and task.cancel())
    try:
        return await way
    except asyncio.CancelledError:
        return ENDED


def _tap_of(console: Console, order: Order) -> Callable[[], None]:
    def ring() -> None:
        if console.is_terminal and not order.once and not order.as_json:
            console.bell()

    return ring


def _name() -> str:
    """Return what this watch calls itself when it pairs: 64 printable characters of ASCII at the most."""
    node = printable(platform.node().encode("ascii", "ignore").decode(), 40)
    return f"terminal on {node}" if node else "terminal"


def _title(state: State) -> str:
    return state.target.id if state.target is not None else "commonwatt"


def _response(state: State, known: Known) -> str:
    kind = "home" if state.target is None else state.target.kind
    response: dict[str, Any] = {"data": {kind: known.data}}
    if known.errors:
        response["errors"] = known.errors
    return json.dumps(response, separators=(",", ":"))


def _why(state: State) -> str:
    return f"{_title(state)}: {state.link}" + (f", {state.reason}" if state.reason else "")


def _write(line: str) -> None:
    try:
        line.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        line = plain(line)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _complain(line: str, code: int = ENDED) -> int:
    sys.stderr.write(f"commonwatt watch: {line}\n")
    return code
