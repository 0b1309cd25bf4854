"""The simulated meters of a community: readings for successive times, a pure function of what it is given.

No clock, no global chance, no I/O. The same community, seed, start, step and stored readings
give the same readings. With stored readings (a process started again) each meter goes on from
its own: registers never fall, and no reading is older than the last one stored.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from math import inf
from typing import Final

from bus.community import Community
from bus.reading import Reading
from bus.readings import Outgoing
from meters.house import House
from meters.sun import VIENNA, Place
from meters.weather import Weather

_DAY_MS: Final = 86_400_000


class Simulation:
    """All meters of a community, each read once in a `step`.

    Homes take turns, spread evenly over the step; the meters of one home are read at the same
    moment, so that its readings belong together. Times are whole steps since 1970 plus the
    home's share of the step, and so the same after every start.
    """

    def __init__(
        self,
        community: Community,
        seed: int,
        start: datetime,
        step: timedelta,
        *,
        place: Place = VIENNA,
        stored: Mapping[str, Reading] | None = None,
    ) -> None:
        stored = {meter: reading for meter, reading in (stored or {}).items() if meter in community.home_of_meter}
        self.start_ms = max([int(start.timestamp() * 1000), *(reading.at_ms for reading in stored.values())])
        """Readings are later than this: the start asked for, or the last one stored."""
        self.meters = len(community.home_of_meter)
        self._community = community.id
        self._step_ms = step // timedelta(milliseconds=1)
        weather = Weather(seed, place.latitude)
        # A day before the start, so that batteries stand where the sun and the evening left them.
        self._houses = [
            House(community, home, seed, place, weather, start_ms=self.start_ms - _DAY_MS, stored=stored)
            for home in community.homes
        ]
        self._cycle, self._turn = 0, 0
        self.skip_to(self.start_ms)

    @property
    def next_ms(self) -> int:
        """The time of the next readings, in ms since 1970 UTC."""
        return self._cycle * self._step_ms + self._turn * self._step_ms // len(self._houses)

    def skip_to(self, time_ms: int) -> None:
        """Leave out all readings up to and with a time; registers go on as if they had been read."""
        self._cycle, self._turn = time_ms // self._step_ms, 0
        while self.next_ms <= time_ms:
            self._advance_turn()

    def readings(self, until_ms: float = inf) -> Iterator[list[Outgoing]]:
        """Yield the readings of one home after another, in the order of their times, up to and with a time.

        A list is empty where all meters of the home are silent.
        """
        while (at_ms := self.next_ms) <= until_ms:
            house = self._houses[self._turn]
            self._advance_turn()
            yield [Outgoing(self._community, meter, reading) for meter, reading in house.read(at_ms, self._step_ms)]

    def _advance_turn(self) -> None:
        self._turn += 1
        if self._turn == len(self._houses):
            self._cycle, self._turn = self._cycle + 1, 0
