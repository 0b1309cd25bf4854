"""The face as it is drawn: every state has one, on every terminal, and nothing old looks new."""

import copy
from typing import Any

import pytest
from rich.console import Console

from tests.watch.test_documents import DATA, NOW
from watch import events as on
from watch.device import after
from watch.events import Event, Screen, Show, Started, Target
from watch.face import Face, draw
from watch.glance import Light
from watch.panel import FacePanel
from watch.state import Moment, State
from watch.view import View, view

HOME = Target("home", "demo.home-01")


def at(seconds: float) -> Moment:
    return Moment(NOW.steady + round(seconds * 1000), NOW.wall + round(seconds * 1000))


def home(**changes: Any) -> on.Result:
    return on.Result(1, {"home": copy.deepcopy(DATA["home", Screen.GLANCE]) | {"measuredAt": None} | changes})


def seen(*events: Event, seconds: float = 0, started: Started | None = None) -> View:
    state = State()
    for event in (started or Started(HOME), on.Opened(), *events):
        state, _ = after(state, event, NOW)
    return view(state, at(seconds))


def face(*events: Event, seconds: float = 0, started: Started | None = None) -> Face:
    return draw(seen(*events, seconds=seconds, started=started), "demo.home-01")


def drawn(face: Face, encoding: str = "utf-8", width: int = 80, *, ambient: bool = False, colour: str = "") -> str:
    console = Console(width=width, force_terminal=True, color_system=colour or None, legacy_windows=False)  # type: ignore[arg-type]  # one of rich's names
    options = console.options
    options.encoding = encoding
    segments = console.render(FacePanel(face, ambient=ambient), options)
    if not colour:
        return "".join(segment.text for segment in segments)
    with console.capture() as written:
        console.print(FacePanel(face, ambient=ambient))
    return written.get()


TROUBLES: dict[str, tuple[Event, ...]] = {
    "a wrong URL": (on.Lost(status=404, reason="HTTP status 404, no WebSocket there"),),
    "a refused token": (on.Lost(close=4403, reason="closed with 4403: Forbidden"),),
    "an unknown home": (on.Ended(1, [{"message": "no such home", "extensions": {"code": "NOT_FOUND"}}]),),
    "a server that is gone": (home(), on.Lost(reason="connection refused")),
    "a server that fails": (home(), on.Errors(1, [{"message": "INTERNAL"}])),
    "garbage": (home(), home(light=3)),
    "no network": (home(), on.Network(up=False)),
    "a clock that is off": (home(measuredAt="2030-03-17T16:46:40Z"),),
    "nulls and errors": (on.Result(1, home(sharedPower=None).data, [{"message": "no share"}]),),
    "pairing": (on.Pair(), on.Code("x", "WDJB-MJHT", "https://energy.example/device")),
    "pairing denied": (on.Pair(), on.Code("x", "C", "u"), on.Denied("access_denied")),
}
SAID = {
    "a wrong URL": "not understood for 9 s (HTTP status 404, no WebSocket there): is this a Commonwatt server?",
    "a refused token": "refused for 9 s (closed with 4403: Forbidden): check the token, or pair this watch",
    "an unknown home": "demo.home-01 is not known here (no such home): check the name and the token",
    "a server that is gone": "server gone for 9 s (connection refused), trying again",
    "a server that fails": "the server failed 9 s ago (INTERNAL), trying again",
    "garbage": "not understood for 9 s (light is 3, expected a word): is this a Commonwatt server?",
    "no network": "no network for 9 s: it goes on by itself",
    "a clock that is off": "this clock is 1 h ahead: set it",
    "nulls and errors": "incomplete: no share",
    "pairing": "open https://energy.example/device and enter WDJB-MJHT, within 9 min",
    "pairing denied": "a member refused this watch: pair again, or leave off",
}


@pytest.mark.parametrize("trouble", list(TROUBLES))
def test_each_trouble_says_what_happened_since_when_and_what_to_do(trouble: str) -> None:
    shown = face(*TROUBLES[trouble], seconds=9)
    assert shown.notice == SAID[trouble]
    for width in (80, 40, 24):
        text = "".join(drawn(shown, width=width).replace("│", "").split())
        assert "".join(shown.notice.split()) in text
    assert shown.short in drawn(shown, ambient=True)


@pytest.mark.parametrize("trouble", [name for name, events in TROUBLES.items() if events[0] == home()])
def test_the_last_figures_stay_and_look_old(trouble: str) -> None:
    shown = face(*TROUBLES[trouble], seconds=9)
    assert (shown.fresh, shown.age) == (False, "9 s old")
    assert [row.value for row in shown.rows] == ["+1.00 kW", "300 W", "↗ rising"]


