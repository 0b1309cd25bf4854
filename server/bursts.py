"""Bursts: how often what passes on a connection wakes the radio at its other end.

A class to build on, not a part: as a part it would cost each connection an object and each frame a call more.
"""

from math import inf
from time import monotonic

from schema.receipt import TAIL_S


class Bursts:
    """What passes over TAIL_S after what passed before, in whatever direction, begins a burst, and wakes a radio."""

    __slots__ = ("touched_s", "wakeups")

    def __init__(self) -> None:
        self.wakeups = 0
        self.touched_s = -inf
        """When something passed last."""

    def touch(self) -> None:
        """Note that something passes now."""
        now_s = monotonic()
        if now_s - self.touched_s > TAIL_S:
            self.wakeups += 1
        self.touched_s = now_s
