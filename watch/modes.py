"""What is asked in which mode: the table of docs/watch.md.

A target, a screen, a mode and the battery come in; an Ask goes out: the operation, its variables, how it is asked,
and how long a silence may last. No clock, no network.
"""

from dataclasses import dataclass
from typing import Literal

from watch.commands import Variables
from watch.events import Screen, Show, Target, Way

How = Literal["socket", "stream", "get"]
SLACK_MS = 20_000
STREAM_SILENCE_MS = 30_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how precisely: durations as the API takes them, and as ms. `every_ms` 0: no subscription."""

    every: str = ""
    every_ms: int = 0
    max_silence: str = ""
    max_silence_ms: int = 0
    home_step: int = 0
    community_step: int = 0
    energy_step: int = 0
    cadence_ms: int = 0

    @property
    def silence_ms(self) -> int:
        """How long a socket may be silent: what the server promises, and some slack."""
        return self.every_ms + self.max_silence_ms + SLACK_MS


PACES: dict[tuple[Show, Screen, bool], Pace] = {
    (Show.FOREGROUND, Screen.GLANCE, False): Pace("PT1S", 1_000, "PT1M", 60_000, 50, 500),
    (Show.FOREGROUND, Screen.GLANCE, True): Pace("PT10S", 10_000, "PT5M", 300_000, 50, 500),
    (Show.FOREGROUND, Screen.TODAY, False): Pace("PT1M", 60_000, "PT5M", 300_000, energy_step=100),
    (Show.FOREGROUND, Screen.TODAY, True): Pace("PT5M", 300_000, "PT15M", 900_000, energy_step=100),
    (Show.FOREGROUND, Screen.HOURS, False): Pace(cadence_ms=3_600_000),
    (Show.FOREGROUND, Screen.HOURS, True): Pace(cadence_ms=10_800_000),
    (Show.AMBIENT, Screen.GLANCE, False): Pace("PT5M", 300_000, "PT10M", 600_000, 200, 2000, cadence_ms=300_000),
    (Show.AMBIENT, Screen.GLANCE, True): Pace("PT15M", 900_000, "PT30M", 1_800_000, 200, 2000, cadence_ms=900_000),
    (Show.BACKGROUND, Screen.GLANCE, False): Pace(home_step=200, community_step=2000, cadence_ms=1_200_000),
    (Show.BACKGROUND, Screen.GLANCE, True): Pace(home_step=200, community_step=2000, cadence_ms=3_600_000),
}
"""By mode, screen, and whether the battery is low."""


@dataclass(frozen=True)
class Ask:
    """What is to be asked, and how. `once`: a query, whose answer is all, until `cadence_ms` have passed."""

    how: How
    screen: Screen
    document: str
    variables: Variables
    silence_ms: int
    every_ms: int
    cadence_ms: int
    once: bool = False

    def asks_as(self, other: "Ask") -> bool:
        """Say whether it asks for the same in the same way, however often."""
        return (self.how, self.document, self.variables) == (other.how, other.document, other.variables)


def ask(target: Target, screen: Screen, show: Show, low: bool, way: Way) -> Ask:
    """Return what is asked of a target. Ambient and background ask for the glance, whatever the screen."""
    if show is not Show.FOREGROUND:
        screen = Screen.GLANCE
    pace = PACES[show, screen, low]
    how: How = way
    once = screen is Screen.HOURS
    if show is Show.BACKGROUND or (way == "stream" and (once or show is Show.AMBIENT)):
        how = "get"
    document = f"{target.kind.capitalize()}{screen.capitalize()}{'Now' if how == 'get' and not once else ''}"
    variables: dict[str, str | int] = {target.kind: target.id}
    if target.kind == "home" and pace.home_step:
        variables["homeStep"] = pace.home_step
    if pace.community_step:
        variables["communityStep"] = pace.community_step
    if pace.energy_step:
        variables["energyStep"] = pace.energy_step
    if how != "get" and not once:
        variables |= {"every": pace.every, "maxSilence": pace.max_silence}
    silence_ms = STREAM_SILENCE_MS if how == "stream" else pace.silence_ms
    return Ask(how, screen, document, variables, silence_ms, pace.every_ms, pace.cadence_ms, once)
