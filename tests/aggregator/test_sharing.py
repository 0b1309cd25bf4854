"""Sharing: every sum holds exactly, nobody gets more than they drew, and the order of homes says nothing."""

from decimal import Decimal
from random import Random
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.sharing import Allocation, Participant, largest_remainder, share
from bus.community import AllocationKey

KEYS: tuple[AllocationKey, ...] = get_args(AllocationKey)
NETTED: tuple[AllocationKey, ...] = tuple(key for key in KEYS if key != "VIRTUAL")

_wh = st.one_of(st.integers(0, 5), st.integers(0, 20_000), st.just(0))


@st.composite
def communities(draw: st.DrawFn, *, all_keys_positive: bool = False) -> list[Participant]:
    """1 to 50 homes; their keys are decimals that add up to exactly 1."""
    count = draw(st.integers(1, 50))
    least = 1 if all_keys_positive else 0
    weights = draw(st.lists(st.integers(least, 1000), min_size=count, max_size=count).filter(any))
    units = largest_remainder(10**12 - count, weights)
    keys = [Decimal(unit + 1) / 10**12 if all_keys_positive else Decimal(unit) / 10**12 for unit in units]
    keys[0] += 1 - sum(keys)
    return [
        Participant(f"home-{n:02}", draw(_wh), draw(_wh), keys[n], draw(st.sampled_from((100, 100, 1, 33, 50, 99))))
        for n in range(count)
    ]


def _demand(home: Participant) -> int:
    return home.import_wh * home.participation // 100


def _supply(home: Participant) -> int:
    return home.export_wh * home.participation // 100


def _of(key: AllocationKey, *homes: tuple[int, int, str]) -> Allocation:
    return share(key, [Participant(f"h{n}", imp, exp, Decimal(k)) for n, (imp, exp, k) in enumerate(homes, 1)])


@given(communities(), st.sampled_from(KEYS))
@settings(deadline=None, max_examples=40)
def test_what_is_injected_is_either_used_or_left_to_the_wh(homes: list[Participant], key: AllocationKey) -> None:
    allocation = share(key, homes)
    allocated = sum(allocation.allocated.values())
    left = sum(home.export_wh - allocation.used[home.home] for home in homes)
    assert allocated + left == sum(home.export_wh for home in homes)
    assert allocated == sum(allocation.used.values())


@given(communities(), st.sampled_from(KEYS))
@settings(deadline=None, max_examples=40)
def test_nobody_gets_more_than_they_drew_or_gives_more_than_they_injected(
    homes: list[Participant], key: AllocationKey
) -> None:
    allocation = share(key, homes)
    for home in homes:
        assert 0 <= allocation.allocated[home.home] <= _demand(home) <= home.import_wh
        assert 0 <= allocation.used[home.home] <= _supply(home) <= home.export_wh
    assert allocation.shared_wh <= min(sum(map(_demand, homes)), sum(map(_supply, homes)))


@given(communities(), st.sampled_from(("DYNAMIC", "HYBRID")))
@settings(deadline=None, max_examples=40)
def test_dynamic_and_hybrid_share_all_that_can_be_shared(homes: list[Participant], key: AllocationKey) -> None:
    assert share(key, homes).shared_wh == min(sum(map(_demand, homes)), sum(map(_supply, homes)))


@given(communities(all_keys_positive=True))
@settings(deadline=None, max_examples=40)
def test_rounds_share_all_that_can_be_shared_where_every_key_is_positive(homes: list[Participant]) -> None:
    assert share("STATIC_ROUNDS", homes).shared_wh == min(sum(map(_demand, homes)), sum(map(_supply, homes)))


@given(communities())
@settings(deadline=None, max_examples=40)
def test_rounds_and_hybrid_never_give_less_than_the_first_round(homes: list[Participant]) -> None:
    first = share("STATIC", homes)
    for key in ("STATIC_ROUNDS", "HYBRID"):
        more = share(key, homes)
        assert all(more.allocated[home.home] >= first.allocated[home.home] for home in homes)


@given(communities())
@settings(deadline=None, max_examples=40)
def test_rounds_leave_production_only_where_nobody_with_a_key_wants_it(homes: list[Participant]) -> None:
    allocation = share("STATIC_ROUNDS", homes)
    if allocation.shared_wh < sum(map(_supply, homes)):
        assert all(_demand(home) == allocation.allocated[home.home] for home in homes if home.key)


@given(communities())
@settings(deadline=None, max_examples=40)
def test_shares_differ_from_the_rules_fractions_by_less_than_a_wh(homes: list[Participant]) -> None:
    demand, supply = sum(map(_demand, homes)), sum(map(_supply, homes))
    dynamic, static = share("DYNAMIC", homes), share("STATIC", homes)
    for home in homes:
        if demand:
            exact = Decimal(_demand(home)) * min(supply, demand) / demand
            assert abs(dynamic.allocated[home.home] - exact) < 1
        offered = (home.key or Decimal(0)) * supply
        assert abs(static.allocated[home.home] - min(offered, Decimal(_demand(home)))) < 1
        if supply:
            exact = Decimal(_supply(home)) * dynamic.shared_wh / supply
            assert abs(dynamic.used[home.home] - exact) < 1


