from typing import Any

import pytest

from bus.messages import Frame, encode
from resolvers.feed import Counts, Feed, Waiter
from tests.resolvers.frames import community_state, frame, home_state


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def feed(counts: Counts) -> Feed:
    return Feed("demo", counts)


def take(feed: Feed, one: Frame) -> None:
    feed.take(encode(one), 0)


def watch_home(feed: Feed, home: str) -> Waiter:
    watcher = Waiter()
    feed.watch_home(home, watcher)
    return watcher


def power(feed: Feed, home: str) -> float | None:
    live = feed.live_home(home)
    assert live is not None
    return live.state.power_import_w


def test_has_nothing_before_the_first_frame(feed: Feed) -> None:
    assert feed.community_state() is None
    assert feed.live_home("home-1") is None
    assert feed.received_ms is None


def test_shows_community_and_home_of_the_latest_frame(feed: Feed) -> None:
    take(feed, frame(1, home_state()))
    take(feed, frame(2, home_state(power_import_w=7.0), state=community_state(load_w=9.0)))
    live = feed.live_home("home-1")
    assert live is not None
    assert live.state.power_import_w == 7.0
    assert live.community.load_w == 9.0
    assert feed.community_state() == live.community


def test_wakes_only_those_whose_home_changed(feed: Feed) -> None:
    take(feed, frame(1, home_state("home-1"), home_state("home-2")))
    one, two = watch_home(feed, "home-1"), watch_home(feed, "home-2")
    take(feed, frame(2, home_state("home-1", load_w=1.0), home_state("home-2"), changed=["home-1"]))
    assert one.changed.is_set()
    assert not two.changed.is_set()


def test_one_that_fails_keeps_nobody_from_waking(feed: Feed) -> None:
    class Broken:
        def wake(self) -> None:
            raise RuntimeError("broken")

    feed.watch_home("home-1", Broken())
    one = watch_home(feed, "home-1")
    feed.watch_home("home-1", Broken())
    take(feed, frame(1, home_state("home-1")))
    assert one.changed.is_set()


def test_wakes_everyone_after_a_gap_in_numbers(feed: Feed, counts: Counts) -> None:
    take(feed, frame(1, home_state("home-1"), home_state("home-2")))
    assert power(feed, "home-2") == 1500.0
    two = watch_home(feed, "home-2")
    take(feed, frame(3, home_state("home-1"), home_state("home-2", power_import_w=2.0), changed=["home-1"]))
    assert two.changed.is_set()
    assert power(feed, "home-2") == 2.0
    assert counts.gaps == 1


@pytest.mark.parametrize("number", [1, 4])
def test_takes_a_number_that_goes_back_as_a_gap(feed: Feed, number: int) -> None:
    take(feed, frame(5, home_state()))
    take(feed, frame(number, home_state(power_import_w=2.0), changed=[]))
    assert power(feed, "home-1") == 2.0


def test_decodes_a_home_only_when_asked(feed: Feed, counts: Counts) -> None:
    one = frame(1, home_state("home-1"))
    one.homes["home-2"] = one.homes["home-1"]  # says that it is home-1, which shows once it is decoded
    take(feed, one)
    assert power(feed, "home-1") == 1500.0
    assert counts.malformed == 0
    assert feed.live_home("home-2") is None
    assert counts.malformed == 1


def test_decodes_a_home_once_until_it_changes(feed: Feed) -> None:
    take(feed, frame(1, home_state("home-1"), home_state("home-2")))
    before = feed.live_home("home-1")
    take(feed, frame(2, home_state("home-1"), home_state("home-2"), changed=["home-2"]))
    after = feed.live_home("home-1")
    assert before is not None
    assert after is not None
    assert after.state is before.state
    assert after.community is not before.community


MALFORMED: list[Any] = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b'{"number": "one"}',
    b"[" * 100_000,
    encode(frame(2, state=community_state("other"))),
]


@pytest.mark.parametrize("payload", MALFORMED, ids=range(len(MALFORMED)))
def test_skips_a_malformed_frame_and_keeps_the_last_good_one(feed: Feed, counts: Counts, payload: bytes) -> None:
    take(feed, frame(1, home_state()))
    watcher = watch_home(feed, "home-1")
    feed.take(payload, 0)
    assert counts == Counts(frames=1, malformed=1)
    assert power(feed, "home-1") == 1500.0
    assert not watcher.changed.is_set()


def test_keeps_the_last_good_state_of_a_malformed_home(feed: Feed, counts: Counts) -> None:
    take(feed, frame(1, home_state("home-1")))
    assert power(feed, "home-1") == 1500.0
    bad = frame(2, home_state("home-1"))
    bad.homes["home-1"] = frame(0, home_state("home-2")).homes["home-2"]
    take(feed, bad)
    assert power(feed, "home-1") == 1500.0
    assert counts.malformed == 1


def test_forgets_a_home_that_left_the_community(feed: Feed) -> None:
    take(feed, frame(1, home_state("home-1"), home_state("home-2")))
    assert feed.live_home("home-2") is not None
    take(feed, frame(2, home_state("home-1"), changed=["home-2"]))
    assert feed.live_home("home-2") is None


def test_leaves_a_stored_frame_that_is_older_than_the_latest(feed: Feed) -> None:
    take(feed, frame(2, home_state(power_import_w=2.0)))
    feed.take_stored(encode(frame(1, home_state(power_import_w=1.0))), 0)
    assert power(feed, "home-1") == 2.0
    feed.take_stored(encode(frame(3, home_state(power_import_w=3.0), changed=[])), 0)
    assert power(feed, "home-1") == 3.0


def test_holds_nothing_of_watchers_that_left(feed: Feed) -> None:
    watcher = watch_home(feed, "home-1")
    feed.watch_community(watcher)
    assert feed.watchers == 2
    feed.unwatch_home("home-1", watcher)
    feed.unwatch_community(watcher)
    assert feed.watchers == 0
    assert not feed._home_watchers
