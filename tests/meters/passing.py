"""Time that passes when somebody sleeps, and only then."""

import asyncio


class Passing:
    """A clock and a sleep that belong together."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s
        self.slept: list[float] = []
        self.leap_s = 0.0
        """Time that passes with the next sleep besides."""

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds + self.leap_s
        self.leap_s = 0.0
        await asyncio.sleep(0)
