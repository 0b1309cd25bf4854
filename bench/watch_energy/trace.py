"""The traces: what the meters of a community say, second by second, the same in every run.

A recording of hours (CityLearn 2022), interpolated, with noise; and the simulator at 1 s. Readings go out, in
the batches of one second. All that is fixed is fixed here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from bus.community import Community
from bus.identifiers import home_key
from bus.reading import Reading
from meters.chance import Noise
from meters.citylearn import TIMEZONE, CityLearn, load_citylearn
from meters.demo import simulated_community
from meters.simulation import Simulation

SEED: Final = 7
WARM_S: Final = 900
"""Seconds of readings before the first one that counts, so that trend and light are as in a running system."""
LOAD_NOISE, LOAD_S = 0.15, 120
"""A home's load jumps, as loads that are switched do: every LOAD_S on average, each time to a normally distributed
factor of this standard deviation around the recorded load."""
SKY_NOISE, SKY_S = 0.05, 60
"""The sun goes up and down by at most this part, smoothly, with a new value every SKY_S, the same for all homes."""
FLICKER_W: Final = 5.0
"""Standard deviation of a home's load from reading to reading."""
FOLDER: Final = Path(__file__).parents[3] / "shared" / "data" / "citylearn_2022"

Batch = list[tuple[str, Reading]]
"""Readings by meter that one second brings."""


@dataclass(frozen=True)
class Trace:
    """A community, the home on the wrist, when what counts begins (s since 1970 UTC), and for how long."""

    name: str
    community: Community
    home: str
    begin_s: int
    seconds: int
    recording: CityLearn | None = None

    @property
    def home_key(self) -> str:
        """The home as clients name it."""
        return home_key(self.community.id, self.home)

    def batches(self) -> Iterator[Batch]:
        """Yield the readings of each second, from WARM_S before the beginning on."""
        return _simulated(self) if self.recording is None else _interpolated(self, self.recording)


def recorded(folder: Path, *, hour: bool) -> Trace:
    """Return CityLearn's 1 August 2021, or its hour from 17:00; raise RecordingError.

    An hour is there to tell in seconds what a day will say: it is that hour of daylight in which someone who knows the
    future needs about as many updates as in the mean hour of its day (`fewest`, which `--json` has hour by hour).
    """
    recording = load_citylearn(folder)
    known = recording.community("citylearn").model_dump(exclude_defaults=True)
    community = Community.model_validate(known | {"clock": "wall"})
    return _trace("CityLearn", community, "building-02", (2021, 8, 1), TIMEZONE, 17 if hour else None, recording)


def simulated(*, hour: bool) -> Trace:
    """Return 20 simulated homes on 15 June 2026, or their hour from 9:00, chosen as that of the recording."""
    community = simulated_community(20, SEED)
    return _trace("simulator", community, "home-02", (2026, 6, 15), community.timezone, 9 if hour else None)


def _trace(
    name: str,
    community: Community,
    home: str,
    day: tuple[int, int, int],
    zone: str,
    hour: int | None,
    recording: CityLearn | None = None,
) -> Trace:
    begin = datetime(*day, hour or 0, tzinfo=ZoneInfo(zone))
    return Trace(name, community, home, int(begin.timestamp()), 86_400 if hour is None else 3_600, recording)


def _simulated(trace: Trace) -> Iterator[Batch]:
    start = datetime.fromtimestamp(trace.begin_s - WARM_S, UTC)
    simulation = Simulation(trace.community, SEED, start, timedelta(seconds=1))
    for at_s in range(trace.begin_s - WARM_S, trace.begin_s + trace.seconds):
        yield [(one.meter, one.reading) for readings in simulation.readings(at_s * 1000) for one in readings]


def _interpolated(trace: Trace, recording: CityLearn) -> Iterator[Batch]:
    """Draw straight lines between the means of hours, taken for their middles, and add the noise."""
    draw = Random(SEED)
    midnight = datetime.fromtimestamp(trace.begin_s, UTC).astimezone(trace.community.zone)
    midnight_s = int(midnight.replace(hour=0, minute=0).timestamp())
    loads = [
        [float(i - e + p) * 1000 for i, e, p in zip(b.import_kwh, b.export_kwh, b.pv_kwh, strict=True)]
        for b in recording.buildings
    ]
    suns = [[float(p) * 1000 for p in b.pv_kwh] for b in recording.buildings]
    homes = [b.home for b in recording.buildings]
    factors = [1.0] * len(homes)
    sky = Noise(SKY_S, SEED, "sky")
    registers = [[0.0, 0.0, 0.0] for _ in homes]
    for at_s in range(trace.begin_s - WARM_S, trace.begin_s + trace.seconds):
        at = datetime.fromtimestamp(at_s, UTC)
        bright = 1 + SKY_NOISE * (2 * sky.at(at_s) - 1)
        batch: Batch = []
        for number, home in enumerate(homes):
            if draw.random() < 1 / LOAD_S:
                factors[number] = draw.gauss(1, LOAD_NOISE)
            load_w = _line(loads[number], at_s - midnight_s) * factors[number] + draw.gauss(0, FLICKER_W)
            sun_w = _line(suns[number], at_s - midnight_s) * bright
            net_w = max(0.0, load_w) - sun_w
            total = registers[number]
            for index, power_w in enumerate((max(net_w, 0.0), max(-net_w, 0.0), sun_w)):
                total[index] += power_w / 3600
            batch.append((f"{home}-grid", _reading(at, total[0], total[1], max(net_w, 0.0), max(-net_w, 0.0))))
            batch.append((f"{home}-pv", _reading(at, 0.0, total[2], 0.0, sun_w)))
        yield batch


def _line(hours: Sequence[float], second: int) -> float:
    position = max(0.0, second / 3600 - 0.5)
    index = int(position)
    part = position - index
    return hours[index] * (1 - part) + hours[index + 1] * part


def _reading(at: datetime, import_wh: float, export_wh: float, import_w: float, export_w: float) -> Reading:
    return Reading(
        at=at,
        import_wh=int(import_wh),
        export_wh=int(export_wh),
        power_import_w=round(import_w, 1),
        power_export_w=round(export_w, 1),
    )
