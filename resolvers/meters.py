"""Meters: which of a community's are heard, and which are silent, refused, or were never heard.

Looked up in the streams READINGS and REJECTED when somebody asks; nothing is kept here. Who may
ask is decided before.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Literal, NamedTuple

import msgspec
import structlog

from bus.client import Bus
from bus.community import Community, Home, Meter
from bus.identifiers import reading_subject, rejected_subject
from bus.lookups import last_of_each, run_of
from bus.messages import decode_rejected
from bus.reading import RefusalError, parse
from bus.stored import Stored
from resolvers.answers import answered
from resolvers.live import Live

log = structlog.get_logger(__name__)

Condition = Literal["HEARD", "SILENT", "REFUSED", "NEVER"]

_STREAM: Final = "READINGS"
_AT_ONCE: Final = 32
_LOOK_BACK_MS: Final = 24 * 3_600_000
_UNKNOWN_GAP_MS: Final = 600_000
_GAPS: Final = 3
_MINUTE_MS: Final = 60_000
_TOLD_A_MINUTE: Final = 30
"""Refusals of one meter in a minute after which the aggregator counts the others."""


class Heard(NamedTuple):
    """A meter of a home, when it was heard last (ms since 1970 UTC), when it was refused last, and its condition."""

    community: str
    home: Home
    meter: Meter
    heard_ms: int | None
    refused_ms: int | None
    condition: Condition


class Meters:
    """The meters of communities, as they are heard. `now_ms` tells the time in ms since 1970 UTC."""

    def __init__(self, bus: Bus, live: Live, *, now_ms: Callable[[], int]) -> None:
        self._bus = bus
        self._live = live
        self._now_ms = now_ms

    async def look(self, community: Community) -> list[Heard]:
        """Return all meters of a community, in the order of the registry; raise NotReadyError.

        A meter is REFUSED where the last thing heard of it was, or where so much was that the aggregator
        only counts it, NEVER where the stream holds nothing of it, and SILENT where it was not heard for
        as long as the registry's `meter_silent`, and for 3 x its usual gap: the rule of the alert METER_SILENT.
        """
        meters = [meter.id for home in community.homes for meter in home.meters]
        readings = await self._last(_STREAM, [reading_subject(community.id, meter) for meter in meters])
        refused = await self._last("REJECTED", [rejected_subject(community.id, meter) for meter in meters])
        last = {meter: readings.get(reading_subject(community.id, meter)) for meter in meters}
        rejected = {meter: _rejected(refused.get(rejected_subject(community.id, meter))) for meter in meters}
        heard = {meter: _heard(community, stored) for meter, stored in last.items() if stored is not None}
        now = await self._now(community)
        late_ms = int(community.alerts.meter_silent.total_seconds() * 1000)
        suspects = [meter for meter, at in heard.items() if now - at > late_ms]
        gaps = await self._gaps(community, {meter: stored for meter in suspects if (stored := last[meter]) is not None})
        crowded = {
            meter: stored
            for meter, stored in last.items()
            if stored is not None and 0 <= stored.time_ms - (rejected[meter][1] or 0) < _MINUTE_MS
        }
        floods = await self._floods(community, crowded)
        found = []
        for home in community.homes:
            for meter in home.meters:
                stored, (sequence, refused_ms) = last[meter.id], rejected[meter.id]
                condition: Condition = "HEARD"
                if stored is None:
                    condition = "NEVER"
                elif meter.id in gaps and now - heard[meter.id] > _GAPS * gaps[meter.id]:
                    condition = "SILENT"
                elif sequence >= stored.sequence or meter.id in floods or not _is_reading(stored):
                    condition = "REFUSED"
                found.append(Heard(community.id, home, meter, heard.get(meter.id), refused_ms, condition))
        return found

    # --- inside ---

    async def _now(self, community: Community) -> int:
        """Return the community's time: of one with an event clock, that of its newest reading."""
        if community.clock == "wall":
            return self._now_ms()
        state = await self._live.community(community.id)
        return (state and state.measured_at) or 0

    async def _gaps(self, community: Community, last: dict[str, Stored]) -> dict[str, float]:
        """Return the usual gap in ms of meters, from what they sent in the 24 h before they were heard last."""
        gaps: dict[str, float] = {}
        waiting = iter(last.items())
        while some := list(islice(waiting, _AT_ONCE)):
            found = await asyncio.gather(*(self._gap(community, meter, stored) for meter, stored in some))
            gaps |= {meter: gap for (meter, _), gap in zip(some, found, strict=True)}
        return gaps

    async def _gap(self, community: Community, meter: str, stored: Stored) -> float:
        since_ms = stored.time_ms - _LOOK_BACK_MS
        run = await answered(run_of(self._bus, _STREAM, reading_subject(community.id, meter), since_ms=since_ms))
        if not run.messages or not run.more:
            return _UNKNOWN_GAP_MS
        return (_heard(community, stored) - _heard(community, run.messages[0])) / run.more

    async def _floods(self, community: Community, last: dict[str, Stored]) -> set[str]:
        """Return the meters of which so much is refused that what comes is told only when a minute is over."""
        floods: set[str] = set()
        for meter, stored in last.items():
            subject, since_ms = rejected_subject(community.id, meter), stored.time_ms - _MINUTE_MS
            run = await answered(run_of(self._bus, "REJECTED", subject, since_ms=since_ms))
            if len(run.messages) + run.more >= _TOLD_A_MINUTE:
                floods.add(meter)
        return floods

    async def _last(self, stream: str, subjects: Sequence[str]) -> dict[str, Stored]:
        return await answered(last_of_each(self._bus, stream, subjects))


def _heard(community: Community, stored: Stored) -> int:
    """Return when a meter was heard: when its reading came, or by an event clock the reading's own time."""
    if community.clock == "event":
        try:
            return parse(stored.data).at_ms
        except RefusalError:
            pass
    return stored.time_ms


def _is_reading(stored: Stored) -> bool:
    try:
        parse(stored.data)
    except RefusalError:
        return False
    return True


def _rejected(stored: Stored | None) -> tuple[int, int | None]:
    """Return the READINGS sequence of a rejection, 0 for none, and when the reading came."""
    if stored is None:
        return 0, None
    try:
        rejected = decode_rejected(stored.data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        log.warning("malformed rejection skipped", sequence=stored.sequence, reason=str(error))
        return 0, None
    return rejected.sequence, rejected.received_at
