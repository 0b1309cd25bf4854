"""What resolvers of fields reach: handed down with each operation, never global."""

from collections.abc import Callable
from dataclasses import dataclass, field

import strawberry

from resolvers.access import Viewer
from resolvers.alerts import Alerts
from resolvers.directory import View
from resolvers.history import History
from resolvers.live import Live
from resolvers.meters import Meters
from resolvers.pairing import Pairing
from resolvers.rejections import Rejections
from resolvers.statements import Statements
from resolvers.turns import Turns
from schema.receipt import Bill


@dataclass(frozen=True, slots=True)
class Context:
    """What stands behind the fields of one operation, as far as whoever asks may see it."""

    directory: View
    live: Live
    alerts: Alerts
    viewer: Viewer | None = None
    """Who asks; None: sign-in is off, everybody sees everything."""
    pairing: Pairing | None = None
    """What pairs devices with homes; None: sign-in is off, no device needs a token."""
    history: History | None = None
    """What has been settled; None: it cannot be had here."""
    statements: Statements | None = None
    """What makes statements of it; None: it cannot be had here."""
    rejections: Rejections | None = None
    """What was refused; None: it cannot be had here."""
    meters: Meters | None = None
    """How meters are heard; None: it cannot be had here."""
    turns: Turns = field(default_factory=Turns)
    """How many questions about it are under way at a time."""
    bill: Callable[[], Bill | None] | None = None
    """What the connection has cost that it came over; None: it came over none that is counted."""


Info = strawberry.Info[Context, None]
