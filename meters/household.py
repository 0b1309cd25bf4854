"""A household: its appliances, its habits, and the load that comes of them.

The load is a function of seed and time alone, a step function of whole watts at whole seconds,
so that its energy between any two times is exact and no run depends on how it was sampled.
"""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from meters.appliances import (
    HOUR,
    Appliance,
    Charger,
    Cooker,
    Day,
    Dishwasher,
    Fridge,
    HeatPump,
    Kettle,
    Lights,
    Screens,
    Standby,
    WashingMachine,
)
from meters.chance import dice
from meters.sun import Place, daylight_s
from meters.weather import Weather

_Segments = list[tuple[int, int, int]]
"""(from, to, watts), in seconds since 1970 UTC."""


class Household:
    """Who lives in a home and what they have; the same for the same seed and name."""

    def __init__(self, seed: int, name: str, zone: ZoneInfo, place: Place, weather: Weather) -> None:
        self._seed = seed
        self._name = name
        self._zone = zone
        self._place = place
        self._weather = weather
        draw = dice(seed, name, "household")
        self._people = draw.choice((1, 2, 2, 3, 4, 4, 5))
        self._up_h = draw.uniform(5.6, 7.6)
        self._bed_h = draw.uniform(21.8, 23.8)
        self._stays_home = draw.random() < 0.4
        self._appliances = tuple(_inventory(draw, self._people))
        self._profiles: dict[date, tuple[_Profile, _Segments]] = {}
        self._current: _Profile | None = None

    def energy_wms(self, start_ms: int, end_ms: int) -> int:
        """Return the energy drawn between two times (ms since 1970 UTC), in W·ms, exactly."""
        profile = self._profile_at(start_ms)
        if end_ms <= profile.end_ms:
            return profile.until(end_ms) - profile.until(start_ms)
        return profile.until(profile.end_ms) - profile.until(start_ms) + self.energy_wms(profile.end_ms, end_ms)

    def _profile_at(self, time_ms: int) -> "_Profile":
        current = self._current
        if current is None or not current.start_ms <= time_ms < current.end_ms:
            day = datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(self._zone).date()
            current = self._current = self._built(day)[0]
        return current

    def _built(self, day: date) -> tuple["_Profile", _Segments]:
        known = self._profiles.get(day)
        if known is None:
            before = day - timedelta(days=1)
            earlier = self._profiles[before][1] if before in self._profiles else self._segments(before)
            start, end = self._midnight(day), self._midnight(day + timedelta(days=1))
            segments = self._segments(day)
            known = _Profile(start, end, earlier + segments), [part for part in segments if part[1] > end]
            self._profiles = {day: known}
        return known

    def _segments(self, day: date) -> _Segments:
        midnight = self._midnight(day)
        facts = self._facts(day, midnight)
        segments: _Segments = []
        for number, appliance in enumerate(self._appliances):
            for start, phases in appliance.runs(facts, dice(self._seed, self._name, number, day)):
                at = midnight + start
                for seconds, power_w in phases:
                    segments.append((at, at + seconds, power_w))
                    at += seconds
        return segments

    def _facts(self, day: date, midnight: int) -> Day:
        draw = dice(self._seed, self._name, "day", day)
        weekend = day.weekday() >= 5
        noon = midnight + 12 * HOUR
        dawn, dusk = daylight_s(noon, self._place)
        return Day(
            length_s=self._midnight(day + timedelta(days=1)) - midnight,
            weekend=weekend,
            at_home=weekend or self._stays_home or draw.random() < 0.15,
            up_s=round((self._up_h + (1.4 if weekend else 0.0) + draw.gauss(0, 0.25)) * HOUR),
            bed_s=round((self._bed_h + (0.5 if weekend else 0.0) + draw.gauss(0, 0.3)) * HOUR),
            dawn_s=round(dawn) - midnight,
            dusk_s=round(dusk) - midnight,
            temperature_c=self._weather.temperature_c(noon - 4 * HOUR),
            people=self._people,
        )

    def _midnight(self, day: date) -> int:
        return int(datetime.combine(day, time(), tzinfo=self._zone).timestamp())


class _Profile:
    """The load of one local day: power between breakpoints, and the energy up to each."""

    def __init__(self, start_s: int, end_s: int, segments: _Segments) -> None:
        self.start_ms = start_s * 1000
        self.end_ms = end_s * 1000
        steps: dict[int, int] = defaultdict(int)
        for begin, end, power_w in segments:
            if begin < end_s and end > start_s:
                steps[max(begin, start_s)] += power_w
                steps[min(end, end_s)] -= power_w
        # Arrays, not lists: with a thousand homes the difference is 200 MB.
        self._times = array("q", [self.start_ms])
        self._powers = array("q", [steps.pop(start_s, 0)])
        self._energies = array("q", [0])
        for at in sorted(steps):
            energy = self._energies[-1] + self._powers[-1] * (at * 1000 - self._times[-1])
            self._powers.append(self._powers[-1] + steps[at])
            self._times.append(at * 1000)
            self._energies.append(energy)

    def until(self, time_ms: int) -> int:
        """Return the energy from the day's start to a time within it, in W·ms."""
        index = bisect_right(self._times, time_ms) - 1
        return self._energies[index] + self._powers[index] * (time_ms - self._times[index])


def _inventory(draw: Random, people: int) -> Iterator[Appliance]:
    yield Standby(draw.randint(35, 110))
    yield Fridge(draw.randint(55, 110), draw.randint(700, 1100), draw.randint(1500, 2600))
    if draw.random() < 0.4:
        yield Fridge(draw.randint(70, 130), draw.randint(800, 1300), draw.randint(2000, 3500))
    yield Kettle(draw.choice((1800, 2000, 2200)))
    yield Cooker(draw.choice((2100, 2600, 3200)))
    yield WashingMachine(0.14 * people)
    if draw.random() < 0.8:
        yield Dishwasher(min(0.9, 0.25 * people))
    yield Lights(draw.randint(40, 140))
    yield Screens(draw.randint(70, 190))
    if draw.random() < 0.35:
        yield HeatPump(draw.randint(1100, 2400))
    if draw.random() < 0.3:
        yield Charger(draw.choice((3680, 7360, 11040)), 0.45)
