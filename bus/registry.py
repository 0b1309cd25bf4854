"""The registry: communities in dated versions, kept in a bucket that forgets none of them.

A version holds from a local midnight until the next one; of two with the same date the later
written holds. Versions are added by compare-and-set and never changed. Followers see every
version in the order in which it was written, with the bucket's sequence as its number.
"""

import asyncio
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from typing import Final

import structlog
from pydantic import ValidationError

from bus.client import Bus, Message
from bus.community import Community, RegistryError, Version
from bus.errors import ConflictError
from bus.identifiers import TICK_SUBJECT, check_id, is_id
from bus.stored import Stored
from bus.streams import REGISTRY

log = structlog.get_logger(__name__)

_STREAM: Final = f"KV_{REGISTRY}"
_PREFIX: Final = f"$KV.{REGISTRY}."

BEGINNING: Final = date(1970, 1, 1)
"""The first version of a community holds from here on: data older than its registration settles too."""


class History:
    """The versions of one community, by the time from which they hold."""

    def __init__(self) -> None:
        self.sequence = 0
        self._starts: list[int] = []
        self._versions: list[Version] = []
        self._written: list[int] = []
        self._log: list[tuple[int, Version]] = []

    def add(self, version: Version, sequence: int) -> None:
        """Take one more version; it takes the place of one with the same date, and of later ones none."""
        # By date, not by time: a corrected time zone moves the midnight of the version that it corrects.
        at = bisect_right(self._versions, version.valid_from, key=lambda known: known.valid_from)
        start = midnight_ms(version.valid_from, version.community)
        if at and self._versions[at - 1].valid_from == version.valid_from:
            self._versions[at - 1] = version
            self._starts[at - 1] = start
            self._written[at - 1] = sequence
        else:
            self._starts.insert(at, start)
            self._versions.insert(at, version)
            self._written.insert(at, sequence)
        self.sequence = sequence
        self._log.append((sequence, version))

    def until(self, sequence: int) -> "History":
        """Return the history as it was when the bucket ended at `sequence`."""
        earlier = History()
        earlier.learn(self, sequence)
        return earlier

    def learn(self, later: "History", sequence: int) -> None:
        """Take over from `later` what was written up to `sequence` and is not known here."""
        for written, version in later._log:
            if self.sequence < written <= sequence:
                self.add(version, written)

    def at(self, time_ms: int) -> Community:
        """Return the community as it is at a time in ms since 1970 (before the first version: as it began)."""
        return self._versions[max(0, bisect_right(self._starts, time_ms) - 1)].community

    def since(self, sequence: int) -> list[int]:
        """Return from when on (ms since 1970) the versions written after a bucket sequence hold."""
        return [start for start, written in zip(self._starts, self._written, strict=True) if written > sequence]

    @property
    def latest(self) -> Version:
        """The version with the latest date."""
        return self._versions[-1]

    def __iter__(self) -> Iterator[Version]:
        return iter(self._versions)

    def __len__(self) -> int:
        return len(self._versions)


class Registry:
    """All communities, followed live. `changed` callbacks get the id of each community that changed."""

    def __init__(self) -> None:
        self.communities: dict[str, History] = {}
        self.sequence = 0
        self._callbacks: list[Callable[[str], None]] = []

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with a community's id after each of its versions was taken in."""
        self._callbacks.append(callback)

    def take(self, message: Stored) -> None:
        """Take in one stored version; what is no valid version is logged and left out."""
        self.sequence = message.sequence
        community = message.subject.removeprefix(_PREFIX)
        if not message.data or not is_id(community):
            return
        try:
            version = Version.model_validate_json(message.data)
        except ValidationError as error:
            log.error("registry version not readable", community=community, error=str(error))
            return
        self.communities.setdefault(community, History()).add(version, message.sequence)
        for callback in self._callbacks:
            callback(community)

    async def load(self, bus: Bus) -> None:
        """Take in all that the bucket holds now."""
        _, last = await bus.stream_bounds(_STREAM)
        reader = bus.read(_STREAM, after=self.sequence)
        try:
            while self.sequence < last:
                for message in await reader.next_batch(5.0):
                    self.take(message)
        finally:
            await reader.close()

    async def follow(self, bus: Bus) -> None:
        """Take in versions as they are written, for ever."""
        reader = bus.read(_STREAM, after=self.sequence)
        try:
            async for batch in reader:
                for message in batch:
                    self.take(message)
        finally:
            await reader.close()


async def load_history(bus: Bus, community: str) -> History | None:
    """Return the versions of one community, or None if it is not registered."""
    registry = Registry()
    await registry.load(bus)
    return registry.communities.get(check_id(community))


async def apply(bus: Bus, community: Community, *, valid_from: date | None = None, now: datetime) -> Version | None:
    """Add a version of a community and return it; None if the latest one says the same already.

    The first version holds from BEGINNING, later ones by default from the local midnight that
    began today. Raises RegistryError where `valid_from` lies before the latest version's.
    """
    for _ in range(5):
        registry = Registry()
        await registry.load(bus)
        history = registry.communities.get(community.id)
        if history is None:
            start = valid_from or BEGINNING
        else:
            latest = history.latest
            if latest.community == community and valid_from in (None, latest.valid_from):
                return None
            start = valid_from or max(latest.valid_from, now.astimezone(community.zone).date())
            if start < latest.valid_from:
                raise RegistryError(
                    f"valid from {start}: the latest version of {community.id!r} holds from {latest.valid_from}; "
                    "versions are dated in order, choose that day or a later one"
                )
            if latest.community.settlement_interval != community.settlement_interval:
                raise RegistryError(
                    f"{community.id!r} settles by {latest.community.settlement_interval}; this never changes: "
                    "give the community a new id for another interval"
                )
        version = Version(valid_from=start, community=community)
        data = version.model_dump_json(exclude_defaults=True).encode()
        last = await bus.last(_STREAM, _PREFIX + community.id)
        if last is not None and last.sequence > registry.sequence:
            await asyncio.sleep(0.05)
            continue
        try:
            sequence = await bus.publish(Message(_PREFIX + community.id, data, last.sequence if last else 0))
        except ConflictError:
            continue
        # Announced in the log of readings, so that whatever is published from now on meets this version.
        await bus.publish(Message(TICK_SUBJECT, tick(sequence)))
        return version
    raise RegistryError(f"{community.id!r} is being changed by others at the same time; try again")


def tick(registry_sequence: int) -> bytes:
    """Return a tick: it puts time, and how far the registry has come, into the log of readings."""
    return b'{"registry":%d}' % registry_sequence


def registry_sequence_of(data: bytes) -> int:
    """Return how far the registry had come by a tick; 0 where it does not say."""
    try:
        return int(json.loads(data)["registry"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0


def midnight_ms(day: date, community: Community) -> int:
    """Return the local midnight that begins `day`, in ms since 1970 UTC."""
    local = datetime.combine(day, time(), tzinfo=community.zone)
    return int(local.astimezone(UTC).timestamp() * 1000)
