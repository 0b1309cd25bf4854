"""What the device knows: one frozen value, and nothing of where it came from.

docs/watch.md names the fields. All times are ms; `steady` only goes forward, `wall` is since 1970 UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from watch.events import Kept, Screen, Show, Target, Way
from watch.glance import FORMS, GarbledError, Reading, read
from watch.modes import Ask, How
from watch.pairing import Pairing
from watch.verdict import Standing


class Mode(StrEnum):
    """What the device does."""

    OFF = "off"
    PAIRING = "pairing"
    OFFLINE = "offline"
    FOREGROUND = "foreground"
    AMBIENT = "ambient"
    BACKGROUND = "background"


class Open(StrEnum):
    """Of a connection, or of a request."""

    NONE = "none"
    OPENING = "opening"
    OPEN = "open"


class Awaited(StrEnum):
    """What `due` is for."""

    RETRY = "retry"
    ANSWER = "answer"
    SILENCE = "silence"
    PONG = "pong"
    CADENCE = "cadence"
    POLL = "poll"


@dataclass(frozen=True, slots=True)
class Moment:
    """Now: `steady` in ms that only go forward, `wall` in ms since 1970 UTC, and `chance`, 0 ≤ x < 1."""

    steady: int
    wall: int
    chance: float = 0.5


@dataclass(frozen=True, slots=True)
class Known:
    """A screen's last data: what they say, when they were heard (`steady` None: in an earlier life), how old then.

    `data` is the home or the community itself, as the server gave it.
    """

    reading: Reading
    data: Mapping[str, Any]
    steady: int | None
    wall: int
    age: int
    operation: int = 0
    etag: str | None = None
    errors: Sequence[Any] = ()  # why parts of it are null

    def age_at(self, now: Moment) -> int:
        """Return how old the data are.

        From what they were when heard, by the larger of both clocks' advance: a wall clock that was set back, or a
        steady one that stopped while the device slept, never makes old data look new.
        """
        steady = 0 if self.steady is None else now.steady - self.steady
        return self.age + max(steady, now.wall - self.wall, 0)


@dataclass(frozen=True, slots=True)
class State:
    """All that the device knows. Times are steady ms."""

    mode: Mode = Mode.OFF
    want: Show = Show.FOREGROUND
    target: Target | None = None
    screen: Screen = Screen.GLANCE
    basis: Screen = Screen.GLANCE  # what the hidden screen stands before
    network: bool = True
    low: bool = False
    link: Standing = Standing.IDLE
    reason: str = ""
    since: int = 0
    ways: tuple[Way, ...] = ("socket", "stream")
    way: Way = "socket"
    strayed: int = 0  # since when the way is not the first
    open: Open = Open.NONE
    how: How | None = None  # what is open
    asked: Ask | None = None
    over: bool = False  # what was asked was asked once, and answered
    operation: int = 0
    opened: int = 0
    failures: int = 0
    tries: int = 0
    refusals: int = 0
    due: int | None = None
    awaited: Awaited | None = None
    token: str | None = None
    paired: bool = False
    clock_off: int = 0
    tapped: int | None = None
    pairing: Pairing | None = None
    readings: Mapping[Screen, Known] = field(default_factory=dict)


def restore(target: Target, screen: Screen, kept: Kept) -> Known | None:
    """Return a screen's data from storage, None where they are not what this watch understands."""
    try:
        reading = read(FORMS[target.kind, screen], kept.data)
    except (GarbledError, KeyError):
        return None
    return Known(reading, kept.data, None, kept.heard, kept.age, 0, kept.etag)
