import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from schema.scalars import parse_time, show_bytes, show_duration, show_ratio, show_time, show_watt_hours, show_watts


@pytest.mark.parametrize(
    ("value", "text"),
    [(1500.0, "1500"), (0.0, "0"), (-0.0, "0"), (-1500.25, "-1500.2"), (0.1, "0.1"), (3.04, "3"), (1e9, "1000000000")],
)
def test_watts_have_at_most_one_decimal_and_none_where_whole(value: float, text: str) -> None:
    assert json.dumps(show_watts(value)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.0, "0"), (0.12345, "0.1235"), (0.5, "0.5"), (1 / 3, "0.3333")]
)
def test_ratios_have_at_most_four_decimals(value: float, text: str) -> None:
    assert json.dumps(show_ratio(value)) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_never_shown(value: float) -> None:
    with pytest.raises(ValueError, match="no finite number"):
        show_watts(value)
    with pytest.raises(ValueError, match="no finite number"):
        show_ratio(value)


def test_watt_hours_are_whole_and_may_exceed_32_bits() -> None:
    assert show_watt_hours(5_000_000_000) == 5_000_000_000
    with pytest.raises(ValueError, match="no whole number"):
        show_watt_hours(1.5)


def test_bytes_are_whole_and_may_exceed_32_bits() -> None:
    assert show_bytes(5_000_000_000) == 5_000_000_000
    for wrong in (-1, 1.5, 2**63):
        with pytest.raises(ValueError, match="no number of bytes"):
            show_bytes(wrong)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_900_000_800_000, "2030-03-17T18:00:00Z"),
        (1_900_000_800_050, "2030-03-17T18:00:00.050Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_show_milliseconds_only_where_there_are_some(value: int, text: str) -> None:
    assert show_time(value) == text


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_a_time_reads_back_as_the_same_millisecond(value: int) -> None:
    read = datetime.fromisoformat(show_time(value))
    assert (read - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == value
    assert parse_time(show_time(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2030-03-17T19:00:00+01:00", 1_900_000_800_000),
        ("2030-03-17t18:00:00.0509z", 1_900_000_800_050),
        ("2030-03-17T13:30:00-04:30", 1_900_000_800_000),
    ],
)
def test_a_time_may_have_another_offset(text: str, value: int) -> None:
    assert parse_time(text) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2030-03-17",
        "2030-03-17T18:00Z",
        "2030-03-17T18:00:00",
        "2030-02-30T00:00:00Z",
        "2030-03-17T18:00:00+25:00",
        "20300317T180000Z",
        "2030-W11-7T18:00:00Z",
        "2030-03-17 18:00:00Z",
        "٢030-03-17T18:00:00Z",
        "x" * 99,
        None,
        5,
    ],
)
def test_what_is_no_time_is_refused_with_one_that_is(value: object) -> None:
    with pytest.raises(ValueError, match=r"is no time of RFC 3339: date, time and offset, such as 2030-"):
        parse_time(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(0), "PT0S"),
        (timedelta(minutes=15), "PT15M"),
        (timedelta(hours=1), "PT1H"),
        (timedelta(days=16), "P16D"),
        (timedelta(days=1, hours=2, minutes=3, seconds=4.5), "P1DT2H3M4.5S"),
    ],
)
def test_durations_are_iso_8601(value: timedelta, text: str) -> None:
    assert show_duration(value) == text


@given(st.integers(0, 10**12))
def test_a_duration_reads_back_as_the_same(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert TypeAdapter(timedelta).validate_python(show_duration(value)) == value


def test_a_negative_duration_is_never_shown() -> None:
    with pytest.raises(ValueError, match="negative"):
        show_duration(timedelta(seconds=-1))
