"""The weather over a community: clouds that drift over it from west to east, and the temperature."""

import math
from typing import Final

from meters.chance import Noise

_WIND_M_S: Final = 8.0
_EDGE: Final = 0.07
_YEAR_S: Final = 365.2425 * 86_400


class Weather:
    """Common to all homes of a community; a home further east sees the same cloud a little later."""

    def __init__(self, seed: int, latitude: float) -> None:
        self._cover = Noise(5 * 3600, seed, "cover")
        self._banks = Noise(14 * 60, seed, "banks")
        self._puffs = Noise(210, seed, "puffs")
        self._warmth = Noise(40 * 3600, seed, "warmth")
        self._south = latitude < 0
        self._mild = math.cos(math.radians(latitude))

    def transmission(self, time_s: float, east_m: float) -> float:
        """Return the part of the direct sun that reaches a home `east_m` metres east, 0..1."""
        here = time_s - east_m / _WIND_M_S
        cover = 1.5 * self._cover.at(time_s) - 0.25
        field = 0.7 * self._banks.at(here) + 0.3 * self._puffs.at(here)
        cloud = min(1.0, max(0.0, (cover - field) / (2 * _EDGE) + 0.5))
        return 1.0 - 0.85 * cloud * (0.6 + 0.4 * cover if cover < 1 else 1.0)

    def temperature_c(self, time_s: float) -> float:
        """Return the outside temperature in degrees Celsius."""
        season = -math.cos(2 * math.pi * (time_s / _YEAR_S - 20 / 365))
        hour = -math.cos(2 * math.pi * (time_s % 86_400 / 86_400 - 0.15))
        swing = 14 * (1 - self._mild)  # places further from the equator have stronger seasons
        return (
            27 * self._mild
            - 7
            + (4 + swing * 1.6) * (-season if self._south else season)
            + 4 * hour
            + 10 * (self._warmth.at(time_s) - 0.5)
        )
