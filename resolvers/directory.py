"""The directory: communities and homes by id, as the registry has them at this moment.

It follows the registry, so a version that was applied is seen without a restart, and one with a
later date from its local midnight on. It never caches what it answers.
"""

from collections.abc import Callable
from typing import NamedTuple

from bus.client import Bus
from bus.community import Community, Home
from bus.identifiers import home_key, split_home_key
from bus.registry import Registry
from resolvers.errors import NotFoundError, NotReadyError


class Household(NamedTuple):
    """A home and the community that it belongs to."""

    community: Community
    home: Home

    @property
    def key(self) -> str:
        """The id of the home as clients see it."""
        return home_key(self.community.id, self.home.id)


class Directory:
    """Communities and homes by id. `now_ms` tells the time in ms since 1970 UTC."""

    def __init__(self, registry: Registry, *, now_ms: Callable[[], int]) -> None:
        self._registry = registry
        self._now_ms = now_ms
        self._loaded = False

    @property
    def loaded(self) -> bool:
        """True once all that the registry held at the start was read."""
        return self._loaded

    async def follow(self, bus: Bus) -> None:
        """Read the registry, then take in its changes, for ever; raise BusError while NATS does not answer."""
        await self._registry.load(bus)
        self._loaded = True
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

    def _check_loaded(self) -> None:
        if not self._loaded:
            raise NotReadyError("the registry is not read yet; ask again in a moment")
