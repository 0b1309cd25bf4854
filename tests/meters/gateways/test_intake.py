"""What a meter's source gives is taken, or refused: counted, told of, and never more told than is bearable."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bus.reading import MAX_BYTES, RefusalError, parse
from meters.gateways.buffer import Buffer
from meters.gateways.feed import Place
from meters.gateways.intake import MOST_A_SECOND, MOST_LATE, Intake
from meters.gateways.metrics import Metrics
from meters.gateways.notices import MOST, notice
from meters.gateways.source import Given, Refusal
from tests.meters.gateways.scripted import given, reading, refused, untimed
from tests.meters.passing import Passing

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Desk:
    """An intake on a clock of the test's own, and what it puts into its buffer."""

    def __init__(self, path: Path, **place: Any) -> None:
        self.time = Passing(1000.0)
        self.metrics = Metrics()
        self.buffer = Buffer(path)
        self.intake = Intake(
            Place("demo", "m", **place), self.buffer, self.metrics, monotonic=self.time.clock, now=lambda: NOW
        )

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(waiting.data) for waiting in self.buffer._fresh]

    @property
    def registers(self) -> list[int]:
        """Registers of the readings that were taken."""
        return [message["import_wh"] for message in self.messages if "import_wh" in message]

    @property
    def told(self) -> list[str]:
        """What was told of refusals."""
        return [message["detail"] for message in self.messages if "refused" in message]

    def count(self, metric: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"commonwatt_gateway_{metric}", {"meter": "demo/m", **labels})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "buffer.sqlite3")
    yield desk
    desk.buffer.close()


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Any]:
    desks: list[Desk] = []

    def make(**place: Any) -> Desk:
        desks.append(Desk(tmp_path / "buffer.sqlite3", **place))
        return desks[-1]

    yield make
    for desk in desks:
        desk.buffer.close()


def test_a_reading_is_taken_as_it_is(desk: Desk) -> None:
    desk.intake.take(given(5, power_import_w=420.0))
    (waiting,) = desk.buffer._fresh
    assert (waiting.subject, parse(waiting.data)) == ("readings.demo.m", reading(5, power_import_w=420.0))
    assert desk.count("readings_total") == 1
    assert desk.count("latest_seconds") == NOW.timestamp()


def test_the_place_may_name_the_epoch_and_the_subject_names_the_meter(make_desk: Any) -> None:
    desk = make_desk(epoch="2027")
    desk.intake.take(given(5, epoch="KFM5", meter="other"))
    desk.intake.take(given(6, epoch="KFM5"))
    assert [(one["epoch"], one.get("meter")) for one in desk.messages] == [("2027", None), ("2027", None)]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"wh": -5}, "negative"), ({"wh": 10**12}, "out_of_range"), ({"power_export_w": -1.0}, "negative")],
    ids=["register below zero", "register beyond any", "power below zero"],
)
def test_what_the_aggregator_would_refuse_is_refused(desk: Desk, wrong: dict[str, Any], reason: str) -> None:
    desk.intake.take(given(5, **wrong))
    assert (desk.registers, desk.intake.refused) == ([], 1)
    assert desk.count("refused_total", reason=reason) == 1


def test_a_refusal_is_counted_logged_and_told_of_with_what_came(desk: Desk) -> None:
    with capture_logs() as logs:
        desk.intake.take(refused(raw=b"/KFM5\r\n\xff!"))
    assert desk.messages == [
        {
            "refused": "crc",
            "detail": "CRC 1234, expected 5678",
            "received_at": "2026-11-01T12:00:00Z",
            "size": 9,
            "payload": "/KFM5\r\n\\xff!",
            "count": 1,
        }
    ]
    assert desk.count("refused_total", reason="crc") == 1
    assert [(entry["event"], entry["meter"], entry["reason"]) for entry in logs] == [
        ("what a meter sent is refused", "demo/m", "crc")
    ]


def test_of_many_refusals_the_first_are_told_and_the_others_counted(desk: Desk) -> None:
    with capture_logs() as logs:
        for number in range(40):
            desk.time.now_s += 0.5
            desk.intake.take(refused("crc" if number % 4 else "cut"))
            desk.intake.settle()
        assert len(desk.told) == MOST
        desk.time.now_s += 60
        desk.intake.settle()
        desk.intake.settle()
    assert desk.told[MOST:] == ["30 more within a minute: 23 crc, 7 cut"]
    assert [message["count"] for message in desk.messages] == [*[1] * MOST, 30]
    assert [entry["event"] for entry in logs] == [
        "what a meter sent is refused",
        "more of what a meter sent is refused",
    ]
    desk.intake.take(refused())
    assert len(desk.told) == MOST + 2
    assert desk.count("refused_total", reason="crc") == 31


