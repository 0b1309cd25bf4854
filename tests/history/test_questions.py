"""Questions as they come: what is refused, with the range that is allowed, and what an empty history says."""

from typing import Any

import msgspec
import pytest

from bus.history import (
    BEST_HOURS,
    COMPARE,
    HOMES,
    INTERVALS,
    MAX_ANSWER_BYTES,
    OUT_OF_RANGE,
    SUMMARY,
    BestHours,
    Comparison,
    Homes,
    Page,
    Summary,
)
from bus.micro import QuestionError
from history.questions import Questions
from history.totals import Party
from tests.history.ledger import DAY, QUARTER, Ledger, chance_interval, expected, ms

YEAR = 366 * DAY
BEGIN = ms("2026-06-01T00:00")
HOMES_OF_ALL = [f"home-{number}" for number in range(6)]


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.write(*(chance_interval(BEGIN + at * QUARTER, HOMES_OF_ALL) for at in range(96)))
    return ledger


def ask(ledger: Ledger, endpoint: str, **fields: Any) -> bytes:
    question = {"community": "demo", "since": BEGIN, "until": BEGIN + DAY, **fields}
    return Questions(ledger.store, lambda _: BEGIN + DAY).answer(ledger.cursor, endpoint, msgspec.json.encode(question))


@pytest.mark.parametrize(
    ("endpoint", "fields", "says"),
    [
        (INTERVALS, {"since": BEGIN, "until": BEGIN}, "from, 2026-05-31T22:00:00Z, is not before to"),
        (SUMMARY, {"since": BEGIN, "until": BEGIN - 1}, "is not before to, 2026-05-31T21:59:59Z"),
        (HOMES, {"homes": HOMES_OF_ALL, "since": BEGIN, "until": BEGIN}, "is not before to"),
        (HOMES, {"homes": ["x"] * 1001}, "1001 homes are asked for; at most 1000 are allowed"),
        (HOMES, {}, "not a question"),
        (COMPARE, {"since": BEGIN, "until": BEGIN - 1, "baseline": "PREVIOUS_YEAR"}, "is not before to"),
        (INTERVALS, {"until": BEGIN + 5 * YEAR + 1}, "5.0 years; at most 5 are allowed at QUARTER_HOUR"),
        (INTERVALS, {"until": BEGIN + 6 * YEAR, "resolution": "HOUR"}, "at most 5 are allowed at HOUR"),
        (INTERVALS, {"since": 0, "until": 101 * YEAR, "resolution": "YEAR"}, "101.0 years; at most 100 are allowed"),
        (SUMMARY, {"since": -1}, "from is not between 1970 and 2200"),
        (SUMMARY, {"until": 2**62}, "to is not between 1970 and 2200"),
        (INTERVALS, {"first": 0}, "first is 0; 1 to 1000 are allowed"),
        (INTERVALS, {"first": -5}, "first is -5; 1 to 1000 are allowed"),
        (INTERVALS, {"first": 1001}, "first is 1001; 1 to 1000 are allowed"),
        (INTERVALS, {"after": BEGIN - 1}, "after is a cursor of another range"),
        (INTERVALS, {"after": BEGIN + DAY}, "after is a cursor of another range"),
        (INTERVALS, {"resolution": "MINUTE"}, "Invalid enum value 'MINUTE'"),
        (COMPARE, {"baseline": "COMMUNITY_AVERAGE"}, "a community has no COMMUNITY_AVERAGE"),
        (COMPARE, {"baseline": "LAST_WEEK"}, "Invalid enum value"),
        (BEST_HOURS, {"next_ms": 0}, "next is 0 h; more than 0 and at most 48 h are allowed"),
        (BEST_HOURS, {"next_ms": 49 * 3_600_000}, "next is 49 h"),
        (SUMMARY, {"community": 7}, "not a question"),
        (SUMMARY, {"since": 10**30}, "from is not between 1970 and 2200"),
    ],
)
def test_what_is_out_of_range_is_refused_with_the_range(
    ledger: Ledger, endpoint: str, fields: dict[str, Any], says: str
) -> None:
    needed = {"resolution": "QUARTER_HOUR"} if endpoint == INTERVALS else {}
    with pytest.raises(QuestionError) as caught:
        ask(ledger, endpoint, **{**needed, **fields})
    assert says in str(caught.value)
    assert caught.value.code == OUT_OF_RANGE


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b"\xff", b"[[[["])
@pytest.mark.parametrize("endpoint", [INTERVALS, SUMMARY, COMPARE, BEST_HOURS])
def test_what_is_no_question_is_refused(ledger: Ledger, endpoint: str, data: bytes) -> None:
    with pytest.raises(QuestionError, match="not a question"):
        Questions(ledger.store, lambda _: None).answer(ledger.cursor, endpoint, data)


@pytest.mark.parametrize("who", [{"community": "nobody"}, {"home": "nobody"}, {"community": "nobody", "home": "x"}])
def test_whoever_is_not_known_has_nothing(ledger: Ledger, who: dict[str, str]) -> None:
    page = msgspec.json.decode(ask(ledger, INTERVALS, resolution="DAY", **who), type=Page)
    assert page == Page(periods=[], has_next=False)
    assert msgspec.json.decode(ask(ledger, SUMMARY, **who), type=Summary).totals is None
    compared = msgspec.json.decode(ask(ledger, COMPARE, baseline="PREVIOUS_YEAR", **who), type=Comparison)
    assert (compared.totals, compared.baseline) == (None, None)


