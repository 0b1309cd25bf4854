"""What is a reading, and why what is none is refused."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.reading import MAX_BYTES, MAX_POWER_W, MAX_REGISTER_WH, REASONS, Reading, RefusalError, Refused, parse

_FIELDS: dict[str, Any] = {"at": "2026-01-31T12:00:00Z", "import_wh": 1200, "export_wh": 0}


def _payload(**fields: Any) -> bytes:
    return json.dumps({key: value for key, value in {**_FIELDS, **fields}.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"at": ...}, "missing_field"),
        ({"import_wh": ...}, "missing_field"),
        ({"export_wh": ...}, "missing_field"),
        ({"import_wh": "1200"}, "wrong_type"),
        ({"import_wh": None}, "wrong_type"),
        ({"import_wh": True}, "wrong_type"),
        ({"import_wh": 0.5}, "wrong_type"),
        ({"import_wh": [1]}, "wrong_type"),
        ({"power_import_w": "5"}, "wrong_type"),
        ({"power_import_w": False}, "wrong_type"),
        ({"correction": "yes"}, "wrong_type"),
        ({"correction": 1}, "wrong_type"),
        ({"epoch": ["1"]}, "wrong_type"),
        ({"sequence": 1.5}, "wrong_type"),
        ({"import_wh": float("nan")}, "not_finite"),
        ({"export_wh": float("inf")}, "not_finite"),
        ({"power_export_w": float("-inf")}, "not_finite"),
        ({"state_of_charge": float("nan")}, "not_finite"),
        ({"import_wh": -1}, "negative"),
        ({"export_wh": -1.0}, "negative"),
        ({"power_import_w": -0.1}, "negative"),
        ({"sequence": -1}, "negative"),
        ({"import_wh": MAX_REGISTER_WH}, "out_of_range"),
        ({"import_wh": 10**40}, "out_of_range"),
        ({"power_import_w": MAX_POWER_W + 1}, "out_of_range"),
        ({"state_of_charge": 55}, "out_of_range"),
        ({"sequence": 2**63}, "out_of_range"),
        ({"epoch": "x" * 65}, "out_of_range"),
        ({"quality": "GUESSED"}, "out_of_range"),
        ({"at": "2026-01-31T12:00:00"}, "invalid_time"),
        ({"at": "2026-01-31"}, "invalid_time"),
        ({"at": "yesterday"}, "invalid_time"),
        ({"at": "2026-02-30T00:00:00Z"}, "invalid_time"),
        ({"at": "9999-12-31T23:59:59Z"}, "invalid_time"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "invalid_time"),
        ({"at": None}, "invalid_time"),
        ({"at": 1769860800}, "invalid_time"),
        ({"at": "1769860800"}, "invalid_time"),
        ({"at": True}, "invalid_time"),
        ({"meter": "Home 1"}, "invalid_id"),
        ({"meter": "home-01\n"}, "invalid_id"),
        ({"meter": ""}, "invalid_id"),
        ({"meter": 1}, "invalid_id"),
    ],
)
def test_a_bad_field_is_refused_with_its_reason(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusalError) as refusal:
        parse(_payload(**fields))
    assert refusal.value.reason == reason
    assert next(iter(fields)) in str(refusal.value), "the text names the field"


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"null", b"[]", b"42", b'"reading"', b"\xff\xfe", b"[" * 3000, b'{"at":', b"{}{}"],
)
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    with pytest.raises(RefusalError) as refusal:
        parse(payload)
    assert refusal.value.reason == "malformed_json"


def test_a_payload_over_4_kib_is_refused_unread() -> None:
    reading = _payload()
    assert parse(reading.ljust(MAX_BYTES)).import_wh == 1200
    with pytest.raises(RefusalError, match="4097 bytes") as refusal:
        parse(reading.ljust(MAX_BYTES + 1))
    assert refusal.value.reason == "too_large"


def test_the_text_of_a_refusal_shows_a_long_value_shortened() -> None:
    with pytest.raises(RefusalError) as refusal:
        parse(_payload(import_wh="1" * 3000))
    assert len(str(refusal.value)) < 300


def test_a_whole_number_written_as_a_float_is_taken() -> None:
    assert parse(_payload(import_wh=1200.0)).import_wh == 1200


def test_a_numeric_epoch_is_taken_as_text() -> None:
    assert parse(_payload(epoch=7)).epoch == "7"


def test_unknown_fields_are_ignored() -> None:
    assert parse(_payload(vendor="x", nested={"a": [1]})).export_wh == 0


def test_a_time_with_any_offset_is_the_same_moment() -> None:
    utc, vienna = parse(_payload()), parse(_payload(at="2026-01-31T13:00:00+01:00"))
    assert utc.at == vienna.at
    assert utc.at_ms == vienna.at_ms == 1_769_860_800_000


def test_the_wire_form_leaves_out_what_says_nothing() -> None:
    reading = Reading(at=datetime(2026, 1, 31, 12, tzinfo=UTC), import_wh=5, export_wh=0)
    assert json.loads(reading.to_bytes()) == {"at": "2026-01-31T12:00:00Z", "import_wh": 5, "export_wh": 0}


def test_what_a_gateway_refused_is_refused_with_its_words() -> None:
    told = Refused(
        refused="crc",
        detail="CRC 1234, expected 5678",
        received_at=datetime(2026, 1, 31, tzinfo=UTC),
        size=900,
        payload="/KFM5KAIFA-METER",
    )
    with pytest.raises(RefusalError) as refusal:
        parse(told.to_bytes())
    assert refusal.value.reason == "refused_at_gateway"
    assert refusal.value.reason in REASONS
    assert str(refusal.value) == "crc: CRC 1234, expected 5678"


_readings = st.builds(
    Reading,
    meter=st.none() | st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True),
    at=st.datetimes(
        datetime(1970, 1, 2), datetime(2199, 12, 30), timezones=st.sampled_from([UTC, timezone(timedelta(hours=5.5))])
    ),
    epoch=st.text(st.characters(exclude_categories=["Cs"]), max_size=64),
    import_wh=st.integers(0, MAX_REGISTER_WH - 1),
    export_wh=st.integers(0, MAX_REGISTER_WH - 1),
    power_import_w=st.none() | st.floats(0, MAX_POWER_W),
    power_export_w=st.none() | st.floats(0, MAX_POWER_W),
    state_of_charge=st.none() | st.floats(0, 1),
    quality=st.sampled_from(["MEASURED", "SUBSTITUTED", "ESTIMATED"]),
    sequence=st.none() | st.integers(0, 2**63 - 1),
    correction=st.booleans(),
)


@given(_readings)
@settings(deadline=None)
def test_a_reading_comes_back_from_the_wire_as_it_was(reading: Reading) -> None:
    assert parse(reading.to_bytes()) == reading


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(Reading.__struct_fields__, _json)))
@settings(deadline=None)
def test_any_json_object_is_a_reading_or_refused_with_a_known_reason(fields: dict[str, Any]) -> None:
    _read_or_refused(_payload(**fields))


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_a_reading_or_refused_with_a_known_reason(payload: bytes) -> None:
    _read_or_refused(payload)


def _read_or_refused(payload: bytes) -> None:
    try:
        reading = parse(payload)
    except RefusalError as refusal:
        reason = refusal.reason
    else:
        assert parse(reading.to_bytes()) == reading
        return
    assert reason in REASONS
