"""The local time of a telegram: the flag decides, wherever the meter is."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.gateways.localtime import ClockError, utc_of

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@pytest.mark.parametrize(
    ("text", "zone", "at"),
    [
        ("170102192002W", "Europe/Amsterdam", datetime(2017, 1, 2, 18, 20, 2)),
        ("170702192002S", "Europe/Amsterdam", datetime(2017, 7, 2, 17, 20, 2)),
        ("261025020000S", "Europe/Amsterdam", datetime(2026, 10, 25, 0, 0)),
        ("261025025959S", "Europe/Amsterdam", datetime(2026, 10, 25, 0, 59, 59)),
        ("261025020000W", "Europe/Amsterdam", datetime(2026, 10, 25, 1, 0)),
        ("260329015959W", "Europe/Amsterdam", datetime(2026, 3, 29, 0, 59, 59)),
        ("260329030000S", "Europe/Amsterdam", datetime(2026, 3, 29, 1, 0)),
        ("260701120000S", "Europe/Dublin", datetime(2026, 7, 1, 11, 0)),
        ("260101120000W", "Europe/Dublin", datetime(2026, 1, 1, 12, 0)),
        ("260701120000S", "Europe/Helsinki", datetime(2026, 7, 1, 9, 0)),
        ("260701120000W", "Europe/Stockholm", datetime(2026, 7, 1, 11, 0)),
        ("260701120000", "Europe/Stockholm", datetime(2026, 7, 1, 10, 0)),
        ("240229120000W", "Europe/Amsterdam", datetime(2024, 2, 29, 11, 0)),
    ],
)
def test_local_time_is_utc_by_its_flag(text: str, zone: str, at: datetime) -> None:
    assert utc_of(text, ZoneInfo(zone))[0] == at.replace(tzinfo=UTC)


def test_a_flag_that_the_calendar_does_not_know_is_believed_and_told() -> None:
    at, hint = utc_of("260101120000S", AMSTERDAM)

    assert at == datetime(2026, 1, 1, 10, 0, tzinfo=UTC)
    assert hint.startswith("the meter says summer time where Europe/Amsterdam has none")
    assert utc_of("260701120000S", AMSTERDAM)[1] == ""
    assert utc_of("260701120000W", ZoneInfo("Africa/Nairobi"))[1] == ""


@pytest.mark.parametrize(
    "text",
    ["632525252525W", "260230120000W", "260101240000W", "260101126000W", "26 101120000W", "２60101120000W", "", "W"],
)
def test_what_no_calendar_has_is_no_time(text: str) -> None:
    with pytest.raises(ClockError):
        utc_of(text, AMSTERDAM)


@pytest.mark.parametrize("text", ["000101000000W", "091231235959W"])
def test_a_clock_that_was_lost_is_no_time(text: str) -> None:
    with pytest.raises(ClockError, match="lost its clock"):
        utc_of(text, AMSTERDAM)


@given(st.datetimes(datetime(2012, 1, 1), datetime(2068, 1, 1)).map(lambda at: at.replace(microsecond=0)))
def test_every_moment_comes_back_from_the_local_time_that_a_meter_shows(at: datetime) -> None:
    moment = at.replace(tzinfo=UTC)
    local = moment.astimezone(AMSTERDAM)
    flag = "S" if local.dst() else "W"

    assert utc_of(f"{local:%y%m%d%H%M%S}{flag}", AMSTERDAM) == (moment, "")
