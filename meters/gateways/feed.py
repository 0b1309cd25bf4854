"""Feeds: a source, and the meters whose readings come from it."""

from collections.abc import Mapping
from typing import NamedTuple

from bus.identifiers import reading_subject
from meters.gateways.source import Source


class Place(NamedTuple):
    """Where a meter belongs: its community, and its id there."""

    community: str
    meter: str
    epoch: str | None = None
    """What its readings' epoch is in place of the one that the source gives; None: that one."""
    every_s: int = 0
    """Seconds of the meter's time of which one reading is published, the first; 0: all are."""

    @property
    def subject(self) -> str:
        """Where its readings are published; raises InvalidIdError."""
        return reading_subject(self.community, self.meter)

    @property
    def name(self) -> str:
        """What logs and metrics call it."""
        return f"{self.community}/{self.meter}"


class Feed(NamedTuple):
    """A source, and which meter each of its devices is."""

    source: Source
    places: Mapping[str, Place]
    """By `Given.device`; a source of one device has the one place under the empty name."""
    ends: bool = False
    """It is a file: read once, as fast as NATS takes it."""
