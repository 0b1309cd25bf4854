"""The machine, held against the cases that every implementation of it passes."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from watch import commands, events
from watch.device import after
from watch.events import Kept, Screen, Show, Target
from watch.face import age_of, draw, rows_of
from watch.figures import energy, money, power, size, span
from watch.glance import FORMS, CommunityGlance, CommunityHours, HomeGlance, HomeHours, Reading, read
from watch.modes import PACES
from watch.receipt import Receipt
from watch.state import Moment, State
from watch.view import Freshness, Trouble, View, view

CASES, HOURS = (json.loads((Path(__file__).parent / name).read_text("utf-8")) for name in ("device.json", "hours.json"))
WALL = 1_900_000_000_000
_NAMES = {"start": "Started", "show": "Shown", "turn": "Turned", "stop": "Stopped"}


def event_of(fields_: Mapping[str, Any]) -> events.Event:
    given = dict(fields_)
    name = given.pop("type")
    if "as" in given:
        given["as_"] = Show(given.pop("as"))
    if given.get("target"):
        given["target"] = Target(**given["target"])
    if "to" in given:
        given["to"] = Screen(given["to"])
    if "want" in given:
        given["want"] = Show(given["want"])
    if "ways" in given:
        given["ways"] = tuple(given["ways"])
    if "kept" in given:
        given["kept"] = {Screen(screen): Kept(**kept) for screen, kept in given["kept"].items()}
    event: events.Event = getattr(events, _NAMES.get(name, name.capitalize()))(**given)
    return event


def told(command: commands.Command) -> dict[str, Any]:
    return {"type": type(command).__name__.lower(), **asdict(command)}


def plain(value: object) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def seen(shown: View) -> dict[str, Any]:
    reading = shown.reading
    return {
        "screen": shown.screen,
        "state": shown.freshness,
        "age": shown.age,
        "trouble": shown.trouble,
        "for": shown.lasting,
        "light": None if reading is None else reading.light,
        "figures": None if reading is None else figures(reading),
    }


def figures(reading: Reading) -> dict[str, Any]:
    if isinstance(reading, HomeHours | CommunityHours):
        return {"hours": len(reading.hours or ())}
    if isinstance(reading, HomeGlance | CommunityGlance):
        return {"surplus": reading.surplus_w, "share": reading.share_w, "trend": reading.trend}
    energy = {"imported": reading.imported_wh, "shared": reading.shared_wh}
    return energy | {"saved": reading.saved, "currency": reading.currency}


def holds(found: Any, expected: Any) -> bool:
    """Whether what is expected is found; of an object only the fields that are named."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return all(name in found and holds(found[name], value) for name, value in expected.items())
    return bool(found == expected)


@pytest.mark.parametrize("case", CASES["cases"] + HOURS["cases"], ids=lambda case: case["name"])
def test_the_machine_passes(case: dict[str, Any]) -> None:
    state = State()
    for number, step in enumerate(case["steps"]):
        now = Moment(step["at"], WALL + step["at"] + step.get("wall", 0), step.get("chance", 0.5))
        state, done = after(state, event_of(step["event"]), now)
        where = f"step {number}: {step['event']}"
        assert [told(command) for command in done] == step.get("commands", []), where
        known = {field.name: plain(getattr(state, field.name)) for field in fields(State)}
        for name, value in step.get("state", {}).items():
            assert holds(known[name], value), f"{where}: {name} is {known[name]!r}, not {value!r}"
        shown = seen(view(state, now))
        for name, value in step.get("view", {}).items():
            assert shown[name] == value, f"{where}: view.{name} is {shown[name]!r}, not {value!r}"
        assert (state.due is None) == (state.awaited is None), where


def test_the_table_of_modes_is_the_same() -> None:
    table = {
        (mode, screen, low): {
            "every": pace.every or None,
            "maxSilence": pace.max_silence or None,
            "homeStep": pace.home_step or None,
            "communityStep": pace.community_step or None,
            "energyStep": pace.energy_step or None,
            "silence": pace.silence_ms if pace.every else None,
            "cadence": pace.cadence_ms or None,
        }
        for (mode, screen, low), pace in PACES.items()
    }
    given = {
        (row.pop("mode"), row.pop("screen"), row.pop("low")): row for row in map(dict, CASES["modes"] + HOURS["modes"])
    }
    assert table == given


@pytest.mark.parametrize("case", CASES["receipts"], ids=lambda case: case["name"])
def test_the_counters_pass(case: dict[str, Any]) -> None:
    receipt = Receipt()
    for step in case["steps"]:
        receipt = receipt.after(
            step["at"], came=step.get("in", 0), went=step.get("out", 0), parse_us=step.get("parse_us", 0)
        )
    found = {"in": receipt.bytes_in, "out": receipt.bytes_out}
    found |= {name: getattr(receipt, name) for name in ("messages", "wakeups", "parse_us")}
    assert found == case["expect"]


def test_names_of_cases_differ_and_are_sentences() -> None:
    names = [case["name"] for case in CASES["cases"] + HOURS["cases"]]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9_ ,;-]+|.*[a-z0-9]", name) for name in names)


def test_texts_are_the_same() -> None:
    texts = CASES["texts"]
    for function in (power, energy, span, size):
        for value, text in texts[function.__name__]:
            assert function(value) == text, (function.__name__, value)
    for saved, currency, word, text in texts["money"]:
        assert money(saved, currency) == (text, word == "lost"), (saved, currency)
    for state, age, text in texts["ages"]:
        assert age_of(a_view(freshness=Freshness(state), age=age)) == text


@pytest.mark.parametrize("case", CASES["texts"]["rows"] + HOURS["texts"]["rows"], ids=lambda case: case["rows"][0][1])
def test_rows_are_the_same(case: dict[str, Any]) -> None:
    reading = read(FORMS[case["kind"], Screen(case["screen"])], case["data"])
    zone = timezone(timedelta(minutes=case.get("zone", 0)))
    assert [[row.label, row.value, row.meaning] for row in rows_of(reading, zone)] == case["rows"]
    face = draw(a_view(reading=reading), "x")
    assert face.word == ("" if face.light is None else CASES["texts"]["words"][face.light])


@pytest.mark.parametrize("case", CASES["texts"]["notices"], ids=lambda case: case["full"])
def test_notices_are_the_same(case: dict[str, Any]) -> None:
    trouble = None if case["trouble"] is None else Trouble(case["trouble"])
    shown = a_view(
        trouble=trouble, lasting=case.get("for", 0), why=case.get("why", ""), clock_off=case.get("clock_off", 0)
    )
    face = draw(shown, case.get("title", "x"))
    assert (face.short, face.notice) == (case["short"], case["full"])


def a_view(**changes: Any) -> View:
    fields: dict[str, Any] = {"screen": Screen.GLANCE, "freshness": Freshness.NONE, "reading": None, "age": None}
    return View(**(fields | {"trouble": None, "lasting": 0, "why": ""} | changes))
