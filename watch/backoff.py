"""How long to wait before the next attempt: exponential back-off with full jitter.

Counts and ms cross this module. It never sleeps and holds no state; chance is passed in.
Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("Full Jitter").
"""

FIRST_MS, MOST_MS = 500, 30_000
PATIENT_FIRST_MS, PATIENT_MOST_MS = 5_000, 300_000


def delay_ms(failures: int, chance: float, *, patient: bool = False, least_most_ms: int = 0) -> int:
    """Return the wait in ms after `failures` failures in a row (0 or more); `chance` is 0 ≤ x < 1.

    The wait is anywhere between none and the whole, so that a thousand watches that lost one server do not come
    back in step. `patient`: where waiting rarely helps. `least_most_ms`: the whole may become this long at least.
    """
    first, most = (PATIENT_FIRST_MS, PATIENT_MOST_MS) if patient else (FIRST_MS, MOST_MS)
    return int(chance * min(max(most, least_most_ms), first * 2 ** min(failures, 32)))
