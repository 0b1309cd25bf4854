"""Where the sun stands, and what a clear sky sends onto a tilted plane. Pure functions of time and place."""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

_DAY_S: Final = 86_400.0
_YEAR_S: Final = 365.2425 * _DAY_S
_ALBEDO: Final = 0.2


@dataclass(frozen=True, slots=True)
class Place:
    """A place on earth, in degrees: latitude north, longitude east."""

    latitude: float = 48.21
    longitude: float = 16.37


VIENNA: Final = Place()


class Sun(NamedTuple):
    """The sun's place in the sky, in radians: elevation over the horizon, azimuth from north over east."""

    elevation: float
    azimuth: float


class Plane(NamedTuple):
    """How a panel lies, in degrees: tilt from horizontal, azimuth from north over east (180 is south)."""

    tilt: float
    azimuth: float


def sun_at(time_s: float, place: Place) -> Sun:
    """Return the sun's position at a time in seconds since 1970 UTC.

    Declination and equation of time after Spencer (1971), as in NOAA's "General Solar Position
    Calculations"; right to about half a degree.
    """
    year = 2 * math.pi * (time_s % _YEAR_S) / _YEAR_S
    equation_min = 229.18 * (
        0.000075
        + 0.001868 * math.cos(year)
        - 0.032077 * math.sin(year)
        - 0.014615 * math.cos(2 * year)
        - 0.040849 * math.sin(2 * year)
    )
    declination = (
        0.006918
        - 0.399912 * math.cos(year)
        + 0.070257 * math.sin(year)
        - 0.006758 * math.cos(2 * year)
        + 0.000907 * math.sin(2 * year)
        - 0.002697 * math.cos(3 * year)
        + 0.00148 * math.sin(3 * year)
    )
    solar_min = (time_s % _DAY_S) / 60 + equation_min + 4 * place.longitude
    hour_angle = math.radians(solar_min / 4 - 180)
    latitude = math.radians(place.latitude)
    east = -math.cos(declination) * math.sin(hour_angle)
    north = math.cos(latitude) * math.sin(declination) - math.sin(latitude) * math.cos(declination) * math.cos(
        hour_angle
    )
    up = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(hour_angle)
    return Sun(math.asin(max(-1.0, min(1.0, up))), math.atan2(east, north) % (2 * math.pi))


def irradiance_w_m2(sun: Sun, plane: Plane, transmission: float) -> float:
    """Return what falls onto a plane in W/m2; 0 while the sun is down.

    `transmission` is the part of the direct beam that clouds let through, 0..1; some of the rest
    comes down as diffuse light. Clear-sky beam after Meinel (1976), air mass after Kasten and
    Young (1989), diffuse light isotropic.
    """
    up = math.sin(sun.elevation)
    if up <= 0:
        return 0.0
    degrees = math.degrees(sun.elevation)
    air_mass = 1 / (up + 0.50572 * math.pow(degrees + 6.07995, -1.6364))
    clear = 1353 * math.pow(0.7, math.pow(air_mass, 0.678))
    beam = clear * transmission
    diffuse = clear * up * (0.1 + 0.25 * (1 - transmission))
    tilt = math.radians(plane.tilt)
    facing = math.cos(sun.elevation) * math.sin(tilt) * math.cos(sun.azimuth - math.radians(plane.azimuth))
    incidence = max(0.0, up * math.cos(tilt) + facing)
    sky = diffuse * (1 + math.cos(tilt)) / 2
    ground = _ALBEDO * (beam * up + diffuse) * (1 - math.cos(tilt)) / 2
    return beam * incidence + sky + ground


def daylight_s(time_s: float, place: Place) -> tuple[float, float]:
    """Return (sunrise, sunset) of the solar day around a time, in seconds since 1970 UTC.

    Where the sun does not rise or does not set, both are noon, or noon half a day before and after.
    """
    noon = time_s - ((time_s + place.longitude * 240) % _DAY_S) + _DAY_S / 2
    declination = math.asin(math.sin(math.radians(23.44)) * math.sin(2 * math.pi * (noon % _YEAR_S) / _YEAR_S - 1.388))
    cosine = -math.tan(math.radians(place.latitude)) * math.tan(declination)
    half_s = math.acos(max(-1.0, min(1.0, cosine))) / math.pi * _DAY_S / 2
    return noon - half_s, noon + half_s
