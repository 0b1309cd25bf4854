"""What there is to watch, for whoever has not said: the homes and communities that a token may see.

One question to the server, one answer, or the reason why there is none.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

from watch import events as on
from watch.commands import Get
from watch.documents import PLACES
from watch.events import Event, Target
from watch.failure import NO_ANSWER
from watch.http import GetLine
from watch.line import Party
from watch.text import printable
from watch.verdict import Standing, judge_errors, judge_lost

_MOST: Final = 1000
_ANSWER_S: Final = 20.0


class NoPlacesError(Exception):
    """Raised when the server does not say what there is; the message says why, `standing` what that means."""

    def __init__(self, reason: str, standing: Standing = Standing.FAULT) -> None:
        super().__init__(reason)
        self.standing = standing


async def ask_places(party: Party) -> list[Target]:
    """Return homes, then communities, at most 1,000 of them; raises NoPlacesError."""
    told: list[Event] = []
    try:
        async with asyncio.timeout(_ANSWER_S):
            await GetLine(party, told.append, Get(1, PLACES, {}, None)).run()
    except TimeoutError:
        raise NoPlacesError(NO_ANSWER, Standing.GONE) from None
    match told:
        case [on.Result(data=data)]:
            found = list(_targets(data))
            return sorted(found, key=lambda target: target.kind != "home")[:_MOST]
        case [on.Errors(errors=errors)]:
            standing, reason = judge_errors(errors)
            raise NoPlacesError(reason or "the server failed", standing)
        case [on.Lost() as lost]:
            raise NoPlacesError(lost.reason, judge_lost(lost))
        case _:
            raise NoPlacesError("no answer")


def _targets(data: Mapping[str, Any]) -> Iterator[Target]:
    for community in _each(data, "communities"):
        if isinstance(id := community.get("id"), str):
            yield Target("community", printable(id))
        for home in _each(community, "homes"):
            if isinstance(id := home.get("id"), str):
                yield Target("home", printable(id))


def _each(fields: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = fields.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
