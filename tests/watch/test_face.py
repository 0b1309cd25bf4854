"""The face: every state has one, and nothing old looks new."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from tests.watch.test_documents import COMMUNITY, HOME
from watch.device import Device, Moment
from watch.face import Face, draw, power, span
from watch.glance import Light
from watch.news import Link, News, Result, Standing
from watch.panel import FacePanel
from watch.screen import community_screen, home_screen

START = Moment(datetime(2026, 6, 1, 10, 0, 2, tzinfo=UTC), 1000.0)


def at(seconds: float) -> Moment:
    return Moment(START.wall + timedelta(seconds=seconds), START.steady + seconds)


def home(**changes: Any) -> Result:
    data = copy.deepcopy(HOME)
    data["home"].update(changes)
    return Result(data)


def face(*news: News, seconds: float = 0) -> Face:
    device = Device(home_screen("demo.home-01"), since=START.steady)
    for each in news:
        device = device.after(each, START)
    return draw(device, at(seconds))


def drawn(face: Face, encoding: str = "utf-8", width: int = 80) -> str:
    console = Console(width=width, force_terminal=True, color_system=None, legacy_windows=False)
    options = console.options
    options.encoding = encoding
    return "".join(segment.text for segment in console.render(FacePanel(face), options))


def values(face: Face) -> dict[str, str]:
    return {row.label: row.value for row in face.rows}


def test_a_home_is_shown_in_the_order_of_a_glance() -> None:
    shown = face(home())
    assert (shown.light, shown.word, shown.age, shown.fresh) == (Light.GREEN, "use it now", "live", True)
    assert [row.label for row in shown.rows][:3] == ["surplus", "my share", "trend"]
    assert values(shown) == {
        "surplus": "+1.24 kW",
        "my share": "320 W",
        "trend": "↗ rising",
        "my net": "−410 W",
        "own supply": "71 %",
        "quality": "measured",
    }
    assert shown.notice == ""


def test_a_community_is_shown_with_its_homes() -> None:
    device = Device(community_screen("demo"), since=START.steady).after(Result(COMMUNITY), START)
    shown = draw(device, START)
    assert shown.age == "live"
    assert values(shown)["shared"] == "3.10 kW"
    assert values(shown)["homes"] == "19 of 20"


def test_a_sign_says_what_it_means() -> None:
    rows = {row.label: row.meaning for row in face(home(netPower=500)).rows}
    assert (rows["surplus"], rows["my net"]) == ("to the grid", "drawn")
    rows = {
        row.label: row.meaning for row in face(home(community={"surplusPower": -5, "trend": None}, netPower=-5)).rows
    }
    assert (rows["surplus"], rows["my net"]) == ("from the grid", "fed in")


def test_null_is_a_dash_and_never_zero() -> None:
    nothing = dict.fromkeys(("sharedPower", "netPower", "measuredAt", "selfSufficiency"))
    shown = face(home(community={"surplusPower": None, "trend": None}, **nothing))
    assert set(values(shown).values()) == {"–", "measured"}
    assert shown.age == "live"


@pytest.mark.parametrize("light", list(Light))
def test_every_light_has_a_shape_and_a_word_of_its_own(light: Light) -> None:
    others = [face(home(light=other)) for other in Light if other is not light]
    shown = face(home(light=light))
    assert shown.word not in {other.word for other in others}
    assert lamp(shown) not in {lamp(other) for other in others}


@pytest.mark.parametrize("light", list(Light))
def test_shapes_differ_in_plain_ascii_too(light: Light) -> None:
    others = [lamp(face(home(light=other)), "ascii") for other in Light if other is not light]
    assert lamp(face(home(light=light)), "ascii") not in others


def lamp(face: Face, encoding: str = "utf-8") -> tuple[str, ...]:
    """The shape alone, without its word."""
    return tuple(line[3:14] for line in drawn(face, encoding).splitlines()[2:6])


def test_a_stale_home_shows_its_age_though_the_link_is_live() -> None:
    shown = face(home(quality="STALE"), seconds=70)
    assert (shown.age, shown.fresh) == ("1 min old", False)


def test_an_unknown_light_shows_the_age_though_the_link_is_live() -> None:
    assert face(home(light="UNKNOWN"), seconds=10).age == "12 s old"


def test_a_light_or_trend_that_came_later_reads_as_not_known() -> None:
    shown = face(home(light="BLUE", community={"surplusPower": 1, "trend": "WOBBLING"}))
    assert (shown.light, values(shown)["trend"]) == (Light.UNKNOWN, "–")


@pytest.mark.parametrize("standing", [s for s in Standing if s is not Standing.LIVE])
def test_nothing_is_fresh_after_the_link_changed(standing: Standing) -> None:
    shown = face(home(), Link(standing), seconds=40)
    assert not shown.fresh
    assert shown.age == "42 s old"
    assert values(shown)["surplus"] == "+1.24 kW", "the last state stays"
    assert shown.notice


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (Standing.CONNECTING, "connecting for 9 s"),
        (Standing.WAITING, "connected, waiting for data for 9 s"),
        (Standing.REFUSED, "refused for 9 s (why): check the token"),
        (Standing.UNKNOWN, "demo.home-01 is not known here (why): check the name and the token"),
        (Standing.GONE, "server gone for 9 s (why), trying again"),
        (Standing.FAULT, "the server failed 9 s ago (why), trying again"),
        (Standing.GARBAGE, "not understood for 9 s (why): is this a Commonwatt server?"),
    ],
)
def test_each_standing_says_what_happened_since_when_and_what_to_do(standing: Standing, said: str) -> None:
    shown = face(Link(standing, "why.", 1.0), seconds=9)
    assert shown.notice == said
    assert shown.age == "no data yet"
    assert "".join(said.split()) in "".join(drawn(shown).replace("│", "").split())


def test_how_long_the_server_is_gone_counts_from_the_first_failure() -> None:
    device = Device(home_screen("h"), since=START.steady)
    for second in (0, 5, 11):
        device = device.after(Link(Standing.GONE), at(second))
    assert "gone for 20 s" in draw(device, at(20)).notice


@pytest.mark.parametrize("standing", [Standing.UNKNOWN, Standing.FAULT, Standing.GARBAGE])
def test_asking_again_does_not_make_the_face_flicker(standing: Standing) -> None:
    assert face(Link(standing), Link(Standing.WAITING)) == face(Link(standing))


def test_a_server_that_is_back_without_data_is_not_live() -> None:
    shown = face(home(), Link(Standing.GONE), Link(Standing.WAITING), seconds=3)
    assert (shown.fresh, shown.age) == (False, "5 s old")


def test_a_clock_that_runs_behind_never_makes_old_data_look_new() -> None:
    behind = Moment(START.wall - timedelta(hours=1), START.steady)
    device = Device(home_screen("h"), since=0).after(home(), behind).after(Link(Standing.GONE), behind)
    later = Moment(behind.wall + timedelta(seconds=50), behind.steady + 50)
    assert draw(device, later).age == "50 s old"


def test_a_clock_that_slept_never_makes_old_data_look_new() -> None:
    device = Device(home_screen("h"), since=0).after(home(), START).after(Link(Standing.GONE), START)
    assert draw(device, Moment(START.wall + timedelta(hours=3), START.steady + 1)).age == "3 h old"


def test_a_partial_result_is_shown_and_said_to_be_incomplete() -> None:
    shown = face(Result(home(sharedPower=None).data, ({"message": "no share"},)))
    assert shown.notice == "incomplete: no share"
    assert values(shown)["my share"] == "–"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"home": None},
        {"home": []},
        {"home": {**HOME["home"], "netPower": "much"}},
        {"home": {**HOME["home"], "netPower": True}},
        {"home": {**HOME["home"], "netPower": float("nan")}},
        {"home": {**HOME["home"], "netPower": 10**400}},
        {"home": {**HOME["home"], "measuredAt": "yesterday"}},
        {"home": {**HOME["home"], "measuredAt": 12}},
        {"home": {**HOME["home"], "measuredAt": "2026-06-01T10:00:00"}},
        {"home": {**HOME["home"], "light": 3}},
        {"home": {**HOME["home"], "community": "demo"}},
        {"home": {name: value for name, value in HOME["home"].items() if name != "quality"}},
    ],
    ids=lambda data: str(data)[-40:],
)
def test_garbage_in_a_result_has_a_face_and_keeps_the_last_state(data: dict[str, Any]) -> None:
    shown = face(home(), Result(data))
    assert "not understood" in shown.notice
    assert (shown.fresh, values(shown)["surplus"]) == (False, "+1.24 kW")


def test_an_escape_sequence_never_reaches_the_terminal() -> None:
    nasty = "\x1b]0;owned\x07\x1b[2J\u202e"
    shown = [
        face(home(quality=nasty)),
        face(Result(home().data, ({"message": nasty},))),
        face(Result({"home": nasty})),
    ]
    for each in shown:
        assert not any(c in drawn(each) + each.spoken for c in nasty if not c.isprintable())


def test_the_spoken_line_says_the_whole_face() -> None:
    assert face(home(), Link(Standing.GONE), seconds=3).spoken == (
        "demo.home-01; server gone for 3 s; green, use it now; surplus +1.24 kW to the grid; "
        "my share 320 W from others; trend ↗ rising; my net −410 W fed in; own supply 71 %; quality measured; 5 s old"
    )


@pytest.mark.parametrize("width", [20, 40, 200])
def test_the_panel_fits_any_terminal(width: int) -> None:
    assert max(map(len, drawn(face(home(), Link(Standing.GONE)), width=width).splitlines())) <= width


def test_a_terminal_without_unicode_gets_plain_ascii() -> None:
    assert drawn(face(home(netPower=-5), Link(Standing.GONE)), "ascii").isascii()


@pytest.mark.parametrize(
    ("watts", "shown"),
    [
        (None, "–"),
        (0, "0 W"),
        (-0.2, "0 W"),
        (999.4, "999 W"),
        (999.6, "1.00 kW"),
        (-1240, "1.24 kW"),
        (9994, "9.99 kW"),
        (9996, "10.0 kW"),
        (14500, "14.5 kW"),
        (3_200_000, "3.20 MW"),
    ],
)
def test_power_is_short_and_unsigned(watts: float | None, shown: str) -> None:
    assert power(watts) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (48 * 3600, "2 days")],
)
def test_a_span_is_one_number(seconds: float, shown: str) -> None:
    assert span(seconds) == shown
