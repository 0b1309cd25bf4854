"""A home battery: takes what the home has left over, gives what it lacks, within its limits."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple


class Flow(NamedTuple):
    """What crosses the battery's meter on average, in W; one of the two is 0."""

    charge_w: float
    discharge_w: float


@dataclass(slots=True)
class Battery:
    """State of charge `level`, 0..1, between `reserve` and 1; losses are split between both ways."""

    capacity_wh: float
    power_w: float
    round_trip: float = 0.92
    reserve: float = 0.05
    level: float = 0.3
    _one_way: float = field(init=False)

    def __post_init__(self) -> None:
        self._one_way = math.sqrt(self.round_trip)

    def exchange(self, surplus_w: float, hours: float) -> Flow:
        """Charge from a mean surplus, or discharge against a lack (negative), over `hours` > 0."""
        if surplus_w > 0:
            room_wh = (1.0 - self.level) * self.capacity_wh
            charge_w = max(0.0, min(surplus_w, self.power_w, room_wh / self._one_way / hours))
            self.level = min(1.0, self.level + charge_w * hours * self._one_way / self.capacity_wh)
            return Flow(charge_w, 0.0)
        held_wh = (self.level - self.reserve) * self.capacity_wh
        discharge_w = max(0.0, min(-surplus_w, self.power_w, held_wh * self._one_way / hours))
        self.level = max(0.0, self.level - discharge_w * hours / self._one_way / self.capacity_wh)
        return Flow(0.0, discharge_w)
