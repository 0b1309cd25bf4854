"""Who may see what: the registry decides, a token identifies and may only narrow.

A member sees their homes and their communities' totals, an operator the community whole, a
device the home that it shows, with the totals. In a community of fewer than 5 homes its members
see totals only if the registry says that they agreed: from the totals and their own figures
they could tell the others'. What a viewer may not see does not exist for them.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from bus.community import Community, Member

Role = Literal["member", "operator", "device"]

FEWEST_FOR_TOTALS: Final = 5
"""Homes that a community has at least, for its members to see totals without having agreed to it."""

HOUSEHOLD: Final = "home:"
"""Begins the subject of a token of our own that stands for whoever lives in a home, listed by name or not."""
OPERATOR: Final = "operator:"
"""The subject of a token of our own that stands for the community's operator, listed by name or not."""
COMMUNITY: Final = "community:"
"""The subject of a token of our own that stands for any member of the community: its totals, no home."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, as their token says. `None` narrows nothing.

    `subject` is a member's id in the registry. The subjects above hold a colon, which no member's id
    has; they count in tokens that this deployment issued itself, `own`, and mean nothing in others.
    """

    subject: str
    role: Role | None = None
    community: str | None = None
    homes: frozenset[str] | None = None
    own: bool = False
    token: str = ""
    """The id of the token (`jti`), by which it is revoked; empty: it has none."""
    expires_ms: int = 0
    """When the token ends, in ms since 1970 UTC; 0: never."""


class Grant(NamedTuple):
    """What a viewer may see of one community."""

    operator: bool
    homes: frozenset[str]
    """Ids of homes within the community."""
    totals: bool


def grant(community: Community, viewer: Viewer) -> Grant | None:
    """Return what the viewer may see of a community; None: not even that it exists."""
    if viewer.community not in (None, community.id):
        return None
    member = _member(community, viewer)
    if member is None:
        return None
    if member.role == "operator" and viewer.role in (None, "operator") and viewer.homes is None:
        return Grant(True, frozenset(community.homes_by_id), True)
    homes = community.homes_by_id.keys() if member.role == "operator" and viewer.homes is not None else member.homes
    seen = frozenset(homes) if viewer.homes is None else viewer.homes.intersection(homes)
    if viewer.role == "device" and len(seen) != 1:
        return None
    totals = community.show_totals_to_members or len(community.homes) >= FEWEST_FOR_TOTALS
    return Grant(False, seen, totals)


def _member(community: Community, viewer: Viewer) -> Member | None:
    if not viewer.own or ":" not in viewer.subject:
        return community.members_by_id.get(viewer.subject)
    if viewer.community is None:
        return None
    if viewer.subject == OPERATOR:
        return Member(id="-", role="operator")
    if viewer.subject == COMMUNITY:
        return Member(id="-")
    home = viewer.subject.removeprefix(HOUSEHOLD)
    return Member(id="-", homes=(home,)) if home in community.homes_by_id else None
