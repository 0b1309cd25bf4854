"""Groups: all subscriptions that show the same are answered by one payload.

A group watches one home or community, works out its payload when that changed, and sends
nothing while nothing visible did. It holds the state last shown and its members, and no task. A
member whose socket is full is marked and gets the latest payload when it drains: it skips
states, delays nobody and holds no memory.
"""

from collections.abc import Callable, Collection
from typing import Any, Protocol

from resolvers.feed import Feed
from schema.plans import Plan


class Wire(Protocol):
    """Where frames go: one connection."""

    @property
    def paused(self) -> bool:
        """True while it takes no more."""

    def write(self, frame: bytes, messages: int = 1) -> None:
        """Send whole frames, in order; `messages`: how many of them are messages."""

    def abort(self) -> None:
        """End the connection at once."""


class Session(Protocol):
    """The connection that a member belongs to."""

    @property
    def wire(self) -> "Wire":
        """Where its frames go."""

    def offset_ms(self, every_ms: int) -> int:
        """Return the device's offset of slots, in ms, the same for all its subscriptions."""


class Member:
    """One subscription of one connection."""

    __slots__ = ("end", "framed", "group", "head", "pending", "session", "wire")

    def __init__(self, session: Session, wire: Wire, head: bytes, *, end: bytes = b"}", framed: bool = True) -> None:
        self.session = session
        self.wire = wire
        self.head = head
        """All of a `next` message up to its payload."""
        self.end = end
        """What follows the payload."""
        self.framed = framed
        """The message goes out in a WebSocket frame; else as it is. Heads of the two kinds differ."""
        self.group: Group | None = None
        self.pending = False


class Counts:
    """What groups count together."""

    __slots__ = ("bytes", "conflated", "encoded", "fallbacks", "sent", "suppressed")

    def __init__(self) -> None:
        self.encoded = self.sent = self.suppressed = self.conflated = self.fallbacks = self.bytes = 0


class Schedule(Protocol):
    """Where groups that wait for a slot are put."""

    def at_slot(self, group: "Group") -> None:
        """Have `group.flush()` called in its next slot."""

    def speak_after(self, group: "Group", delay_ms: int) -> None:
        """Have `group.speak()` called after a delay, unless it has spoken since."""

    def stalled(self, session: Session) -> None:
        """A connection takes nothing."""

    def put(self, member: Member, frame: bytes) -> None:
        """Write a frame, together with others of the same connection in the same slot."""


