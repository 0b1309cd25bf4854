"""The face: what a device shows, as words and shapes, before any screen technology.

A Device and the time come in, a Face goes out: a pure function. In the order of a glance: the light, the surplus
and my share of it, the trend, the age of the data. Every light has a word (and, where it is drawn, a shape) of
its own, because colour alone does not reach everyone.
"""

from dataclasses import dataclass
from typing import assert_never

from watch.device import Device, Moment
from watch.glance import CommunityGlance, Glance, HomeGlance, Light, Trend
from watch.news import Link, Standing

NOTHING = "–"
_WORDS = {
    Light.GREEN: "use it now",
    Light.YELLOW: "as you like",
    Light.RED: "better wait",
    Light.UNKNOWN: "not known",
}
_TRENDS = {Trend.RISING: "↗ rising", Trend.STEADY: "→ steady", Trend.FALLING: "↘ falling"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of figures: what it is, how much, and what the sign means."""

    label: str
    value: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Face:
    """One drawing. `fresh` is False for anything that must look old; `notice` is "" while all is well."""

    title: str
    light: Light
    word: str
    rows: tuple[Row, ...]
    age: str
    fresh: bool
    notice: str

    @property
    def spoken(self) -> str:
        """The whole face in one line, for a screen reader, a log or a pipe."""
        rows = (" ".join(filter(None, (row.label, row.value, row.meaning))) for row in self.rows)
        light = f"{self.light.lower()}, {self.word}"
        return "; ".join(filter(None, (self.title, self.notice, light, *rows, self.age)))


def draw(device: Device, now: Moment) -> Face:
    """Return the face of `device` at `now`."""
    glance = device.glance
    light = glance.light if glance else Light.UNKNOWN
    return Face(
        title=device.screen.title,
        light=light,
        word=_WORDS[light],
        rows=tuple(_rows(glance)) if glance else (),
        age=_age(device, now),
        fresh=device.live,
        notice=_notice(device, now),
    )


def power(watts: float | None) -> str:
    """Return `watts` without its sign for a glance: 640 W, 1.24 kW, 14.5 kW; "–" for None."""
    if watts is None:
        return NOTHING
    size = abs(watts)
    if round(size) < 1000:
        return f"{size:.0f} W"
    if size < 9_995:
        return f"{size / 1000:.2f} kW"
    return f"{size / 1000:.1f} kW" if size < 999_950 else f"{size / 1_000_000:.2f} MW"


def span(seconds: float) -> str:
    """Return a length of time for a glance: 12 s, 4 min, 3 h, 5 days."""
    whole = int(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h" if whole < 48 * 3600 else f"{whole // 86400} days"


def _rows(glance: Glance) -> list[Row]:
    mine = isinstance(glance, HomeGlance)
    rows = [
        _signed("surplus", glance.surplus_w, "to the grid", "from the grid"),
        Row("my share" if mine else "shared", power(glance.shared_w), "from others" if mine else "within"),
        Row("trend", _TRENDS[glance.trend] if glance.trend else NOTHING),
    ]
    if isinstance(glance, HomeGlance):
        rows.append(_signed("my net", glance.net_w, "drawn", "fed in"))
    rows.append(Row("own supply", _percent(glance.self_sufficiency)))
    if isinstance(glance, HomeGlance):
        rows.append(Row("quality", glance.quality.lower() if glance.quality else NOTHING))
    if isinstance(glance, CommunityGlance):
        reporting, total = (NOTHING if n is None else str(n) for n in (glance.homes_reporting, glance.homes_total))
        rows.append(Row("homes", f"{reporting} of {total}", "reporting"))
    return rows


def _signed(label: str, watts: float | None, positive: str, negative: str) -> Row:
    if watts is None or round(watts) == 0:
        return Row(label, power(watts))
    return Row(label, ("+" if watts > 0 else "−") + power(watts), positive if watts > 0 else negative)


def _percent(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{100 * ratio:.0f} %"


def _age(device: Device, now: Moment) -> str:
    if device.live:
        return "live"
    age_s = device.age_s(now)
    return "no data yet" if age_s is None else f"{span(age_s)} old"


def _notice(device: Device, now: Moment) -> str:
    """Say what happened, since when, and what to do."""
    link, lasting = device.link, span(device.lasting_s(now))
    because = f" ({link.reason.rstrip('.')})" if link.reason else ""
    match link.standing:
        case Standing.LIVE:
            return f"incomplete: {device.partial}" if device.partial else ""
        case Standing.CONNECTING:
            return f"connecting for {lasting}"
        case Standing.WAITING:
            return f"connected, waiting for data for {lasting}"
        case Standing.REFUSED:
            return f"refused for {lasting}{because}: check the token"
        case Standing.UNKNOWN:
            return f"{device.screen.title} is not known here{because}: check the name and the token"
        case Standing.GONE:
            return f"server gone for {lasting}{because}{_next(link)}"
        case Standing.FAULT:
            return f"the server failed {lasting} ago{because}{_next(link)}"
        case Standing.GARBAGE:
            return f"not understood for {lasting}{because}: is this a Commonwatt server?"
        case never:
            assert_never(never)


def _next(link: Link) -> str:
    return "" if link.retry_in_s is None else ", trying again"
