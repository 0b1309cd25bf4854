"""What the machine has the shell do, in this order. docs/watch.md says what each means.

`document` is the name of an operation; `variables` are its own, in full. It carries nothing out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Variables = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a WebSocket and send connection_init with the state's token."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Begin an operation on the open socket."""

    id: int
    document: str
    variables: Variables


@dataclass(frozen=True, slots=True)
class Complete:
    """End an operation on the open socket."""

    id: int


@dataclass(frozen=True, slots=True)
class Stream:
    """Open an event stream with the state's token."""

    id: int
    document: str
    variables: Variables


@dataclass(frozen=True, slots=True)
class Get:
    """Ask once, with If-None-Match where there is an `etag`."""

    id: int
    document: str
    variables: Variables
    etag: str | None


@dataclass(frozen=True, slots=True)
class Ping:
    """See whether the server lives."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Give the server the state's token on the open socket."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close what is open or opening, and forget it."""


@dataclass(frozen=True, slots=True)
class Authorize:
    """Ask for a code."""


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask for the token."""

    device_code: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Store the pairing, readable by its owner alone."""

    token: str
    home: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove what Keep stored."""


@dataclass(frozen=True, slots=True)
class Tap:
    """Tap the wrist."""


Command = Connect | Subscribe | Complete | Stream | Get | Ping | Renew | Close | Authorize | Poll | Keep | Forget | Tap
