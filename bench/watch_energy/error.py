"""How wrong the wrist was: what it showed, second by second, against every true value.

Sequences of figures with a value a second come in, errors in the figure's unit go out: pure functions.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Error(NamedTuple):
    """The largest and the mean difference between what was shown and what was true."""

    largest: float
    mean: float


def error(truth: Sequence[float], shown: Sequence[float | None], window: int) -> Error:
    """Compare what was shown in each second with every true value of the last `window` seconds, that second's included.

    Seconds in which nothing was shown yet are left out; (0, 0) where that is all of them.
    """
    if window < 1:
        raise ValueError(f"a window of {window} s; 1 s or more")
    largest = 0.0
    for now, least, most in _extremes(truth, window):
        value = shown[now]
        if value is not None:
            largest = max(largest, abs(value - least), abs(value - most))
    total, count = 0.0, 0
    for begin, end, value in _runs(shown):
        for at in range(max(0, begin - window + 1), end):
            seconds = min(end, at + window) - max(begin, at)  # of the run, that look back on this one
            total += seconds * abs(value - truth[at])
            count += seconds
    return Error(largest, total / count if count else 0.0)


def _extremes(values: Sequence[float], window: int) -> Iterator[tuple[int, float, float]]:
    """Yield each place with the least and the most of the last `window` values there."""
    falling: deque[int] = deque()
    rising: deque[int] = deque()
    for now, value in enumerate(values):
        for places, sign in ((falling, 1), (rising, -1)):
            while places and sign * values[places[-1]] <= sign * value:
                places.pop()
            places.append(now)
            if places[0] <= now - window:
                places.popleft()
        yield now, values[rising[0]], values[falling[0]]


def _runs(shown: Sequence[float | None]) -> Iterator[tuple[int, int, float]]:
    """Yield where each stretch of one value begins and ends (exclusive), and the value."""
    begin = 0
    for now in range(1, len(shown) + 1):
        value = shown[begin]
        if now == len(shown) or shown[now] != value:
            if value is not None:
                yield begin, now, value
            begin = now
