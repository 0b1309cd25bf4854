"""The pure parts of bench.watch_energy, by examples worked out by hand."""

import pytest

from bench.watch_energy.error import error
from bench.watch_energy.needed import fewest, refreshed
from bench.watch_energy.radio import LTE, WIFI, Passed, Radio, awake_s, bursts, joules, pieces, wire

PLAIN = Radio("plain", wake_j=1.0, tail_s=2.0, tail_w=0.5, in_j=0.001, out_j=0.01)


def at(*seconds: float) -> list[Passed]:
    """Return what passed where ten bytes came at these times."""
    return [Passed(second, 10, 0) for second in seconds]


def test_what_comes_within_the_tail_wakes_nobody_again() -> None:
    assert bursts(at(0, 1, 3), 2) == [(0, 3)]
    assert bursts(at(0, 1, 3.1), 2) == [(0, 1), (3.1, 3.1)]
    assert bursts([], 2) == []


def test_each_burst_keeps_a_radio_awake_for_its_tail() -> None:
    assert awake_s(at(0, 1, 10), 2) == pytest.approx((1 + 2) + (0 + 2))


def test_polling_within_the_tail_is_one_burst_that_never_ends() -> None:
    polls = at(*range(3600))
    assert len(bursts(polls, LTE.tail_s)) == 1
    assert awake_s(polls, LTE.tail_s) == pytest.approx(3599 + 11.576)
    assert len(bursts(polls, WIFI.tail_s)) == 3600


def test_a_piece_is_a_record_in_segments_and_what_comes_is_acknowledged() -> None:
    assert wire([Passed(0, 100, 0)]) == (100 + 22 + 52, 52)
    assert wire([Passed(0, 0, 100)]) == (0, 100 + 22 + 52)
    assert wire([Passed(0, 1426, 0)]) == (1426 + 22 + 52, 52)
    assert wire([Passed(0, 1427, 0)]) == (1427 + 22 + 2 * 52, 52)


def test_a_new_connection_costs_its_handshakes() -> None:
    assert wire([Passed(0, 0, 100, opened=True)]) == (3200, 174 + 800)


def test_reads_of_the_same_moment_are_one_piece_and_those_of_different_directions_are_not() -> None:
    passed = [Passed(0, 0, 30), Passed(0, 100, 0), Passed(0.01, 20, 0), Passed(1, 5, 0)]
    assert pieces(passed) == [Passed(0, 0, 30), Passed(0, 120, 0), Passed(1, 5, 0)]
    assert pieces([Passed(0, 0, 1), Passed(0, 0, 2, opened=True)])[1].opened


def test_joules_are_those_of_waking_of_being_awake_and_of_bytes() -> None:
    # Two bursts, 1 J each; awake for 2 s each, at 0.5 W; 2 x (10 + 22 + 52) bytes in and 2 x 52 out.
    assert joules(at(0, 10), PLAIN) == pytest.approx(2 * 1 + 2 * 2 * 0.5 + 168 * 0.001 + 104 * 0.01)


@pytest.mark.parametrize(("radio", "lone_j"), [(WIFI, 0.04), (LTE, 12.6)], ids=["wifi", "lte"])
def test_a_lone_update_costs_what_the_literature_says(radio: Radio, lone_j: float) -> None:
    assert joules(at(0), radio) == pytest.approx(lone_j, rel=0.05)


def test_the_error_is_against_every_true_value_of_the_window() -> None:
    # Shown 0 in all four seconds; true 0, 4, 0, 1. Windows of two: (0), (0, 4), (4, 0), (0, 1).
    found = error([0, 4, 0, 1], [0, 0, 0, 0], 2)
    assert found.largest == 4
    assert found.mean == pytest.approx((0 + 0 + 4 + 4 + 0 + 0 + 1) / 7)


def test_a_window_of_a_second_is_that_second_alone() -> None:
    found = error([0, 10, 10], [0, 0, 10], 1)
    assert found.largest == 10
    assert found.mean == pytest.approx(10 / 3)


def test_what_was_true_before_counts_though_the_wrist_is_right_by_now() -> None:
    assert error([0, 10], [0, 10], 2).largest == 10


def test_seconds_without_a_figure_are_left_out() -> None:
    found = error([100, 3, 3], [None, 2, 2], 1)
    assert (found.largest, found.mean) == (1, 1)
    assert error([1], [None], 1) == (0, 0)


def test_no_window_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 0 s"):
        error([1], [1], 0)


def test_one_value_serves_while_a_figure_stays_within_two_steps() -> None:
    assert fewest([[0], [10], [20]], [10]) == 1
    assert fewest([[0], [10], [21]], [10]) == 2
    assert fewest([[0, 0], [5, 30], [5, 31]], [10, 10]) == 2


def test_a_figure_over_its_margin_takes_the_others_along() -> None:
    # With a margin of 1: 0, then 11 shown as 10 with the other at 4 shown as 0, then 14 of the other shown as 10.
    assert refreshed([[0, 0], [10, 0], [11, 4], [11, 14]], [10, 10], 1.0) == 3
    assert refreshed([[0, 0], [10, 0], [11, 4], [11, 14]], [10, 10], 0.75) == 3
    assert refreshed([[0], [8]], [10], 0.75) == 2
    assert refreshed([[0], [8]], [10], 1.0) == 1


def test_words_and_silences_are_updates_too() -> None:
    still = [[0.0]] * 5
    assert refreshed(still, [10], 1.0) == 1
    assert refreshed(still, [10], 1.0, words=["a", "a", "b", "b", "a"]) == 3
    assert refreshed(still, [10], 1.0, silence_s=2) == 3
    assert refreshed(still, [10], 1.0, words=["a", "b", "b", "b", "b"], silence_s=2) == 3
