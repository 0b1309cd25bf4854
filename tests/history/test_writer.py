"""The writer: whatever order, repetition and revision of messages, the tables hold the newest, once."""

import random
from itertools import pairwise
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.messages import Interval
from history.store import Position
from tests.history.ledger import DAY, QUARTER, Ledger, chance_interval, interval, ms, row

HOMES = ("ash", "birch", "cedar")
EVE = ms("2026-10-24T22:00")
"""Two hours before the day of 100 quarters."""


@st.composite
def messages(draw: st.DrawFn) -> list[Interval]:
    """Intervals of two communities around a change of the clocks, in some revisions, with some homes."""
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(("demo", "other")), st.integers(0, 130), st.integers(0, 3)),
            min_size=1,
            max_size=25,
        )
    )
    return [
        chance_interval(EVE + at * QUARTER, HOMES[: 1 + (at + revision) % 3], revision, community=community)
        for community, at, revision in keys
    ]


def written(intervals: list[Interval], cuts: list[int]) -> Ledger:
    ledger = Ledger()
    borders = [0, *sorted(cuts), len(intervals)]
    for first, last in pairwise(borders):
        ledger.write(*intervals[first:last])
    return ledger


@settings(max_examples=15, deadline=None)
@given(sent=messages(), data=st.data())
def test_any_order_repetition_and_batching_gives_the_same_tables(sent: list[Interval], data: st.DataObject) -> None:
    one_by_one = written(sorted(sent, key=lambda one: one.revision), list(range(len(sent))))
    again = data.draw(st.permutations(sent + sent[: len(sent) // 2]))
    cuts = data.draw(st.lists(st.integers(0, len(again)), max_size=6))
    otherwise = written(again, cuts)
    assert otherwise.newest == one_by_one.newest
    assert otherwise.dump() == one_by_one.dump()
    for ledger in (one_by_one, otherwise):
        ledger.close()


@settings(max_examples=15, deadline=None)
@given(sent=messages())
def test_rows_are_those_of_the_newest_revisions(sent: list[Interval]) -> None:
    ledger = written(sent, [len(sent) // 2])
    dump = ledger.dump()
    assert sorted((one[0], one[1], one[2]) for one in dump["rows"]) == sorted(
        (community, item.home, start) for (community, start), one in ledger.newest.items() for item in one.rows
    )
    assert {(one[0], one[1]): one[3] for one in dump["intervals"]} == {
        key: one.revision for key, one in ledger.newest.items()
    }
    ledger.close()


def test_an_older_revision_never_replaces_a_newer_one() -> None:
    ledger = Ledger()
    newer = interval(EVE, [row("ash", EVE, import_wh=700)], revision=2)
    assert ledger.write(newer) == 1
    before = ledger.dump()
    assert ledger.write(interval(EVE, [row("ash", EVE)], revision=1)) == 0
    assert ledger.write(newer) == 0
    assert ledger.dump() == before


def test_a_revision_replaces_all_rows_of_its_interval_and_no_other() -> None:
    ledger = Ledger()
    ledger.write(interval(EVE, [row("ash", EVE), row("birch", EVE)]), interval(EVE + QUARTER, [row("ash", EVE)]))
    ledger.write(interval(EVE, [row("cedar", EVE, import_wh=1)], revision=1, status="FINAL"))
    assert [(home, start) for _, home, start, *_ in ledger.dump()["rows"]] == [("ash", EVE + QUARTER), ("cedar", EVE)]
    assert {(home, count, final) for _, home, _, _, count, final, *_ in ledger.dump()["days"]} == {
        ("ash", 1, 0),
        ("cedar", 1, 1),
    }


def test_an_interval_without_homes_is_kept_and_empty() -> None:
    ledger = Ledger()
    assert ledger.write(interval(EVE, [])) == 0
    assert len(ledger.dump()["intervals"]) == 1
    assert ledger.dump()["days"] == []


def test_worths_are_exact_and_grams_rounded_to_eleven_digits() -> None:
    ledger = Ledger()
    ledger.write(
        interval(
            EVE, [row("ash", EVE, saving="-123456789012345.12345678901", co2_avoided_g="0.123456789012345678901234")]
        )
    )
    (found,) = ledger.cursor.execute("SELECT saving::VARCHAR, co2_avoided_g::VARCHAR FROM rows").fetchall()
    assert found == ("-123456789012345.12345678901", "0.12345678901")


def test_days_are_counted_anew_when_the_time_zone_is_corrected() -> None:
    intervals = [chance_interval(EVE + at * QUARTER, HOMES) for at in range(0, 40 * 96, 7)]
    ledger, other = Ledger(zone="UTC"), Ledger(zone="Australia/Lord_Howe")
    ledger.write(*intervals)
    other.write(*intervals)
    assert ledger.dump()["days"] != other.dump()["days"]
    ledger.writer.rezone("demo", "Australia/Lord_Howe")
    assert ledger.dump() == other.dump()
    assert ledger.store.zones == {"demo": "Australia/Lord_Howe"}
    ledger.write(chance_interval(EVE, HOMES, 1))
    other.write(chance_interval(EVE, HOMES, 1))
    assert ledger.dump() == other.dump()


def test_a_write_that_fails_leaves_everything_as_it_was() -> None:
    ledger = Ledger()
    ledger.write(chance_interval(EVE, HOMES))
    before, position = ledger.dump(), ledger.store.position

    def fail(_: str) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.write(chance_interval(EVE, HOMES, 1), chance_interval(EVE, ("oak",), community="another"), zone_of=fail)
    assert ledger.dump() == before
    assert ledger.store.position == position
    assert ledger.store.communities == {"demo": 1}
    ledger.write(chance_interval(EVE, (*HOMES, "oak"), 2), chance_interval(EVE, ("oak",), community="another"))
    assert {community for community, *_ in ledger.dump()["rows"]} == {"demo", "another"}


def test_the_position_is_written_with_the_rows() -> None:
    ledger = Ledger()
    ledger.write(chance_interval(EVE, HOMES), chance_interval(EVE + QUARTER, HOMES))
    assert ledger.store.position == Position(2, 2, "2")
    ledger.store.reload()
    assert ledger.store.position == Position(2, 2, "2")
    ledger.writer.write([], Position(9, 8, "7"), lambda _: "UTC")
    ledger.store.reload()
    assert ledger.store.position == Position(9, 8, "7")


def test_a_day_that_came_piece_by_piece_lies_together_when_it_is_over() -> None:
    ledger = Ledger()
    start = ms("2026-06-01T00:00")
    for at in range(97):
        ledger.write(chance_interval(start + at * QUARTER, HOMES))
    in_order = ledger.cursor.execute(
        "SELECT home, start FROM rows WHERE start < ? ORDER BY rowid", [start + DAY]
    ).fetchall()
    assert in_order == sorted(in_order)
    assert len(in_order) == 96 * len(HOMES)


def test_homes_of_the_same_name_in_two_communities_are_two() -> None:
    ledger = Ledger()
    ledger.write(chance_interval(EVE, HOMES), chance_interval(EVE, HOMES, community="other"))
    assert len(ledger.store.homes) == 2 * len(HOMES)


def test_questions_see_what_was_before_while_something_is_written() -> None:
    ledger = Ledger(duckdb.connect())
    ledger.write(chance_interval(EVE, HOMES))
    reader = ledger.store.cursor()
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM rows").fetchall() == [(3,)]
    ledger.write(chance_interval(EVE, HOMES[:1], 1), chance_interval(EVE + QUARTER, HOMES))
    assert reader.execute("SELECT count(*) FROM rows").fetchall() == [(3,)]
    reader.execute("ROLLBACK")
    assert reader.execute("SELECT count(*) FROM rows").fetchall() == [(4,)]


def test_a_year_of_scattered_revisions_touches_only_their_days() -> None:
    dice = random.Random(5)
    ledger = Ledger()
    starts = [EVE + at * QUARTER for at in dice.sample(range(365 * 96), 300)]
    ledger.write(*(chance_interval(start, HOMES) for start in starts))
    some = dice.sample(starts, 40)
    ledger.write(*(chance_interval(start, HOMES, 1) for start in some))
    fresh = Ledger()
    fresh.write(*ledger.newest.values())
    assert ledger.dump() == fresh.dump()
    assert ZoneInfo(ledger.store.zones["demo"]).key == "Europe/Vienna"
