"""Meters that say too much: cut short by their own clock, and told of in few messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.flood import APART_MS, MOST_A_SECOND, MOST_OF_STRANGERS, MOST_TOLD
from tests.aggregator.harness import (
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    Bench,
    Said,
    community,
    home,
    merged,
    said,
    steady,
    ticks,
)

MALFORMED = b'{"at": "now"}'


def bench() -> Bench:
    return Bench(community(home("a"), home("b"))).run(ticks(NOON - 20 * SECOND, NOON))


def malformed(meter: str, count: int, since: int = NOON) -> list[Said]:
    return [Said(since + n, meter, MALFORMED) for n in range(count)]


def refused_at_gateway(count: int) -> bytes:
    return (
        b'{"refused": "checksum", "detail": "the checksum is wrong", "received_at": "2026-06-15T12:00:00Z", '
        b'"size": 9, "payload": "/KFM5", "count": %d}' % count
    )


# --- readings that lie too close ---


def test_a_backlog_that_comes_at_once_is_taken_whole() -> None:
    readings = [said("a-grid", NOON - HOUR + n * SECOND, n, time=NOON) for n in range(3000)]
    assert bench().run(readings).rejected == []


def test_ten_readings_a_second_are_taken_for_as_long_as_they_come() -> None:
    readings = [said("a-grid", NOON + n * APART_MS, 1000) for n in range(3000)]
    assert bench().run(readings).rejected == []


def test_a_second_holds_few_readings_that_lie_closer_and_the_next_second_is_another() -> None:
    readings = [said("a-grid", NOON + 30 * second * SECOND + n, 1000) for second in range(3) for n in range(15)]
    found = bench().run(readings).rejected
    # The first of a second lies apart from the one before and is not counted, but for the very first of all.
    assert [one.reason for one in found] == ["flood"] * (3 * (14 - MOST_A_SECOND) + 1)
    assert "more than 10 readings closer than 100 ms within the second of 2026-06-15 12:00:00" in found[0].detail


def test_what_a_flood_leaves_of_a_second_is_what_its_meter_counts_on_from() -> None:
    flood = [said("a-grid", NOON + n, n) for n in range(1000)]
    after = steady("a-grid", NOON + SECOND, NOON + HOUR, 10 * SECOND, 3_600, start_wh=1000)
    work = bench().run(merged(flood, ticks(NOON, NOON + 2 * HOUR), after))
    assert set(work.reasons) == {"flood"}
    track = work.fold.state.tracks["a-grid"]
    assert track.last is not None
    assert track.last.import_wh == 1000 + 3_599 - 10 + 1
    # Ten that lie close, and one in each tenth of a second.
    assert sum(one.count for one in work.rejected) >= 1000 - 2 * MOST_A_SECOND - 1


def test_the_same_reading_again_and_again_is_no_flood_until_it_is_one() -> None:
    again = [said("a-grid", NOON, 5) for _ in range(MOST_A_SECOND)]
    assert bench().run(again).rejected == []
    assert bench().run([*again, said("a-grid", NOON, 5)]).reasons == ["flood"]


def test_a_flood_of_one_meter_is_nothing_to_another() -> None:
    flood = [said("a-grid", NOON + n, n) for n in range(500)]
    others = steady("b-grid", NOON, NOON + 10 * MINUTE, SECOND, 500)
    work = bench().run(merged(flood, others))
    assert {one.subject for one in work.rejected} == {"readings.test.a-grid"}


# --- what is told of refusals ---


def test_of_many_refusals_the_first_are_told_whole_and_the_others_in_one_message_when_the_minute_is_over() -> None:
    work = bench().run(malformed("a-grid", 500))
    assert [one.count for one in work.rejected] == [1] * MOST_TOLD
    assert {one.payload for one in work.rejected} == {MALFORMED.decode()}
    work.run([Said(NOON + MINUTE - 1)])
    assert len(work.rejected) == MOST_TOLD
    work.run([Said(NOON + MINUTE)])
    *_, last = work.rejected
    assert (last.count, last.payload, last.reason) == (500 - MOST_TOLD, "", work.rejected[0].reason)
    assert last.detail.startswith(
        f"{500 - MOST_TOLD} more in this minute, the last at sequence {last.sequence} of READINGS"
    )
    assert work.memory.messages[last.sequence - 1].data == MALFORMED
    assert sum(one.count for one in work.rejected) == 500
    work.run(ticks(NOON + MINUTE, NOON + 5 * MINUTE))
    assert len(work.rejected) == MOST_TOLD + 1
    assert work.fold.state.refusals == {}


def test_each_reason_is_counted_by_itself() -> None:
    mixed = [
        Said(NOON + n, "a-grid", MALFORMED if n % 3 else b'{"at": "2026-06-15T12:00:00Z", "import_wh": -1}')
        for n in range(300)
    ]
    work = bench().run(mixed).run([Said(NOON + MINUTE)])
    counted = {one.reason: one.count for one in work.rejected[MOST_TOLD:]}
    assert len(counted) == 2
    assert sum(counted.values()) == 300 - MOST_TOLD


def test_a_new_minute_begins_anew_even_without_a_tick() -> None:
    work = bench().run(malformed("a-grid", 100)).run(malformed("a-grid", 100, NOON + MINUTE))
    assert [one.count for one in work.rejected] == [1] * MOST_TOLD + [100 - MOST_TOLD] + [1] * MOST_TOLD


def test_strangers_share_what_is_told_of_them() -> None:
    work = bench().run([Said(NOON + n, f"stranger-{n}", said("x", NOON, 1).data) for n in range(500)])
    assert work.reasons == ["unknown_meter"] * MOST_OF_STRANGERS
    work.run([Said(NOON + MINUTE)])
    assert work.rejected[-1].count == 500 - MOST_OF_STRANGERS
    assert list(work.fold.state.refusals) == []


def test_a_refuted_suspect_counts_in_the_minute_in_which_it_is_refused() -> None:
    readings = steady("a-grid", NOON, NOON + 3 * MINUTE, 10 * SECOND, 360)
    readings.insert(5, said("a-grid", NOON + 55 * SECOND, 900_000_000))
    assert bench().run(sorted(readings, key=lambda one: one.time)).reasons == ["register_leapt"]


# --- the same after a crash ---


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 5, 99, 100, 700, 20_000, 61_000]),
            st.sampled_from(["reading", "malformed", "stranger", "tick", "older"]),
        ),
        max_size=120,
    ),
    st.integers(0, 120),
)
def test_a_checkpoint_anywhere_changes_nothing_of_what_is_told(steps: list[tuple[int, str]], cut: int) -> None:
    messages, at = [], NOON
    for number, (after, what) in enumerate(steps):
        at += after
        match what:
            case "reading" | "older":
                messages.append(said("a-grid", at - (500 if what == "older" else 0), number, time=at))
            case "malformed":
                messages += malformed("a-grid", 15, at)
            case "stranger":
                messages.append(Said(at, "stranger", said("x", at, 1).data))
            case "tick":
                messages.append(Said(at))
    whole = bench().run(messages)
    broken = bench().run(messages[:cut])
    kept = broken.checkpoint()
    broken.run(messages[cut:])
    broken.restore(kept)
    broken.catch_up()
    # The harness asserts that what comes out again is what came out before.
    assert broken.rejected == whole.rejected
    assert broken.fold.state == whole.fold.state


@pytest.mark.parametrize("count", [1, 7])
def test_every_refusal_is_counted_once(count: int) -> None:
    messages = [one for n in range(40 * count) for one in malformed("a-grid", 1, NOON + n * 7 * SECOND)]
    work = bench().run(messages).run([Said(NOON + HOUR)])
    assert sum(one.count for one in work.rejected) == 40 * count


def test_what_a_gateway_counted_counts_as_many_told_or_not() -> None:
    work = bench().run([Said(NOON + n, "a-grid", refused_at_gateway(7)) for n in range(MOST_TOLD + 2)])
    work.run(ticks(NOON + MINUTE, NOON + 2 * MINUTE))
    assert [one.count for one in work.rejected] == [*[7] * MOST_TOLD, 14]
    assert {one.reason for one in work.rejected} == {"refused_at_gateway"}
