"""Rejections: the readings of a community that were refused, newest first, and how many there are for what reason.

Read from the stream REJECTED when somebody asks; nothing is kept here. A cursor is the stream
sequence of the rejection that was seen last. Who may ask is decided before.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
import structlog

from bus.client import Bus
from bus.community import Community
from bus.identifiers import is_id, rejected_subject
from bus.lookups import MAX_RUN, Run, run_of
from bus.messages import Rejected, decode_rejected
from bus.stored import Stored
from resolvers.answers import answered
from resolvers.history import OutOfRangeError

log = structlog.get_logger(__name__)

MAX_COUNTED: Final = 5000
"""Rejections that are looked at to count reasons; of more, only the newest are."""
MAX_COUNTED_BYTES: Final = 32 * 1024 * 1024

_STREAM: Final = "REJECTED"
_SLACK: Final = 16  # how many may come while a page is looked for
_LEAST_MS: Final = 1000


class Rejection(NamedTuple):
    """A refused reading: its cursor, the meter that it came from, that meter's home if the registry has it, and why."""

    cursor: int
    meter: str
    home: str | None
    rejected: Rejected


class Page(NamedTuple):
    """Some rejections, newest first, and whether there are older ones."""

    rejections: list[Rejection]
    more: bool


class Reason(NamedTuple):
    """How many rejections have a reason, when the newest of them came (ms since 1970 UTC), and from which meters."""

    reason: str
    number: int
    latest_ms: int
    meters: tuple[str, ...]
    """Ordered by how many of them each sent."""


class Counts(NamedTuple):
    """How many readings were refused from a time on, and the reasons of those counted, most frequent first.

    `since` (ms since 1970 UTC) is when the first came that was counted, `asked` what was asked for. `total` is at
    least so many where it is more than `counted`: one message may stand for many.
    """

    asked: int
    since: int
    total: int
    counted: int
    reasons: list[Reason]


class Rejections:
    """What was refused. All of it raises NotReadyError while NATS is away."""

    def __init__(self, bus: Bus, *, now_ms: Callable[[], int]) -> None:
        self._bus = bus
        self._now_ms = now_ms

    async def page(self, community: Community, meter: str | None, after: int | None, first: int) -> Page:
        """Return up to `first` rejections of a community or one meter: the newest, or those before a cursor."""
        subject = _subject(community, meter)
        low, last = await answered(self._bus.stream_bounds(_STREAM))
        before = last + 1 if after is None else min(after, last + 1)
        wanted = _count(await self._run(subject, before)) + first + 1 + _SLACK
        low = max(1, low)
        found = await self._run(subject, low)
        high = before
        while found.messages and _count(found) > wanted and low < high:
            # The number of those that follow falls by one at each of them: where it is the wanted one, they begin.
            middle = (low + high + 1) // 2
            run = await self._run(subject, middle)
            if _count(run) >= wanted:
                found, low = run, run.messages[0].sequence
            else:
                high = middle - 1
        if not found.messages:
            return Page([], False)
        stored = await self._read(subject, found.messages[0].sequence, before, wanted)
        newest = [one for one in reversed(stored) if one.sequence < before]
        rejections = [one for stored in newest[:first] if (one := _rejection(community, stored)) is not None]
        return Page(rejections, len(newest) > first)

    async def counts(self, community: Community, since: int) -> Counts:
        """Count the rejections of a community that came at `since` (ms since 1970 UTC) or later, by reason."""
        subject = _subject(community, None)
        start = since
        run = await self._since(subject, start)
        total = left = _count(run)
        while left > MAX_COUNTED and self._now_ms() - start > _LEAST_MS:
            start += (self._now_ms() - start) // 2
            run = await self._since(subject, start)
            left = _count(run)
        if not run.messages:
            return Counts(since, start, total, 0, [])
        messages = total
        numbers: Counter[str] = Counter()
        latest: dict[str, int] = {}
        meters: dict[str, Counter[str]] = {}
        looked = size = 0
        sequence = run.messages[0].sequence
        while looked < left and size < MAX_COUNTED_BYTES:
            run = await self._run(subject, sequence, min(MAX_RUN, left - looked))
            if not run.messages:
                break
            for stored in run.messages:
                rejection = _rejection(community, stored)
                looked += 1
                size += len(stored.data)
                if rejection is None:
                    continue
                reason, count = rejection.rejected.reason, rejection.rejected.count
                numbers[reason] += count
                latest[reason] = rejection.rejected.received_at
                meters.setdefault(reason, Counter())[rejection.meter] += count
            sequence = run.messages[-1].sequence + 1
        reasons = [
            Reason(reason, count, latest[reason], tuple(meter for meter, _ in meters[reason].most_common()))
            for reason, count in sorted(numbers.items(), key=lambda one: (-one[1], one[0]))
        ]
        counted = numbers.total()
        return Counts(since, start, counted + messages - looked, counted, reasons)

    # --- inside ---

    async def _read(self, subject: str, sequence: int, before: int, most: int) -> list[Stored]:
        """Return the messages from a sequence on, up to one, `most` of them."""
        found: list[Stored] = []
        while len(found) < most and sequence < before:
            run = await self._run(subject, sequence, min(MAX_RUN, most - len(found)))
            found += run.messages
            if not run.more:
                break
            sequence = run.messages[-1].sequence + 1
        return found

    async def _run(self, subject: str, sequence: int, most: int = 1) -> Run:
        return await answered(run_of(self._bus, _STREAM, subject, sequence=sequence, most=most))

    async def _since(self, subject: str, since_ms: int) -> Run:
        return await answered(run_of(self._bus, _STREAM, subject, since_ms=since_ms))


def _subject(community: Community, meter: str | None) -> str:
    if meter is None:
        return f"rejected.{community.id}.*"
    if not is_id(meter):
        raise OutOfRangeError(f"meter is {meter[:80]!r}; expected 1 to 64 of the characters a-z, 0-9 and '-'")
    return rejected_subject(community.id, meter)


def _count(run: Run) -> int:
    return len(run.messages) + run.more


def _rejection(community: Community, stored: Stored) -> Rejection | None:
    meter = stored.subject.rpartition(".")[2]
    known = community.home_of_meter.get(meter)
    try:
        return Rejection(stored.sequence, meter, known and known[0].id, decode_rejected(stored.data))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        log.warning("malformed rejection skipped", sequence=stored.sequence, reason=str(error))
        return None
