"""A device worn by a test: its shell with a clock that can be moved on, and waits for what it shows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from watch import client
from watch import events as on
from watch.address import read_address
from watch.documents import read_documents
from watch.events import Target
from watch.memory import Memory
from watch.shell import Shell
from watch.state import Moment, State
from watch.store import Store
from watch.transport import Limits
from watch.view import View, view

DEADLINE_S = 20.0
HOME = Target("home", "demo.home-01")


class Clock:
    """The real clocks, moved on by `move`; `chance` as given."""

    def __init__(self, chance: float = 0.0) -> None:
        self.chance = chance
        self._moved = 0

    def __call__(self) -> Moment:
        now = client.moment()
        return Moment(now.steady + self._moved, now.wall + self._moved, self.chance)

    def move(self, ms: int) -> None:
        self._moved += ms


class Worn:
    """A device on a wrist."""

    def __init__(self, shell: Shell, clock: Clock) -> None:
        self.shell = shell
        self.clock = clock

    @property
    def state(self) -> State:
        return self.shell.state

    @property
    def seen(self) -> View:
        return view(self.shell.state, self.clock())

    def put(self, event: on.Event) -> None:
        self.shell.put(event)

    def pass_until_due(self) -> None:
        """Let time pass until the device does what it waits to do."""
        assert self.state.due is not None
        self.clock.move(max(0, self.state.due - self.clock().steady))
        self.put(on.Tick())

    async def until(self, check: Callable[[State], Any]) -> State:
        """Wait until the state is so."""
        async with asyncio.timeout(DEADLINE_S):
            while not check(self.shell.state):
                await self.shell.changed()
        return self.shell.state

    async def until_live(self) -> State:
        """Wait until the operation that is open has brought data."""
        return await self.until(
            lambda state: (
                state.link == "live" and any(known.operation == state.operation for known in state.readings.values())
            )
        )


@asynccontextmanager
async def worn(
    url: str,
    *events: on.Event,
    store: Store | None = None,
    memory: Memory | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
    tap: Callable[[], None] = lambda: None,
) -> AsyncIterator[Worn]:
    """Wear a device on the server at `url`, to which the events happened."""
    clock = clock or Clock()
    shell = Shell(
        read_address(url),
        read_documents(),
        now=clock,
        client="test watch",
        store=store,
        memory=memory,
        limits=limits,
        tap=tap,
    )
    async with shell:
        one = Worn(shell, clock)
        for event in events:
            one.put(event)
        yield one
