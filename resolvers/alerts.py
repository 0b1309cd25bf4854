"""Alerts: events in order, never skipped, resumed by cursor.

One reader of ALERTS serves all subscriptions of a process; what a subscription missed before it
came is looked up in the stream, message by message, so no consumer is ever made for it. A cursor
is the stream sequence of the alert that was seen last.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable
from typing import Final, NamedTuple, TypeVar

import msgspec
import structlog

from bus.client import Bus
from bus.errors import UnavailableError
from bus.identifiers import COMMUNITY_ALERTS, alerts_subject
from bus.messages import Alert, decode_alert
from bus.stored import Stored
from resolvers.errors import CursorExpiredError, NotReadyError, TooSlowError

log = structlog.get_logger(__name__)

BOUND: Final = 256
"""Alerts that one subscription may have waiting; more, and it ends with a cursor to resume from."""

_STREAM: Final = "ALERTS"

Answer = TypeVar("Answer")


class Event(NamedTuple):
    """An alert and the cursor that stands for it."""

    cursor: int
    alert: Alert


class Page(NamedTuple):
    """Some alerts in order, and whether there are more."""

    events: list[Event]
    more: bool


class _Listener:
    """One subscription: the alerts that wait for it."""

    __slots__ = ("arrived", "overflowed", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Event] = deque()
        self.arrived = asyncio.Event()
        self.overflowed = False

    def put(self, event: Event, bound: int) -> None:
        """Have an event wait, unless too many do already."""
        if len(self.waiting) >= bound:
            self.overflowed = True
        else:
            self.waiting.append(event)
        self.arrived.set()


class Alerts:
    """The alerts of all communities; `run` must run beside it."""

    def __init__(self, bus: Bus, *, bound: int = BOUND, patience_s: float = 2.0) -> None:
        self._bus = bus
        self._bound = bound
        self._patience_s = patience_s
        self._wanted = asyncio.Event()
        self._reading = asyncio.Event()
        self._position = 0
        self._listeners: dict[str, set[_Listener]] = {}

    async def run(self) -> None:
        """Read ALERTS from the first subscription on, for ever; raise BusError while NATS does not answer."""
        await self._wanted.wait()
        if not self._reading.is_set():
            _, self._position = await self._bus.stream_bounds(_STREAM)
        reader = self._bus.read(_STREAM, after=self._position)
        self._reading.set()
        try:
            async for batch in reader:
                for stored in batch:
                    self._position = stored.sequence
                    self._hand_out(stored)
        finally:
            await reader.close()

    async def stream(self, community: str, home: str, after: int | None) -> AsyncGenerator[Event, None]:
        """Yield a home's alerts and its community's: those after the cursor, then new ones, without gap or double.

        Without a cursor, new ones only. Raises CursorExpiredError, NotReadyError, and TooSlowError
        when more wait than are kept.
        """
        listener = _Listener()
        subjects = _subjects(community, home)
        self._wanted.set()
        for subject in subjects:
            self._listeners.setdefault(subject, set()).add(listener)
        try:
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._reading.wait()
            except TimeoutError:
                raise NotReadyError("NATS does not answer; ask again in a moment") from None
            seen = self._position
            if after is not None:
                await self._check(after)
                until, seen = seen, after
                while (event := await self._next(subjects, seen)) is not None and event.cursor <= until:
                    seen = event.cursor
                    yield event
                seen = max(seen, until)
            while True:
                while listener.waiting:
                    event = listener.waiting.popleft()
                    if event.cursor > seen:
                        seen = event.cursor
                        yield event
                if listener.overflowed:
                    raise TooSlowError(seen)
                listener.arrived.clear()
                await listener.arrived.wait()
        finally:
            for subject in subjects:
                listeners = self._listeners[subject]
                listeners.discard(listener)
                if not listeners:
                    del self._listeners[subject]

    async def page(self, community: str, home: str, after: int | None, first: int) -> Page:
        """Return up to `first` alerts after a cursor, oldest first; without one, from the oldest kept.

        Raises CursorExpiredError, NotReadyError.
        """
        if after is not None:
            await self._check(after)
        subjects, seen = _subjects(community, home), after or 0
        events: list[Event] = []
        while (event := await self._next(subjects, seen)) is not None:
            if len(events) == first:
                return Page(events, True)
            seen = event.cursor
            events.append(event)
        return Page(events, False)

    # --- inside ---

    def _hand_out(self, stored: Stored) -> None:
        listeners = self._listeners.get(stored.subject)
        if not listeners:
            return
        event = _event(stored)
        if event is not None:
            for listener in listeners:
                listener.put(event, self._bound)

    async def _check(self, after: int) -> None:
        first, last = await self._asked(self._bus.stream_bounds(_STREAM))
        if after > last or (first > 1 and after < first - 1):
            raise CursorExpiredError(max(0, first - 1))

    async def _next(self, subjects: tuple[str, ...], after: int) -> Event | None:
        """Return the first alert after a cursor; what is malformed is left out."""
        while True:
            found = [
                stored
                for subject in subjects
                if (stored := await self._asked(self._bus.next_after(_STREAM, subject, after + 1))) is not None
            ]
            if not found:
                return None
            stored = min(found, key=lambda one: one.sequence)
            event = _event(stored)
            if event is not None:
                return event
            after = stored.sequence

    async def _asked(self, question: Awaitable[Answer]) -> Answer:
        try:
            return await question
        except UnavailableError:
            raise NotReadyError("NATS does not answer; ask again in a moment") from None


def _subjects(community: str, home: str) -> tuple[str, ...]:
    return alerts_subject(community, home), alerts_subject(community, COMMUNITY_ALERTS)


def _event(stored: Stored) -> Event | None:
    try:
        return Event(stored.sequence, decode_alert(stored.data))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        log.warning("malformed alert skipped", sequence=stored.sequence, reason=str(error))
        return None
