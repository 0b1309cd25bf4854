"""Refused readings: newest first, page by page, and counted by reason, over a real stream."""

import time

import msgspec
import pytest

import resolvers.rejections
from bus.client import MAX_BATCH, Bus, Message
from bus.messages import Rejected, encode
from bus.reading import REASONS
from resolvers.errors import NotReadyError
from resolvers.history import OutOfRangeError
from resolvers.reasons import EXPLANATIONS
from resolvers.rejections import Rejections
from tests.resolvers.frames import community

DEMO = community("demo")
GRID = "home-1-grid"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def rejections(bus: Bus) -> Rejections:
    return Rejections(bus, now_ms=now_ms)


def rejected(number: int, reason: str = "negative") -> Rejected:
    return Rejected(
        reason=reason,
        detail="import_wh is -1",
        subject=f"readings.demo.{GRID}",
        sequence=number,
        received_at=1_900_000_000_000 + number,
        payload=f"{{{number}}}",
    )


async def refuse(bus: Bus, count: int, *, meter: str = GRID, key: str = "demo", reason: str = "negative") -> None:
    """Refuse so many readings, numbered from 0."""
    messages = [Message(f"rejected.{key}.{meter}", encode(rejected(number, reason))) for number in range(count)]
    for start in range(0, count, MAX_BATCH):
        await bus.publish_batch(messages[start : start + MAX_BATCH])


async def test_pages_go_from_the_newest_to_the_oldest_and_leave_nothing_out(bus: Bus, rejections: Rejections) -> None:
    for _ in range(5):
        await refuse(bus, 7)
        await refuse(bus, 40, key="other")
    seen: list[int] = []
    after, more = None, True
    while more:
        page = await rejections.page(DEMO, None, after, 4)
        assert len(page.rejections) == min(4, 35 - len(seen))
        seen += [one.cursor for one in page.rejections]
        after, more = seen[-1], page.more
    assert seen == [start + at for start in (189, 142, 95, 48, 1) for at in range(6, -1, -1)]


async def test_one_rejection_says_what_came_from_which_meter_of_which_home(bus: Bus, rejections: Rejections) -> None:
    await refuse(bus, 1, meter="home-2-grid")
    await refuse(bus, 1, meter="stranger", reason="unknown_meter")
    stranger, known = (await rejections.page(DEMO, None, None, 10)).rejections
    assert (stranger.meter, stranger.home, stranger.rejected.reason) == ("stranger", None, "unknown_meter")
    assert (known.meter, known.home) == ("home-2-grid", "home-2")
    assert known.rejected == rejected(0)


async def test_the_rejections_of_one_meter_are_found_among_many(bus: Bus, rejections: Rejections) -> None:
    await refuse(bus, 2, meter="home-2-grid")
    await refuse(bus, 600)
    page = await rejections.page(DEMO, "home-2-grid", None, 1)
    assert ([one.cursor for one in page.rejections], page.more) == ([2], True)
    with pytest.raises(OutOfRangeError, match=r"meter is 'a\.b'; expected 1 to 64"):
        await rejections.page(DEMO, "a.b", None, 1)


async def test_where_nothing_was_refused_there_is_nothing(bus: Bus, rejections: Rejections) -> None:
    await refuse(bus, 3, key="other")
    assert await rejections.page(DEMO, None, None, 10) == ([], False)
    assert await rejections.page(DEMO, None, 2, 10) == ([], False)
    counts = await rejections.counts(DEMO, 0)
    assert (counts.total, counts.counted, counts.reasons) == (0, 0, [])


async def test_what_is_no_rejection_is_left_out(bus: Bus, rejections: Rejections) -> None:
    await bus.publish(Message(f"rejected.demo.{GRID}", b"nonsense"))
    await refuse(bus, 1)
    assert [one.cursor for one in (await rejections.page(DEMO, None, None, 10)).rejections] == [2]
    assert [one.number for one in (await rejections.counts(DEMO, 0)).reasons] == [1]


async def test_reasons_are_counted_most_frequent_first_with_their_meters(bus: Bus, rejections: Rejections) -> None:
    await refuse(bus, 3, meter="home-2-grid", reason="future")
    await refuse(bus, 2, reason="register_fell")
    await refuse(bus, 5, reason="future")
    counts = await rejections.counts(DEMO, 0)
    assert (counts.asked, counts.since, counts.total, counts.counted) == (0, 0, 10, 10)
    assert counts.reasons == [
        ("future", 8, 1_900_000_000_004, (GRID, "home-2-grid")),
        ("register_fell", 2, 1_900_000_000_001, (GRID,)),
    ]


async def test_one_that_stands_for_many_counts_for_so_many(bus: Bus, rejections: Rejections) -> None:
    await refuse(bus, 2)
    many = msgspec.structs.replace(rejected(3), count=400, payload="")
    await bus.publish(Message("rejected.demo.home-2-grid", encode(many)))
    counts = await rejections.counts(DEMO, 0)
    assert (counts.total, counts.counted) == (402, 402)
    assert [(one.number, one.meters) for one in counts.reasons] == [(402, ("home-2-grid", GRID))]


async def test_only_what_came_since_the_time_asked_for_counts(bus: Bus, rejections: Rejections) -> None:
    await refuse(bus, 3)
    assert (await rejections.counts(DEMO, now_ms() + 3_600_000)).total == 0
    assert (await rejections.counts(DEMO, now_ms() - 3_600_000)).total == 3


async def test_of_very_many_only_some_are_counted_and_that_is_said(
    bus: Bus, rejections: Rejections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolvers.rejections, "MAX_COUNTED_BYTES", 1000)
    await refuse(bus, 1500)
    counts = await rejections.counts(DEMO, now_ms() - 3_600_000)
    assert (counts.total, counts.counted) == (1500, 1000)
    monkeypatch.setattr(resolvers.rejections, "MAX_COUNTED", 10)
    newer = await rejections.counts(DEMO, now_ms() - 3_600_000)
    assert newer.total == 1500
    assert newer.since > counts.since


async def test_while_nats_is_away_asking_again_may_help(bus: Bus, rejections: Rejections) -> None:
    await bus.close()
    with pytest.raises(NotReadyError):
        await rejections.counts(DEMO, 0)


def test_every_explanation_is_a_sentence_or_two() -> None:
    assert all(text[0].isupper() and text.endswith(".") and len(text) < 130 for text in EXPLANATIONS.values())


def test_every_reason_for_which_a_reading_is_refused_is_explained() -> None:
    assert EXPLANATIONS.keys() == REASONS.keys()
