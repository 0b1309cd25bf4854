"""Appliances: when each runs on a day, and the power that it draws while it does.

An appliance turns a day into runs: each a start and a list of (seconds, watts). Times are
seconds since the local midnight; a run may last into the next day, not longer. Seeded by the
dice passed in; nothing here knows a clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple, Protocol

HOUR: Final = 3600

Run = tuple[int, list[tuple[int, int]]]
"""Start in seconds since midnight, then (seconds, watts) one after another."""


class Day(NamedTuple):
    """What the people of a home and their appliances know of a day; times in seconds since midnight."""

    length_s: int
    weekend: bool
    at_home: bool
    up_s: int
    bed_s: int
    dawn_s: int
    dusk_s: int
    temperature_c: float
    people: int


class Appliance(Protocol):
    """Something in a home that draws power."""

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        """Yield the day's runs; those of one appliance may overlap."""
        ...


@dataclass(frozen=True)
class Standby:
    """Router, chargers, controls: always on, and never quite still."""

    power_w: int

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        phases, at = [], 0
        while at < day.length_s:
            seconds = min(dice.randint(15, 120), day.length_s - at)
            phases.append((seconds, max(5, round(dice.gauss(self.power_w, 4)))))
            at += seconds
        yield 0, phases


@dataclass(frozen=True)
class Fridge:
    """A compressor that cycles, longer when it is warm or the door is opened."""

    power_w: int
    on_s: int
    off_s: int

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        at = dice.randrange(self.off_s)
        while at < day.length_s:
            busy = 1.25 if day.up_s < at < day.bed_s else 1.0
            on_s = min(round(self.on_s * busy * dice.uniform(0.9, 1.15)), day.length_s - at)
            yield at, [(3, self.power_w * 4), (on_s, self.power_w)]
            at += on_s + round(self.off_s * dice.uniform(0.9, 1.1))


@dataclass(frozen=True)
class Kettle:
    """Two kilowatts for as long as the water takes: in the morning, at tea, in the evening."""

    power_w: int

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        times = [day.up_s + dice.randint(300, 1500), dice.randint(15 * HOUR, 21 * HOUR)]
        times += [dice.randint(9 * HOUR, 16 * HOUR) for _ in range(day.people if day.at_home else 0)]
        for at in times:
            if dice.random() < 0.8:
                yield at, [(dice.randint(70, 240), self.power_w)]


@dataclass(frozen=True)
class Cooker:
    """Oven and hob: heating up, then a thermostat that switches; lunch at weekends, dinner on most days."""

    power_w: int

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        meals = [(18.6, 0.75)] + ([(12.2, 0.7)] if day.at_home else [])
        for hour, chance in meals:
            if dice.random() < chance:
                phases = [(dice.randint(360, 660), self.power_w)]
                for _ in range(dice.randint(10, 24)):
                    phases += [(dice.randint(25, 50), self.power_w), (dice.randint(50, 110), 30)]
                yield round(dice.gauss(hour, 0.6) * HOUR), phases


@dataclass(frozen=True)
class WashingMachine:
    """Fills, heats to two kilowatts, turns the drum back and forth, spins."""

    chance: float

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        if dice.random() < self.chance * (1.5 if day.weekend else 1.0):
            phases = [(120, 60), (dice.randint(500, 1100), 2050)]
            for _ in range(dice.randint(50, 80)):
                phases += [(14, dice.randint(160, 320)), (12, 25)]
            yield dice.randint(8 * HOUR, 18 * HOUR), [*phases, (90, 50), (420, 480), (60, 12)]


@dataclass(frozen=True)
class Dishwasher:
    """Heats twice, washes in between; after dinner, or when the sun is high."""

    chance: float

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        if dice.random() < self.chance:
            at = dice.choice((20.2, 20.8, 13.0)) * HOUR + dice.randint(-1500, 1500)
            heat = dice.randint(700, 1000)
            yield round(at), [(180, 60), (heat, 1900), (2100, 85), (heat - 200, 1900), (1500, 15)]


@dataclass(frozen=True)
class Lights:
    """Lamps from dusk to bedtime and on dark mornings, room by room."""

    power_w: int

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        if day.up_s < day.dawn_s:
            yield day.up_s, [(min(day.dawn_s - day.up_s, 2 * HOUR), self.power_w)]
        at = max(day.dusk_s - dice.randint(0, 1200), day.up_s)
        while at < day.bed_s:
            seconds = min(dice.randint(600, 4200), day.bed_s - at)
            yield at, [(seconds, round(self.power_w * dice.uniform(0.4, 1.6)))]
            at += seconds


@dataclass(frozen=True)
class Screens:
    """Television in the evening, and a desk by day where somebody works at home."""

    power_w: int

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        start = dice.randint(18 * HOUR, 20 * HOUR + 1800)
        if start < day.bed_s:
            yield start, [(day.bed_s - start, self.power_w)]
        if day.at_home and not day.weekend:
            morning = day.up_s + dice.randint(1800, 5400)
            yield morning, [(dice.randint(3, 4) * HOUR, 75), (2700, 10), (dice.randint(3, 4) * HOUR, 75)]


@dataclass(frozen=True)
class HeatPump:
    """Runs the longer the colder it is, and once a day for hot water, when the sun is high."""

    power_w: int

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        yield round(dice.gauss(13, 0.5) * HOUR), [(dice.randint(1800, 3600), round(self.power_w * 1.15))]
        duty = min(0.9, max(0.0, (15 - day.temperature_c) / 26))
        if duty < 0.05:
            return
        at = dice.randint(0, 1800)
        while at < day.length_s:
            cycle = dice.randint(1500, 3600)
            warm = 0.75 if 11 * HOUR < at < 17 * HOUR else 1.0
            on_s = min(max(300, round(cycle * duty * warm)), day.length_s - at)
            power = round(self.power_w * dice.uniform(0.85, 1.1))
            yield at, [(60, power // 2), (on_s, power)]
            at += max(cycle, on_s + 300)


@dataclass(frozen=True)
class Charger:
    """An electric car: plugged in when it comes home on some days, tapering when it is nearly full."""

    power_w: int
    chance: float

    def runs(self, day: Day, dice: Random) -> Iterator[Run]:
        if dice.random() < self.chance:
            hour = dice.uniform(10, 14) if day.at_home and dice.random() < 0.6 else dice.gauss(18.3, 1.0)
            seconds = round(dice.uniform(5_000, 22_000) / self.power_w * HOUR)
            taper = [(240, round(self.power_w * part)) for part in (0.8, 0.6, 0.42, 0.3)]
            yield round(hour * HOUR), [(8, 250), (seconds, self.power_w), *taper]
