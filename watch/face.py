"""The face: what a device shows, as words and shapes, before any screen technology.

A View comes in, a Face goes out: a pure function, and docs/watch.md its specification. In the order of a glance:
the light, the surplus and my share of it, the trend, the age of the data. Every light has a word (and, where it is
drawn, a shape) of its own, because colour alone does not reach everyone.
"""

from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, assert_never

from watch.events import Kind, Screen
from watch.figures import NOTHING, energy, is_zero, money, power, size, span
from watch.glance import (
    CommunityGlance,
    CommunityHours,
    CommunityToday,
    HomeGlance,
    HomeHours,
    HomeToday,
    Light,
    Reading,
    Trend,
)
from watch.hours import rows_of_hours
from watch.pairing import Pairing, Phase
from watch.receipt import Bill, Receipt
from watch.view import Freshness, Trouble, View

_WORDS: Final = {
    Light.GREEN: "use it now",
    Light.YELLOW: "as you like",
    Light.RED: "better wait",
    Light.UNKNOWN: "not known",
}
_TRENDS: Final = {Trend.RISING: "↗ rising", Trend.STEADY: "→ steady", Trend.FALLING: "↘ falling"}
_SHORT: Final = {
    Trouble.PAIRING: "pairing",
    Trouble.OFFLINE: "offline",
    Trouble.CONNECTING: "connecting",
    Trouble.WAITING: "waiting",
    Trouble.REFUSED: "refused",
    Trouble.UNKNOWN: "not known",
    Trouble.GONE: "server gone",
    Trouble.FAULT: "server error",
    Trouble.GARBAGE: "not understood",
    Trouble.CLOCK: "check clock",
    Trouble.INCOMPLETE: "incomplete",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of figures: what it is, how much, and what the sign means."""

    label: str
    value: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Face:
    """One drawing. `fresh` is False for anything that must look old; `notice` is "" while all is well.

    `code`: what a watch that pairs shows, large.
    """

    title: str
    light: Light | None  # None: a screen that shows none
    word: str
    rows: tuple[Row, ...]
    age: str
    fresh: bool
    short: str
    notice: str
    code: str = ""

    @property
    def spoken(self) -> str:
        """The whole face in one line, for a screen reader, a log or a pipe."""
        rows = (" ".join(filter(None, (row.label, row.value, row.meaning))) for row in self.rows)
        light = f"{self.light.lower()}, {self.word}" if self.light is not None else ""
        return "; ".join(filter(None, (self.title, self.notice, light, *rows, self.age)))


def draw(
    view: View, title: str, receipt: Receipt | None = None, zone: tzinfo | None = None, bill: Bill | None = None
) -> Face:
    """Return the face of a view; `title` is what is watched. Receipt and bill are shown where that screen is.

    Times are those of `zone`, None: of the device.
    """
    light = view.reading.light if view.reading is not None else Light.UNKNOWN
    rows = rows_of(view.reading, zone) if view.reading is not None else rows_of_nothing(view.kind, view.screen)
    if view.screen is Screen.RECEIPT:
        rows = rows_of_receipt(receipt or Receipt(), bill)
    return Face(
        title=title,
        light=light,
        word=_WORDS[light] if light is not None else "",
        rows=rows,
        age=age_of(view),
        fresh=view.freshness in (Freshness.LIVE, Freshness.RECENT),
        short="" if view.trouble is None else _SHORT[view.trouble],
        notice=notice_of(view, title),
        code=view.pairing.code if view.pairing is not None else "",
    )


def rows_of_nothing(kind: Kind, screen: Screen) -> tuple[Row, ...]:
    """Return a screen's rows without any figures."""
    mine = kind == "home"
    labels = {
        Screen.GLANCE: ("surplus", "my share" if mine else "shared", "trend"),
        Screen.TODAY: ("drawn", "from others" if mine else "shared", "saved"),
        Screen.HOURS: ("best hours",),
    }
    return tuple(Row(label, NOTHING) for label in labels.get(screen, ()))


def rows_of(reading: Reading, zone: tzinfo | None = None) -> tuple[Row, ...]:
    """Return the figures of a screen, in their order."""
    match reading:
        case HomeGlance():
            share = Row("my share", power(reading.share_w), "from others")
            return (_surplus(reading.surplus_w), share, _trend(reading.trend))
        case CommunityGlance():
            return (_surplus(reading.surplus_w), Row("shared", power(reading.share_w), "within"), _trend(reading.trend))
        case HomeToday() | CommunityToday():
            saved, lost = money(reading.saved, reading.currency)
            others = "from others" if isinstance(reading, HomeToday) else "shared"
            return (
                Row("drawn", energy(reading.imported_wh)),
                Row(others, energy(reading.shared_wh)),
                Row("lost" if lost else "saved", saved),
            )
        case HomeHours() | CommunityHours():
            return tuple(Row(*row) for row in rows_of_hours(reading.hours, reading.reason, zone))
        case never:
            assert_never(never)


def rows_of_receipt(receipt: Receipt, bill: Bill | None = None) -> tuple[Row, ...]:
    """Return what the device has cost so far, and beside it what the server has counted on the open connection."""
    counted: tuple[str, ...] = ("", "", "", "")
    if bill is not None:
        counted = size(bill.bytes_in), size(bill.bytes_out), str(bill.messages), str(bill.wakeups)
    came, went, messages, wakeups = (f"server {count}" if count else "" for count in counted)
    return (
        Row("in", size(receipt.bytes_in), came),
        Row("out", size(receipt.bytes_out), went),
        Row("messages", str(receipt.messages), messages),
        Row("wake-ups", str(receipt.wakeups), wakeups),
        Row("parsing", f"{receipt.parse_us / 1000:.1f} ms"),
    )


def age_of(view: View) -> str:
    """Return the age of the data as it is shown."""
    if view.freshness is Freshness.LIVE:
        return "live"
    return "no data yet" if view.age is None else f"{span(view.age)} old"


def notice_of(view: View, title: str) -> str:
    """Say what happened, since when, and what to do."""
    lasting = span(view.lasting)
    because = f" ({view.why.rstrip('.')})" if view.why else ""
    match view.trouble:
        case None:
            return ""
        case Trouble.PAIRING:
            return "" if view.pairing is None else pairing_notice(view.pairing, view.pairing_left)
        case Trouble.OFFLINE:
            return f"no network for {lasting}: it goes on by itself"
        case Trouble.CONNECTING:
            return f"connecting for {lasting}"
        case Trouble.WAITING:
            return f"connected, waiting for data for {lasting}"
        case Trouble.REFUSED:
            return f"refused for {lasting}{because}: check the token, or pair this watch"
        case Trouble.UNKNOWN:
            return f"{title} is not known here{because}: check the name and the token"
        case Trouble.GONE:
            return f"server gone for {lasting}{because}, trying again"
        case Trouble.FAULT:
            return f"the server failed {lasting} ago{because}, trying again"
        case Trouble.GARBAGE:
            return f"not understood for {lasting}{because}: is this a Commonwatt server?"
        case Trouble.CLOCK:
            return f"this clock is {span(abs(view.clock_off))} {'ahead' if view.clock_off > 0 else 'behind'}: set it"
        case Trouble.INCOMPLETE:
            return f"incomplete: {view.why}"
        case never:
            assert_never(never)


def pairing_notice(pairing: Pairing, left: int) -> str:
    """Say how far pairing is; `left` ms until the code expires."""
    match pairing.phase:
        case Phase.ASKING:
            return "asking for a code"
        case Phase.SHOWING:
            return f"open {pairing.uri} and enter {pairing.code}, within {span(left)}"
        case Phase.DENIED:
            return "a member refused this watch: pair again, or leave off"
        case Phase.EXPIRED:
            return "the code has expired: pair again, or leave off"
        case Phase.FAILED:
            return f"this server pairs no watches{f' ({pairing.reason})' if pairing.reason else ''}"
        case never:
            assert_never(never)


def _surplus(watts: float) -> Row:
    if is_zero(watts):
        return Row("surplus", power(watts))
    sign, meaning = ("+", "to the grid") if watts > 0 else ("−", "from the grid")
    return Row("surplus", sign + power(watts), meaning)


def _trend(trend: Trend | None) -> Row:
    return Row("trend", _TRENDS[trend] if trend else NOTHING)
