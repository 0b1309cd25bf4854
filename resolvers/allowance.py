"""Allowances: how often something may be done by each of many, in memory, for this process alone."""

from collections import OrderedDict
from collections.abc import Callable


class Allowance:
    """`most` times at once for each key, and once more each `refill_s` seconds.

    At most `keys` keys are remembered; beyond, the one that was not used for longest begins anew.
    """

    def __init__(self, most: int, *, refill_s: float, keys: int, now_ms: Callable[[], int]) -> None:
        self._full_s = most * refill_s
        self._refill_s = refill_s
        self._most_keys = keys
        self._now_ms = now_ms
        self._free_s: OrderedDict[str, float] = OrderedDict()
        """When each key has all its times again, in s since 1970 UTC."""

    def take(self, key: str) -> float:
        """Take one time and return 0; where none is left, return the seconds until there is one."""
        now_s = self._now_ms() / 1000
        free_s = max(now_s, self._free_s.get(key, 0.0)) + self._refill_s
        late_s = free_s - now_s - self._full_s
        if late_s > 1e-6:
            return late_s
        self._free_s[key] = free_s
        self._free_s.move_to_end(key)
        if len(self._free_s) > self._most_keys:
            self._free_s.popitem(last=False)
        return 0.0

    def give_back(self, key: str) -> None:
        """Give back a time that was taken."""
        if key in self._free_s:
            self._free_s[key] -= self._refill_s
