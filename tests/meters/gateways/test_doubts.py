"""Doubts: what an installer is told, and that a sound meter raises none."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from bus.reading import Reading
from meters.gateways.doubts import Doubts

BEGIN = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


def readings(
    *, draws_w: float | None = 0.0, feeds_w: float | None = 0.0, import_per_h: float = 0.0, export_per_h: float = 0.0
) -> list[Reading]:
    """Return five minutes of a meter's readings, ten seconds apart, with powers and registers as they are asked for."""
    return [
        Reading(
            at=BEGIN + timedelta(seconds=second),
            epoch="E1",
            import_wh=int(5_000_000 + import_per_h * second / 3600),
            export_wh=int(2_000_000 + export_per_h * second / 3600),
            power_import_w=draws_w,
            power_export_w=feeds_w,
        )
        for second in range(0, 310, 10)
    ]


def doubts(all_of: Iterable[Reading]) -> list[str]:
    """Return all that seems wrong with readings, each sentence without its numbers once."""
    doubted = Doubts()
    return list(dict.fromkeys(text for reading in all_of for text in doubted.of(reading)))


@pytest.mark.parametrize("watts", [0.0, 40.0, 1200.0, 11_000.0])
def test_a_sound_meter_raises_no_doubt(watts: float) -> None:
    assert doubts(readings(draws_w=watts, import_per_h=watts)) == []
    assert doubts(readings(feeds_w=watts, export_per_h=watts)) == []


def test_a_meter_that_says_no_power_raises_no_doubt() -> None:
    assert doubts(readings(draws_w=None, feeds_w=None, import_per_h=3000)) == []


def test_a_register_in_kilowatt_hours_taken_for_watt_hours_is_told() -> None:
    assert "the register is in kWh taken for Wh" in doubts(readings(draws_w=2000, import_per_h=2))[0]


def test_a_power_in_kilowatts_taken_for_watts_is_told() -> None:
    assert "the power is in kW taken for W" in doubts(readings(draws_w=2, import_per_h=2000))[0]


def test_a_register_in_watt_hours_taken_for_kilowatt_hours_is_told() -> None:
    assert "or the register in Wh taken for kWh" in doubts(readings(feeds_w=900, export_per_h=900_000))[0]


def test_import_and_export_that_are_swapped_are_told() -> None:
    assert "import and export are swapped" in doubts(readings(draws_w=3000, export_per_h=3000))[0]
    assert "import and export are swapped" in doubts(readings(feeds_w=3000, import_per_h=3000))[0]


def test_a_power_of_one_phase_of_three_is_told() -> None:
    assert "not of all phases" in doubts(readings(draws_w=1000, import_per_h=3500))[0]


def test_a_register_that_fell_or_is_zero_is_told() -> None:
    first, second = readings()[:2]

    assert doubts([first, Reading(at=second.at, epoch="E1", import_wh=4_999_900, export_wh=2_000_000)]) == [
        "the import register fell from 5,000,000 to 4,999,900 Wh, which none does"
    ]
    assert doubts([first, Reading(at=second.at, epoch="E1", import_wh=5_000_000, export_wh=0)]) == [
        "the export register is 0 and was 2,000,000 Wh: the device started anew, or lost the value"
    ]


def test_zeros_of_a_device_that_has_just_started_are_told() -> None:
    assert doubts([Reading(at=BEGIN, epoch="E1", import_wh=0, export_wh=0)])[0].startswith("both registers are 0")


def test_values_beyond_a_house_are_told() -> None:
    said = doubts([Reading(at=BEGIN, import_wh=2 * 10**9, export_wh=1, power_import_w=250_000.0)])

    assert said == [
        "it draws 250,000 W, more than a house can: is its unit W, and not mW?",
        "the import register is 2,000,000,000 Wh, more than a house's: is its unit Wh, and not kWh?",
    ]


def test_another_meter_and_a_time_that_goes_back_are_told() -> None:
    first, second, third = readings()[:3]
    other = Reading(at=second.at, epoch="E2", import_wh=17, export_wh=3)

    assert doubts([first, other]) == ["another meter: the serial number is 'E2' and was 'E1'"]
    assert doubts([first, third, second]) == ["the time went back from 20:00:20 to 20:00:10 UTC"]


def test_a_gap_in_which_the_register_rose_raises_no_doubt() -> None:
    before, after = readings(draws_w=100, import_per_h=100)[:2]
    late = Reading(at=after.at + timedelta(hours=3), epoch="E1", import_wh=5_009_000, export_wh=2_000_000)

    assert doubts([before, after, late]) == []
