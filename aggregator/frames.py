"""Frames: the live state of a community, encoded for everybody who wants it.

A home is encoded when something about it changed, and stays encoded until then. At most ten
frames a second go out, fewer where encoding them would take more than a fifth of the time or
where the aggregator is behind; at once when idle.
"""

from typing import Final

import msgspec

from aggregator.fold import Fold
from aggregator.live import community_power, community_state, home_state, set_light, set_trend
from aggregator.today import todays
from bus.messages import Frame, Light, Today, encode

_LEAST_S: Final = 0.1
_BEHIND_S: Final = 5.0
_SHARE: Final = 5
_TODAY_MS: Final = 10_000


class Framer:
    """Makes the frames of one community."""

    def __init__(self) -> None:
        self.due = 0.0
        """Monotonic time before which no frame goes out."""
        self.sent = 0.0
        """Monotonic time of the last frame."""
        self._encoded: dict[str, msgspec.Raw] = {}
        self._split: dict[str, tuple[int, int]] = {}
        self._today: Today | None = None
        self._todays: dict[str, Today] = {}
        self._today_at = 0
        self._light: Light = "UNKNOWN"

    def again(self) -> None:
        """Let the next frame carry everything as changed: nobody may know what was before."""
        self._encoded.clear()
        self._today_at = 0

    def frame(self, fold: Fold) -> bytes:
        """Return the next frame and clear what had changed."""
        state, community = fold.state, fold.community
        power = fold.power_now()
        changed, fold.changed = fold.changed, set()
        whole = community_power(community, power)
        set_light(community, state, whole)
        set_trend(community, state, whole)
        if self._light != state.light:
            self._light = state.light
            changed.update(fold.homes)
        if not self._today_at or not 0 <= state.now - self._today_at < _TODAY_MS:
            self._today_at = state.now
            self._refresh_today(fold, changed)
        for home in community.homes:
            split = (whole.allocated.get(home.id, 0), whole.used.get(home.id, 0))
            if home.id in changed or self._split.get(home.id) != split or home.id not in self._encoded:
                changed.add(home.id)
                self._split[home.id] = split
                now = home_state(home, power[home.id], whole, state.light, self._todays.get(home.id))
                self._encoded[home.id] = msgspec.Raw(encode(now))
        known = community.homes_by_id
        for gone in self._encoded.keys() - known.keys():
            del self._encoded[gone]
        state.frame += 1
        return encode(
            Frame(
                number=state.frame,
                at=state.now,
                state=community_state(community, state, whole, self._today),
                changed=sorted(changed & known.keys()),
                homes=self._encoded,
            )
        )

    def next_due(self, started: float, ended: float, *, behind: bool) -> None:
        """Set when the next frame may go out, after one that took from `started` to `ended`."""
        least = _BEHIND_S if behind else _LEAST_S
        self.sent = started
        self.due = started + max(least, _SHARE * (ended - started))

    def _refresh_today(self, fold: Fold, changed: set[str]) -> None:
        before = self._todays
        self._today, self._todays = todays(
            fold.state,
            fold.community,
            {home: [(meter.role, meter.track) for meter in meters] for home, meters in fold.homes.items()},
            fold.settlement.interval_ms,
        )
        changed.update(home for home, today in self._todays.items() if before.get(home) != today)
