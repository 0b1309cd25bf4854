"""How many updates a trace needs at all, for figures that are never more than a step wrong: pure functions.

What is true, figure by figure and second by second, and the steps come in; counts go out. It says what any way could
reach, so that a missed aim tells whether the server or the sky is to blame.
"""

from collections.abc import Sequence


def fewest(truth: Sequence[Sequence[float]], steps: Sequence[float]) -> int:
    """Return the fewest updates by which someone who knows the future keeps every figure within a step.

    One shown value serves for as long as each figure stays within two steps from its least to its most.
    """
    count = 0
    least: list[float] = []
    most: list[float] = []
    for figures in truth:
        lower = [min(pair) for pair in zip(least, figures, strict=True)] if count else list(figures)
        upper = [max(pair) for pair in zip(most, figures, strict=True)] if count else list(figures)
        if not count or any(high - low > 2 * step for low, high, step in zip(lower, upper, steps, strict=True)):
            count += 1
            lower, upper = list(figures), list(figures)
        least, most = lower, upper
    return count


def refreshed(
    truth: Sequence[Sequence[float]],
    steps: Sequence[float],
    margin: float,
    *,
    words: Sequence[str] = (),
    silence_s: int | None = None,
) -> int:
    """Return the updates of a server that sends when a figure is over `margin` steps from the one shown.

    Each update shows every figure as it is then, rounded to its step. So do those for `words` that change, where
    given, and those that come after `silence_s` without one.
    """
    count = sent = 0
    shown: list[float] = []
    said = ""
    for now, figures in enumerate(truth):
        word = words[now] if words else ""
        far = count and any(
            abs(figure - before) > margin * step for figure, before, step in zip(figures, shown, steps, strict=True)
        )
        if not count or far or word != said or (silence_s is not None and now - sent >= silence_s):
            count, sent, said = count + 1, now, word
            shown = [round(figure / step) * step for figure, step in zip(figures, steps, strict=True)]
    return count
