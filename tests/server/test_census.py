import gc
import sys

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.census import Census, FullError, Place


def full(error: pytest.ExceptionInfo[FullError]) -> tuple[int, str, float, int]:
    refusal = error.value.refusal
    assert refusal.limit in str(error.value)
    assert f"{refusal.most:,}" in str(error.value)
    return refusal.status, refusal.limit, refusal.most, refusal.retry_s


def test_the_limit_itself_is_let_in_and_one_more_is_not() -> None:
    census = Census(2, 100, 100)
    places = [census.enter("192.0.2.1"), census.enter()]
    with pytest.raises(FullError) as error:
        census.enter("192.0.2.2")
    assert full(error) == (503, "max_connections", 2, 5)
    places[0].leave()
    census.enter("192.0.2.2")
    assert census.statistics().refused["max_connections"] == 1


def test_addresses_have_a_limit_of_their_own_and_a_refusal_takes_no_place() -> None:
    census = Census(100, 2, 100)
    places = [census.enter("2001:db8::1"), census.enter("2001:db8::2")]
    for _ in range(3):
        with pytest.raises(FullError) as error:
            census.enter("2001:db8::3")
        assert full(error) == (429, "max_connections_per_address", 2, 5)
    assert census.statistics()[:2] == (2, 1)
    census.enter("192.0.2.1")
    places[1].leave()
    census.enter("2001:db8::4")


def test_tokens_have_a_limit_of_their_own_and_one_that_is_renewed_counts_once() -> None:
    census = Census(100, 100, 2)
    one, other, third = (census.enter("192.0.2.1") for _ in range(3))
    one.name_token("a")
    one.name_token("a")
    other.name_token("a")
    third.name_token("b")
    with pytest.raises(FullError) as error:
        third.name_token("a")
    assert full(error) == (429, "max_connections_per_token", 2, 5)
    assert third.token == "b"
    one.name_token("c")
    third.name_token("a")
    assert census.statistics().tokens == 2


def test_a_visit_counts_for_its_address_and_token_and_not_among_all() -> None:
    census = Census(1, 1, 1)
    census.enter()
    visit = census.visit("192.0.2.1", "a")
    for address, token in (("192.0.2.1", "b"), ("192.0.2.2", "a")):
        with pytest.raises(FullError):
            census.visit(address, token)
    assert census.statistics()[:3] == (1, 1, 1)
    visit.leave()
    census.visit("192.0.2.1", "a")


def test_a_place_is_given_back_once() -> None:
    census = Census(5, 5, 5)
    place, _ = census.enter("192.0.2.1"), census.enter("192.0.2.1")
    place.name_token("a")
    place.leave()
    place.leave()
    assert census.statistics()[:3] == (1, 1, 0)


def test_a_place_takes_little_room() -> None:
    place = Census(5, 5, 5).enter("192.0.2.1")
    gc.collect()
    assert sys.getsizeof(place) <= 100
    assert not hasattr(place, "__dict__")


class Comings(RuleBasedStateMachine):
    """Whoever comes and goes in whatever order: nothing is over a limit, and in the end nothing is left."""

    def __init__(self) -> None:
        super().__init__()
        self.census = Census(4, 2, 2)
        self.places: list[Place] = []

    @rule(address=st.sampled_from([None, "192.0.2.1", "192.0.2.2", "::1"]))
    def enter(self, address: str | None) -> None:
        try:
            self.places.append(self.census.enter(address))
        except FullError:
            assert len(self.places) >= 2

    @rule(place=st.integers(0, 5), token=st.sampled_from(["a", "b"]))
    def name_token(self, place: int, token: str) -> None:
        if place < len(self.places):
            try:
                self.places[place].name_token(token)
            except FullError:
                assert self.places[place].token != token

    @rule(place=st.integers(0, 5), address=st.sampled_from(["192.0.2.1", "192.0.2.2"]))
    def name_address(self, place: int, address: str) -> None:
        if place < len(self.places):
            try:
                self.places[place].name_address(address)
            except FullError:
                assert self.places[place].address is None

    @rule(place=st.integers(0, 5))
    def leave(self, place: int) -> None:
        if place < len(self.places):
            self.places.pop(place).leave()

    @invariant()
    def counts_are_those_of_the_places(self) -> None:
        open, addresses, tokens, _ = self.census.statistics()
        assert open == len(self.places) <= 4
        for named, most in (
            (addresses, [one.address for one in self.places]),
            (tokens, [one.token for one in self.places]),
        ):
            known = [one for one in most if one is not None]
            assert named == len(set(known))
            assert all(known.count(one) <= 2 for one in known)

    def teardown(self) -> None:
        for place in self.places:
            place.leave()
        assert self.census.statistics()[:3] == (0, 0, 0)


TestComings = Comings.TestCase
TestComings.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
