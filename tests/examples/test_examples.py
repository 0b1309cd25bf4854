"""Each script that people copy runs as it is, with a token and a trusted document, and fails in one line."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.watch.stand import Stand, a_community, a_home

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
DEADLINE_S = 30.0


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments]


@contextmanager
def running(script: str, *arguments: str, token: str | None = None) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMMONWATT_")}
    process = subprocess.Popen(
        command(script, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment | ({"COMMONWATT_TOKEN": token} if token else {}),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def stand(guarded_stand: Stand) -> Stand:
    return guarded_stand


@pytest.fixture
def token(guarded_stand: Stand) -> str:
    """The token of a member of home-01."""
    return guarded_stand.issue(role="member")


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_explains_itself(script: Path) -> None:
    done = subprocess.run(command(script.name, "--help"), capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0
    for option in ("--url", "--token", "--count", "COMMONWATT_TOKEN"):
        assert option in done.stdout


def test_a_home_is_printed_live(stand: Stand, token: str) -> None:
    with running("live_home.py", "--url", stand.url, "--count", "2", token=token) as process:
        assert line_of(process).endswith("Z  net -410 W  from neighbours 320 W  GREEN\n")
        stand.set_home(a_home(net_power=50.0))
        assert "net 50 W" in line_of(process)
        assert process.wait(DEADLINE_S) == 0


def test_a_community_is_exported_as_csv(stand: Stand, token: str) -> None:
    with running("community_csv.py", "--url", f"{stand.url}/graphql", "--count", "2", token=token) as process:
        lines = [line_of(process), line_of(process)]
        stand.set_community(a_community(surplus_power=-20.5, self_sufficiency=None))
        lines.append(line_of(process))
        assert process.wait(DEADLINE_S) == 0
    first, second = csv.DictReader(lines)
    assert list(first)[:4] == ["measuredAt", "powerImport", "powerExport", "surplusPower"]
    assert first["surplusPower"] == "1240"
    assert (second["surplusPower"], second["selfSufficiency"], second["homesTotal"]) == ("-20.5", "", "5")


def test_an_alert_comes_and_goes_with_hysteresis(stand: Stand, token: str) -> None:
    stand.set_community(a_community(surplus_power=999.0))
    options = ("--url", stand.url, "--on", "1000", "--off", "200")
    with running("surplus_alert.py", *options, token=token) as process:
        stand.await_subscribed()
        for watts, told in ((1000.0, "use it now"), (200.0, "over"), (1500.0, "use it now")):
            stand.set_community(a_community(surplus_power=watts))
            assert line_of(process).endswith(f"{watts:.0f} W  {told}\n")


def test_an_alert_rides_out_a_restart(stand: Stand, token: str) -> None:
    stand.set_community(a_community(surplus_power=0.0))
    with running("surplus_alert.py", "--url", stand.url, token=token) as process:
        stand.await_subscribed()
        stand.stop()
        assert process.stderr is not None
        assert process.stderr.readline().endswith("trying again\n")
        stand.community = a_community(surplus_power=5000.0)
        stand.start()
        assert "5000 W  use it now" in line_of(process)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_ctrl_c_ends_a_script_without_a_word(script: Path, stand: Stand, token: str) -> None:
    with running(script.name, "--url", stand.url, token=token) as process:
        stand.await_subscribed()
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
        assert said(process) == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_whose_reader_has_had_enough_ends_without_a_word(script: Path, stand: Stand, token: str) -> None:
    with running(script.name, "--url", stand.url, token=token) as process:
        stand.await_subscribed()
        assert process.stdout is not None
        process.stdout.close()
        for watts in (5000.0, 0.0):  # the alarm goes on, and off
            stand.set_home(a_home(net_power=watts))
            stand.set_community(a_community(surplus_power=watts))
        assert process.wait(DEADLINE_S) == 0
        assert said(process) == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_an_unknown_home_or_community_is_one_line(script: Path, stand: Stand, token: str) -> None:
    option = "--home" if script.name == "live_home.py" else "--community"
    with running(script.name, "--url", stand.url, option, "nobody", token=token) as process:
        assert process.wait(DEADLINE_S) == 1
        assert said(process).startswith("nobody: there is no ")


@pytest.mark.parametrize("script", ["live_home.py", "community_csv.py"])
def test_a_server_that_is_not_there_is_one_line(script: str) -> None:
    with running(script, "--url", "http://127.0.0.1:1") as process:
        assert process.wait(DEADLINE_S) == 1
        assert said(process).count("\n") == 1


@pytest.mark.parametrize("script", ["live_home.py", "community_csv.py"])
def test_without_a_token_nobody_is_let_in(script: str, stand: Stand) -> None:
    for token in (None, "wrong"):
        with running(script, "--url", stand.url, token=token) as process:
            assert process.wait(DEADLINE_S) == 1
            assert "4403" in said(process)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_token_may_be_an_option(script: Path, stand: Stand, token: str) -> None:
    with running(script.name, "--url", stand.url, "--token", token, "--count", "1") as process:
        assert process.wait(DEADLINE_S) == 0


def test_a_server_that_does_not_know_the_document_is_one_line(watch_nats: str) -> None:
    stand = Stand(watch_nats, documents=False)
    stand.start()
    try:
        with running("live_home.py", "--url", stand.url) as process:
            assert process.wait(DEADLINE_S) == 1
            assert "have it registered with the server" in said(process)
    finally:
        stand.stop()
