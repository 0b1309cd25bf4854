"""The sun stands where the almanac says, and panels feel it."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meters.sun import VIENNA, Place, Plane, Sun, daylight_s, irradiance_w_m2, sun_at

SYDNEY = Place(-33.87, 151.21)
QUITO = Place(-0.18, -78.47)


def _s(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("when", "place", "elevation", "azimuth"),
    [
        # Vienna at solar noon: 90 - latitude +- 23.44 at the solstices, 90 - latitude at the equinox.
        ("2026-06-21T10:56", VIENNA, 65.2, 180),
        ("2026-12-21T10:53", VIENNA, 18.4, 180),
        ("2026-03-20T11:02", VIENNA, 41.8, 180),
        ("2026-12-21T01:53", SYDNEY, 79.6, 0),
        ("2026-06-21T01:57", SYDNEY, 32.7, 0),
    ],
)
def test_at_noon_it_stands_where_the_almanac_says(when: str, place: Place, elevation: float, azimuth: float) -> None:
    sun = sun_at(_s(when), place)
    assert math.degrees(sun.elevation) == pytest.approx(elevation, abs=0.6)
    assert (math.degrees(sun.azimuth) - azimuth + 180) % 360 - 180 == pytest.approx(0, abs=3)


def test_it_goes_from_east_over_the_meridian_to_west() -> None:
    azimuths = [math.degrees(sun_at(_s(f"2026-04-10T{hour:02}:00"), VIENNA).azimuth) for hour in range(5, 18)]
    assert azimuths == sorted(azimuths)
    assert 70 < azimuths[0] < 100
    assert 255 < azimuths[-1] < 290


@pytest.mark.parametrize(
    ("day", "sunrise", "sunset"),
    [("2026-06-21", "02:54", "18:58"), ("2026-12-21", "06:42", "15:03"), ("2026-03-20", "05:00", "17:05")],
)
def test_sunrise_and_sunset_in_vienna_are_right_to_a_quarter_of_an_hour(day: str, sunrise: str, sunset: str) -> None:
    rise, fall = daylight_s(_s(f"{day}T11:00"), VIENNA)
    assert rise == pytest.approx(_s(f"{day}T{sunrise}"), abs=900)
    assert fall == pytest.approx(_s(f"{day}T{sunset}"), abs=900)


def test_beyond_the_polar_circle_the_day_is_nothing_or_everything() -> None:
    north = Place(78.2, 15.6)
    rise, fall = daylight_s(_s("2026-12-21T11:00"), north)
    assert rise == fall
    rise, fall = daylight_s(_s("2026-06-21T11:00"), north)
    assert fall - rise == 86_400


@given(
    st.floats(0, 4e9),
    st.builds(Place, st.floats(-89, 89), st.floats(-180, 180)),
    st.builds(Plane, st.floats(0, 90), st.floats(0, 359)),
    st.floats(0, 1),
)
@settings(deadline=None)
def test_a_plane_gets_nothing_at_night_and_never_more_than_the_sun_gives(
    time_s: float, place: Place, plane: Plane, transmission: float
) -> None:
    sun = sun_at(time_s, place)
    light = irradiance_w_m2(sun, plane, transmission)
    if sun.elevation <= 0:
        assert light == 0
    else:
        assert 0 <= light < 1361


def test_clouds_take_light_away_but_not_all_of_it() -> None:
    sun, plane = Sun(math.radians(60), math.pi), Plane(30, 180)
    clear, thin, thick = (irradiance_w_m2(sun, plane, transmission) for transmission in (1.0, 0.5, 0.0))
    assert clear > 900
    assert clear > thin > thick > 100


def test_a_plane_that_faces_the_sun_gets_more_than_one_that_faces_away() -> None:
    morning = sun_at(_s("2026-06-21T06:00"), VIENNA)
    assert irradiance_w_m2(morning, Plane(35, 90), 1) > 2 * irradiance_w_m2(morning, Plane(35, 270), 1)
