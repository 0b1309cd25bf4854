"""Tasmota's own messages: of devices that measure, and of meters read through an optical head."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from meters.gateways.source import Register
from meters.gateways.tasmota import Names, measured

PLUG = {
    "Time": "2026-11-23T22:00:00",
    "ENERGY": {
        "TotalStartTime": "2024-01-01T10:00:00",
        "Total": 123.4567,
        "Yesterday": 1.2,
        "Today": 0.5,
        "Period": 0,
        "Power": 120,
        "ApparentPower": 140,
        "Factor": 0.86,
        "Voltage": 231,
        "Current": 0.6,
    },
}
HEAD = {"Time": "2026-11-23T22:00:00", "SML": {"Total_in": 1234.5678, "Total_out": 0.1239, "Power_curr": -234}}


def said(document: Any, names: Names | None = None) -> Any:
    payload = json.dumps(document).encode()
    return measured(payload) if names is None else measured(payload, names)


def test_a_plug_says_kwh_and_w() -> None:
    found = said(PLUG)
    assert found[:5] == ("", Decimal("123456.7000"), Decimal(0), 120.0, None)
    assert found.registers == (
        Register("ENERGY.Total", "123.4567 kWh", "import_wh", "123456 Wh"),
        Register("ENERGY.Power", "120 W", "power_import_w", "120 W"),
    )
    assert found.hints == ()


def test_phases_are_added_up_and_what_is_exported_is_told_apart() -> None:
    energy = {"Total": [1.5, 2.25, 3.0], "ExportActive": [0.5, 0, 0.125], "Power": [100, -350, 0]}
    found = said({"ENERGY": energy})
    assert found[:4] == ("", Decimal("6750.00"), Decimal("625.000"), -250.0)


def test_an_optical_head_says_what_the_meter_says() -> None:
    found = said(HEAD)
    assert found[:4] == ("", Decimal("1234567.8000"), Decimal("123.9000"), -234.0)
    assert found.registers[2] == Register("SML.Power_curr", "-234 W", "power_export_w", "234 W")


@pytest.mark.parametrize("group", [{"E_in": 1.5, "E_out": 0.25, "P": -3}, {"1_8_0": 1.5, "2_8_0": 0.25, "16_7_0": -3}])
def test_other_usual_names_are_known(group: dict[str, float]) -> None:
    found = said({"Time": "2026-11-23T22:00:00", "MT175": group, "ENERGY": {"Total": 0, "Power": 0}})
    assert found[1:4] == (Decimal("1500.0"), Decimal("250.00"), -3.0)


def test_names_of_a_scripts_own_are_given_as_paths_and_tariffs_added_up() -> None:
    names = Names(("Haus.T1", "Haus.T2"), ("Haus.Rueck",), ("Haus.Leistung",))
    found = said({"Haus": {"T1": 10.5, "T2": 2, "Rueck": 1, "Leistung": 50}}, names)
    assert found[1:4] == (Decimal("12500.0"), Decimal(1000), 50.0)
    assert said({"Haus": {"T1": 10.5}}, names).refusal.detail == "there is no Haus.T2"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"ENERGY":{"Total":1.2', "malformed"),
        (b'"text"', "malformed"),
        (b'{"Time":"2026-11-23T22:00:00","DS18B20":{"Temperature":20.6}}', "missing_field"),
        (b'{"ENERGY":{"Total":-1}}', "negative"),
        (b'{"ENERGY":{"Total":NaN}}', "not_finite"),
        (b'{"ENERGY":{"Total":null}}', "wrong_type"),
        (b'{"ENERGY":{"Total":1e9}}', "out_of_range"),
        (b'{"ENERGY":{"Total":1,"Power":1e9}}', "out_of_range"),
        (b'{"ENERGY":{"Total":[1,"2"]}}', "wrong_type"),
    ],
)
def test_a_message_that_is_none_is_refused_with_its_reason(payload: bytes, reason: str) -> None:
    found = measured(payload)
    assert found.refusal is not None
    assert found.refusal.reason == reason


def test_what_names_are_there_is_said_where_none_is_known() -> None:
    assert "Haus with T1, T2" in said({"Haus": {"T1": 1, "T2": 2}}).refusal.detail


def test_a_local_time_counts_for_nothing_and_one_with_an_offset_counts() -> None:
    assert said(PLUG).at is None
    assert said({**PLUG, "Time": "2026-11-23T22:00:00+01:00"}).at == datetime(2026, 11, 23, 21, tzinfo=UTC)


def test_a_clock_that_is_not_set_is_seen() -> None:
    found = said({**PLUG, "Time": "1970-01-01T00:00:12"})
    assert found.at is None
    assert found.hints == ("the device's clock is not set, it says 1970-01-01T00:00:12: the time of receipt",)
