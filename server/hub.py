"""The hub: groups by key, their slots, and the connections that take nothing.

Joining and leaving is O(1); a group without members is gone. All of it runs on the event loop
of one process, without a task per subscription.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from resolvers.directory import View
from resolvers.feed import Feed
from schema.operations import Operation
from schema.plans import Key, Plan, Planner
from server.groups import Counts, Group, Member, Session, Wire

log = structlog.get_logger(__name__)

STALL_S: Final = 30.0
_SWEEP_S: Final = 5.0


class HubStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What is held now (groups, members, stalled), and counted since the start."""

    groups: int
    members: int
    stalled: int
    encoded: int
    sent: int
    suppressed: int
    conflated: int
    fallbacks: int
    bytes: int


class Hub:
    """The groups of one process. `follow` returns a community's feed; `frame_head` a frame's head by its length."""

    def __init__(
        self,
        planner: Planner,
        follow: Callable[[str], Feed],
        frame_head: Callable[[int], bytes],
        *,
        wall: Callable[[], float] = time.time,
        stall_s: float = STALL_S,
    ) -> None:
        self.planner = planner
        self._follow = follow
        self._frame_head = frame_head
        self._wall = wall
        self._stall_s = stall_s
        self._groups: dict[tuple[Key, int], Group] = {}
        self._counts = Counts()
        self._slots: dict[int, dict[Group, None]] = {}
        self._silences: dict[Group, asyncio.TimerHandle] = {}
        self._members = 0
        self._stalled: dict[Session, float] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._corked: dict[Wire, list[bytes]] | None = None

    def subscribe(self, operation: Operation, variables: dict[str, Any] | None, member: Member, view: View) -> None:
        """Add a member to the group of its operation; raise OperationError for what must not start.

        `view` is what its viewer may see; what they may not see does not exist.
        """
        plan: Plan | None = None
        if operation.paced:
            plan = self.planner.plan(operation, variables, view)
            key = (plan.key, member.session.offset_ms(plan.every_ms) if plan.every_ms else 0)
        else:
            key = (self.planner.key(operation, variables), 0)
        group = self._groups.get(key)
        if group is not None:
            self.planner.check(group.plan.scope, group.plan.root, view)
        else:
            plan = plan or self.planner.plan(operation, variables, view)
            group = Group(plan, self._follow(plan.community), key[1], self._counts, self, self._frame_head)
            self._groups[key] = group
        self._members += 1
        group.join(member)

    def leave(self, member: Member) -> None:
        """Take a member out of its group; an empty group is gone."""
        group = member.group
        if group is None:
            return
        self._members -= 1
        group.leave(member)
        if not group.members:
            group.close()
            del self._groups[group.plan.key, group.offset_ms]
            if group.slot is not None:
                self._slots.get(group.slot, {}).pop(group, None)
            silence = self._silences.pop(group, None)
            if silence is not None:
                silence.cancel()

    def statistics(self) -> HubStatistics:
        """Return what is held now, and the counts since the start."""
        counts = self._counts
        return HubStatistics(
            groups=len(self._groups),
            members=self._members,
            stalled=len(self._stalled),
            encoded=counts.encoded,
            sent=counts.sent,
            suppressed=counts.suppressed,
            conflated=counts.conflated,
            fallbacks=counts.fallbacks,
            bytes=counts.bytes,
        )

    # --- slots ---

    def at_slot(self, group: Group) -> None:
        """Have a group flushed in its next slot: a multiple of its time on the wall clock, plus its offset."""
        if group.slot is not None:
            return
        every, now = group.plan.every_ms, self._wall() * 1000
        slot = int((now - group.offset_ms) // every + 1) * every + group.offset_ms
        if slot == group.flushed:
            slot += every  # its timer came a little before the time on the wall
        if slot not in self._slots:
            self._slots[slot] = {}
            asyncio.get_running_loop().call_later((slot - now) / 1000, self._flush, slot)
        self._slots[slot][group] = None
        group.slot = slot

    def _flush(self, slot: int) -> None:
        """Flush all groups of a slot, with one write per connection."""
        groups = self._slots.pop(slot)
        for group in groups:
            group.slot, group.flushed = None, slot
        self._corked = {}
        try:
            for group in groups:
                group.flush()
        finally:
            corked, self._corked = self._corked, None
        for wire, frames in corked.items():
            wire.write(b"".join(frames), len(frames))

    def put(self, member: Member, frame: bytes) -> None:
        """Write a frame, together with others of the same connection in the same slot."""
        if self._corked is None:
            member.wire.write(frame)
        else:
            self._corked.setdefault(member.wire, []).append(frame)

    def speak_after(self, group: Group, delay_ms: int) -> None:
        """Have a group speak after a delay, unless it speaks before."""
        earlier = self._silences.get(group)
        if earlier is not None:
            earlier.cancel()
        self._silences[group] = asyncio.get_running_loop().call_later(delay_ms / 1000, group.speak)

    # --- connections that take nothing ---

    def stalled(self, session: Session) -> None:
        """A connection takes nothing; if that lasts, it is closed."""
        loop = asyncio.get_running_loop()
        self._stalled.setdefault(session, loop.time())
        if self._sweep is None:
            self._sweep = loop.call_later(min(_SWEEP_S, self._stall_s), self._close_stalled)

    def flowing(self, session: Session) -> None:
        """A connection takes frames again, or is gone."""
        self._stalled.pop(session, None)

    def _close_stalled(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = None
        for session, since in list(self._stalled.items()):
            if loop.time() - since >= self._stall_s:
                log.info("connection took nothing for too long, closing it", seconds=self._stall_s)
                self._stalled.pop(session, None)
                session.wire.abort()
        if self._stalled:
            self._sweep = loop.call_later(min(_SWEEP_S, self._stall_s), self._close_stalled)
