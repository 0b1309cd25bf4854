"""Alerts: one for each occurrence, with an identity that the same readings always give again."""

from datetime import timedelta

from bus.community import AlertRules
from bus.identifiers import COMMUNITY_ALERTS
from bus.messages import Alert
from tests.aggregator.harness import HOUR, MINUTE, NOON, SECOND, Bench, Said, community, home, merged, said, ticks

RULES = AlertRules(surplus_start_w=1000, surplus_end_w=500, meter_silent=timedelta(minutes=15))


def _exports(*watts: float, every: int = 10 * SECOND) -> list[Said]:
    return [said("a-grid", NOON + n * every, 0, power_export_w=float(one)) for n, one in enumerate(watts)]


def _kinds(alerts: list[Alert]) -> list[str]:
    return [alert.kind for alert in alerts]


def _bench(messages: list[Said]) -> Bench:
    return Bench(community("a", home("b", import_limit_w=5000), alerts=RULES)).run(messages)


def test_surplus_starts_and_ends_once_with_different_thresholds() -> None:
    bench = _bench(_exports(*[900] * 5, *[1200] * 10, *[700] * 10, *[1100] * 10, *[400] * 10))
    start, end = bench.alerts
    assert (start.kind, start.value, start.limit, start.home) == ("SURPLUS_STARTED", 1200, 1000, COMMUNITY_ALERTS)
    assert (end.kind, end.value, end.limit, end.home) == ("SURPLUS_ENDED", 400, 500, COMMUNITY_ALERTS)
    assert start.at == NOON + 60 * SECOND  # the clock that first saw it
    assert start.key == f"SURPLUS_STARTED:surplus:{start.at}"


def test_surplus_must_hold_for_30_seconds() -> None:
    assert _bench(_exports(*[900, 1200, 1200, 900] * 20)).alerts == []
    assert _kinds(_bench(_exports(*[1200] * 5)).alerts) == ["SURPLUS_STARTED"]


def test_surplus_that_trembles_around_a_threshold_rings_once() -> None:
    assert _kinds(_bench(_exports(*[1200] * 10, *[990, 1010] * 50)).alerts) == ["SURPLUS_STARTED"]


def test_each_surplus_is_an_occurrence_of_its_own() -> None:
    bench = _bench(_exports(*([1200] * 10 + [400] * 10) * 3))
    assert _kinds(bench.alerts) == ["SURPLUS_STARTED", "SURPLUS_ENDED"] * 3
    assert len({alert.key for alert in bench.alerts}) == 6


def test_a_surplus_ends_where_nobody_reports_any_more() -> None:
    bench = _bench([*_exports(*[1200] * 10), *ticks(NOON + 100 * SECOND, NOON + 10 * MINUTE)])
    assert _kinds(bench.alerts) == ["SURPLUS_STARTED", "SURPLUS_ENDED"]


def test_a_meter_that_falls_silent_is_told_once_and_so_is_its_return() -> None:
    bench = _bench([said("b-grid", NOON + n * MINUTE, n) for n in range(10)])
    last = NOON + 9 * MINUTE
    bench.run(ticks(last, last + 15 * MINUTE + 1))
    assert bench.alerts == []
    bench.run(ticks(last + 15 * MINUTE + 10 * SECOND, last + 2 * HOUR))
    (silent,) = bench.alerts
    assert (silent.kind, silent.home, silent.meter, silent.at) == ("METER_SILENT", "b", "b-grid", last)
    bench.run([said("b-grid", last + 2 * HOUR + n * MINUTE, 20 + n) for n in range(3)])
    back = bench.alerts[1]
    assert (back.kind, back.home, back.meter, back.at) == ("METER_BACK", "b", "b-grid", last + 2 * HOUR)
    assert len(bench.alerts) == 2


def test_a_meter_that_reads_every_hour_is_not_silent_after_15_minutes() -> None:
    bench = _bench(merged([said("b-grid", NOON + n * HOUR, n) for n in range(6)], ticks(NOON, NOON + 8 * HOUR)))
    # Its usual gap is known from the second reading on; then three of them must pass.
    assert [alert for alert in bench.alerts if alert.at > NOON + HOUR] == []


def test_a_clock_that_is_slow_does_not_make_a_meter_silent() -> None:
    messages = [said("b-grid", NOON + n * MINUTE, n, time=NOON + n * MINUTE + 20 * MINUTE) for n in range(60)]
    bench = _bench(merged(messages, ticks(NOON + 40 * MINUTE, NOON + 80 * MINUTE)))
    assert [alert for alert in bench.alerts if alert.at > NOON + 30 * MINUTE] == []


def test_a_meter_never_seen_is_not_silent() -> None:
    assert _bench(ticks(NOON, NOON + 3 * HOUR)).alerts == []


def test_a_members_import_peak_begins_over_the_limit_and_ends_a_tenth_below_it() -> None:
    draws = [4000, 5000, 5001, 6000, 4600, 4999, 4499, 4600, 5500]
    bench = _bench([said("b-grid", NOON + n * SECOND, 0, power_import_w=float(w)) for n, w in enumerate(draws)])
    assert _kinds(bench.alerts) == ["IMPORT_PEAK_STARTED", "IMPORT_PEAK_ENDED", "IMPORT_PEAK_STARTED"]
    first, end, second = bench.alerts
    assert (first.home, first.value, first.limit, first.at) == ("b", 5001, 5000, NOON + 2 * SECOND)
    assert (end.value, end.at) == (4499, NOON + 6 * SECOND)
    assert first.key != second.key


def test_a_home_without_a_limit_has_no_peaks() -> None:
    assert _bench([said("a-grid", NOON, 0, power_import_w=90_000.0)]).alerts == []


def test_a_peak_does_not_end_because_the_meter_falls_silent() -> None:
    messages = [said("b-grid", NOON + n * SECOND, 0, power_import_w=6000.0) for n in range(5)]
    bench = _bench([*messages, *ticks(NOON + 5 * SECOND, NOON + 5 * MINUTE)])
    assert _kinds(bench.alerts) == ["IMPORT_PEAK_STARTED"]
    bench.run([said("b-grid", NOON + 5 * MINUTE, 0, power_import_w=100.0)])
    assert _kinds(bench.alerts) == ["IMPORT_PEAK_STARTED", "IMPORT_PEAK_ENDED"]


def test_the_same_readings_give_the_same_alerts_again() -> None:
    messages = merged(
        _exports(*([1200] * 10 + [400] * 10) * 3),
        [said("b-grid", NOON + n * SECOND, 0, power_import_w=float(3000 + 50 * n)) for n in range(60)],
        ticks(NOON, NOON + HOUR),
    )
    once, again = _bench(messages), _bench(messages)
    assert once.alerts == again.alerts
    assert len({alert.key for alert in once.alerts}) == len(once.alerts)
    assert {alert.kind for alert in once.alerts} >= {"SURPLUS_STARTED", "IMPORT_PEAK_STARTED", "METER_SILENT"}