def test_a_glance_is_in_its_order() -> None:
    shown = face(home())
    assert (shown.light, shown.word, shown.age, shown.fresh) == (Light.GREEN, "use it now", "live", True)
    assert [row.label for row in shown.rows] == ["surplus", "my share", "trend"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("ambient", [False, True])
@pytest.mark.parametrize("width", [80, 30])
def test_every_light_has_a_shape_of_its_own(encoding: str, ambient: bool, width: int) -> None:
    shapes = {shape_of(face(home(light=light)), encoding, width, ambient) for light in Light}
    assert len(shapes) == len(Light)


def shape_of(face: Face, encoding: str, width: int, ambient: bool) -> str:
    """The drawing without any word that could tell it."""
    text = drawn(face, encoding, width, ambient=ambient)
    return text.replace(face.word, "").replace(face.age, "")


def test_nothing_that_is_old_has_a_colour() -> None:
    for ambient in (False, True):
        old = drawn(face(home(), on.Lost()), colour="standard", ambient=ambient)
        assert "\x1b[32m" not in old
        assert "\x1b[2m" in old
        assert "\x1b[32m" in drawn(face(home()), colour="standard", ambient=ambient)


def test_ambient_lights_fewer_cells_and_none_in_bold() -> None:
    shown = face(home())
    full, ambient = drawn(shown), drawn(shown, ambient=True)
    assert len("".join(ambient.split())) < len("".join(full.split())) / 2
    assert "\x1b[1m" not in drawn(shown, colour="standard", ambient=True)


def test_no_colour_leaves_the_words_and_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    written = drawn(face(home()), colour="standard")
    assert "\x1b[32m" not in written
    assert "use it now" in written
    assert "███████" in written


@pytest.mark.parametrize("width", [20, 24, 30, 48, 80, 200])
def test_the_panel_fits_any_terminal(width: int) -> None:
    for shown in (face(home()), face(home(), on.Lost(reason="connection refused"))):
        for ambient in (False, True):
            assert max(map(len, drawn(shown, width=width, ambient=ambient).splitlines())) <= width


@pytest.mark.parametrize("trouble", [(), (on.Lost(reason="connection refused"),)], ids=["well", "gone"])
def test_where_there_are_few_lines_the_age_is_still_there(trouble: tuple[Event, ...]) -> None:
    shown = face(home(), *trouble)
    console = Console(width=80, height=9, force_terminal=True, color_system=None, legacy_windows=False)
    with console.screen(hide_cursor=False) as screen, console.capture() as written:
        screen.update(FacePanel(shown))
    assert shown.age in written.get()


@pytest.mark.parametrize("width", [20, 24, 30, 48, 80])
def test_no_figure_is_cut_on_a_narrow_terminal(width: int) -> None:
    text = drawn(face(home(community={"surplusPower": -12_300, "trend": "FALLING"})), width=width)
    assert "−12.3 kW" in text
    assert "300 W" in text
    assert "↘ falling" in text


@pytest.mark.parametrize("ambient", [False, True])
def test_a_terminal_without_unicode_gets_plain_ascii(ambient: bool) -> None:
    shown = face(home(community={"surplusPower": -5, "trend": None}, sharedPower=None), on.Lost(reason="…"))
    assert drawn(shown, "ascii", ambient=ambient).isascii()


def test_an_escape_sequence_never_reaches_the_terminal() -> None:
    nasty = "\x1b]0;owned\x07\x1b[2J\u202e"
    shown = [
        face(on.Lost(reason=nasty)),
        face(on.Result(1, home().data, [{"message": nasty}])),
        face(home(light=nasty)),
        face(on.Result(1, {"home": nasty})),
        face(on.Pair(), on.Denied(nasty)),
    ]
    for each in shown:
        assert not any(c in drawn(each) + each.spoken for c in nasty if not c.isprintable())


def test_the_spoken_line_says_the_whole_face() -> None:
    assert face(home(), on.Lost(), seconds=3).spoken == (
        "demo.home-01; server gone for 3 s, trying again; green, use it now; surplus +1.00 kW to the grid; "
        "my share 300 W from others; trend ↗ rising; 3 s old"
    )


def test_ambient_says_how_old_it_is() -> None:
    shown = face(home(), started=Started(HOME, Show.AMBIENT), seconds=70)
    assert (shown.age, shown.fresh) == ("1 min old", True)
