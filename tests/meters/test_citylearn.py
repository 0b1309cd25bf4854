"""The CityLearn folder becomes registers that never drift, and what is malformed is named."""

import csv
import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.reading import Reading
from meters.citylearn import Building, CityLearn, load_citylearn
from meters.errors import RecordingError
from tests.meters.recording import write_folder

START = datetime(2021, 8, 1, 7, tzinfo=UTC)

_kwh: st.SearchStrategy[Decimal] = st.decimals(0, 50, places=8)
_hours = st.lists(st.tuples(_kwh, _kwh), min_size=1, max_size=200)


def _by_meter(recording: CityLearn, first: int = 0) -> dict[str, list[Reading]]:
    hours = list(recording.readings(START, first))
    return {meter: [readings[place] for readings in hours] for place, meter in enumerate(recording.meters)}


@given(_hours)
@settings(deadline=None, max_examples=50)
def test_registers_are_the_exact_sums_rounded_once(hours: list[tuple[Decimal, Decimal]]) -> None:
    imports, exports = tuple(hour[0] for hour in hours), tuple(hour[1] for hour in hours)
    recording = CityLearn((Building(1, Decimal(4), imports, exports, exports),), Decimal("0.2"), Decimal("0.1"))
    grid = _by_meter(recording)["building-01-grid"]
    assert len(grid) == len(hours) + 1
    for border, reading in enumerate(grid):
        assert abs(reading.import_wh - 1000 * sum(imports[:border], Decimal(0))) <= Decimal("0.5")
        assert abs(reading.export_wh - 1000 * sum(exports[:border], Decimal(0))) <= Decimal("0.5")
    for (before, after), (imported, exported) in zip(pairwise(grid), hours, strict=True):
        assert after.at - before.at == timedelta(hours=1)
        assert after.import_wh >= before.import_wh
        assert after.power_import_w == pytest.approx(float(imported) * 1000, abs=0.051)
        assert after.power_export_w == pytest.approx(float(exported) * 1000, abs=0.051)


def test_the_first_reading_bounds_the_first_hour(tmp_path: Path) -> None:
    recording = load_citylearn(write_folder(tmp_path))
    hours = list(recording.readings(START))
    assert len(hours) == 49
    assert all(
        (r.at, r.import_wh, r.export_wh, r.power_import_w, r.power_export_w) == (START, 0, 0, None, None)
        for r in hours[0]
    )
    assert {reading.at for reading in hours[-1]} == {START + timedelta(hours=48)}


def test_begun_in_the_middle_it_is_the_same_recording(tmp_path: Path) -> None:
    recording = load_citylearn(write_folder(tmp_path))
    whole = list(recording.readings(START))
    for first in (0, 1, 17, 48, 49):
        assert list(recording.readings(START, first)) == whole[first:]


def test_each_building_has_a_grid_and_a_pv_meter_in_the_order_of_its_number(tmp_path: Path) -> None:
    recording = load_citylearn(write_folder(tmp_path, buildings=11))
    assert recording.meters[:3] == ("building-01-grid", "building-01-pv", "building-02-grid")
    assert recording.meters[-1] == "building-11-pv"
    assert recording.buildings[10].pv_kw == Decimal("14.5")


def test_its_community_settles_by_the_hour_and_goes_by_the_readings_times(tmp_path: Path) -> None:
    community = load_citylearn(write_folder(tmp_path)).community("test")
    assert (community.id, community.allocation_key, community.clock) == ("test", "DYNAMIC", "event")
    assert community.settlement_interval == timedelta(hours=1)
    assert community.timezone == "America/Los_Angeles"
    assert community.tariff.supplier_price == Decimal("0.3")
    assert community.tariff.community_price == Decimal("0.2")
    assert community.tariff.feed_in_price == Decimal("0.1")
    assert community.grid_carbon_intensity == Decimal(160)