class Group:
    """The subscriptions with the same plan."""

    def __init__(
        self,
        plan: Plan,
        feed: Feed,
        offset_ms: int,
        counts: Counts,
        schedule: Schedule,
        encode_head: Callable[[int], bytes],
    ) -> None:
        self.plan = plan
        self.offset_ms = offset_ms
        self.members: dict[Member, None] = {}
        self._feed = feed
        self._counts = counts
        self._schedule = schedule
        self._frame_head = encode_head
        self.slot: int | None = None
        """The slot in which it will be flushed, in ms since 1970."""
        self._due = False
        """It speaks in its next slot, different or not."""
        self.flushed = 0
        """The slot in which it was flushed last."""
        self._ahead: dict[Member, Any] = {}
        """Those who joined before a slot, and what is visible to them that the others will see in it."""
        self._payload = b""
        self._visible: Any = None
        self._memory = plan.projection.memory if plan.projection else ()
        if plan.home is None:
            feed.watch_community(self, plan.community_fields)
        else:
            feed.watch_home(plan.home, self)
            if plan.community_fields is None or plan.community_fields:
                feed.watch_community(self, plan.community_fields)

    def join(self, member: Member) -> None:
        """Add a member; it gets the state of now, at once if there is one, and nothing changes for the others."""
        self.members[member] = None
        member.group = self
        if not self._payload:
            if self._work_out(force=True):
                self._speak_later()
                self._send_to(member, self._payload)
        elif self.slot is None or member.wire.paused:
            self._send_to(member, self._payload)
        else:
            shown = self._visible, self._memory, self._payload
            self._work_out(force=False)
            self._ahead[member] = self._visible
            self._send_to(member, self._payload)
            self._visible, self._memory, self._payload = shown

    def leave(self, member: Member) -> None:
        """Take a member out."""
        self.members.pop(member, None)
        self._ahead.pop(member, None)
        member.group = None
        if not self.members:
            self._payload = b""  # nobody is woken any more: whoever joins next is shown what is so then

    def close(self) -> None:
        """Let go of what is watched: nobody is left."""
        if self.plan.home is not None:
            self._feed.unwatch_home(self.plan.home, self)
        self._feed.unwatch_community(self)

    def wake(self) -> None:
        """What is watched has changed, or may have."""
        if not self.members:
            return  # the last one left while others were woken
        if self.plan.every_ms and self._payload:
            self._schedule.at_slot(self)
        elif self._work_out(force=False):
            self._publish()

    def flush(self) -> None:
        """A slot has come: send what is so now, if it looks different."""
        if not self.members:
            return
        ahead, self._ahead = self._ahead, {}
        due, self._due = self._due, False
        if due:
            ahead = {}  # who has seen it hears it again, as all do
        if self._work_out(force=due):
            self._publish({member for member, visible in ahead.items() if visible == self._visible})
            return
        for member, visible in ahead.items():
            if visible != self._visible and member.group is self:
                self._send_to(member, self._payload)

    def speak(self) -> None:
        """Send what is so now, different or not; where there are slots, in the next one."""
        if self.plan.every_ms:
            self._due = True
            self._schedule.at_slot(self)
            return
        self._ahead.clear()
        if self._work_out(force=True):
            self._publish()
        else:
            self._speak_later()

    def drained(self, member: Member) -> None:
        """A member's connection takes frames again: it gets the latest payload."""
        member.pending = False
        self._send_to(member, self._payload)

    # --- inside ---

    def _work_out(self, *, force: bool) -> bool:
        """Bring the payload up to date; return whether there is one to send."""
        plan = self.plan
        root = self._feed.community_state() if plan.home is None else self._feed.live_home(plan.home)
        if root is None:
            return False
        projection, counts = plan.projection, self._counts
        if projection is not None:
            try:
                parts, memory = projection.parts(root, self._memory, plan.hysteresis)
            except Exception:  # a value that cannot be shown is an error by the specification: graphql-core says it
                payload = plan.execute(root)
                visible: Any = payload
                memory = self._memory
                counts.fallbacks += 1
            else:
                visible = parts if projection.all_counts else projection.visible(parts)
                if visible == self._visible and not force:
                    counts.suppressed += 1
                    return False
                if memory:  # the wrist wakes for one figure: the others come up to date with it, margin or not
                    parts, memory = projection.parts(root, projection.memory)
                    visible = parts if projection.all_counts else projection.visible(parts)
                payload = projection.render(parts)
        else:
            payload = visible = plan.execute(root)
            memory = self._memory
            counts.fallbacks += 1
        if visible == self._visible and not force:
            counts.suppressed += 1
            return False
        counts.encoded += 1
        self._visible, self._memory, self._payload = visible, memory, payload
        return True

    def _publish(self, skipped: Collection[Member] = ()) -> None:
        """Send the payload to members: one frame head per length of id, one frame where ids are equal."""
        payload, schedule = self._payload, self._schedule
        slotted = bool(self.plan.every_ms)
        if len(self.members) == 1 and not (slotted or skipped):  # a home that one device watches
            (member,) = self.members
            self._send_to(member, payload, at_once=True)
            if self.plan.max_silence_ms:
                self._speak_later()
            return
        length, frame_head, last_head, end, tail, frame = -1, b"", b"", b"", b"", b""
        sent = size = 0
        for member in list(self.members):
            if member.group is not self or (skipped and member in skipped):
                continue  # it left while others were written to, or has seen this
            wire, head = member.wire, member.head
            if wire.paused:
                self._conflate(member)
                continue
            if head != last_head:
                last_head = head
                if member.end != end:
                    length, end = -1, member.end
                    tail = payload + end
                if len(head) != length:
                    length = len(head)
                    frame_head = self._frame_head(length + len(tail)) if member.framed else b""
                frame = frame_head + head + tail
            sent += 1
            size += len(frame)
            if slotted:
                schedule.put(member, frame)
            else:
                wire.write(frame)
        self._counts.sent += sent
        self._counts.bytes += size
        self._speak_later()

    def _send_to(self, member: Member, payload: bytes, *, at_once: bool = False) -> None:
        wire = member.wire
        if wire.paused:
            self._conflate(member)
            return
        frame = member.head + payload + member.end
        if member.framed:
            frame = self._frame_head(len(frame)) + frame
        self._counts.sent += 1
        self._counts.bytes += len(frame)
        if at_once:
            wire.write(frame)
        else:
            self._schedule.put(member, frame)

    def _speak_later(self) -> None:
        if self.plan.max_silence_ms and self.members:
            # A slot comes within `every`: it is the last one before the silence has lasted too long.
            self._schedule.speak_after(self, max(0, self.plan.max_silence_ms - self.plan.every_ms))

    def _conflate(self, member: Member) -> None:
        self._counts.conflated += member.pending
        if not member.pending:
            member.pending = True
            self._schedule.stalled(member.session)
