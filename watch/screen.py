"""A screen: what to ask the server for, and how to read its answer.

An id comes in; the document from the *.graphql file beside this module, its variables and the reader of its
results go out together, so that a screen cannot show what its document does not select.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watch.glance import Glance, read_community, read_home

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Screen:
    """One subscription and the way to read it."""

    title: str
    document: str
    variables: Mapping[str, Any]
    read: Callable[[Mapping[str, Any]], Glance]


def home_screen(home: str) -> Screen:
    """Return the screen of one home, `<community>.<home>`."""
    return Screen(home, (_FOLDER / "home.graphql").read_text("utf-8"), {"home": home}, read_home)


def community_screen(community: str) -> Screen:
    """Return the screen of a whole community."""
    document = (_FOLDER / "community.graphql").read_text("utf-8")
    return Screen(community, document, {"community": community}, read_community)
