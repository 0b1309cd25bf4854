"""Probing meters: sources are read until they end or the person has seen enough; nothing is published.

A source that is lost is read again after a moment, as the gateway would; a file that cannot be read is not.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from bus.reading import Reading
from meters.gateways.agreement import Agreement
from meters.gateways.doubts import Doubts
from meters.gateways.source import Given, Source, SourceLostError

MOST_SOURCES: Final = 8
_MOST_DEVICES: Final = 64
_MOST_SENTENCES: Final = 100
_NUMBERS: Final = re.compile(r"-?\d[\d.,:]*")
_CLOCK_OFF: Final = timedelta(minutes=2)
_WAITING: Final = 64  # what sources may have said that is not shown yet; then they wait


class Seen(NamedTuple):
    """One thing that came: what a source gave, or that it was lost."""

    source: str
    at: datetime
    given: Given | None = None
    lost: str = ""
    doubts: tuple[str, ...] = ()
    """What seems wrong with it after what came before, and beside what other sources say."""
    news: tuple[str, ...] = ()
    """Those of its hints and doubts that nothing before it said, but for their numbers."""

    @property
    def name(self) -> str:
        """What it came from: the source, and which of its devices."""
        return f"{self.source} {self.given.device}" if self.given is not None and self.given.device else self.source


class Sentences:
    """Sentences, each kept once as it was said last, whatever numbers are in it: a person reads no more."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._last)

    def add(self, sentences: Sequence[str]) -> tuple[str, ...]:
        """Count sentences, and return those that are new."""
        new = []
        for sentence in sentences:
            key = _NUMBERS.sub("#", sentence)
            count = self._last.get(key, ("", 0))[1]
            if count == 0 and len(self._last) >= _MOST_SENTENCES:
                continue
            self._last[key] = (sentence, count + 1)
            if count == 0:
                new.append(sentence)
        return tuple(new)

    def counted(self) -> list[tuple[str, int]]:
        """Return each sentence and how often it was said, in the order of their first time."""
        return list(self._last.values())


class Tally:
    """What came of one source so far."""

    def __init__(self) -> None:
        self.readings = 0
        self.refusals: Counter[str] = Counter()
        self.losses = 0
        self.lost = ""
        """Why nothing comes at this moment; empty when something does."""
        self.newest: Given | None = None
        self.refused: Given | None = None
        self.hints = Sentences()
        self.doubts = Sentences()

    @property
    def is_sound(self) -> bool:
        """Whether readings came, and nothing was refused, lost or doubtful."""
        return self.readings > 0 and not (self.refusals or self.doubts or self.losses)

    def add(self, seen: Seen) -> tuple[str, ...]:
        """Count one thing that came, and return what it says for the first time."""
        self.lost = seen.lost
        if seen.given is None:
            self.losses += 1
            return ()
        news = (*self.hints.add(seen.given.hints), *self.doubts.add(seen.doubts))
        if seen.given.refusal is not None:
            self.refusals[seen.given.refusal.reason] += 1
            self.refused = seen.given
        if seen.given.reading is not None:
            self.readings += 1
            self.newest = seen.given
        return news


class Probe:
    """Reads sources side by side, counts what comes, and shows each thing once."""

    def __init__(
        self,
        sources: Sequence[Source],
        show: Callable[[Seen], None],
        *,
        now: Callable[[], datetime],
        recorded: Collection[str] = (),
        pause_s: float = 2.0,
    ) -> None:
        """`recorded` are the names of sources that tell of the past, whose clocks are not held against ours."""
        self.tallies = {source.name: Tally() for source in sources}
        self._sources = sources
        self._show = show
        self._now = now
        self._pause_s = pause_s
        self._recorded = recorded
        self._doubts: dict[str, Doubts] = {}
        self._agreement = Agreement()

    @property
    def is_sound(self) -> bool:
        """Whether all sources gave readings, and nothing that came was refused, lost or doubtful."""
        return all(tally.is_sound for tally in self.tallies.values())

    async def run(self) -> None:
        """Read all sources until the last one ends; those that are no files never do."""
        waiting: asyncio.Queue[Seen | None] = asyncio.Queue(_WAITING)
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(self._read(source, waiting))
            left = len(self._sources)
            while left:
                seen = await waiting.get()
                if seen is None:
                    left -= 1
                else:
                    self._take(seen)

    async def _read(self, source: Source, waiting: asyncio.Queue[Seen | None]) -> None:
        while True:
            try:
                async with aclosing(source.read()) as given:  # type: ignore[type-var]  # sources are generators
                    async for one in given:
                        await waiting.put(Seen(source.name, self._now(), one))
                await waiting.put(None)
                return
            except SourceLostError as error:
                await waiting.put(Seen(source.name, self._now(), lost=str(error)))
                if source.name in self._recorded:
                    await waiting.put(None)
                    return
                await asyncio.sleep(self._pause_s)

    def _take(self, seen: Seen) -> None:
        if seen.name not in self.tallies and len(self.tallies) >= _MOST_DEVICES:
            return
        if seen.given is not None and seen.given.reading is not None:
            reading = seen.given.reading
            seen = seen._replace(doubts=(*self._doubted(seen, reading), *self._clock(seen, reading)))
        news = self.tallies.setdefault(seen.name, Tally()).add(seen)
        self._show(seen._replace(news=news))

    def _doubted(self, seen: Seen, reading: Reading) -> tuple[str, ...]:
        alone = self._doubts.setdefault(seen.name, Doubts()).of(reading)
        return (*alone, *self._agreement.of(seen.name, reading, seen.source))

    def _clock(self, seen: Seen, reading: Reading) -> tuple[str, ...]:
        """Return whether the clock of a meter that speaks now is wrong."""
        ahead = reading.at - seen.at
        if seen.source in self._recorded or abs(ahead) <= _CLOCK_OFF:
            return ()
        which = "ahead, and over 5 minutes ahead is refused" if ahead > _CLOCK_OFF else "behind"
        minutes = abs(ahead).total_seconds() / 60
        return (f"the meter's clock is {minutes:,.0f} minutes {which}: is the time zone right?",)


def said(reading: Reading) -> str:
    """Return in words what a reading says of this moment."""
    drawn, fed = reading.power_import_w, reading.power_export_w
    if drawn is None and fed is None:
        return "it does not say what flows now"
    if drawn and fed:
        return f"on some phases you draw {watts(drawn)}, on others you feed in {watts(fed)}"
    if fed:
        return f"you feed {watts(fed)} into the grid now"
    if drawn:
        return f"you draw {watts(drawn)} from the grid now"
    return "nothing flows now, in or out"


def watts(power: float) -> str:
    """Return a power as a person says it."""
    return f"{power / 1000:,.2f} kW" if power >= 1000 else f"{power:,.0f} W"


def kilowatt_hours(energy_wh: int) -> str:
    """Return an energy as a meter's display shows it."""
    return f"{energy_wh / 1000:,.3f} kWh"
