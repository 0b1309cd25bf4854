"""Questions for the history: what comes back, and what is said while it is away, busy, broken or not allowed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from bus.client import Bus
from bus.errors import BusError, UnavailableError
from bus.history import (
    OUT_OF_RANGE,
    TOO_FEW_HOMES,
    BestHours,
    BestHoursQuestion,
    CompareQuestion,
    Comparison,
    Homes,
    HomesQuestion,
    Hour,
    IntervalsQuestion,
    Page,
    Summary,
    SummaryQuestion,
    Totals,
)
from bus.micro import QuestionError, serving
from resolvers.errors import NotReadyError
from resolvers.history import History, OutOfRangeError, TooFewHomesError

TOTALS = Totals(
    start=1,
    end=2,
    intervals=3,
    final=1,
    revision=2,
    measured=3,
    substituted=0,
    estimated=0,
    missing=0,
    import_wh=10,
    export_wh=11,
    pv_wh=12,
    load_wh=13,
    charge_wh=14,
    discharge_wh=15,
    allocated_wh=16,
    shared_wh=17,
    residual_import_wh=18,
    residual_export_wh=19,
    saving="1.5",
    credit="0",
    currency="EUR",
    co2_avoided_g="2.25",
    self_sufficiency=0.5,
    self_consumption=None,
    peak_import_wh=9,
    peak_import_at=1,
)


@asynccontextmanager
async def answering(bus: Bus, answer: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[History]:
    """Answer every endpoint in one way."""
    endpoints = dict.fromkeys(("intervals", "summary", "homes", "compare", "best_hours"), answer)
    async with serving(bus, "history", endpoints, version="1.0.0", description="Says what it is told"):
        yield History(bus, patience_s=0.5)


async def test_every_question_travels_with_its_arguments_and_comes_back_as_its_answer(bus: Bus) -> None:
    asked: list[bytes] = []
    answers: list[msgspec.Struct] = [
        Page(periods=[TOTALS], has_next=True),
        Summary(totals=TOTALS),
        Summary(totals=None),
        Comparison(totals=TOTALS, baseline=None, others=4),
        BestHours(hours=[Hour(start=1, end=2, surplus_wh=-3, sure=0.25)]),
        Homes(totals={"ash": TOTALS}),
    ]

    async def answer(data: bytes) -> bytes:
        asked.append(data)
        return msgspec.json.encode(answers[len(asked) - 1])

    async with answering(bus, answer) as history:
        assert await history.intervals("demo", "ash", 5, 9, "WEEK", first=7, after=6) == answers[0]
        assert await history.summary("demo", None, 5, 9) == TOTALS
        assert await history.summary("demo", "ash", 5, 9) is None
        assert await history.compare("demo", "ash", 5, 9, "PREVIOUS_YEAR") == answers[3]
        assert await history.best_hours("demo", 3_600_000) == answers[4]
        assert await history.homes("demo", ("ash", "elm"), 5, 9) == {"ash": TOTALS}
    page, community, home, compare, best, homes = asked
    assert msgspec.json.decode(page, type=IntervalsQuestion) == IntervalsQuestion(
        community="demo", home="ash", since=5, until=9, resolution="WEEK", first=7, after=6
    )
    assert msgspec.json.decode(community, type=SummaryQuestion).home is None
    assert msgspec.json.decode(home, type=SummaryQuestion).home == "ash"
    assert msgspec.json.decode(compare, type=CompareQuestion).baseline == "PREVIOUS_YEAR"
    assert msgspec.json.decode(best, type=BestHoursQuestion).next_ms == 3_600_000
    assert msgspec.json.decode(homes, type=HomesQuestion) == HomesQuestion(
        community="demo", homes=["ash", "elm"], since=5, until=9
    )


@pytest.mark.parametrize(
    ("code", "error"), [(OUT_OF_RANGE, OutOfRangeError), (TOO_FEW_HOMES, TooFewHomesError), ("499", OutOfRangeError)]
)
async def test_a_refusal_says_what_is_allowed(bus: Bus, code: str, error: type[Exception]) -> None:
    async def refuse(_: bytes) -> bytes:
        raise QuestionError(code, "first is 0; 1 to 1000 are allowed")

    async with answering(bus, refuse) as history:
        with pytest.raises(error, match=r"^first is 0; 1 to 1000 are allowed$"):
            await history.summary("demo", None, 1, 2)


async def test_while_nobody_answers_it_is_not_ready(bus: Bus) -> None:
    with pytest.raises(NotReadyError, match=r"not to be had just now \(nobody answers history\.summary\)"):
        await History(bus).summary("demo", None, 1, 2)


async def test_while_the_history_starts_it_is_not_ready_and_says_why(bus: Bus) -> None:
    async def wait(_: bytes) -> bytes:
        raise UnavailableError("the history reads what is stored, 7 messages more")

    async with answering(bus, wait) as history:
        with pytest.raises(NotReadyError, match=r"7 messages more\); ask again in a moment"):
            await history.summary("demo", None, 1, 2)


async def test_a_history_that_is_silent_is_waited_for_no_longer_than_patience(bus: Bus) -> None:
    async def dream(_: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with asyncio.timeout(5), answering(bus, dream) as history:
        with pytest.raises(NotReadyError, match=r"within 0\.5 s"):
            await history.summary("demo", None, 1, 2)


async def test_what_fails_there_is_no_answer_and_no_excuse(bus: Bus) -> None:
    async def fail(_: bytes) -> bytes:
        raise ZeroDivisionError

    async with answering(bus, fail) as history:
        with pytest.raises(BusError) as caught:
            await history.summary("demo", None, 1, 2)
    assert not isinstance(caught.value, UnavailableError | QuestionError)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"totals": 7}'])
async def test_what_is_no_answer_is_an_error(bus: Bus, data: bytes) -> None:
    async def babble(_: bytes) -> bytes:
        return data

    async with answering(bus, babble) as history:
        with pytest.raises(BusError, match="the history answered what is no Summary"):
            await history.summary("demo", None, 1, 2)
