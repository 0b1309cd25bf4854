"""What happens to a watch: the events that its machine folds. docs/watch.md says when each is told.

Plain values of the network and of the platform cross this module; times are in ms. It decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Kind = Literal["home", "community"]
Way = Literal["socket", "stream"]


class Show(StrEnum):
    """What the platform says of the display."""

    FOREGROUND = "foreground"
    AMBIENT = "ambient"
    BACKGROUND = "background"


class Screen(StrEnum):
    """What can be turned to; the receipt is hidden."""

    GLANCE = "glance"
    TODAY = "today"
    HOURS = "hours"
    RECEIPT = "receipt"


@dataclass(frozen=True, slots=True)
class Target:
    """What is watched; a home's id is `<community>.<home>`, opaque."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A screen's last data, from storage: heard at `heard` on the wall clock, `age` ms old then."""

    data: Mapping[str, Any]
    heard: int
    age: int = 0
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The watch is switched on."""

    target: Target | None = None
    want: Show = Show.FOREGROUND
    token: str | None = None
    paired: bool = False
    ways: tuple[Way, ...] = ("socket", "stream")
    kept: Mapping[Screen, Kept] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    """The display changed."""

    as_: Show


@dataclass(frozen=True, slots=True)
class Turned:
    """Somebody turned to a screen."""

    to: Screen


@dataclass(frozen=True, slots=True)
class Network:
    """The system says whether there is a network."""

    up: bool


@dataclass(frozen=True, slots=True)
class Battery:
    """The battery's level, 0 to 1, None where nobody tells it."""

    level: float | None
    charging: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """There is a newer token, another one, or none any more."""

    token: str | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Somebody wants to pair this watch."""


@dataclass(frozen=True, slots=True)
class Unpair:
    """Somebody wants to leave off pairing."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The watch is switched off."""


@dataclass(frozen=True, slots=True)
class Tick:
    """`State.due` has come."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The server let the connection in."""


@dataclass(frozen=True, slots=True)
class Result:
    """Data, with errors where parts of them are null because of those. `date`: the server's clock, where told."""

    id: int
    data: Mapping[str, Any]
    errors: Sequence[Any] = ()
    etag: str | None = None
    date: int | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A request was answered by 304."""

    id: int
    date: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """The server lives: a pong, a comment."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors without data; the operation goes on."""

    id: int
    errors: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """The server ended the operation; a socket stays open."""

    id: int
    errors: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection or a request failed or ended: with a close code, an HTTP status, nonsense, or none of these."""

    close: int | None = None
    status: int | None = None
    garbage: bool = False
    reason: str = ""
    retry: int = 0


@dataclass(frozen=True, slots=True)
class Code:
    """What a watch that pairs shows and polls with; `interval` and `expires_in` in s (RFC 8628, 3.2)."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    interval: int = 5
    expires_in: int = 600


@dataclass(frozen=True, slots=True)
class Denied:
    """An error of a pairing endpoint (RFC 8628, 3.5)."""

    error: str
    retry: int = 0


@dataclass(frozen=True, slots=True)
class Paired:
    """The watch got a token, and the home that it shows."""

    token: str
    home: str


Event = (
    Started
    | Shown
    | Turned
    | Network
    | Battery
    | Token
    | Pair
    | Unpair
    | Stopped
    | Tick
    | Opened
    | Result
    | Unchanged
    | Heard
    | Errors
    | Ended
    | Lost
    | Code
    | Denied
    | Paired
)
