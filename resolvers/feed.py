"""The latest frame of one community, decoded only as far as someone looks, and who waits for the next.

Frames come in as bytes; states of the community and of single homes go out. It does no I/O.
A malformed frame, or a malformed home in a frame, is logged, counted and skipped: the last good
state stays.
"""

import asyncio
from typing import Final, Protocol

import msgspec
import structlog

from bus.messages import CommunityState, Frame, HomeState, decode_frame, decode_home

log = structlog.get_logger(__name__)

_MALFORMED: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class LiveHome(msgspec.Struct, frozen=True):
    """A home and its community at one moment, both from the same frame."""

    state: HomeState
    community: CommunityState


class Counts(msgspec.Struct):
    """What feeds count together: frames taken in, malformed frames and homes, gaps in frame numbers."""

    frames: int = 0
    malformed: int = 0
    gaps: int = 0


class Watcher(Protocol):
    """Someone who is told of a change."""

    def wake(self) -> None:
        """Something that is watched has changed, or may have."""


class Waiter:
    """A watcher that waits; any number of changes before it looks are one."""

    __slots__ = ("changed",)

    def __init__(self) -> None:
        self.changed = asyncio.Event()

    def wake(self) -> None:
        self.changed.set()


class Feed:
    """The latest frame of one community."""

    def __init__(self, community: str, counts: Counts) -> None:
        self.community = community
        self.version = 0
        """Grows by one with each frame taken in."""
        self.received_ms: int | None = None
        """When the latest frame was stored or came, in ms since 1970 UTC."""
        self.asked_s = 0.0
        """When someone asked last, on the event loop's clock."""
        self.answered = asyncio.Event()
        """Set once it is known whether the community has a frame."""
        self.refetch = asyncio.Event()
        """Set when frames may have been missed."""
        self._counts = counts
        self._frame: Frame | None = None
        self._states: dict[str, HomeState | None] = {}
        self._fresh: set[str] = set()
        self._community_watchers: dict[frozenset[str] | None, set[Watcher]] = {}
        self._home_watchers: dict[str, set[Watcher]] = {}

    @property
    def watchers(self) -> int:
        """How many wait: for the community, and for each home."""
        return sum(map(len, self._community_watchers.values())) + sum(map(len, self._home_watchers.values()))

    def take(self, payload: bytes, received_ms: int) -> None:
        """Take in the next frame and wake those whose object may have changed.

        Where its number is not the successor of the frame before, every home may have.
        """
        frame = self._decode(payload)
        if frame is None:
            return
        before = self._frame
        if before is not None and frame.number == before.number + 1:
            changed: set[str] | None = set(frame.changed)
        else:
            changed = None
            self._counts.gaps += before is not None and frame.number != before.number
        self._put(frame, received_ms, changed)

    def take_stored(self, payload: bytes, stored_ms: int) -> None:
        """Take in the frame that the stream holds last, unless the latest one is younger."""
        frame = self._decode(payload)
        if frame is not None and (self._frame is None or frame.at >= self._frame.at):
            self._put(frame, stored_ms, None)

    def community_state(self) -> CommunityState | None:
        """Return the community's state, or None before its first frame."""
        return None if self._frame is None else self._frame.state

    def live_home(self, home: str) -> LiveHome | None:
        """Return a home with its community, or None if there is no state of it."""
        frame = self._frame
        if frame is None:
            return None
        if home in self._fresh:
            state = self._states[home]
        else:
            state = self._states[home] = self._decode_home(frame, home)
            self._fresh.add(home)
        return None if state is None else LiveHome(state, frame.state)

    # --- watching ---

    def watch_community(self, watcher: Watcher, fields: frozenset[str] | None = None) -> None:
        """Wake the watcher when one of these fields of the community changed; None: any but `measured_at`."""
        self._community_watchers.setdefault(fields, set()).add(watcher)

    def unwatch_community(self, watcher: Watcher) -> None:
        """Undo watch_community."""
        for fields, watchers in list(self._community_watchers.items()):
            watchers.discard(watcher)
            if not watchers:
                del self._community_watchers[fields]

    def watch_home(self, home: str, watcher: Watcher) -> None:
        """Wake the watcher with each frame in which the home may have changed."""
        self._home_watchers.setdefault(home, set()).add(watcher)

    def unwatch_home(self, home: str, watcher: Watcher) -> None:
        """Undo watch_home; nothing is left of a home that nobody watches."""
        watchers = self._home_watchers[home]
        watchers.discard(watcher)
        if not watchers:
            del self._home_watchers[home]

    # --- inside ---

    def _put(self, frame: Frame, received_ms: int, changed: set[str] | None) -> None:
        before = self._frame
        self._frame = frame
        self.version += 1
        self.received_ms = received_ms
        self._counts.frames += 1
        self.answered.set()
        gap = changed is None
        if changed is None:
            self._fresh.clear()
            changed = set(self._home_watchers)
        else:
            self._fresh -= changed
        at_homes = self._home_watchers
        woken = [watcher for home in changed if home in at_homes for watcher in at_homes[home]]
        for fields, watchers in self._community_watchers.items():
            if gap or before is None or _differ(before.state, frame.state, fields):
                woken = list({*woken, *watchers})  # each but once
        for watcher in woken:
            try:
                watcher.wake()
            except Exception:
                log.exception("a watcher failed", community=self.community)

    def _decode(self, payload: bytes) -> Frame | None:
        try:
            frame = decode_frame(payload)
            if frame.state.community != self.community:
                raise ValueError(f"it is of community {frame.state.community!r}")
        except _MALFORMED as error:
            self._counts.malformed += 1
            log.warning("malformed frame skipped", community=self.community, reason=str(error), bytes=len(payload))
            return None
        return frame

    def _decode_home(self, frame: Frame, home: str) -> HomeState | None:
        raw = frame.homes.get(home)
        if raw is None:
            return None
        try:
            state = decode_home(raw)
            if state.home != home:
                raise ValueError(f"it is of home {state.home!r}")
        except _MALFORMED as error:
            self._counts.malformed += 1
            log.warning("malformed home skipped", community=self.community, home=home, reason=str(error))
            return self._states.get(home)
        return state


def _differ(one: CommunityState, other: CommunityState, fields: frozenset[str] | None) -> bool:
    """Say whether two states differ in some fields; None: in any but `measured_at`, which never counts."""
    if fields is None:
        return one != other and msgspec.structs.replace(one, measured_at=other.measured_at) != other
    return any(getattr(one, field) != getattr(other, field) for field in fields)
