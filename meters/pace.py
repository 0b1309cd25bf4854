"""How fast recorded or simulated time passes against a clock that is passed in."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

_SHORTEST_S: Final = 0.0005
"""No sleep is shorter: what is left may be less than the clock's floating point can tell apart."""


class Pace:
    """Time that begins at `origin_ms` and passes `speed` times as fast as the clock; 0: as fast as possible."""

    def __init__(
        self,
        origin_ms: float,
        speed: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._origin_ms = origin_ms
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._began_s = clock()

    @property
    def now_ms(self) -> float:
        """The time that it is now, in ms since 1970 UTC; infinity at speed 0."""
        if self._speed == 0:
            return inf
        return self._origin_ms + (self._clock() - self._began_s) * 1000 * self._speed

    async def until(self, time_ms: float) -> None:
        """Wait until it is `time_ms`; return at once, having let other tasks run, where it is already."""
        while (left_ms := time_ms - self.now_ms) > 0:
            await self._sleep(max(left_ms / 1000 / self._speed, _SHORTEST_S))
        await self._sleep(0)
