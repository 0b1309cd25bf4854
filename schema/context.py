"""What resolvers of fields reach: handed down with each operation, never global."""

from dataclasses import dataclass

import strawberry

from resolvers.alerts import Alerts
from resolvers.directory import Directory
from resolvers.live import Live


@dataclass(frozen=True, slots=True)
class Context:
    """What stands behind the fields of one operation."""

    directory: Directory
    live: Live
    alerts: Alerts


Info = strawberry.Info[Context, None]
