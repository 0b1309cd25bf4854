"""An independent oracle: the CityLearn year shared in plain Python, hour by hour, against the fold."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from bus.community import AllocationKey
from bus.messages import Interval
from bus.reading import Reading
from bus.stored import Stored
from meters.citylearn import load_citylearn
from tests.aggregator.harness import HOUR, Bench

BEGIN = datetime(2021, 8, 1, 7, tzinfo=UTC)
BEGIN_MS = int(BEGIN.timestamp() * 1000)
HOURS = 8760

KEYS = {f"building-{number:02}": Decimal(number + 2) / 1000 for number in range(1, 17)}
KEYS["building-17"] = 1 - sum(KEYS.values(), Decimal(0))


@dataclass(frozen=True)
class Hour:
    """What each building drew, injected, was allocated and had left, in Wh."""

    drawn: Mapping[str, int]
    injected: Mapping[str, int]
    allocated: Mapping[str, int]
    left: Mapping[str, int]
    shared: int


# --- the oracle ---


def _flows(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """Return per building the (import, export) of each hour in Wh: differences of registers that are rounded once."""
    described = json.loads((folder / "schema.json").read_text(), parse_float=Decimal)["buildings"].values()
    size = {one["energy_simulation"]: one["pv"]["attributes"]["nominal_power"] for one in described}
    flows = {}
    for number in range(1, 18):
        name = f"Building_{number}.csv"
        sums, shown = [Decimal(0), Decimal(0)], [0, 0]
        hours = []
        with (folder / name).open() as file:
            for row in csv.DictReader(file):
                wh = 1000 * Decimal(row["non_shiftable_load"]) - Decimal(row["solar_generation"]) * size[name]
                sums[wh < 0] += abs(wh)
                now = [round(total) for total in sums]
                hours.append((now[0] - shown[0], now[1] - shown[1]))
                shown = now
        flows[f"building-{number:02}"] = hours
    return flows


def _rounded(shares: Mapping[str, Fraction], total: int) -> dict[str, int]:
    """Return whole numbers that add up to `total`: floors, and one more for the largest remainders, ties by id."""
    whole = {home: share.numerator // share.denominator for home, share in shares.items()}
    order = sorted(shares, key=lambda home: (whole[home] - shares[home], home))
    for home in order[: total - sum(whole.values())]:
        whole[home] += 1
    return whole


def _hour(key: AllocationKey, drawn: dict[str, int], injected: dict[str, int]) -> Hour:
    demand, supply = sum(drawn.values()), sum(injected.values())
    nothing = dict.fromkeys(drawn, 0)
    if key == "VIRTUAL":
        return Hour(drawn, injected, nothing, injected, min(demand, supply))
    if key == "STATIC":
        offered = _rounded({home: Fraction(part) * supply for home, part in KEYS.items()}, supply)
        allocated = {home: min(offered[home], drawn[home]) for home in drawn}
    else:
        least = min(demand, supply)
        fractions = {home: Fraction(wh * least, demand) if demand else Fraction(0) for home, wh in drawn.items()}
        allocated = _rounded(fractions, least)
    shared = sum(allocated.values())
    given = {home: Fraction(wh * shared, supply) if supply else Fraction(0) for home, wh in injected.items()}
    used = _rounded(given, shared)
    return Hour(drawn, injected, allocated, {home: wh - used[home] for home, wh in injected.items()}, shared)


# --- the fold ---


def _settled(folder: Path, key: AllocationKey) -> Iterator[Interval]:
    """Yield the last revision of every hour that the fold settles, in order of time."""
    recording = load_citylearn(folder)
    community = recording.community("citylearn")
    homes = tuple(home.model_copy(update={"key": KEYS[home.id]}) for home in community.homes)
    bench = Bench(community.model_copy(update={"allocation_key": key, "homes": homes}))
    take, fold, sequence = bench.fold.take, bench.fold, 0
    for readings in recording.readings(BEGIN):
        for meter, reading in zip(recording.meters, readings, strict=True):
            sequence += 1
            take(meter, reading, _stored(meter, sequence, reading))
            bench.answer()
        bench.flush()
    fold.tick(_stored("", sequence, readings[0]).time_ms + 2 * HOUR, 1)
    bench.answer()
    bench.flush()
    assert bench.rejected == []
    yield from bench.latest.values()


def _stored(meter: str, sequence: int, reading: Reading) -> Stored:
    return Stored(f"readings.citylearn.{meter}", sequence, reading.at_ms, b"")


def _differences(interval: Interval, hour: Hour) -> Sequence[str]:
    found = [] if interval.shared_wh == hour.shared else [f"{interval.start}: shared {interval.shared_wh}"]
    for row in interval.rows:
        expected = (hour.drawn[row.home], hour.injected[row.home], hour.allocated[row.home], hour.left[row.home])
        settled = (row.import_wh, row.export_wh, row.allocated_wh, row.residual_export_wh)
        if settled != expected or row.residual_import_wh != expected[0] - expected[2] or row.quality != "MEASURED":
            found.append(f"{interval.start} {row.home}: {settled}, the oracle says {expected}")
    return found


@pytest.mark.parametrize("key", ["DYNAMIC", "STATIC", "VIRTUAL"])
def test_every_hour_and_the_year_agree_with_the_oracle_to_the_wh(citylearn: Path, key: AllocationKey) -> None:
    flows = _flows(citylearn)
    differences: list[str] = []
    totals, expected_totals = [0] * 5, [0] * 5
    hours = 0
    for index, interval in enumerate(_settled(citylearn, key)):
        hour = _hour(
            key,
            {home: flow[index][0] for home, flow in flows.items()},
            {home: flow[index][1] for home, flow in flows.items()},
        )
        assert interval.start == datetime.fromtimestamp((BEGIN_MS + index * HOUR) / 1000, UTC).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        )
        differences += _differences(interval, hour)
        for place, field in enumerate(("import_wh", "export_wh", "allocated_wh", "residual_export_wh")):
            totals[place] += sum(getattr(row, field) for row in interval.rows)
        totals[4] += interval.shared_wh
        for place, values in enumerate((hour.drawn, hour.injected, hour.allocated, hour.left)):
            expected_totals[place] += sum(values.values())
        expected_totals[4] += hour.shared
        hours += 1
    assert differences == []
    assert hours == HOURS
    assert totals == expected_totals
    assert totals[0] > totals[4] > 0