@given(communities(), st.sampled_from(KEYS), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_the_order_of_homes_says_nothing(homes: list[Participant], key: AllocationKey, dice: Random) -> None:
    shuffled = sorted(homes, key=lambda home: dice.random())
    assert share(key, shuffled) == share(key, homes)


@given(communities())
@settings(deadline=None, max_examples=40)
def test_virtual_sharing_counts_for_the_community_and_nets_nothing(homes: list[Participant]) -> None:
    allocation = share("VIRTUAL", homes)
    assert allocation.shared_wh == min(sum(map(_demand, homes)), sum(map(_supply, homes)))
    assert not any(allocation.allocated.values())
    assert not any(allocation.used.values())


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
@settings(deadline=None, max_examples=40)
def test_a_largest_remainder_adds_up_and_is_never_a_whole_unit_off(total: int, weights: list[int]) -> None:
    parts, whole = largest_remainder(total, weights), sum(weights)
    if not whole:
        assert not any(parts)
        return
    assert sum(parts) == total
    assert all(abs(part * whole - total * weight) < whole for part, weight in zip(parts, weights, strict=True))


def test_ties_go_to_the_smaller_id() -> None:
    homes = [Participant(name, 1, 0) for name in ("c", "a", "b")] + [Participant("d", 0, 2)]
    assert share("DYNAMIC", homes).allocated == {"a": 1, "b": 1, "c": 0, "d": 0}
    homes = [Participant(name, 0, 1) for name in ("c", "a", "b")] + [Participant("d", 2, 0)]
    assert share("DYNAMIC", homes).used == {"a": 1, "b": 1, "c": 0, "d": 0}


def test_dynamic_is_in_proportion_to_what_is_drawn() -> None:
    allocation = _of("DYNAMIC", (300, 0, "0"), (100, 0, "0"), (0, 200, "0"))
    assert allocation.allocated == {"h1": 150, "h2": 50, "h3": 0}
    assert allocation.used == {"h1": 0, "h2": 0, "h3": 200}


def test_static_leaves_with_its_producer_what_a_home_cannot_use() -> None:
    allocation = _of("STATIC", (300, 0, "0.5"), (20, 0, "0.3"), (0, 200, "0.2"))
    assert allocation.allocated == {"h1": 100, "h2": 20, "h3": 0}
    assert allocation.used["h3"] == 120


def test_rounds_offer_what_is_left_again_by_key() -> None:
    homes = ((300, 0, "0.4"), (300, 0, "0.2"), (20, 0, "0.2"), (0, 200, "0.2"))
    assert _of("STATIC_ROUNDS", *homes).allocated == {"h1": 120, "h2": 60, "h3": 20, "h4": 0}
    assert _of("HYBRID", *homes).allocated == {"h1": 108, "h2": 72, "h3": 20, "h4": 0}


def test_a_home_without_a_key_gets_nothing_by_key_and_its_part_of_the_rest() -> None:
    homes = ((100, 0, "0"), (40, 0, "1"), (0, 90, "0"))
    assert _of("STATIC", *homes).allocated == {"h1": 0, "h2": 40, "h3": 0}
    assert _of("STATIC_ROUNDS", *homes).allocated == {"h1": 0, "h2": 40, "h3": 0}
    assert _of("HYBRID", *homes).allocated == {"h1": 50, "h2": 40, "h3": 0}


def test_a_home_that_drew_and_injected_in_the_same_interval_can_use_its_own() -> None:
    assert _of("DYNAMIC", (50, 80, "1")) == Allocation({"h1": 50}, {"h1": 50}, 50)


def test_participation_limits_what_a_home_takes_and_gives_floored_to_the_wh() -> None:
    homes = [Participant("a", 101, 0, participation=50), Participant("b", 0, 101, participation=99)]
    allocation = share("DYNAMIC", homes)
    assert allocation == Allocation({"a": 50, "b": 0}, {"a": 0, "b": 50}, 50)
    homes = [Participant("a", 1000, 0), Participant("b", 0, 101, participation=99)]
    assert share("DYNAMIC", homes).used == {"a": 0, "b": 99}


@pytest.mark.parametrize("key", KEYS)
def test_nothing_drawn_or_nothing_injected_shares_nothing(key: AllocationKey) -> None:
    assert _of(key, (0, 500, "1")).shared_wh == 0
    assert _of(key, (500, 0, "1")).shared_wh == 0
    assert share(key, []).shared_wh == 0
