"""What the history takes for a settled interval, and what it refuses."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.stored import Stored
from history.decoding import MalformedError, decode
from tests.history.ledger import QUARTER, chance_interval, interval, ms, row, stored

NOON = ms("2026-06-01T12:00")


def changed(**changes: Any) -> Stored:
    """Return an interval of one home, as JSON with some values changed."""
    value = json.loads(stored(interval(NOON, [row("ash", NOON)])).data)
    for name, one in changes.items():
        if name in value and name != "rows":
            value[name] = one
        else:
            value["rows"][0][name] = one
    return Stored("intervals.demo", 1, 1, json.dumps(value).encode())


def test_an_interval_keeps_all_that_it_says() -> None:
    entry = decode(stored(interval(NOON, [row("ash", NOON, quality="ESTIMATED")], revision=3, status="FINAL")))
    assert entry[:7] == ("demo", NOON, NOON + QUARTER, 3, True, "EUR", 100)
    assert entry.homes == ["ash"]
    assert entry.rows == [(400, 30, 60, 430, 5, 5, 100, 300, 10, "1.2", "0.16", "21", 2)]


@given(at=st.integers(0, 100_000), homes=st.integers(0, 5), revision=st.integers(0, 9))
def test_whatever_an_aggregator_sends_is_taken(at: int, homes: int, revision: int) -> None:
    one = chance_interval(NOON + at * QUARTER, [f"home-{number}" for number in range(homes)], revision)
    entry = decode(stored(one))
    assert (entry.start, len(entry.rows), entry.revision) == (NOON + at * QUARTER, homes, revision)


@pytest.mark.parametrize(
    "changes",
    [
        {"import_wh": -1},
        {"export_wh": 10**9 + 1},
        {"load_wh": 2**70},
        {"pv_wh": 1.5},
        {"shared_wh": -1},
        {"shared_wh": 10**13},
        {"revision": -1},
        {"revision": 2**31},
        {"status": "ALMOST"},
        {"quality": "GOOD"},
        {"start": "2026-06-01"},
        {"start": "2026-06-01T10:00:00"},
        {"start": "soon"},
        {"start": "1969-12-31T23:45:00Z"},
        {"end": "2026-06-01T10:00:00Z"},
        {"end": "2026-06-03T10:00:00Z"},
        {"saving": "NaN"},
        {"saving": "Infinity"},
        {"saving": "1e3"},
        {"saving": "1,5"},
        {"saving": ""},
        {"saving": "0.123456789012"},
        {"credit": "1234567890123456"},
        {"credit": "٣"},
        {"co2_avoided_g": "--1"},
        {"co2_avoided_g": "1 1"},
        {"home": "Ash"},
        {"home": "a.b"},
        {"community": "other"},
        {"community": "De Mo"},
    ],
    ids=str,
)
def test_what_is_no_settled_interval_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        decode(changed(**changes))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"community": 1}', b"\xff\xfe", b"null", b"[" * 100_000])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(Stored("intervals.demo", 1, 1, data))


def test_two_rows_of_a_home_are_refused() -> None:
    with pytest.raises(MalformedError, match="a home has two rows"):
        decode(stored(interval(NOON, [row("ash", NOON), row("ash", NOON)])))


def test_a_stale_row_counts_as_missing() -> None:
    assert decode(changed(quality="STALE")).rows[0][-1] == 3


@given(data=st.binary(max_size=200))
def test_bytes_by_chance_are_refused_without_another_error(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(Stored("intervals.demo", 1, 1, data))
