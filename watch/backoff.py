"""How long to wait before the next attempt: exponential back-off with full jitter.

Counts and seconds cross this module. It never sleeps and holds no state; randomness is passed in.
Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("Full Jitter").
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits of 0..`first_s` after the first failure, doubling up to 0..`most_s`."""

    first_s: float = 0.5
    most_s: float = 30.0

    def delay_s(self, failures: int, random: Callable[[], float]) -> float:
        """Return the wait in seconds after `failures` failures in a row (0 or more).

        `random` gives 0 ≤ x < 1. The wait is anywhere between none and the whole, so that a thousand watches
        that lost one server do not come back in step.
        """
        doublings = min(failures, 64)
        return random() * min(self.most_s, self.first_s * 2.0**doublings)
