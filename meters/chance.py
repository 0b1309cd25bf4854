"""Chance that is a function of a seed and names: the same in every run, on every machine.

Nothing here keeps state between calls, so that what is drawn for a day does not depend on
which days were drawn before.
"""

import math
from random import Random
from typing import Final

_WORD: Final = 2**64 - 1


def dice(seed: int, *names: object) -> Random:
    """Return the random numbers that belong to `seed` and `names`."""
    return Random(":".join(map(str, (seed, *names))))  # noqa: S311 - plausible homes, no secrets


class Noise:
    """Smooth noise over time, 0..1 with mean 0.5: random values every `period_s`, eased between."""

    __slots__ = ("_key", "_period_s")

    def __init__(self, period_s: float, seed: int, *names: object) -> None:
        self._key = dice(seed, *names).getrandbits(64)
        self._period_s = period_s

    def at(self, time_s: float) -> float:
        """Return the value at a time in seconds."""
        position = time_s / self._period_s
        index = math.floor(position)
        part = position - index
        before, after = self._value(index), self._value(index + 1)
        return before + (after - before) * part * part * (3.0 - 2.0 * part)

    def _value(self, index: int) -> float:
        # splitmix64 (Steele, Lea and Flood 2014): one well-mixed number per index, nothing stored.
        word = (self._key + index * 0x9E3779B97F4A7C15) & _WORD
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
        return (word ^ (word >> 31)) / _WORD