def test_an_empty_history_answers(ledger: Ledger) -> None:
    empty = Ledger()
    assert msgspec.json.decode(ask(empty, SUMMARY), type=Summary).totals is None
    assert msgspec.json.decode(ask(empty, BEST_HOURS), type=BestHours).reason == "nothing is settled yet"


def test_an_answer_travels_whole(ledger: Ledger) -> None:
    found = msgspec.json.decode(ask(ledger, SUMMARY, home="home-3"), type=Summary)
    assert found.totals == expected(ledger.newest, "home-3", BEGIN, BEGIN + DAY)
    page = msgspec.json.decode(ask(ledger, INTERVALS, resolution="QUARTER_HOUR", first=96), type=Page)
    assert (len(page.periods), page.has_next) == (96, False)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (BEGIN, BEGIN + 4 * DAY),
        (BEGIN - DAY, BEGIN + DAY),
        (BEGIN + 5 * QUARTER, BEGIN + 9 * QUARTER),
        (BEGIN + 5 * QUARTER, BEGIN + 2 * DAY + 3 * QUARTER),
    ],
    ids=["whole days", "before and after", "within a day", "parts of days"],
)
def test_all_homes_at_once_are_the_sums_of_each(since: int, until: int) -> None:
    ledger = Ledger()
    ledger.write(*(chance_interval(BEGIN + at * QUARTER, HOMES_OF_ALL) for at in range(3 * 96)))
    ledger.write(chance_interval(BEGIN, HOMES_OF_ALL, community="other"))
    asked = [*HOMES_OF_ALL[1:], "nobody"]
    found = msgspec.json.decode(ask(ledger, HOMES, homes=asked, since=since, until=until), type=Homes)
    assert found.totals == {home: expected(ledger.newest, home, since, until) for home in HOMES_OF_ALL[1:]}


def test_all_homes_of_a_time_without_anything_are_none(ledger: Ledger) -> None:
    nothing = ask(ledger, HOMES, homes=HOMES_OF_ALL, since=BEGIN - DAY, until=BEGIN)
    assert msgspec.json.decode(nothing, type=Homes).totals == {}
    assert msgspec.json.decode(ask(ledger, HOMES, homes=["x"], community="nobody"), type=Homes).totals == {}


def test_a_question_leaves_no_transaction_behind(ledger: Ledger) -> None:
    with pytest.raises(QuestionError):
        ask(ledger, INTERVALS, resolution="DAY", first=0)
    ask(ledger, SUMMARY)
    ledger.cursor.execute("BEGIN")
    ledger.cursor.execute("ROLLBACK")


def test_the_largest_page_fits_into_an_answer() -> None:
    largest = Ledger()
    homes = [f"home-{number}" for number in range(100)]
    one = chance_interval(BEGIN, homes)
    big = [
        msgspec.structs.replace(
            row,
            **dict.fromkeys(("import_wh", "export_wh", "pv_wh", "load_wh", "allocated_wh"), 10**9),
            saving="123456789012345.12345678901",
            credit="-123456789012345.12345678901",
            co2_avoided_g="123456789012345.12345678901",
        )
        for row in one.rows
    ]
    for at in range(0, 1001, 100):
        largest.write(*(with_rows(BEGIN + (at + more) * QUARTER, big) for more in range(100)))
    answer = ask(largest, INTERVALS, resolution="QUARTER_HOUR", first=1000, until=BEGIN + 30 * DAY)
    page = msgspec.json.decode(answer, type=Page)
    assert (len(page.periods), page.has_next) == (1000, True)
    assert len(answer) < MAX_ANSWER_BYTES / 2


def with_rows(start: int, rows: Any) -> Any:
    return msgspec.structs.replace(chance_interval(start, []), rows=rows)


def test_best_hours_are_found_once_until_something_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def note(_: object, party: Party, next_ms: int, now: int | None) -> BestHours:
        asked.append((party.community, next_ms, now))
        return BestHours(hours=[], reason=f"question {len(asked)}")

    monkeypatch.setattr("history.questions.best_hours", note)
    monkeypatch.setattr("history.questions._MOST_TOLD", 3)
    ledger = Ledger()
    ledger.write(chance_interval(BEGIN, HOMES_OF_ALL), chance_interval(BEGIN, HOMES_OF_ALL, community="other"))
    now = BEGIN
    questions = Questions(ledger.store, lambda community: now if community == "demo" else None)

    def reason(community: str = "demo", next_ms: int = 3_600_000) -> str | None:
        data = msgspec.json.encode({"community": community, "next_ms": next_ms})
        return msgspec.json.decode(questions.answer(ledger.cursor, BEST_HOURS, data), type=BestHours).reason

    assert [reason(), reason(), reason("other"), reason("other"), reason(next_ms=1)] == [
        "question 1",
        "question 1",
        "question 2",
        "question 2",
        "question 3",
    ]
    assert [reason(next_ms=2), reason()] == ["question 4", "question 5"]  # more than are kept
    ledger.write(chance_interval(BEGIN + QUARTER, HOMES_OF_ALL))
    assert [reason(), reason()] == ["question 6", "question 6"]
    now += QUARTER
    assert reason() == "question 7"
