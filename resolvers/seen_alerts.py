"""Alerts as one viewer sees them: those of a whole community tell of its totals, and go to whoever may see these.

The registry is asked when an alert is handed out, so that a change counts for streams that are open.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from bus.identifiers import COMMUNITY_ALERTS
from resolvers.alerts import Alerts, Event, Page
from resolvers.directory import View
from resolvers.errors import ResolverError


class SeenAlerts(Alerts):
    """The alerts of all communities, less those that tell of totals which `view` does not show."""

    def __init__(self, alerts: Alerts, view: View) -> None:
        # Nothing of its own: all comes from the alerts of the process.
        self._alerts = alerts
        self._view = view

    async def stream(self, community: str, home: str, after: int | None) -> AsyncGenerator[Event, None]:
        """Yield a home's alerts, and its community's while its totals may be seen; raise what `Alerts` does."""
        async with aclosing(self._alerts.stream(community, home, after)) as events:
            async for event in events:
                if self._is_seen(community, event):
                    yield event

    async def page(self, community: str, home: str, after: int | None, first: int) -> Page:
        """Return up to `first` alerts after a cursor, oldest first; raise what `Alerts` does."""
        seen: list[Event] = []
        while True:
            page = await self._alerts.page(community, home, after, first)
            for event in page.events:
                if self._is_seen(community, event):
                    if len(seen) == first:
                        return Page(seen, True)
                    seen.append(event)
            if not page.more:
                return Page(seen, False)
            after = page.events[-1].cursor

    def _is_seen(self, community: str, event: Event) -> bool:
        if event.alert.home != COMMUNITY_ALERTS:
            return True
        try:
            self._view.check_totals(community)
        except ResolverError:
            return False
        return True
