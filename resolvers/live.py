"""The live state of the communities that someone looks at.

A community is followed from the first question on: its subject first, then the last frame of
stream LIVE, so that no frame falls between the two; after a reconnect the last frame is fetched
again. It is let go when nobody watches and nobody has asked for a while. Streams are latest
wins: whoever is slow skips states and holds nothing in memory.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Final

import msgspec
import structlog

from bus.client import Bus
from bus.errors import UnavailableError
from bus.identifiers import live_subject
from bus.messages import CommunityState
from resolvers.errors import NotReadyError
from resolvers.feed import Counts, Feed, LiveHome, Waiter

log = structlog.get_logger(__name__)

_RETRY_S: Final = 0.25


class LiveStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What is held now (communities, watchers), and counted since the start (frames, malformed, gaps)."""

    communities: int
    watchers: int
    frames: int
    malformed: int
    gaps: int


class Live:
    """The latest frame of each community that is followed; `run` must run beside it.

    `patience_s`: how long a question waits for NATS; `idle_s`: how long a community is followed
    after the last question. `now_ms` tells the time in ms since 1970 UTC. `took` is told the seconds
    from each frame to the last write that it caused at once.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        now_ms: Callable[[], int],
        patience_s: float = 2.0,
        idle_s: float = 60.0,
        took: Callable[[float], None] | None = None,
    ) -> None:
        self._bus = bus
        self._took = took
        self._now_ms = now_ms
        self._patience_s = patience_s
        self._idle_s = idle_s
        self._feeds: dict[str, Feed] = {}
        self._group: asyncio.TaskGroup | None = None
        self._counts = Counts()
        bus.on_reconnect(self._refetch)

    async def run(self) -> None:
        """Follow communities as they are asked for, for ever."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for feed in self._feeds.values():
                group.create_task(self._keep(feed))
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    def follow(self, community: str) -> Feed:
        """Return the feed of a community; it is kept up to date while someone watches it."""
        return self._follow(community)

    async def community(self, community: str) -> CommunityState | None:
        """Return the state of a community, None if it never had one; raise NotReadyError when NATS is away."""
        return (await self._asked(community)).community_state()

    async def home(self, community: str, home: str) -> LiveHome | None:
        """Return the state of a home, None if it never had one; raise NotReadyError when NATS is away."""
        return (await self._asked(community)).live_home(home)

    async def stream_community(self, community: str) -> AsyncGenerator[CommunityState, None]:
        """Yield the state of a community, then the latest one after each change; wait while there is none."""
        feed = self._follow(community)
        watcher = Waiter()
        feed.watch_community(watcher)
        shown: CommunityState | None = None
        try:
            while True:
                watcher.changed.clear()
                state = feed.community_state()
                if state is not None and state != shown:
                    shown = state
                    yield state
                else:
                    await watcher.changed.wait()
        finally:
            feed.unwatch_community(watcher)

    async def stream_home(
        self, community: str, home: str, *, with_community: bool = False
    ) -> AsyncGenerator[LiveHome, None]:
        """Yield the state of a home, then the latest one after each change; wait while there is none.

        With `with_community` a change of the community is a change too.
        """
        feed = self._follow(community)
        watcher = Waiter()
        feed.watch_home(home, watcher)
        if with_community:
            feed.watch_community(watcher)
        shown: LiveHome | None = None
        try:
            while True:
                watcher.changed.clear()
                now = feed.live_home(home)
                if now is not None and (
                    shown is None or now.state != shown.state or (with_community and now.community != shown.community)
                ):
                    shown = now
                    yield now
                else:
                    await watcher.changed.wait()
        finally:
            feed.unwatch_home(home, watcher)
            feed.unwatch_community(watcher)

    def ages_s(self) -> dict[str, float]:
        """Return the age in seconds of the latest frame of each followed community that has one."""
        now = self._now_ms()
        return {
            feed.community: max(0.0, (now - feed.received_ms) / 1000)
            for feed in self._feeds.values()
            if feed.received_ms is not None
        }

    def statistics(self) -> LiveStatistics:
        """Return what is held now, and the counts since the start."""
        return LiveStatistics(
            communities=len(self._feeds),
            watchers=sum(feed.watchers for feed in self._feeds.values()),
            frames=self._counts.frames,
            malformed=self._counts.malformed,
            gaps=self._counts.gaps,
        )

    # --- following ---

    def _follow(self, community: str) -> Feed:
        feed = self._feeds.get(community)
        if feed is None:
            feed = self._feeds[community] = Feed(community, self._counts)
            if self._group is not None:
                self._group.create_task(self._keep(feed))
        feed.asked_s = asyncio.get_running_loop().time()
        return feed

    async def _asked(self, community: str) -> Feed:
        feed = self._follow(community)
        try:
            async with asyncio.timeout(self._patience_s):
                await feed.answered.wait()
        except TimeoutError:
            raise NotReadyError("NATS does not answer; ask again in a moment") from None
        return feed

    async def _refetch(self) -> None:
        for feed in self._feeds.values():
            feed.refetch.set()

    async def _keep(self, feed: Feed) -> None:
        """Follow a community until nobody needs it; whatever goes wrong, begin anew."""
        while True:
            try:
                return await self._keep_once(feed)
            except Exception:
                log.exception("community not followed, beginning anew", community=feed.community)
                await asyncio.sleep(_RETRY_S)

    async def _keep_once(self, feed: Feed) -> None:
        def take(payload: bytes) -> None:
            began = time.perf_counter()
            feed.take(payload, self._now_ms())
            if self._took is not None:
                self._took(time.perf_counter() - began)

        end = await self._bus.subscribe(live_subject(feed.community), take)
        try:
            while True:
                feed.refetch.clear()
                await self._fetch(feed)
                while not feed.refetch.is_set():
                    try:
                        async with asyncio.timeout(self._idle_s):
                            await feed.refetch.wait()
                    except TimeoutError:
                        if self._is_idle(feed):
                            del self._feeds[feed.community]
                            return
        finally:
            await end()

    async def _fetch(self, feed: Feed) -> None:
        """Take in the last frame, waiting for NATS if need be; one that came meanwhile is the newer one."""
        while True:
            version = feed.version
            try:
                stored = await self._bus.last("LIVE", live_subject(feed.community))
            except UnavailableError as error:
                log.debug("last frame not read yet", community=feed.community, reason=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            if stored is not None and feed.version == version:
                feed.take_stored(stored.data, stored.time_ms)
            feed.answered.set()
            return

    def _is_idle(self, feed: Feed) -> bool:
        return not feed.watchers and asyncio.get_running_loop().time() - feed.asked_s >= self._idle_s
