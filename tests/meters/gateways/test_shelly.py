"""Shelly's own messages, as its API reference shows them, and what becomes of each field."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from meters.gateways.shelly import measured
from meters.gateways.source import Register

EM: dict[str, Any] = {
    "id": 0,
    "a_current": 4.029,
    "a_voltage": 236.1,
    "a_act_power": 951.2,
    "b_act_power": -51.2,
    "c_act_power": 0.0,
    "n_current": None,
    "total_current": 11.083,
    "total_act_power": -2484.782,
    "total_aprt_power": 2486.7,
    "user_calibrated_phase": [],
}
EMDATA = {
    "id": 0,
    "a_total_act_energy": 1000.11,
    "a_total_act_ret_energy": 0.0,
    "total_act": 3123456.78,
    "total_act_ret": 15.99,
}
EM1 = {"id": 1, "current": 4.1, "voltage": 230.3, "act_power": 941.6, "aprt_power": 943.0, "calibration": "factory"}
EM1DATA = {"id": 1, "total_act_energy": 4321.5, "total_act_ret_energy": 12.25}
PM1 = {
    "id": 0,
    "voltage": 229.1,
    "current": 1.2,
    "apower": -274.5,
    "freq": 50.0,
    "aenergy": {"total": 11.679, "by_minute": [0.0, 0.0, 0.0], "minute_ts": 1654511972},
    "ret_aenergy": {"total": 5817.25, "by_minute": [4.5, 4.5, 4.6], "minute_ts": 1654511972},
}
SWITCH = {
    "id": 2,
    "source": "init",
    "output": True,
    "apower": 8.9,
    "voltage": 237.5,
    "current": 0.0,
    "aenergy": {"total": 6.532, "by_minute": [45.199, 47.141, 88.397], "minute_ts": 1626935779},
    "temperature": {"tC": 23.5, "tF": 74.4},
}


def one(tail: str, document: Any) -> Any:
    (found,) = measured(tail, json.dumps(document).encode())
    return found


# --- each component ---


def test_three_phases_say_their_signed_sum() -> None:
    found = one("status/em:0", EM)
    assert (found.channel, found.power_w, found.import_wh, found.at) == ("em:0", -2484.782, None, None)
    assert found.registers == (Register("em:0 total_act_power", "-2484.782 W", "power_export_w", "2484.78 W"),)


def test_the_registers_of_three_phases_are_in_wh_and_belong_to_the_same_channel() -> None:
    found = one("status/emdata:0", EMDATA)
    assert (found.channel, found.power_w) == ("em:0", None)
    assert (found.import_wh, found.export_wh) == (Decimal("3123456.78"), Decimal("15.99"))
    assert found.registers == (
        Register("emdata:0 total_act", "3123456.78 Wh", "import_wh", "3123456 Wh"),
        Register("emdata:0 total_act_ret", "15.99 Wh", "export_wh", "15 Wh"),
    )


def test_one_phase_by_its_number() -> None:
    assert one("status/em1:1", EM1).channel == one("status/em1data:1", EM1DATA).channel == "em1:1"
    assert one("status/em1:1", EM1).power_w == 941.6
    assert one("status/em1data:1", EM1DATA)[1:3] == (Decimal("4321.5"), Decimal("12.25"))


def test_a_meter_says_power_and_registers_at_once() -> None:
    found = one("status/pm1:0", PM1)
    assert found[:4] == ("pm1:0", Decimal("11.679"), Decimal("5817.25"), -274.5)


def test_a_switch_without_returned_energy_exports_nothing() -> None:
    found = one("status/switch:2", SWITCH)
    assert found[:4] == ("switch:2", Decimal("6.532"), None, 8.9)


# --- notifications ---


def test_a_notification_holds_several_components_and_its_time() -> None:
    note = {
        "src": "shellypro3em-0cb815fd1234",
        "dst": "shellypro3em-0cb815fd1234/events",
        "method": "NotifyStatus",
        "params": {"ts": 1795478400.5, "em:0": EM, "emdata:0": EMDATA, "wifi": {"rssi": -60}},
    }
    found = measured("events/rpc", json.dumps(note).encode())
    assert [(part.channel, part.power_w is None) for part in found] == [("em:0", False), ("em:0", True)]
    assert {part.at for part in found} == {datetime(2026, 11, 24, 0, 0, 0, 500_000, UTC)}


def test_a_notification_of_a_part_says_that_part() -> None:
    part = {"ts": 1795478400.0, "switch:2": {"id": 2, "apower": 9.5}}
    (found,) = measured("events/rpc", json.dumps({"method": "NotifyStatus", "params": part}).encode())
    assert found[:4] == ("switch:2", None, None, 9.5)


@pytest.mark.parametrize(
    ("tail", "document"),
    [
        ("online", True),
        ("status/wifi", {"rssi": -60}),
        ("status/sys", {"unixtime": 1795478400}),
        ("status/switch:0", {"id": 0, "output": True}),
        ("status/temperature:100", {"tC": 20}),
        ("events/rpc", {"method": "NotifyEvent", "params": {"ts": 1.0, "events": []}}),
        ("events/rpc", {"method": "NotifyStatus", "params": {"ts": 1.0, "switch:0": {"id": 0, "output": False}}}),
        ("rpc", {"id": 1}),
    ],
)
def test_what_says_nothing_of_energy_is_nothing(tail: str, document: Any) -> None:
    assert measured(tail, json.dumps(document).encode()) == ()


# --- what is refused ---


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"total_act": 12, "total_act_ret"', "malformed"),
        (b"[1]", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"{}" + b" " * 20_000, "too_large"),
        (b"[" * 10_000, "malformed"),
        (b'{"total_act": "12", "total_act_ret": 0}', "wrong_type"),
        (b'{"total_act": true, "total_act_ret": 0}', "wrong_type"),
        (b'{"total_act": NaN, "total_act_ret": 0}', "not_finite"),
        (b'{"total_act": Infinity, "total_act_ret": 0}', "not_finite"),
        (b'{"total_act": -0.1, "total_act_ret": 0}', "negative"),
        (b'{"total_act": 1e12, "total_act_ret": 0}', "out_of_range"),
        (b'{"total_act": 1e999999, "total_act_ret": 0}', "out_of_range"),
        (b'{"total_act": 1e9999999999999999999, "total_act_ret": 0}', "malformed"),
        (b'{"total_act": ' + b"1" * 5000 + b"}", "out_of_range"),
        (b'{"id": 0, "total_act": null, "total_act_ret": null}', "missing_field"),
    ],
)
def test_a_message_that_is_none_is_refused_with_its_reason(payload: bytes, reason: str) -> None:
    (found,) = measured("status/emdata:0", payload)
    assert found.refusal is not None
    assert found.refusal.reason == reason
    assert found.import_wh is None


def test_what_the_device_says_is_wrong_is_shown() -> None:
    found = one("status/emdata:0", {**EMDATA, "errors": ["database_error", "ct_type_not_set"]})
    assert found.hints == ("the device says: database_error", "the device says: ct_type_not_set")
    assert "power_meter_failure" in one("status/em:0", {"id": 0, "errors": ["power_meter_failure"]}).refusal.detail
