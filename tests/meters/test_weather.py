"""Clouds drift over the community; winters are cold."""

from meters.weather import Weather

DAY = 86_400


def test_a_home_further_east_sees_the_same_cloud_later() -> None:
    weather = Weather(3, 48.2)
    here = [weather.transmission(second, 0) for second in range(0, 4 * 3600, 5)]
    there = [weather.transmission(second + 100, 800) for second in range(0, 4 * 3600, 5)]
    # Cover changes over hours, the clouds themselves are the same ones.
    assert max(abs(a - b) for a, b in zip(here, there, strict=True)) < 0.15
    assert max(here) - min(here) > 0.3


def test_there_are_clear_and_overcast_hours() -> None:
    weather = Weather(1, 48.2)
    values = [weather.transmission(second, 0) for second in range(0, 60 * DAY, 600)]
    assert all(0 <= value <= 1 for value in values)
    clear = sum(value > 0.95 for value in values) / len(values)
    dark = sum(value < 0.3 for value in values) / len(values)
    assert 0.15 < clear < 0.8
    assert 0.1 < dark < 0.7


def test_january_is_cold_in_the_north_and_warm_in_the_south() -> None:
    january, july = range(5 * DAY, 30 * DAY, 7200), range(186 * DAY, 210 * DAY, 7200)

    def mean(weather: Weather, times: range) -> float:
        return sum(weather.temperature_c(second) for second in times) / len(times)

    vienna, sydney = Weather(1, 48.2), Weather(1, -33.9)
    assert -4 < mean(vienna, january) < 5
    assert 16 < mean(vienna, july) < 25
    assert mean(sydney, january) > mean(sydney, july) + 5
