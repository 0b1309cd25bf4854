"""What the device knows: the last glance, how the link stands, and since when.

News and the time come in, a new frozen Device goes out: a pure fold, so that every state can be told and tested
without a network. The age that it gives never makes data look younger than they are.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from watch.glance import GarbledError, Glance
from watch.news import Link, News, Result, Standing, printable
from watch.screen import Screen

CONNECTING = Link(Standing.CONNECTING)
_UNTIL_ANSWERED = frozenset({Standing.UNKNOWN, Standing.FAULT, Standing.GARBAGE})


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on two clocks: `wall` in UTC for times from the server, `steady` in seconds that only go forward."""

    wall: datetime
    steady: float


@dataclass(frozen=True, slots=True)
class Device:
    """One screen's state; `since` is the steady second at which the present standing began."""

    screen: Screen
    since: float
    link: Link = CONNECTING
    glance: Glance | None = None
    heard: float | None = None
    partial: str = ""  # why parts of the last result are null

    def after(self, news: News, now: Moment) -> "Device":
        """Return the state after `news` were heard at `now`. What was known stays, until something newer."""
        if isinstance(news, Link):
            if news.standing is Standing.WAITING and self.link.standing in _UNTIL_ANSWERED:
                return self  # asked again, which says nothing yet: the face must not flicker at each attempt
            same = news.standing is self.link.standing
            return replace(self, link=news, since=self.since if same else now.steady)
        try:
            glance = self.screen.read(news.data)
        except GarbledError as error:
            return self.after(Link(Standing.GARBAGE, printable(str(error))), now)
        live = self.after(Link(Standing.LIVE), now)
        return replace(live, glance=glance, heard=now.steady, partial=_first_message(news))

    @property
    def live(self) -> bool:
        """Whether the figures may be shown as current: the link is up and the server holds none for stale."""
        return self.link.standing is Standing.LIVE and self.glance is not None and self.glance.fresh

    def age_s(self, now: Moment) -> float | None:
        """Return the age of the data in seconds, None without data.

        The larger of two: since measuredAt by the wall clock, and since the result was heard by the steady
        clock. A wall clock that runs behind the server's thus never makes old data look new.
        """
        if self.glance is None or self.heard is None:
            return None
        age = now.steady - self.heard
        if self.glance.measured_at is not None:
            age = max(age, (now.wall - self.glance.measured_at).total_seconds())
        return age

    def lasting_s(self, now: Moment) -> float:
        """Return for how many seconds the present standing has lasted."""
        return max(0.0, now.steady - self.since)


def _first_message(result: Result) -> str:
    if not result.errors:
        return ""
    message = result.errors[0].get("message")
    return printable(message) if isinstance(message, str) else "a part could not be answered"
