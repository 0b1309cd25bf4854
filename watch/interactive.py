"""The face that redraws in place: screens by keys, ambient when nobody looks.

Keys and changes of the device come in, drawings go out to a terminal's second screen, so that the first one is as it
was once this ends or is suspended. It decides nothing about the network.
"""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Self

from rich.console import Console
from rich.live import Live

from watch import events as on
from watch.events import Screen, Show
from watch.face import Face, draw
from watch.keys import Key, Keyboard
from watch.panel import FacePanel
from watch.shell import Shell
from watch.view import view

REDRAW_S: Final = 1.0
REDRAW_AMBIENT_S: Final = 10.0
KEYS: Final = "keys: ← → screens, r receipt, a ambient, p pair, u leave off, q quit"
_ROW: Final = (Screen.GLANCE, Screen.TODAY, Screen.HOURS)


class Wearer:
    """Who holds the watch: what was pressed becomes events. `ambient`: stays so whoever looks."""

    def __init__(self, shell: Shell, *, ambient: bool) -> None:
        self._shell = shell
        self._ambient = ambient
        self._looks = True
        self._task = asyncio.current_task()

    @property
    def ambient(self) -> bool:
        """Whether the display is dimmed."""
        return self._ambient or not self._looks

    def press(self, key: Key) -> None:
        """Take a key."""
        match key:
            case Key.QUIT if self._task is not None:
                self._task.cancel()
            case Key.LOOKS | Key.LOOKS_AWAY:
                self._looks = key is Key.LOOKS
                self._show()
            case Key.AMBIENT:
                self._ambient = not self._ambient
                self._show()
            case Key.PAIR:
                self._shell.put(on.Pair())
            case Key.LEAVE:
                self._shell.put(on.Unpair())
            case _:
                self._turn(key)

    def _turn(self, key: Key) -> None:
        state = self._shell.state
        screen = state.screen
        if screen is Screen.RECEIPT:
            screen = state.basis
        elif key is Key.RECEIPT:
            screen = Screen.RECEIPT
        elif key in (Key.NEXT, Key.PREVIOUS):
            step = 1 if key is Key.NEXT else -1
            screen = _ROW[(_ROW.index(screen) + step) % len(_ROW)]
        if screen is not state.screen:
            self._shell.put(on.Turned(screen))

    def _show(self) -> None:
        wanted = Show.AMBIENT if self.ambient else Show.FOREGROUND
        if wanted is not self._shell.state.want:
            self._shell.put(on.Shown(wanted))


class Stage:
    """The terminal while the face is on it; Ctrl-Z gives it back for as long as the process is suspended.

    `redraw` is called where what was drawn fits no more.
    """

    def __init__(self, live: Live, keyboard: Keyboard, redraw: Callable[[], None]) -> None:
        self._live = live
        self._keyboard = keyboard
        self._redraw = redraw

    def __enter__(self) -> Self:
        self._live.start()
        self._keyboard.__enter__()
        if sys.platform != "win32":
            loop = asyncio.get_running_loop()
            with suppress(RuntimeError, ValueError):  # not the main thread
                loop.add_signal_handler(signal.SIGWINCH, self._redraw)
                loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        return self

    def __exit__(self, *_: object) -> None:
        if sys.platform != "win32":
            loop = asyncio.get_running_loop()
            loop.remove_signal_handler(signal.SIGWINCH)
            loop.remove_signal_handler(signal.SIGTSTP)
        self._keyboard.__exit__()
        self._live.stop()

    def _suspend(self) -> None:
        self.__exit__()
        signal.raise_signal(signal.SIGTSTP)  # nobody handles it now: the process stops here, until it is to go on
        self.__enter__()
        self._redraw()


async def show_face(shell: Shell, console: Console, *, ambient: bool) -> None:
    """Draw the face until cancelled: at each change, and by time, since an age grows by itself."""
    wearer = Wearer(shell, ambient=ambient)
    live = Live(console=console, auto_refresh=False, screen=True)

    def redraw() -> None:
        live.update(FacePanel(face_of(shell), ambient=wearer.ambient), refresh=True)

    with Stage(live, Keyboard(wearer.press), redraw):
        while True:
            redraw()
            with suppress(TimeoutError):
                async with asyncio.timeout(REDRAW_AMBIENT_S if wearer.ambient else REDRAW_S):
                    await shell.changed()


def face_of(shell: Shell) -> Face:
    """Return what is to be seen now."""
    state = shell.state
    seen = view(state, shell.now())
    title = state.target.id if state.target is not None else "commonwatt"
    face = draw(seen, title, shell.receipt, bill=shell.bill)
    if seen.screen is not Screen.GLANCE:
        face = replace(face, title=f"{title} · {seen.screen}")
    if seen.screen is Screen.RECEIPT:
        began = datetime.fromtimestamp(shell.began / 1000, UTC).astimezone()
        face = replace(face, age=f"since {began:%H:%M}", notice=face.notice or KEYS)
    return face
