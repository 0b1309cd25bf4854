"""What a face may have to show: each screen, light, age and trouble, with the longest figures and reasons."""

from typing import Any, Final

GLANCE: Final = {"surplus": 1240, "share": 320, "trend": "RISING"}
TODAY: Final = {"imported": 4200, "shared": 1800, "saved": "84.2", "currency": "EUR"}
_DAY: Final = 1_900_000_000_000 // 86_400_000 * 86_400_000


def forecast(*stretches: tuple[int, int, int, float], reason: str | None = None) -> dict[str, Any]:
    """Return the figures of the hours screen: of stretches from an hour to another, so many Wh an hour, so sure."""
    hours = [
        {"start": _DAY + at * 3_600_000, "end": _DAY + (at + 1) * 3_600_000, "surplus": surplus, "sure": sure}
        for begin, end, surplus, sure in stretches
        for at in range(begin, end)
    ]
    return {"hours": hours, "reason": reason}


HOURS: Final = forecast((7, 8, 900, 0.6), (12, 15, 2000, 0.9), (16, 18, 1200, 0.8))
LONG: Final = "HTTP status 502: the gateway in front of the server could not reach it in time"


def view(**changes: Any) -> dict[str, Any]:
    """Return a view as view.js and app.js make it: a home's glance, live and green, but for the changes."""
    fields: dict[str, Any] = {
        "kind": "home",
        "title": "demo.home-01",
        "mode": "foreground",
        "screen": "glance",
        "state": "live",
        "age": 300,
        "trouble": None,
        "for": 0,
        "reason": "",
        "off": 0,
        "light": "GREEN",
        "figures": GLANCE,
        "pairing": None,
        "left": 0,
        "bill": None,
        "receipt": {"in": 12340, "out": 610, "messages": 34, "wakeups": 5, "parse_us": 12400},
        "since": "10:42",
    }
    return fields | changes


def hours(**changes: Any) -> dict[str, Any]:
    """Return the view of the best hours, by the clock of UTC."""
    return view(
        **{"screen": "hours", "state": "recent", "age": 1_500_000, "light": None, "figures": HOURS, "zone": 0} | changes
    )


def pairing(phase: str) -> dict[str, Any]:
    shown = {"phase": "showing", "code": "WDJB-MJHT", "uri": "https://watch.example/device"}
    state = shown if phase == "showing" else {"phase": phase}
    return view(state="none", light=None, figures=None, trouble="pairing", pairing=state, left=540_000)


def trouble(name: str, **changes: Any) -> dict[str, Any]:
    """Return the view of a trouble that leaves the last figures, which are old."""
    return view(state="old", age=720_000, trouble=name, **{"for": 700_000, "reason": "no answer in time"} | changes)


def nothing(name: str | None, **changes: Any) -> dict[str, Any]:
    """Return the same before any figures came."""
    fields = {"state": "none", "age": None, "light": None, "figures": None}
    return view(trouble=name, **fields | {"for": 9_000, "reason": "no answer in time"} | changes)


LIGHTS: Final = {
    "green": view(),
    "yellow": view(light="YELLOW", figures={"surplus": 60, "share": 0, "trend": "STEADY"}),
    "red": view(light="RED", figures={"surplus": -14_500, "share": 1210, "trend": "FALLING"}),
    "old": view(state="old", age=720_000),
    "unknown": view(state="old", age=40_000, light="UNKNOWN"),
}
TROUBLES: Final = {
    **{name: trouble(name) for name in ("offline", "gone", "refused", "unknown", "garbage", "fault")},
    "connecting": nothing("connecting"),
    "waiting": nothing("waiting"),
    "clock": view(trouble="clock", off=3_600_000),
    "incomplete": view(trouble="incomplete", reason="no share today", figures={**GLANCE, "share": None}),
}
VIEWS: Final = {
    **LIGHTS,
    **{f"trouble {name}": shown for name, shown in TROUBLES.items()},
    **{f"nothing, {name}": nothing(name) for name in ("offline", "gone", "refused", "unknown", "garbage", "fault")},
    "nothing": nothing(None),
    "nothing, a long reason": nothing("gone", reason=LONG),
    "a long reason": view(light="YELLOW", trouble="incomplete", reason=LONG),
    "a yellow that is wide": view(light="YELLOW", figures={"surplus": -9_990, "share": 9_990, "trend": "FALLING"}),
    "a yellow that is large": view(light="YELLOW", figures={"surplus": -123_400, "share": 1.2e6, "trend": "RISING"}),
    "a yellow with a clock": view(light="YELLOW", trouble="clock", off=-90_000_000),
    "a large community": view(kind="community", figures={"surplus": -999_900, "share": 999_900, "trend": "RISING"}),
    "nulls": view(figures={"surplus": None, "share": None, "trend": None}),
    "recent": view(state="recent", age=240_000),
    "today": view(screen="today", figures=TODAY),
    "today, yellow": view(screen="today", light="YELLOW", figures=TODAY),
    "today, red and lost": view(screen="today", light="RED", figures={**TODAY, "saved": "-12"}),
    "today of a large community": view(
        kind="community",
        screen="today",
        figures={"imported": 9_999_000, "shared": 9_998_000, "saved": "-123456789", "currency": "EUR"},
    ),
    "today, old": {**trouble("gone"), "screen": "today", "figures": TODAY},
    "hours": hours(),
    "hours, one": hours(figures=forecast((11, 16, 2400, 0.8))),
    "hours, none": hours(figures=forecast((11, 16, -2400, 0.8))),
    "hours, not known": hours(figures=forecast(reason="14 days of settled data are needed, there are 3")),
    "hours, few days": hours(figures=forecast(reason="less than 19 comparable days are settled")),
    "hours, a long reason": hours(figures=forecast(reason=LONG)),
    "hours, long": hours(zone=330, figures=forecast(*((at, at + 2, 9_999_000, 0.9) for at in (10, 13, 16)))),
    "hours, old": hours(state="old", age=7_200_000, trouble="gone", reason="no answer in time", **{"for": 700_000}),
    "hours, nothing": hours(state="none", age=None, figures=None),
    "hours, nothing and a trouble": {**nothing("gone"), "screen": "hours"},
    "hours, incomplete": hours(trouble="incomplete", reason="the history is away", figures=forecast()),
    "receipt": view(screen="receipt"),
    "a receipt and the server's": view(
        screen="receipt", bill={"in": 12_800, "out": 1_100, "messages": 34, "wakeups": 6}
    ),
    "a long receipt": view(
        screen="receipt",
        bill={"in": 987_654_321, "out": 987_654_321, "messages": 1_234_567, "wakeups": 123_456},
        receipt={"in": 987_654_321, "out": 987_654_321, "messages": 1_234_567, "wakeups": 123_456, "parse_us": 10**9},
    ),
    **{f"pairing, {phase}": pairing(phase) for phase in ("asking", "showing", "denied", "expired", "failed")},
}
