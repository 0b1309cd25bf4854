"""Turns: how many questions to the history are under way at a time, so that one big query keeps nobody waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from resolvers.errors import NotReadyError


class Turns:
    """At most `most` at a time, and `each` of one viewer; the others wait, first come, first served.

    At most `waiting` of one viewer wait, each for `patience_s` at the most.
    """

    def __init__(self, *, most: int = 8, each: int = 4, waiting: int = 2000, patience_s: float = 15.0) -> None:
        self._all = asyncio.Semaphore(most)
        self._each = each
        self._waiting = waiting
        self._patience_s = patience_s
        self._own: dict[str, _Own] = {}

    @asynccontextmanager
    async def turn(self, viewer: str) -> AsyncIterator[None]:
        """Wait for a turn and keep it until the block ends; raise NotReadyError where that takes too long."""
        own = self._own.setdefault(viewer, _Own(self._each))
        if own.users >= self._waiting + self._each:
            raise NotReadyError(f"{self._waiting} of your questions wait for an answer: ask for less at once")
        own.users += 1
        try:
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(self._patience_s):
                        await stack.enter_async_context(own.turns)
                        await stack.enter_async_context(self._all)
                except TimeoutError:
                    raise NotReadyError(
                        f"no turn within {self._patience_s:g} s: ask for less at once, or again in a moment"
                    ) from None
                yield
        finally:
            own.users -= 1
            if not own.users:
                self._own.pop(viewer, None)


class _Own:
    def __init__(self, each: int) -> None:
        self.turns = asyncio.Semaphore(each)
        self.users = 0
