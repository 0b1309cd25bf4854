"""The CityLearn year, settled without meters and NATS, and its totals in plain Python from the files alone."""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from aggregator.rows import Measured, build_interval
from bus.community import Community
from bus.history import Totals
from bus.messages import Interval
from meters.citylearn import TIMEZONE, load_citylearn
from tests.aggregator.test_citylearn_oracle import BEGIN_MS, HOURS, Hour, _flows, _hour

HOUR = 3_600_000
END_MS = BEGIN_MS + HOURS * HOUR
ZONE = ZoneInfo(TIMEZONE)


class Told(NamedTuple):
    """What the oracle says of one hour: shares of energy, and what each building's sun gave, in Wh."""

    start: int
    hour: Hour
    sun: dict[str, int]


def settle(folder: Path, told: Sequence[Told]) -> tuple[Community, list[Interval]]:
    """Return the community, and each hour as the aggregator would settle it."""
    community = load_citylearn(folder).community("citylearn")
    intervals = []
    for start, hour, sun in told:
        measured = {
            home: Measured(hour.drawn[home], hour.injected[home], sun[home], quality="MEASURED") for home in hour.drawn
        }
        intervals.append(build_interval(community, start, start + HOUR, measured, 0))
    return community, intervals


def tell(folder: Path) -> list[Told]:
    """Return the year hour by hour: read from the files, shared pro rata."""
    flows, suns = _flows(folder), _suns(folder)
    told = []
    for index in range(HOURS):
        hour = _hour(
            "DYNAMIC",
            {home: flow[index][0] for home, flow in flows.items()},
            {home: flow[index][1] for home, flow in flows.items()},
        )
        told.append(Told(BEGIN_MS + index * HOUR, hour, {home: sun[index] for home, sun in suns.items()}))
    return told


def _suns(folder: Path) -> dict[str, list[int]]:
    described = json.loads((folder / "schema.json").read_text(), parse_float=Decimal)["buildings"].values()
    size = {one["energy_simulation"]: one["pv"]["attributes"]["nominal_power"] for one in described}
    suns = {}
    for number in range(1, 18):
        name = f"Building_{number}.csv"
        total, shown, hours = Decimal(0), 0, []
        with (folder / name).open() as file:
            for row in csv.DictReader(file):
                total += Decimal(row["solar_generation"]) * size[name]
                hours.append(round(total) - shown)
                shown = round(total)
        suns[f"building-{number:02}"] = hours
    return suns


def by_local(told: Iterable[Told], key: Callable[[datetime], object]) -> list[list[Told]]:
    """Return the hours in groups that have the same local month, week or other."""
    groups: dict[object, list[Told]] = {}
    for one in told:
        groups.setdefault(key(datetime.fromtimestamp(one.start / 1000, UTC).astimezone(ZONE)), []).append(one)
    return list(groups.values())


def differences(found: Totals, told: Sequence[Told], home: str | None, community: Community) -> list[str]:
    """Return where totals differ from what the oracle says of the same hours."""
    homes = [home] if home else list(told[0].hour.drawn)
    drawn = sum(one.hour.drawn[who] for one in told for who in homes)
    injected = sum(one.hour.injected[who] for one in told for who in homes)
    sun = sum(one.sun[who] for one in told for who in homes)
    allocated = sum(one.hour.allocated[who] for one in told for who in homes)
    left = sum(one.hour.left[who] for one in told for who in homes)
    # Registers are rounded, so by a Wh or two an hour may seem to have less than no load.
    load = sum(max(0, one.hour.drawn[who] - one.hour.injected[who] + one.sun[who]) for one in told for who in homes)
    shared = 0 if home else allocated
    tariff = community.tariff
    cents = Fraction(100, 1000)
    peaks = [(sum(one.hour.drawn[who] for who in homes), -one.start) for one in told]
    expected = {
        "intervals": len(told),
        "measured": len(told) * len(homes),
        "import_wh": drawn,
        "export_wh": injected,
        "pv_wh": sun,
        "load_wh": load,
        "allocated_wh": allocated,
        "shared_wh": allocated,
        "residual_import_wh": drawn - allocated,
        "residual_export_wh": left,
        "saving": allocated * (Fraction(tariff.supplier_price) - Fraction(tariff.community_price)) * cents,
        "credit": (injected - left) * (Fraction(tariff.community_price) - Fraction(tariff.feed_in_price)) * cents,
        "co2_avoided_g": allocated * Fraction(community.grid_carbon_intensity) / 1000,
        "self_sufficiency": (load - drawn + shared) / load,
        "self_consumption": (sun - injected + shared) / sun if sun else None,
        "peak_import_wh": max(peaks)[0],
        "peak_import_at": -max(peaks)[1],
        "currency": "USD",
    }
    shown = {name: getattr(found, name) for name in expected}
    for name in ("saving", "credit", "co2_avoided_g"):
        shown[name] = Fraction(shown[name])
    return [
        f"{name}: {shown[name]}, the oracle says {value}" for name, value in expected.items() if shown[name] != value
    ]
