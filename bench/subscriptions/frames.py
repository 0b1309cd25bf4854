"""Frames for the benchmarks that need no compiler, as the aggregator encodes them.

Figures tell where they come from: a home's netPower is its sequence number + 0.5, its pvPower its
number + 10000.5; a community's load is its number + 10000.5. Where the surplus moves it is the
number of the frame + 0.5, otherwise it stays.
"""

import time
from collections.abc import Iterable

import msgspec

from bench.subscriptions.prepare import HOMES
from bus.messages import CommunityState, Frame, HomeState, Today, encode


class Source:
    """Communities `c000` and on, of HOMES homes each, and the frames of their changes."""

    def __init__(self, count: int, *, surplus_moves: bool) -> None:
        self.count = count
        self.sequences = [[0] * HOMES for _ in range(count)]
        """The sequence number of each home, by community and home."""
        self.frames = [0] * count
        """How many frames each community had."""
        self._surplus_moves = surplus_moves
        self._began = _now_ms()
        self._homes = [
            {_home(home): self._encoded(community, home) for home in range(HOMES)} for community in range(count)
        ]

    def change(self, community: int, homes: Iterable[int]) -> bytes:
        """Change some homes of a community once each and return the frame of it."""
        changed = sorted(homes)
        for home in changed:
            self.sequences[community][home] += 1
            self._homes[community][_home(home)] = self._encoded(community, home)
        return self._frame(community, changed)

    def whole(self, community: int) -> bytes:
        """Return a frame that says that every home may have changed, though none has."""
        return self._frame(community, range(HOMES))

    def surplus(self, community: int) -> float:
        """Return the surplus that the community's latest frame shows."""
        return (self.frames[community] if self._surplus_moves else 1000) + 0.5

    def _frame(self, community: int, changed: Iterable[int]) -> bytes:
        self.frames[community] += 1
        number = self.frames[community]
        now = _now_ms()
        state = CommunityState(
            community=f"c{community:03}",
            measured_at=now,
            power_import_w=number + 0.5,
            power_export_w=number + 1000.5,
            surplus_power_w=self.surplus(community),
            shared_power_w=number + 0.5,
            pv_power_w=number + 2000.5,
            load_w=community + 10000.5,
            self_sufficiency=0.75,
            self_consumption=0.85,
            light="GREEN" if number & 1 else "YELLOW",
            trend="STEADY",
            homes_reporting=HOMES,
            homes_total=HOMES,
            today=self._today(),
        )
        names = [_home(home) for home in changed]
        # From the clock, so that a later run on the same NATS has higher numbers.
        at = self._began + number
        return encode(Frame(number=at, at=now, state=state, changed=names, homes=self._homes[community]))

    def _encoded(self, community: int, home: int) -> msgspec.Raw:
        sequence = self.sequences[community][home]
        state = HomeState(
            home=_home(home),
            measured_at=_now_ms(),
            power_import_w=sequence + 0.5,
            power_export_w=0.0,
            net_power_w=sequence + 0.5,
            pv_power_w=community * HOMES + home + 10000.5,
            battery_power_w=None,
            battery_charge=None,
            load_w=sequence + 100.5,
            shared_power_w=10.5,
            shared_out_power_w=0.0,
            self_sufficiency=0.35,
            self_consumption=0.95,
            light="GREEN" if sequence & 1 else "YELLOW",
            quality="MEASURED",
            today=self._today(),
        )
        return msgspec.Raw(encode(state))

    def _today(self) -> Today:
        return Today(
            import_wh=1000,
            export_wh=2000,
            produced_wh=3000,
            consumed_wh=4000,
            shared_wh=500,
            saved="12.5",
            currency="EUR",
            since=self._began - self._began % 86_400_000,
        )


def _home(home: int) -> str:
    return f"h{home:03}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
