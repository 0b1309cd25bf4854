"""A watch is paired with the real server: it shows a code, a member answers, it keeps its token."""

import asyncio
import json
import stat
from pathlib import Path

from tests.watch.stand import Stand
from tests.watch.wearing import Clock, Worn, worn
from watch import events as on
from watch.events import Started
from watch.pairing import Phase
from watch.state import Mode
from watch.store import Kept, Store
from watch.verdict import Standing


async def code_of(device: Worn) -> str:
    state = await device.until(lambda state: state.pairing and state.pairing.phase is Phase.SHOWING)
    assert state.pairing is not None
    return state.pairing.code


async def test_a_member_approves_and_the_watch_shows_its_home(guarded_stand: Stand, tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "folder")
    async with worn(guarded_stand.url, Started(), on.Pair(), store=store) as device:
        code = await code_of(device)
        assert device.state.pairing is not None
        assert device.state.pairing.uri == f"{guarded_stand.url}/device"
        await asyncio.to_thread(guarded_stand.approve, code)
        device.pass_until_due()
        await device.until_live()
        assert device.state.target == on.Target("home", "demo.home-01")
        token = device.state.token
        assert token is not None
    kept = store.find(guarded_stand.url)
    assert kept == Kept(token, "demo.home-01")
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.file.parent.stat().st_mode) == 0o700
    assert "test watch" in str(
        guarded_stand.mutate("query D($home: ID!) { devices(home: $home) { name } }", home="demo.home-01")
    )
    async with worn(guarded_stand.url, Started(device.state.target, token=token, paired=True)) as device:
        await device.until_live()


async def test_pending_is_asked_for_again_after_the_interval(guarded_stand: Stand) -> None:
    async with worn(guarded_stand.url, Started(), on.Pair()) as device:
        await code_of(device)
        device.pass_until_due()
        state = await device.until(lambda state: state.awaited == "poll")
        assert state.pairing is not None
        assert state.pairing.phase is Phase.SHOWING


async def test_a_member_denies_and_the_watch_says_so(guarded_stand: Stand) -> None:
    async with worn(guarded_stand.url, Started(), on.Pair()) as device:
        await asyncio.to_thread(guarded_stand.deny, await code_of(device))
        device.pass_until_due()
        await device.until(lambda state: state.pairing and state.pairing.phase is Phase.DENIED)
        device.put(on.Pair())
        await code_of(device)
        device.put(on.Unpair())
        assert device.state.mode is Mode.FOREGROUND


async def test_a_server_without_sign_in_needs_no_token(stand: Stand) -> None:
    home = on.Target("home", "demo.home-01")
    async with worn(stand.url, Started(home), on.Pair()) as device:
        assert device.state.mode is Mode.PAIRING
        await device.until_live()
        assert (device.state.token, device.state.pairing) == (None, None)


async def test_a_device_that_is_removed_forgets_its_token_and_pairs_anew(guarded_stand: Stand, tmp_path: Path) -> None:
    store = Store(tmp_path)
    async with worn(guarded_stand.url, Started(), on.Pair(), store=store, clock=Clock(chance=0.01)) as device:
        removed = await asyncio.to_thread(guarded_stand.approve, await code_of(device))
        device.pass_until_due()
        await device.until_live()
        await asyncio.to_thread(guarded_stand.revoke, removed)
        await device.until(lambda state: state.link is Standing.REFUSED)
        await code_of(device)
    assert store.find(guarded_stand.url) is None


def test_a_store_keeps_one_pairing_for_each_server(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find("http://one") is None
    store.forget("http://one")
    assert not store.file.exists()
    store.keep("http://one", "a", "demo.home-01")
    store.keep("http://two", "b", "demo.home-02")
    store.keep("http://one", "c", "demo.home-03")
    store.forget("http://two")
    assert store.find("http://one") == Kept("c", "demo.home-03")
    assert store.find("http://two") is None
    assert list(tmp_path.iterdir()) == [store.file]


def test_a_store_that_cannot_be_read_is_as_good_as_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for text in ("", "[]", '{"http://one": 3}', '{"http://one": {"token": 3, "home": "x"}}'):
        store.file.write_text(text)
        assert store.find("http://one") is None
    store.keep("http://one", "a", "demo.home-01")
    assert json.loads(store.file.read_text())["http://one"]["token"] == "a"


async def test_a_store_that_cannot_be_written_does_not_end_the_watch(guarded_stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with worn(guarded_stand.url, Started(), on.Pair(), store=Store(tmp_path / "file")) as device:
        await asyncio.to_thread(guarded_stand.approve, await code_of(device))
        device.pass_until_due()
        await device.until_live()
        assert device.shell.complaint.startswith("the pairing could not be stored: ")
