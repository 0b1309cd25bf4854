"""Who may see what of a community, as a table, and as the rule that a token never adds to it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.community import Community, Member
from resolvers.access import FEWEST_FOR_TOTALS, Grant, Role, Viewer, grant
from tests.resolvers.frames import community

FIVE = ("a", "b", "c", "d", "e")
MEMBERS = (
    Member(id="anna", homes=("a",)),
    Member(id="bert", homes=("b", "c")),
    Member(id="nobody"),
    Member(id="olga", role="operator", homes=("d",)),
    Member(id="-", homes=("e",)),  # a member's id may be a single dash
)


def street(key: str = "street", *, homes: tuple[str, ...] = FIVE, **changes: Any) -> Community:
    """Return a community of five homes with members of each kind."""
    return community(key, homes=homes, **({"members": MEMBERS} | changes))


def seen(viewer: Viewer, of: Community | None = None) -> tuple[str, bool, bool] | None:
    """Return the homes, whether the totals are seen, and whether as its operator; None: nothing at all."""
    granted = grant(of or street(), viewer)
    return None if granted is None else ("".join(sorted(granted.homes)), granted.totals, granted.operator)


ALL = ("abcde", True, True)


@pytest.mark.parametrize(
    ("viewer", "expected"),
    [
        # Members that the registry lists, whatever their token says beside their name.
        (Viewer("anna"), ("a", True, False)),
        (Viewer("anna", role="member"), ("a", True, False)),
        (Viewer("anna", role="operator"), ("a", True, False)),
        (Viewer("anna", role="device"), ("a", True, False)),
        (Viewer("bert"), ("bc", True, False)),
        (Viewer("bert", role="operator"), ("bc", True, False)),
        (Viewer("nobody"), ("", True, False)),
        (Viewer("-"), ("e", True, False)),
        # Operators that the registry lists: the whole, or what their token narrows it to.
        (Viewer("olga"), ALL),
        (Viewer("olga", role="operator"), ALL),
        (Viewer("olga", role="member"), ("d", True, False)),
        (Viewer("olga", role="device"), ("d", True, False)),
        (Viewer("olga", homes=frozenset({"a", "b"})), ("ab", True, False)),
        (Viewer("olga", role="operator", homes=frozenset({"a"})), ("a", True, False)),
        (Viewer("olga", role="member", homes=frozenset({"a"})), ("a", True, False)),
        (Viewer("olga", role="device", homes=frozenset({"a"})), ("a", True, False)),
        (Viewer("olga", homes=frozenset()), ("", True, False)),
        # A device shows exactly one home, or is nothing.
        (Viewer("bert", role="device"), None),
        (Viewer("bert", role="device", homes=frozenset({"b", "c"})), None),
        (Viewer("bert", role="device", homes=frozenset({"b"})), ("b", True, False)),
        (Viewer("bert", role="device", homes=frozenset({"b", "a"})), ("b", True, False)),
        (Viewer("bert", role="device", homes=frozenset({"a"})), None),
        (Viewer("nobody", role="device"), None),
        (Viewer("nobody", role="device", homes=frozenset({"a"})), None),
        (Viewer("olga", role="device", homes=frozenset({"a", "b"})), None),
        # Claims narrow: what they name beyond it does not count.
        (Viewer("anna", homes=frozenset({"a", "b", "x"})), ("a", True, False)),
        (Viewer("anna", homes=frozenset({"b"})), ("", True, False)),
        (Viewer("bert", homes=frozenset({"c"})), ("c", True, False)),
        (Viewer("anna", community="street"), ("a", True, False)),
        (Viewer("anna", community="Street"), None),
        (Viewer("anna", community="elsewhere"), None),
        (Viewer("anna", community=""), None),
        (Viewer("olga", community="elsewhere"), None),
        # Whom the registry does not list.
        (Viewer(""), None),
        (Viewer("Anna"), None),
        (Viewer("anna "), None),
        (Viewer("\u0430nna"), None),  # a Cyrillic a
        (Viewer("a"), None),
        (Viewer("stranger", role="operator", community="street", homes=frozenset(FIVE)), None),
        # Subjects of our own tokens.
        (Viewer("operator:", "operator", "street", own=True), ALL),
        (Viewer("operator:", None, "street", own=True), ALL),
        (Viewer("operator:", "member", "street", own=True), ("", True, False)),
        (Viewer("operator:", "device", "street", own=True), None),
        (Viewer("operator:", "device", "street", frozenset({"a"}), own=True), ("a", True, False)),
        (Viewer("operator:", "operator", "street", frozenset({"a"}), own=True), ("a", True, False)),
        (Viewer("community:", "member", "street", own=True), ("", True, False)),
        (Viewer("community:", "operator", "street", own=True), ("", True, False)),
        (Viewer("community:", "member", "street", frozenset(FIVE), own=True), ("", True, False)),
        (Viewer("home:a", "member", "street", own=True), ("a", True, False)),
        (Viewer("home:a", "operator", "street", own=True), ("a", True, False)),
        (Viewer("home:a", "device", "street", own=True), ("a", True, False)),
        (Viewer("home:a", "member", "street", frozenset({"b"}), own=True), ("", True, False)),
        (Viewer("home:a", "device", "street", frozenset({"b"}), own=True), None),
        (Viewer("anna", "member", "street", own=True), ("a", True, False)),
        (Viewer("olga", "operator", "street", own=True), ALL),
        # The same without a community, in another one, misspelt, or from somebody else.
        (Viewer("operator:", "operator", own=True), None),
        (Viewer("home:a", "member", own=True), None),
        (Viewer("community:", own=True), None),
        (Viewer("operator:", "operator", "elsewhere", own=True), None),
        (Viewer("operator:x", "operator", "street", own=True), None),
        (Viewer("operator", "operator", "street", own=True), None),
        (Viewer(":", "operator", "street", own=True), None),
        (Viewer("home:", "member", "street", own=True), None),
        (Viewer("home:x", "member", "street", own=True), None),
        (Viewer("home:home:a", "member", "street", own=True), None),
        (Viewer("home:street.a", "member", "street", own=True), None),
        (Viewer("operator:", "operator", "street"), None),
        (Viewer("home:a", "member", "street"), None),
        (Viewer("community:", "member", "street"), None),
    ],
)
def test_a_viewer_sees(viewer: Viewer, expected: tuple[str, bool, bool] | None) -> None:
    assert seen(viewer) == expected


@pytest.mark.parametrize("homes", range(1, 8))
@pytest.mark.parametrize("agreed", [False, True])
@pytest.mark.parametrize("subject", ["anna", "nobody", "home:a", "community:"])
def test_members_of_a_small_community_see_totals_only_if_they_agreed(homes: int, agreed: bool, subject: str) -> None:
    ids = tuple("abcdefgh"[:homes])
    small = street(homes=ids, members=(MEMBERS[0], MEMBERS[2]), show_totals_to_members=agreed)
    found = seen(Viewer(subject, "member", "street", own=True), small)
    assert found is not None
    assert found[1] is (agreed or homes >= FEWEST_FOR_TOTALS)


@pytest.mark.parametrize("role", [None, "operator"])
def test_the_operator_of_a_small_community_sees_totals(role: Role | None) -> None:
    small = street(homes=("d",), members=(MEMBERS[3],))
    assert seen(Viewer("olga", role), small) == ("d", True, True)
    assert seen(Viewer("operator:", role, "street", own=True), small) == ("d", True, True)


def test_an_operator_who_comes_as_less_sees_no_more_than_members_do() -> None:
    small = street(homes=("a", "d"), members=(MEMBERS[3],))
    for viewer in (Viewer("olga", "member"), Viewer("olga", "device"), Viewer("olga", homes=frozenset({"a"}))):
        found = seen(viewer, small)
        assert found is not None
        assert found[1:] == (False, False)


def test_a_home_of_another_community_with_the_same_id_is_another_home() -> None:
    other = street("elsewhere", members=(Member(id="anna", homes=("e",)),))
    assert seen(Viewer("anna")) == ("a", True, False)
    assert seen(Viewer("anna"), other) == ("e", True, False)
    assert seen(Viewer("anna", community="elsewhere"), other) == ("e", True, False)
    assert seen(Viewer("anna", community="elsewhere")) is None
    assert seen(Viewer("bert"), other) is None
    assert seen(Viewer("home:a", "member", "street", own=True), other) is None


def test_who_is_removed_or_moves_out_sees_that_no_more() -> None:
    viewer = Viewer("anna", "device", "street", frozenset({"a"}))
    assert seen(viewer) == ("a", True, False)
    assert seen(viewer, street(members=(Member(id="anna", homes=("b",)),))) is None
    assert seen(viewer, street(members=(Member(id="anna"),))) is None
    assert seen(viewer, street(members=())) is None
    gone = street(homes=FIVE[1:], members=())
    assert seen(Viewer("home:a", "device", "street", own=True), gone) is None


# --- any viewer, any community ---

SUBJECTS = st.sampled_from(
    [*(one.id for one in MEMBERS), "x", "", "operator:", "community:", "home:a", "home:e", "home:x", "home:"]
)
ROLES: st.SearchStrategy[Role | None] = st.sampled_from(["member", "operator", "device", None])
VIEWERS = st.builds(
    Viewer,
    subject=SUBJECTS,
    role=ROLES,
    community=st.sampled_from([None, "street", "elsewhere"]),
    homes=st.none() | st.frozensets(st.sampled_from([*FIVE, "x"])),
    own=st.booleans(),
)


@st.composite
def communities(draw: st.DrawFn) -> Community:
    homes = tuple(sorted(draw(st.sets(st.sampled_from(FIVE), min_size=1))))
    members = tuple(
        Member(
            id=one,
            role=draw(st.sampled_from(["member", "operator"])),
            homes=tuple(sorted(draw(st.sets(st.sampled_from(homes))))),
        )
        for one in draw(st.sets(st.sampled_from([one.id for one in MEMBERS])))
    )
    key = draw(st.sampled_from(["street", "elsewhere"]))
    return street(key, homes=homes, members=members, show_totals_to_members=draw(st.booleans()))


def is_within(narrow: Grant | None, wide: Grant | None) -> bool:
    if narrow is None or wide is None:
        return narrow is None
    return narrow.homes <= wide.homes and narrow.totals <= wide.totals and narrow.operator <= wide.operator


@given(communities(), VIEWERS)
def test_no_claim_gives_more_than_the_registry_does(of: Community, viewer: Viewer) -> None:
    granted = grant(of, viewer)
    whole = grant(of, replace(viewer, role=None, community=viewer.community and of.id, homes=None))
    assert is_within(granted, whole)
    assert granted is None or granted.homes <= of.homes_by_id.keys()
    member = of.members_by_id.get(viewer.subject)
    if member is not None and granted is not None:
        assert member.role == "operator" or (granted.homes <= set(member.homes) and not granted.operator)


@given(communities(), VIEWERS, st.frozensets(st.sampled_from(FIVE)), st.sampled_from(["street", "elsewhere"]))
def test_each_claim_more_narrows_or_leaves_it(
    of: Community, viewer: Viewer, homes: frozenset[str], community: str
) -> None:
    granted = grant(of, viewer)
    # An operator who comes as a member or a device sees the own homes, or instead of them those that the token names.
    if viewer.role not in ("device", "member"):
        fewer = homes if viewer.homes is None else viewer.homes & homes
        assert is_within(grant(of, replace(viewer, homes=fewer)), granted)
    if viewer.role is None:
        for role in ("member", "device", "operator"):
            assert is_within(grant(of, replace(viewer, role=role)), granted)
    if viewer.community is None and ":" not in viewer.subject:
        assert is_within(grant(of, replace(viewer, community=community)), granted)


@given(communities(), VIEWERS)
def test_subjects_with_a_colon_mean_nothing_in_tokens_of_others(of: Community, viewer: Viewer) -> None:
    if ":" in viewer.subject:
        assert grant(of, replace(viewer, own=False)) is None
