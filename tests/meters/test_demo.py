"""The demo community's registry, of any size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.community import MAX_HOMES, Community, Version
from meters.demo import simulated_communities, simulated_community
from meters.errors import OptionError


@given(st.integers(1, 120), st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_keys_add_up_to_exactly_1_whatever_the_size_and_seed(homes: int, seed: int) -> None:
    community = simulated_community(homes, seed)
    assert sum(home.key or 0 for home in community.homes) == 1
    assert len(community.homes) == homes
    keyed = Community.model_validate({**community.model_dump(), "allocation_key": "STATIC"})
    assert keyed.allocation_key == "STATIC"


def test_twenty_homes_are_of_three_kinds() -> None:
    community = simulated_community(20, 1)
    kinds = [tuple(meter.role for meter in home.meters) for home in community.homes]
    assert kinds.count(("GRID",)) == 8
    assert kinds.count(("GRID", "PV")) == 6
    assert kinds.count(("GRID", "PV", "BATTERY")) == 6


def test_ids_are_padded_and_say_what_they_are() -> None:
    community = simulated_community(3, 1)
    assert [home.id for home in community.homes] == ["home-01", "home-02", "home-03"]
    for home in community.homes:
        assert [meter.id for meter in home.meters] == [f"{home.id}-{meter.role.lower()}" for meter in home.meters]
    assert simulated_community(1000, 1).homes[6].id == "home-0007"


def test_there_is_a_member_for_every_home_and_an_operator() -> None:
    community = simulated_community(4, 1)
    assert [(member.role, member.homes) for member in community.members] == [
        *(("member", (home.id,)) for home in community.homes),
        ("operator", ()),
    ]


def test_the_same_seed_gives_the_same_community_and_another_one_another() -> None:
    assert simulated_community(20, 5) == simulated_community(20, 5)
    assert simulated_community(20, 5) != simulated_community(20, 6)


def test_it_comes_back_from_the_registry_as_it_was() -> None:
    version = Version.model_validate({"valid_from": "2026-01-01", "community": simulated_community(50, 3)})
    assert Version.model_validate_json(version.model_dump_json(exclude_defaults=True)) == version


@pytest.mark.parametrize(("homes", "sizes"), [(1, [1]), (1000, [1000]), (1001, [501, 500]), (2500, [834, 833, 833])])
def test_more_than_1000_homes_are_several_communities(homes: int, sizes: list[int]) -> None:
    communities = simulated_communities(homes, 1)
    assert [len(community.homes) for community in communities] == sizes
    assert [community.id for community in communities] == ["demo", "demo-2", "demo-3"][: len(sizes)]


@pytest.mark.parametrize("homes", [0, -1, MAX_HOMES + 1])
def test_a_size_that_no_community_has_is_refused(homes: int) -> None:
    with pytest.raises(OptionError, match=f"{homes} homes"):
        simulated_community(homes, 1)


def test_faster_than_life_it_goes_by_the_readings_own_times() -> None:
    assert simulated_community(1, 1).clock == "wall"
    assert simulated_community(1, 1, event_clock=True).clock == "event"
