"""Rows: the fields of a settled interval, as JSON names them, and what they are worth."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.rows import Measured, build_interval, measured_of, parse_rfc3339, rfc3339, saved, worst
from bus.messages import decode_interval, encode
from tests.aggregator.harness import NOON, QUARTER, community, home

ENERGY = {
    "b": Measured(300, 0, 0, 0, 0, "MEASURED"),
    "a": Measured(0, 200, 260, 50, 20, "SUBSTITUTED"),
}


def test_a_row_has_the_fields_that_readers_rely_on() -> None:
    interval = build_interval(community("b", "a", "c"), NOON, NOON + QUARTER, ENERGY, 3)
    decoded = msgspec.json.decode(encode(interval))
    rows = decoded.pop("rows")
    assert decoded == {
        "community": "test",
        "start": "2026-06-15T12:00:00Z",
        "end": "2026-06-15T12:15:00Z",
        "revision": 3,
        "status": "PROVISIONAL",
        "currency": "EUR",
        "shared_wh": 200,
    }
    assert [row["home"] for row in rows] == ["a", "b", "c"]
    assert rows[0] == {
        "home": "a",
        "start": "2026-06-15T12:00:00Z",
        "end": "2026-06-15T12:15:00Z",
        "import_wh": 0,
        "export_wh": 200,
        "pv_wh": 260,
        "load_wh": 0 - 200 + 260 + 20 - 50,
        "charge_wh": 50,
        "discharge_wh": 20,
        "allocated_wh": 0,
        "residual_import_wh": 0,
        "residual_export_wh": 0,
        "saving": "0",
        "credit": "1.6",
        "co2_avoided_g": "0",
        "quality": "SUBSTITUTED",
    }
    assert {
        name: rows[1][name] for name in ("import_wh", "allocated_wh", "residual_import_wh", "saving", "credit")
    } == {
        "import_wh": 300,
        "allocated_wh": 200,
        "residual_import_wh": 100,
        "saving": "2.4",
        "credit": "0",
    }
    assert (rows[2]["quality"], rows[2]["import_wh"]) == ("MISSING", 0)


def test_co2_avoided_is_what_was_allocated_times_the_grids_intensity() -> None:
    one = community("a", "b", grid_carbon_intensity=Decimal("180.5"))
    rows = build_interval(one, NOON, NOON + QUARTER, ENERGY, 0).rows
    assert [row.co2_avoided_g for row in rows] == ["0", "36.1"]


def test_what_takes_no_part_stays_in_the_residuals() -> None:
    one = community(home("a", participation=50), home("b", participation=33))
    a, b = build_interval(one, NOON, NOON + QUARTER, ENERGY, 0).rows
    assert (b.import_wh, b.allocated_wh, b.residual_import_wh) == (300, 99, 201)
    assert (a.export_wh, a.residual_export_wh) == (200, 101)


@given(
    st.lists(st.tuples(*[st.integers(0, 5000)] * 5), min_size=1, max_size=8),
    st.sampled_from(("DYNAMIC", "VIRTUAL")),
)
@settings(deadline=None, max_examples=60)
def test_rows_agree_with_one_another_and_survive_json(energy: list[tuple[int, int, int, int, int]], key: str) -> None:
    one = community(*(f"h{n}" for n in range(len(energy))), allocation_key=key)
    measured = {f"h{n}": Measured(*values, "MEASURED") for n, values in enumerate(energy)}
    interval = build_interval(one, NOON, NOON + QUARTER, measured, 0)
    assert decode_interval(encode(interval)) == interval
    assert measured_of(interval) == measured
    exports = sum(row.export_wh for row in interval.rows)
    assert sum(row.allocated_wh + row.residual_export_wh for row in interval.rows) == exports
    for row in interval.rows:
        assert row.residual_import_wh == row.import_wh - row.allocated_wh >= 0
        assert Decimal(row.saving) == row.allocated_wh * Decimal("0.012")
        assert Decimal(row.credit) == (row.export_wh - row.residual_export_wh) * Decimal("0.008")
        assert saved(row) == Decimal(row.saving) + Decimal(row.credit)
        balance = row.import_wh - row.export_wh + row.pv_wh + row.discharge_wh - row.charge_wh
        assert row.load_wh == max(0, balance)


@given(st.permutations(["MEASURED", "SUBSTITUTED", "ESTIMATED", "MISSING"]))
def test_the_worse_of_two_qualities_counts(order: list[str]) -> None:
    ranks = {"MEASURED": 0, "SUBSTITUTED": 1, "ESTIMATED": 2, "MISSING": 3}
    one, other = order[:2]
    assert ranks[worst(one, other)] == max(ranks[one], ranks[other])  # type: ignore[arg-type]  # of Quality


@pytest.mark.parametrize(
    ("time", "written"), [(0, "1970-01-01T00:00:00Z"), (NOON, "2026-06-15T12:00:00Z"), (1, "1970-01-01T00:00:00.001Z")]
)
def test_times_are_rfc_3339_in_utc(time: int, written: str) -> None:
    assert rfc3339(time) == written
    assert parse_rfc3339(written) == time


@given(st.integers(0, 4 * 10**12))
def test_times_come_back_as_they_were(time: int) -> None:
    assert parse_rfc3339(rfc3339(time)) == time