def test_at_the_end_what_was_only_counted_is_told(desk: Desk) -> None:
    for _ in range(MOST + 1):
        desk.intake.take(refused())
    desk.intake.settle(end=True)
    assert desk.told[MOST:] == ["1 more within a minute: 1 crc"]


def test_the_same_again_is_left_out_and_counted(desk: Desk) -> None:
    for second in (1, 1, 1, 2, 2):
        desk.intake.take(given(second))
    assert desk.registers == [1, 2]
    assert desk.told == []
    assert desk.count("refused_total", reason="repeated") == 3


def test_another_value_of_the_same_moment_is_the_aggregators_to_judge(desk: Desk) -> None:
    desk.intake.take(given(1, wh=5))
    desk.intake.take(given(1, wh=6))
    assert desk.registers == [5, 6]


def test_a_flood_is_refused_beyond_the_limit_and_not_read_on_before_the_next_second(desk: Desk) -> None:
    rests = [desk.intake.take(untimed(number)) for number in range(205)]
    assert desk.registers == list(range(20))
    assert desk.count("refused_total", reason="flood") == 185
    assert rests[:199] == [0.0] * 199
    assert rests[199:] == [1.0] * 6
    desk.time.now_s += 1
    assert desk.intake.take(untimed(300)) == 0.0
    assert desk.registers[-1] == 300
    assert len(desk.told) == MOST


def test_a_backlog_after_a_network_that_stood_still_is_no_flood(desk: Desk) -> None:
    assert [desk.intake.take(given(number)) for number in range(3600)] == [0.0] * 3600
    assert desk.registers == list(range(3600))
    assert desk.intake.refused == 0


def test_times_that_a_device_makes_up_are_a_flood_when_they_are_more_than_seconds_went_by(desk: Desk) -> None:
    for number in range(MOST_LATE + 100):
        desk.intake.take(given(number))
    assert len(desk.registers) == MOST_LATE + MOST_A_SECOND
    assert desk.count("refused_total", reason="flood") == 80
    desk.time.now_s += 30
    for number in range(MOST_LATE + 100, MOST_LATE + 200):
        desk.intake.take(given(number))
    assert len(desk.registers) == MOST_LATE + 2 * MOST_A_SECOND + 30


@pytest.mark.parametrize("at", [NOW, NOW + timedelta(minutes=6)], ids=["one second", "ahead"])
def test_many_of_one_second_and_those_ahead_of_the_clock_are_a_flood(desk: Desk, at: datetime) -> None:
    for number in range(100):
        desk.intake.take(given(0, at=at + timedelta(milliseconds=9 * number)))
    assert desk.intake.refused == (79 if at == NOW else 80)


def test_broken_telegrams_count_towards_the_limit(desk: Desk) -> None:
    for _ in range(25):
        desk.intake.take(refused())
    assert desk.count("refused_total", reason="crc") == 20
    assert desk.count("refused_total", reason="flood") == 5


def test_one_reading_a_slot_is_taken_where_so_many_are_not_wanted(make_desk: Any) -> None:
    desk = make_desk(every_s=10)
    for second in (3, 4, 9, 10, 11, 25, 29, 30, 12, 13):
        desk.intake.take(given(second))
    assert desk.registers == [3, 10, 25, 30, 12]
    assert desk.count("thinned_total") == 5


def test_what_is_published_already_is_left_out(desk: Desk) -> None:
    desk.intake.newest = reading(5).at
    for second in range(8):
        desk.intake.take(given(second))
    assert (desk.registers, desk.intake.skipped) == ([6, 7], 6)


def test_the_reasons_that_metrics_tell_apart_are_bounded() -> None:
    metrics = Metrics()
    for number in range(200):
        metrics.refuse("demo/m", f"reason_{number}")
    metrics.refuse("demo/m", "No Reason!\n")
    samples = [s for m in metrics.registry.collect() for s in m.samples if s.name == "commonwatt_gateway_refused_total"]
    assert len(samples) == 65
    assert sum(sample.value for sample in samples) == 201


@for_any(st.binary(max_size=20_000) | st.text(max_size=5000).map(str.encode), st.text(st.characters(), max_size=1000))
@settings(deadline=None, max_examples=60)
def test_whatever_was_received_can_be_told_of(raw: bytes, detail: str) -> None:
    message = notice(Refusal("cut", detail), raw, NOW)
    assert len(message) <= MAX_BYTES
    with pytest.raises(RefusalError) as refusal:
        parse(message)
    assert refusal.value.reason == "refused_at_gateway"
    assert json.loads(message)["size"] == len(raw)


def test_given_that_is_neither_is_nothing(desk: Desk) -> None:
    assert desk.intake.take(Given(b"")) == 0.0
    assert desk.messages == []
