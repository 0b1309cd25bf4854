"""What a face is drawn from: the screen shown, how old its data are, and what is wrong.

A State and the moment come in, a View goes out: a pure function. Nothing old ever goes out as live.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watch.events import Kind, Screen, Show
from watch.glance import CommunityHours, HomeHours, Reading
from watch.modes import PACES
from watch.pairing import Pairing
from watch.state import Known, Mode, Moment, State
from watch.verdict import Standing, first_message

GRACE_MS: Final = 2_000
"""For so long connecting and waiting are no trouble."""
SWITCH_MS: Final = 10_000
"""For so long data stay recent in the foreground while another operation begins."""
_CADENCES: Final = 1.2
_AT_EASE: Final = frozenset({Standing.LIVE, Standing.WAITING, Standing.CONNECTING, Standing.IDLE})


class Freshness(StrEnum):
    """How the data of a screen may be shown."""

    NONE = "none"
    LIVE = "live"
    RECENT = "recent"
    OLD = "old"


class Trouble(StrEnum):
    """What is wrong; each has its face."""

    PAIRING = "pairing"
    OFFLINE = "offline"
    CONNECTING = "connecting"
    WAITING = "waiting"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    GONE = "gone"
    FAULT = "fault"
    GARBAGE = "garbage"
    CLOCK = "clock"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen. Lengths of time in ms; `why` is one line, or ""."""

    screen: Screen
    freshness: Freshness
    reading: Reading | None
    age: int | None
    trouble: Trouble | None
    lasting: int
    why: str
    kind: Kind = "home"
    clock_off: int = 0
    pairing: Pairing | None = None
    pairing_left: int = 0  # until its code expires


def view(state: State, now: Moment) -> View:
    """Return what is to be seen of `state` at `now`."""
    screen = state.screen if state.want is Show.FOREGROUND else Screen.GLANCE
    known = state.readings.get(state.basis if screen is Screen.RECEIPT else screen)
    trouble = _trouble(state, known, now)
    why = state.reason
    if trouble is Trouble.INCOMPLETE and known is not None:
        why = first_message(known.errors) or "a part is missing"
    return View(
        screen=screen,
        freshness=_freshness(state, known, now),
        reading=None if known is None else known.reading,
        age=None if known is None else known.age_at(now),
        trouble=trouble,
        lasting=max(0, now.steady - state.since),
        why=why if trouble is not None else "",
        kind="home" if state.target is None else state.target.kind,
        clock_off=state.clock_off,
        pairing=state.pairing,
        pairing_left=max(0, state.pairing.ends - now.steady) if state.pairing is not None else 0,
    )


def _freshness(state: State, known: Known | None, now: Moment) -> Freshness:
    if known is None:
        return Freshness.NONE
    if not known.reading.current or known.steady is None or state.link not in _AT_EASE:
        return Freshness.OLD
    forecast = isinstance(known.reading, HomeHours | CommunityHours)
    asked = state.link is Standing.LIVE and known.operation == state.operation
    if state.mode is Mode.FOREGROUND and asked and not forecast:
        return Freshness.LIVE
    heard = max(now.steady - known.steady, now.wall - known.wall)
    return Freshness.RECENT if heard <= _recent_ms(state, forecast) else Freshness.OLD


def _recent_ms(state: State, forecast: bool) -> float:
    if state.mode not in (Mode.FOREGROUND, Mode.AMBIENT, Mode.BACKGROUND):
        return -1
    if state.want is Show.FOREGROUND:
        return _CADENCES * PACES[Show.FOREGROUND, Screen.HOURS, state.low].cadence_ms if forecast else SWITCH_MS
    pace = PACES[state.want, Screen.GLANCE, state.low]
    return pace.silence_ms if state.want is Show.AMBIENT else _CADENCES * pace.cadence_ms


def _trouble(state: State, known: Known | None, now: Moment) -> Trouble | None:
    if state.pairing is not None:
        return Trouble.PAIRING
    if state.mode is Mode.OFFLINE:
        return Trouble.OFFLINE
    if state.link in (Standing.CONNECTING, Standing.WAITING):
        if now.steady - state.since > GRACE_MS:
            return Trouble(state.link.value)
    elif state.link not in (Standing.LIVE, Standing.IDLE):
        return Trouble(state.link.value)
    if state.clock_off:
        return Trouble.CLOCK
    return Trouble.INCOMPLETE if known is not None and known.errors else None
