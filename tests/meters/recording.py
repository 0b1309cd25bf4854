"""A small CityLearn folder of a test's own, and what a stream holds of a replay."""

import json
from collections import defaultdict
from pathlib import Path
from random import Random

from bus.client import Bus
from bus.reading import Reading, parse
from tests.bus.stream import stored


def write_folder(folder: Path, *, buildings: int = 2, hours: int = 48) -> Path:
    """Write a folder of the CityLearn form with seeded numbers; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = Random(7)
    for number in range(1, buildings + 1):
        rows = ["month,hour,non_shiftable_load,solar_generation"]
        rows += [f"8,{1 + hour % 24},{dice.uniform(0, 3):.8f},{dice.uniform(0, 900):.6f}" for hour in range(hours)]
        (folder / f"Building_{number}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    described = {
        f"Building_{number}": {
            "energy_simulation": f"Building_{number}.csv",
            "pv": {"attributes": {"nominal_power": 3.5 + number}},
        }
        for number in range(1, buildings + 1)
    }
    (folder / "schema.json").write_text(json.dumps({"buildings": described}), encoding="utf-8")
    (folder / "pricing.csv").write_text("electricity_pricing\n0.2\n0.4\n", encoding="utf-8")
    (folder / "carbon_intensity.csv").write_text("carbon_intensity\n0.15\n0.17\n", encoding="utf-8")
    return folder


async def held(bus: Bus, community: str) -> dict[str, list[Reading]]:
    """Return the stored readings of each meter of a community, in the stream's order."""
    found: dict[str, list[Reading]] = defaultdict(list)
    for message in await stored(bus, "READINGS", [f"readings.{community}.*"]):
        found[message.subject.split(".")[2]].append(parse(message.data))
    return dict(found)
