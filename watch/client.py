"""The watch for scripts: typed glances, kept up over whatever the network does.

    async with Watch("http://127.0.0.1:8000", token) as watch:
        async for glance in watch.glance("demo.home-01"):
            print(glance.light, glance.surplus_w)

A home's or a community's id goes in, frozen dataclasses come out (watch.glance), each as it was heard. It retries
by itself, with back-off and full jitter, and raises only for what waiting does not mend.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Self, TypeVar

from graphql import parse

from watch import events as on
from watch.address import read_address
from watch.documents import read_documents
from watch.events import Screen, Show, Target
from watch.following import Following
from watch.glance import CommunityGlance, CommunityHours, CommunityToday, HomeGlance, HomeHours, HomeToday, Reading
from watch.line import Party
from watch.meter import Meter
from watch.receipt import Receipt
from watch.shell import Shell
from watch.state import Awaited, Known, Moment, State
from watch.transport import Limits
from watch.verdict import Standing

__all__ = ["Following", "Glances", "RefusedError", "UnknownError", "Watch", "WatchError"]

R = TypeVar("R", bound=Reading)
K = TypeVar("K", "Glances[Any]", Following)
Token = str | Callable[[], Awaitable[str]] | None


class WatchError(Exception):
    """Raised when waiting does not help; the message says why."""


class RefusedError(WatchError):
    """Raised when the server does not accept the token."""


class UnknownError(WatchError):
    """Raised when there is no such home or community, or none that the token may see."""


class Glances(Generic[R]):
    """One screen that is kept up; an async iterator of its readings, the latest ones.

    A reader slower than the server skips readings. `anext` may be cancelled, by a timeout say, and loses nothing.
    Ended by `aclose`, by leaving `async with`, or by leaving the Watch.
    """

    def __init__(self, shell: Shell, target: Target, form: type[R], screen: Screen, show: Show, token: Token) -> None:
        self._shell = shell
        self._target = target
        self._form = form
        self._screen = screen
        self._show = show
        self._token = token
        self._seen: Known | None = None
        self._begun = self._over = False

    @property
    def receipt(self) -> Receipt:
        """What it has cost so far."""
        return self._shell.receipt

    @property
    def state(self) -> State:
        """How it stands: the link, and since when."""
        return self._shell.state

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        if not self._begun:
            await self._begin()
        while not self._over:
            known = self._shell.state.readings.get(self._screen)
            if known is not None and known is not self._seen:
                self._seen = known
                assert isinstance(known.reading, self._form)
                return known.reading
            await self._mend(self._shell.state)
            await self._shell.changed()
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End it, and wait until its connection is closed."""
        if not self._over:
            self._over = True
            await self._shell.__aexit__(None, None, None)

    def renew(self, token: str) -> None:
        """Use a newer token from now on, on the open connection."""
        self._shell.put(on.Token(token))

    async def _begin(self) -> None:
        token = await self._token() if callable(self._token) else self._token
        self._begun = True
        self._shell.put(on.Started(self._target, self._show, token))
        if self._screen is not Screen.GLANCE:
            self._shell.put(on.Turned(self._screen))

    async def _mend(self, state: State) -> None:
        """Raise for what waiting does not mend; ask for another token where somebody gives one."""
        if state.awaited not in (Awaited.RETRY, Awaited.CADENCE):
            return
        if state.link is Standing.UNKNOWN:
            raise UnknownError(f"{self._target.id}: {state.reason or 'there is no such home or community'}")
        if state.link is Standing.REFUSED:
            token = await self._token() if callable(self._token) else None
            if token is None or token == state.token:
                raise RefusedError(state.reason or "the token is refused")
            self.renew(token)


class Watch:
    """Follows homes and communities on one server, each on a connection of its own.

    Leaving it ends all of them.
    """

    def __init__(
        self, url: str, token: Token = None, *, limits: Limits | None = None, now: Callable[[], Moment] | None = None
    ) -> None:
        """Take the server's `url` (raises AddressError) and a bearer `token`, or a function that gives one.

        The function is called before connecting and after a refusal, when it may give a newer one. `now` stands
        for time and chance.
        """
        self._address = read_address(url)
        self._token = token
        self._limits = limits
        self._now = now or moment
        self._documents = read_documents()
        self._kept: list[Glances[Any] | Following] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(one.aclose() for one in self._kept))

    def glance(self, home: str, show: Show = Show.FOREGROUND) -> Glances[HomeGlance]:
        """Follow a home's light, the surplus, its share and the trend; `show` says how often, how precisely, how."""
        return self._follow(Target("home", home), HomeGlance, Screen.GLANCE, show)

    def today(self, home: str) -> Glances[HomeToday]:
        """Follow a home's energy and saving since local midnight."""
        return self._follow(Target("home", home), HomeToday, Screen.TODAY, Show.FOREGROUND)

    def community_glance(self, community: str, show: Show = Show.FOREGROUND) -> Glances[CommunityGlance]:
        """Follow a community's light, surplus, what is shared of it, and the trend."""
        return self._follow(Target("community", community), CommunityGlance, Screen.GLANCE, show)

    def community_today(self, community: str) -> Glances[CommunityToday]:
        """Follow a community's energy and saving since local midnight."""
        return self._follow(Target("community", community), CommunityToday, Screen.TODAY, Show.FOREGROUND)

    def hours(self, home: str) -> Glances[HomeHours]:
        """Follow when a home's community will probably have a surplus: a forecast an hour."""
        return self._follow(Target("home", home), HomeHours, Screen.HOURS, Show.FOREGROUND)

    def community_hours(self, community: str) -> Glances[CommunityHours]:
        """Follow when a community will probably have a surplus: a forecast an hour."""
        return self._follow(Target("community", community), CommunityHours, Screen.HOURS, Show.FOREGROUND)

    def follow(self, document: str, variables: Mapping[str, Any]) -> Following:
        """Follow a subscription of one's own, which servers that take trusted documents only do not; give its news.

        Raises graphql.GraphQLSyntaxError for a document that does not parse.
        """
        parse(document)
        token = self._token
        if callable(token):
            raise TypeError("a subscription of one's own takes a token, not a function that gives one")
        meter = Meter(lambda: self._now().steady)
        party = Party(self._address, self._documents, self._limits or Limits(), meter, token)
        return self._keep(Following(party, document, variables, self._now))

    def _follow(self, target: Target, form: type[R], screen: Screen, show: Show) -> Glances[R]:
        shell = Shell(self._address, self._documents, now=self._now, limits=self._limits)
        return self._keep(Glances(shell, target, form, screen, show, self._token))

    def _keep(self, one: K) -> K:
        """Have it ended with the Watch; those that have ended are let go of."""
        self._kept = [*(kept for kept in self._kept if not kept.over), one]
        return one


def moment() -> Moment:
    """Return this moment, with chance of the system's own."""
    return Moment(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000, random.SystemRandom().random())
