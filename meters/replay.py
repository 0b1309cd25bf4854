"""Publish recorded readings: `run_replay` is what `commonwatt replay` runs.

Every meter's reading of an hour, then the next hour's. A replay that was interrupted goes on
where the stream ends; it stores nothing twice and leaves nothing out.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bus.client import MAX_BATCH, Bus
from bus.community import Community
from bus.identifiers import check_id
from bus.reading import Reading
from bus.readings import Outgoing, ReadingsWriter
from bus.registry import apply, load_history
from meters.citylearn import DEFAULT_START, HOUR, TIMEZONE, CityLearn, load_citylearn
from meters.errors import OptionError
from meters.pace import Pace
from meters.patience import patiently

log = structlog.get_logger(__name__)

_SAY_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to replay. Raises OptionError with the value, the limit and the way out.

    `start`: when the recording begins, on a full hour; without an offset it is local time of
    the community; None is 2021-08-01T00:00. `speed`: seconds of the recording per second; 0 is
    as fast as possible.
    """

    directory: Path
    format: Literal["citylearn"] = "citylearn"
    community: str = "citylearn"
    start: datetime | None = None
    speed: float = 0.0

    def __post_init__(self) -> None:
        check_id(self.community)
        if self.format != "citylearn":
            raise OptionError(f"format is {self.format!r}; expected 'citylearn'")
        if not (isfinite(self.speed) and self.speed >= 0):
            raise OptionError(f"speed is {self.speed:g}; expected 1 (real time), more, or 0 (as fast as possible)")
        if self.start is not None and (self.start.minute, self.start.second, self.start.microsecond) != (0, 0, 0):
            raise OptionError(f"start is {self.start.isoformat()}; the recording is hourly: expected a full hour")


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay did: readings in the recording, stored now, stored before; from when until when."""

    community: str
    meters: int
    readings: int
    stored: int
    skipped: int
    first_at: datetime
    last_at: datetime
    seconds: float


async def run_replay(
    bus: Bus,
    options: ReplayOptions,
    console: Console,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ReplayReport:
    """Publish the recording from where the stream ends, and return what was done.

    Progress goes to `console`: a bar on a terminal, a line every few seconds elsewhere. Raises
    OptionError where the community is registered or recorded otherwise, RecordingError where
    the files are malformed.
    """
    began_s = monotonic()
    recording = await asyncio.to_thread(load_citylearn, options.directory)
    start = _anchored(options.start)
    await patiently(bus, lambda: _register(bus, recording, options.community, now()))
    writer = ReadingsWriter(bus, sleep=sleep)
    first = await _next_border(writer, recording, options.community, start)
    total = (recording.hours + 1) * len(recording.meters)
    before = first * len(recording.meters)
    if first > recording.hours:
        log.info("the stream holds all of it", community=options.community)
    elif first:
        log.info("going on where the stream ends", community=options.community, at=(start + first * HOUR).isoformat())
    pace = Pace((start + first * HOUR).timestamp() * 1000, options.speed, clock=monotonic, sleep=sleep)
    with _progress(console, total, monotonic) as advance:
        advance(before)
        async for count in _published(recording, options.community, start, first, writer, pace):
            advance(count)
    return ReplayReport(
        community=options.community,
        meters=len(recording.meters),
        readings=total,
        stored=writer.stored,
        skipped=before + writer.skipped,
        first_at=start,
        last_at=start + recording.hours * HOUR,
        seconds=monotonic() - began_s,
    )


async def _published(
    recording: CityLearn, community: str, start: datetime, first: int, writer: ReadingsWriter, pace: Pace
) -> AsyncIterator[int]:
    """Publish hour after hour, as many together as are due and fit a batch; yield how many readings went out."""
    batch: list[Outgoing] = []
    for readings in recording.readings(start, first):
        at_ms = readings[0].at_ms
        if batch and (len(batch) + len(readings) > MAX_BATCH or at_ms > pace.now_ms):
            await writer.write(batch)
            yield len(batch)
            batch = []
        if at_ms > pace.now_ms:
            await pace.until(at_ms)
        batch += [Outgoing(community, m, reading) for m, reading in zip(recording.meters, readings, strict=True)]
    if batch:
        await writer.write(batch)
        yield len(batch)


def _anchored(start: datetime | None) -> datetime:
    start = start or datetime.fromisoformat(DEFAULT_START)
    return (start if start.tzinfo else start.replace(tzinfo=ZoneInfo(TIMEZONE))).astimezone(UTC)


async def _register(bus: Bus, recording: CityLearn, id: str, now: datetime) -> None:
    history = await load_history(bus, id)
    if history is None:
        await apply(bus, recording.community(id), now=now)
        log.info("registered", community=id, homes=len(recording.buildings))
        return
    _check(history.latest.community, recording)


def _check(known: Community, recording: CityLearn) -> None:
    unknown = [meter for meter in recording.meters if meter not in known.home_of_meter]
    if unknown:
        raise OptionError(
            f"community {known.id!r} is registered without the meter {unknown[0]!r}: name another --community"
        )
    if known.clock != "event":
        raise OptionError(
            f"community {known.id!r} goes by the wall clock, and recorded readings are not of now: "
            'name another --community, or register it with clock = "event"'
        )


async def _next_border(writer: ReadingsWriter, recording: CityLearn, community: str, start: datetime) -> int:
    """Return the first hour's border of which some meter has no stored reading."""
    stored = [await writer.last(community, meter) for meter in recording.meters]
    borders = [-1 if reading is None else (reading.at - start) // HOUR for reading in stored]
    expected = _at_borders(recording, start, set(borders))
    for number, (meter, reading) in enumerate(zip(recording.meters, stored, strict=True)):
        if reading is None:
            continue
        same = expected.get(borders[number])
        if same is None or same[number].to_bytes() != reading.to_bytes():
            raise OptionError(
                f"the stream holds a reading of {community}/{meter} of {reading.at.isoformat()} that is not this "
                "recording's: give the --start that it was begun with, or name another --community"
            )
    return min(borders) + 1


def _at_borders(recording: CityLearn, start: datetime, borders: set[int]) -> dict[int, list[Reading]]:
    wanted = {border for border in borders if 0 <= border <= recording.hours}
    first = min(wanted, default=recording.hours)
    found = {}
    for border, readings in enumerate(recording.readings(start, first), first):
        if border in wanted:
            found[border] = readings
        if border >= max(wanted, default=-1):
            break
    return found


@contextmanager
def _progress(console: Console, total: int, monotonic: Callable[[], float]) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how many readings more are done."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("readings", total=total)
            yield lambda count: progress.advance(task, count)
        return
    done, said_s = 0, monotonic()

    def say(count: int) -> None:
        nonlocal done, said_s
        done += count
        if done == total or monotonic() - said_s >= _SAY_EVERY_S:
            said_s = monotonic()
            console.print(f"{done} of {total} readings ({done * 100 // total} %)", highlight=False, soft_wrap=True)

    yield say
