"""The drain: how a server ends. Nobody new comes in; those who are in are told to come back, one after the other.

So the servers that take over are not asked by all of them at once.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Final

_STEP_S: Final = 0.05

Leave = Callable[[], bool]
"""Tells one client to come back; False while it still waits for an answer: it is to be asked again."""


class Drain:
    """Whether the server ends, and how long it takes its time to."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self.began = False

    def begin(self) -> None:
        """Let nobody in any more."""
        self.began = True

    async def spread(self, leaves: Iterable[Leave]) -> None:
        """Have all leave in a random order, evenly over the time; who waits for an answer is given all of it."""
        left = list(leaves)
        random.shuffle(left)
        steps = max(1, round(self._within_s / _STEP_S))
        busy: list[Leave] = []
        for step in range(steps, 0, -1):
            due = -(-len(left) // step)
            going, left = left[:due], left[due:]
            busy = [leave for leave in (*busy, *going) if not leave()]
            if not (left or busy):
                return
            await asyncio.sleep(_STEP_S)