def test_a_years_registers_equal_the_files_sums_to_the_wh(citylearn: Path) -> None:
    """The sums are computed anew here, in plain floating point added exactly (fsum)."""
    recording = load_citylearn(citylearn)
    last = {meter: readings[-1] for meter, readings in _by_meter(recording, first=recording.hours).items()}
    described = json.loads((citylearn / "schema.json").read_text())["buildings"].values()
    kilowatts = {one["energy_simulation"]: one["pv"]["attributes"]["nominal_power"] for one in described}
    assert len(last) == 34
    for number in range(1, 18):
        with (citylearn / f"Building_{number}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 8760 == recording.hours
        load = [1000 * float(row["non_shiftable_load"]) for row in rows]
        pv = [float(row["solar_generation"]) * kilowatts[f"Building_{number}.csv"] for row in rows]
        net = [used - made for used, made in zip(load, pv, strict=True)]
        grid, roof = last[f"building-{number:02}-grid"], last[f"building-{number:02}-pv"]
        assert grid.import_wh == round(math.fsum(value for value in net if value > 0))
        assert grid.export_wh == round(math.fsum(-value for value in net if value < 0))
        assert (roof.import_wh, roof.export_wh) == (0, round(math.fsum(pv)))
        drawn = grid.import_wh - grid.export_wh + roof.export_wh
        assert drawn == pytest.approx(math.fsum(load), abs=1.5)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("Building_2.csv", "8,3,", "8,3,x", r"Building_2\.csv, line 4, column 'non_shiftable_load': 'x.*a number"),
        ("Building_2.csv", "8,3,", "8,3,-", r"Building_2\.csv, line 4, column 'non_shiftable_load': '-"),
        ("Building_1.csv", "8,3,", "8,3,nan,", r"Building_1\.csv, line 4, column 'non_shiftable_load': 'nan'"),
        ("Building_1.csv", "8,3,", "8,3,,", r"line 4, column 'non_shiftable_load': ''"),
        ("Building_1.csv", "8,3,", "8,3\n8,3,", r"line 4, column 'non_shiftable_load': ''"),
        ("Building_1.csv", "8,3,", "8,3,1e9,", r"line 4, column 'non_shiftable_load': '1e9'; expected .* to 10000"),
        ("Building_1.csv", "8,3,", '8,"3,', r"Building_1\.csv, line \d+: not CSV|column"),
        ("Building_1.csv", "solar_generation", "sun", r"line 1: column 'solar_generation' is missing; found 'month, "),
        ("Building_2.csv", "8,24,", "8,24,1,1\n8,24,", r"Building_2\.csv: 49 rows; Building_1\.csv has 48"),
        ("pricing.csv", "0.4", "cheap", r"pricing\.csv, line 3, column 'electricity_pricing': 'cheap'"),
        ("carbon_intensity.csv", "0.15\n0.17\n", "", r"carbon_intensity\.csv: no rows below the header"),
        ("schema.json", "Building_2.csv", "Building_9.csv", r"schema\.json: no building with .* 'Building_2\.csv'"),
        ("schema.json", "nominal_power", "power", r"schema\.json: expected buildings\.<name>"),
        ("schema.json", "4.5", '"much"', r"schema\.json: .*"),
        ("schema.json", "4.5", "-4.5", r"schema\.json: nominal_power of Building_1\.csv is -4\.5; expected 0 to"),
        ("schema.json", "{", "", r"schema\.json: not readable: .*line 1"),
    ],
)
def test_what_is_malformed_is_named_by_file_line_and_column(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    path = write_folder(tmp_path) / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RecordingError, match=message):
        load_citylearn(tmp_path)


@pytest.mark.parametrize("file", ["pricing.csv", "carbon_intensity.csv", "schema.json"])
def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path, file: str) -> None:
    folder = write_folder(tmp_path)
    (folder / file).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordingError, match=file):
        load_citylearn(folder)
    (folder / file).unlink()
    with pytest.raises(RecordingError, match=rf"{file}: not readable"):
        load_citylearn(folder)


def test_a_folder_without_buildings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"no Building_1\.csv"):
        load_citylearn(tmp_path)
