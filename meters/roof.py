"""A photovoltaic system on a roof: its power from the sun, the clouds over it, and its inverter."""

from random import Random
from typing import Final

from meters.chance import Noise
from meters.sun import Place, Plane, irradiance_w_m2, sun_at
from meters.weather import Weather

_LOSSES: Final = 0.88
"""Wiring, dirt, inverter: what is left of the panels' power."""

_PER_DEGREE: Final = -0.0037
_WARMING: Final = 0.028
"""Kelvin over the air per W/m2, mounted on a roof."""


class Roof:
    """Panels of some kW, tilted some way; all drawn from the seed."""

    def __init__(self, draw: Random, seed: int, name: str, place: Place, weather: Weather) -> None:
        self.peak_w = draw.randint(8, 24) * 415
        self.plane = Plane(tilt=draw.uniform(12, 42), azimuth=draw.gauss(180 if place.latitude > 0 else 0, 45) % 360)
        self._limit_w = self.peak_w * draw.uniform(0.8, 0.95)
        self._east_m = draw.uniform(0, 3_000)
        self._haze = Noise(45, seed, name, "haze")
        self._place = place
        self._weather = weather

    def power_w(self, time_s: float) -> float:
        """Return the power at the meter in W, at a time in seconds since 1970 UTC; 0 while the sun is down."""
        sun = sun_at(time_s, self._place)
        if sun.elevation <= 0:
            return 0.0
        transmission = self._weather.transmission(time_s, self._east_m) * (0.96 + 0.04 * self._haze.at(time_s))
        light = irradiance_w_m2(sun, self.plane, transmission)
        cell_c = self._weather.temperature_c(time_s) + _WARMING * light
        power_w = self.peak_w * light / 1000 * _LOSSES * (1 + _PER_DEGREE * (cell_c - 25))
        return max(0.0, min(self._limit_w, power_w))
