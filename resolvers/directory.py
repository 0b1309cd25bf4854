"""The directory: communities and homes by id, as the registry has them at this moment.

It follows the registry, so a version that was applied is seen without a restart, and one with a
later date from its local midnight on. It never caches what it answers.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from bus.client import Bus
from bus.community import Community, Home
from bus.identifiers import home_key, split_home_key
from bus.registry import Registry
from resolvers.access import Grant, Viewer, grant
from resolvers.errors import NotFoundError, NotReadyError


class Household(NamedTuple):
    """A home and the community that it belongs to."""

    community: Community
    home: Home

    @property
    def key(self) -> str:
        """The id of the home as clients see it."""
        return home_key(self.community.id, self.home.id)


class View(Protocol):
    """The communities and homes that somebody may see. All of it raises NotReadyError while the registry is not read.

    What they may not see does not exist: NotFoundError.
    """

    @property
    def operator(self) -> bool:
        """True for whoever operates a community."""

    def communities(self) -> list[Community]:
        """Return all communities, ordered by id."""

    def community(self, key: str) -> Community:
        """Return a community; raise NotFoundError."""

    def household(self, key: str) -> Household:
        """Return the home with a client's home id, and its community; raise NotFoundError."""

    def homes(self, community: Community) -> Sequence[Home]:
        """Return a community's homes, in the order of the registry."""

    def check_totals(self, key: str) -> None:
        """Raise NotFoundError where a community's totals must not be seen."""

    def check_operator(self, key: str) -> None:
        """Raise NotFoundError where a community is not operated by whoever asks."""


class Directory:
    """Communities and homes by id, all of them. `now_ms` tells the time in ms since 1970 UTC."""

    def __init__(self, registry: Registry, *, now_ms: Callable[[], int]) -> None:
        self._registry = registry
        self._now_ms = now_ms
        self._loaded = asyncio.Event()

    @property
    def loaded(self) -> bool:
        """True once all that the registry held at the start was read."""
        return self._loaded.is_set()

    async def wait_loaded(self) -> None:
        """Wait until all that the registry held at the start was read."""
        await self._loaded.wait()

    async def follow(self, bus: Bus) -> None:
        """Read the registry, then take in its changes, for ever; raise BusError while NATS does not answer."""
        await self._registry.load(bus)
        self._loaded.set()
        await self._registry.follow(bus)

    def communities(self) -> list[Community]:
        """Return all communities, ordered by id; raise NotReadyError while the registry is not read."""
        self._check_loaded()
        now = self._now_ms()
        return [history.at(now) for _, history in sorted(self._registry.communities.items())]

    def community(self, key: str) -> Community:
        """Return a community; raise NotFoundError or NotReadyError."""
        self._check_loaded()
        history = self._registry.communities.get(key)
        if history is None:
            raise NotFoundError("community", key)
        return history.at(self._now_ms())

    def household(self, key: str) -> Household:
        """Return the home with a client's home id, and its community; raise NotFoundError or NotReadyError."""
        self._check_loaded()
        parts = split_home_key(key)
        history = self._registry.communities.get(parts[0]) if parts else None
        if parts is None or history is None:
            raise NotFoundError("home", key)
        community = history.at(self._now_ms())
        home = community.homes_by_id.get(parts[1])
        if home is None:
            raise NotFoundError("home", key)
        return Household(community, home)

    @property
    def operator(self) -> bool:
        """True: nothing is hidden."""
        return True

    def homes(self, community: Community) -> Sequence[Home]:
        """Return all homes of a community, in the order of the registry."""
        return community.homes

    def check_totals(self, key: str) -> None:
        """Raise nothing: nothing is hidden."""

    def check_operator(self, key: str) -> None:
        """Raise nothing: nothing is hidden."""

    def seen_by(self, viewer: Viewer) -> "SeenBy":
        """Return what a viewer may see, as the registry has it whenever it is asked."""
        return SeenBy(self, viewer)

    def _check_loaded(self) -> None:
        if not self.loaded:
            raise NotReadyError("the registry is not read yet; ask again in a moment")


class SeenBy:
    """What one viewer may see of a directory."""

    __slots__ = ("_directory", "viewer")

    def __init__(self, directory: Directory, viewer: Viewer) -> None:
        self._directory = directory
        self.viewer = viewer

    @property
    def operator(self) -> bool:
        """True for whoever operates a community, once the registry is read."""
        return self._directory.loaded and any(grant.operator for _, grant in self._granted())

    def communities(self) -> list[Community]:
        """Return the viewer's communities, ordered by id."""
        return [community for community, _ in self._granted()]

    def community(self, key: str) -> Community:
        """Return a community; raise NotFoundError or NotReadyError."""
        community = self._directory.community(key)
        if grant(community, self.viewer) is None:
            raise NotFoundError("community", key)
        return community

    def household(self, key: str) -> Household:
        """Return a home and its community; raise NotFoundError or NotReadyError."""
        household = self._directory.household(key)
        granted = grant(household.community, self.viewer)
        if granted is None or household.home.id not in granted.homes:
            raise NotFoundError("home", key)
        return household

    def homes(self, community: Community) -> Sequence[Home]:
        """Return the viewer's homes in a community, in the order of the registry."""
        granted = grant(community, self.viewer)
        return [] if granted is None else [home for home in community.homes if home.id in granted.homes]

    def check_totals(self, key: str) -> None:
        """Raise NotFoundError where the viewer may not see the community's totals, or NotReadyError."""
        granted = grant(self._directory.community(key), self.viewer)
        if granted is None or not granted.totals:
            raise NotFoundError("community", key)

    def check_operator(self, key: str) -> None:
        """Raise NotFoundError unless the viewer operates the community, or NotReadyError."""
        granted = grant(self._directory.community(key), self.viewer)
        if granted is None or not granted.operator:
            raise NotFoundError("community", key)

    def _granted(self) -> list[tuple[Community, Grant]]:
        named = self.viewer.community
        if named is None:
            known = self._directory.communities()
        else:
            try:
                known = [self._directory.community(named)]
            except NotFoundError:
                return []
        return [(community, granted) for community in known if (granted := grant(community, self.viewer)) is not None]
