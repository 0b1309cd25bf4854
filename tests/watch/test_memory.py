"""What outlives a run of the watch."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.watch.stand import Stand
from tests.watch.wearing import HOME, Worn, worn
from watch.address import read_address
from watch.events import Kept, Screen, Started, Target
from watch.glance import FORMS, read
from watch.memory import MOST_BYTES, MOST_TARGETS, Memory
from watch.state import Known
from watch.view import Freshness, Trouble

SERVER = "http://127.0.0.1:8000"
GLANCE = {
    "light": "GREEN",
    "community": {"surplusPower": 1000, "trend": "RISING"},
    "sharedPower": 300,
    "quality": "MEASURED",
    "measuredAt": None,
}


def heard(wall: int = 5000, **more: Any) -> dict[Screen, Known]:
    data = GLANCE | more
    return {Screen.GLANCE: Known(read(FORMS["home", Screen.GLANCE], data), data, 10, wall, 70, 3, 'W/"x"')}


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "a" / "b")


def test_what_was_heard_last_is_found_again_by_its_owner_alone(memory: Memory) -> None:
    assert memory.find(SERVER, HOME) == {}
    assert memory.last(SERVER) is None
    memory.keep(SERVER, HOME, heard())
    memory.keep(SERVER, HOME, heard(6000))
    assert memory.find(SERVER, HOME) == {Screen.GLANCE: Kept(GLANCE, 6000, 70, 'W/"x"')}
    assert memory.find(SERVER, Target("community", HOME.id)) == {}
    assert memory.find("http://elsewhere", HOME) == {}
    assert memory.file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(memory.file.parent) == ["last.json"]


def test_the_last_one_that_was_watched_comes_first_on_each_server(memory: Memory) -> None:
    for server, id in ((SERVER, "demo.one"), ("http://elsewhere", "demo.two"), (SERVER, "demo.three")):
        memory.keep(server, Target("home", id), heard())
    assert memory.last(SERVER) == Target("home", "demo.three")
    assert memory.last("http://elsewhere") == Target("home", "demo.two")


def test_a_password_in_an_address_is_not_kept(memory: Memory) -> None:
    memory.keep(read_address("https://ada:s3cret@host/?key=s3cret").server, HOME, heard())
    assert "s3cret" not in memory.file.read_text("utf-8")


def test_the_file_stays_small_and_the_oldest_give_way(memory: Memory) -> None:
    for number in range(2 * MOST_TARGETS):
        memory.keep(SERVER, Target("home", f"demo.home-{number}"), heard())
    assert len(json.loads(memory.file.read_text("utf-8"))) == MOST_TARGETS
    for number in range(6):
        memory.keep(SERVER, Target("home", f"demo.large-{number}"), heard(note="x" * 60_000))
    assert memory.file.stat().st_size <= MOST_BYTES
    assert memory.find(SERVER, Target("home", "demo.large-5"))
    assert memory.find(SERVER, Target("home", "demo.large-0")) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "3",
        "{}",
        "[3]",
        "[" * 100_000,
        '[{"server": 1, "kind": "home", "id": "x", "kept": {}}]',
        '[{"server": "x", "kind": "house", "id": "x", "kept": {}}]',
    ],
    ids=lambda text: text[:20] or "nothing",
)
def test_a_file_that_is_spoilt_is_none(memory: Memory, text: str) -> None:
    memory.keep(SERVER, HOME, heard())
    memory.file.write_text(text, "utf-8")
    assert memory.last(SERVER) is None
    memory.keep(SERVER, HOME, heard())
    assert memory.last(SERVER) == HOME


@pytest.mark.parametrize(
    "one", [3, {}, {"data": 3, "heard": 1, "age": 1, "etag": None}, {"data": {}, "heard": "x", "age": 1, "etag": None}]
)
def test_a_screen_that_is_spoilt_is_left_out(memory: Memory, one: object) -> None:
    memory.keep(SERVER, HOME, heard())
    (entry,) = json.loads(memory.file.read_text("utf-8"))
    entry["kept"]["today"] = one
    memory.file.write_text(json.dumps([entry]), "utf-8")
    assert set(memory.find(SERVER, HOME)) == {Screen.GLANCE}


async def test_the_last_state_is_there_with_its_age_when_the_server_is_not(stand: Stand, memory: Memory) -> None:
    address = read_address(stand.url).server
    async with worn(stand.url, Started(HOME), memory=memory) as device:
        await device.until_live()
        assert memory.find(address, HOME)  # at once: a watch may be killed
    kept = memory.find(address, HOME)
    async with worn("http://127.0.0.1:1", Started(HOME, kept=kept)) as device:
        await _until_gone(device)
        assert device.seen.freshness is Freshness.OLD
        assert device.seen.reading == read(FORMS["home", Screen.GLANCE], kept[Screen.GLANCE].data)
        assert device.seen.age is not None
        device.clock.move(3_600_000)
        assert device.seen.age is not None
        assert 3_600_000 <= device.seen.age < 3_700_000


async def test_a_state_that_nobody_heard_does_not_take_the_place_of_one(memory: Memory) -> None:
    address = read_address("http://127.0.0.1:1").server
    memory.keep(address, HOME, heard())
    before = memory.file.read_bytes()
    async with worn("http://127.0.0.1:1", Started(HOME, kept=memory.find(address, HOME)), memory=memory) as device:
        await _until_gone(device)
    assert memory.file.read_bytes() == before


async def test_where_nothing_can_be_stored_the_watch_goes_on_and_says_so(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    async with worn(stand.url, Started(HOME), memory=Memory(tmp_path / "file")) as device:
        await device.until_live()
        assert device.shell.complaint.startswith("the last state could not be stored: ")


async def _until_gone(device: Worn) -> None:
    await device.until(lambda state: state.link == "gone")
    assert device.seen.trouble is Trouble.GONE
