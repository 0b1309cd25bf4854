"""Agreement: two sources of one meter, and what it means where they differ."""

from datetime import UTC, datetime, timedelta

from bus.reading import Reading
from meters.gateways.agreement import Agreement

BEGIN = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


def reading(
    net_w: float | None = 1200.0, import_wh: int = 5_000_000, export_wh: int = 2_000_000, second: int = 0
) -> Reading:
    """Return a reading with a power, positive when drawn."""
    return Reading(
        at=BEGIN + timedelta(seconds=second),
        import_wh=import_wh,
        export_wh=export_wh,
        power_import_w=None if net_w is None else max(net_w, 0.0),
        power_export_w=None if net_w is None else max(-net_w, 0.0),
    )


def differences(one: Reading, two: Reading, times: int = 1) -> list[str]:
    """Return what is said when two sources give these readings, so many times."""
    agreement = Agreement()
    said: list[str] = []
    for _ in range(times):
        said = [*agreement.of("p1", one), *agreement.of("mqtt", two)]
    return said


def test_sources_that_say_the_same_agree() -> None:
    assert differences(reading(), reading(1210, 5_000_003, 2_000_000, second=4), times=5) == []


def test_a_source_that_says_no_power_agrees_by_its_registers() -> None:
    assert differences(reading(None), reading()) == []


def test_opposite_signs_are_told_at_once() -> None:
    (said,) = differences(reading(1200), reading(-1195))

    assert said == "mqtt says -1,195.0 W and p1 1,200.0 W: one of them has import and export swapped"


def test_watts_and_kilowatts_are_told_at_once() -> None:
    (said,) = differences(reading(1200), reading(1.2))

    assert said.endswith("a thousand times as much: one of them takes kW for W")


def test_watt_hours_and_kilowatt_hours_are_told_at_once() -> None:
    (said,) = differences(reading(import_wh=5_000_000), reading(import_wh=5_000, export_wh=2_000))

    assert said.endswith("a thousand times as much: one of them takes kWh for Wh")


def test_registers_that_are_swapped_are_told_at_once() -> None:
    (said,) = differences(reading(), reading(import_wh=2_000_001, export_wh=5_000_002))

    assert said.endswith("one of them has import and export swapped")


def test_registers_that_began_at_different_times_are_told() -> None:
    (said,) = differences(reading(), reading(import_wh=17_000, export_wh=300_000))

    assert said.endswith("they count from different times, or are two meters")


def test_a_load_that_is_switched_in_between_is_told_only_when_it_lasts() -> None:
    assert differences(reading(1200), reading(3200)) == []
    assert any("again and again" in text for text in differences(reading(1200), reading(3200), times=3))


def test_readings_of_different_minutes_are_not_compared() -> None:
    assert differences(reading(1200), reading(-1200, second=61)) == []


def test_devices_of_one_source_are_meters_of_their_own() -> None:
    agreement = Agreement()

    assert agreement.of("mqtt:# grid", reading(1200), "mqtt:#") == ()
    assert agreement.of("mqtt:# roof", reading(-1200, import_wh=3), "mqtt:#") == ()
    assert agreement.of("p1", reading(-1200)) != ()


def test_a_hundred_sources_are_not_all_kept() -> None:
    agreement = Agreement()
    for number in range(100):
        agreement.of(f"source {number}", reading())

    assert len(agreement._newest) == 16
