"""Each script that people copy runs as it is, ends when asked, and fails in one line."""

import csv
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
def running(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(script, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_explains_itself(script: Path) -> None:
    done = subprocess.run(command(script.name, "--help"), capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0
    for option in ("--url", "--token", "--count"):
        assert option in done.stdout


def test_a_home_is_printed_live(stand: Stand) -> None:
    with running("live_home.py", "--url", stand.url, "--home", "demo.home-01", "--count", "2") as process:
        assert line_of(process) == "2026-06-01T10:00:00Z  net -410.0 W  from neighbours 320.0 W  GREEN\n"
        stand.set_home(a_home(net_power=50.0))
        assert "net 50.0 W" in line_of(process)
        assert process.wait(DEADLINE_S) == 0


def test_a_community_is_exported_as_csv(stand: Stand) -> None:
    with running("community_csv.py", "--url", f"{stand.url}/graphql", "--count", "2") as process:
        lines = [line_of(process), line_of(process)]
        stand.set_community(a_community(surplus_power=-20.5, self_sufficiency=None))
        lines.append(line_of(process))
        assert process.wait(DEADLINE_S) == 0
    first, second = csv.DictReader(lines)
    assert list(first)[:4] == ["measuredAt", "powerImport", "powerExport", "surplusPower"]
    assert first["surplusPower"] == "1240.0"
    assert (second["surplusPower"], second["selfSufficiency"], second["homesTotal"]) == ("-20.5", "", "20")


def test_an_alert_comes_and_goes_with_hysteresis(stand: Stand) -> None:
    stand.community = a_community(surplus_power=0.0)
    with running("surplus_alert.py", "--url", stand.url, "--count", "6", "--on", "1000", "--off", "200") as process:
        stand.await_subscribers(1)
        for watts in (900.0, 1000.0, 201.0):
            stand.set_community(a_community(surplus_power=watts))
            stand.await_subscribers(1)
        assert line_of(process) == "2026-06-01T10:00:00Z  1000.0 W  use it now\n"
        stand.set_community(a_community(surplus_power=200.0))
        assert line_of(process) == "2026-06-01T10:00:00Z  200.0 W  over\n"
        stand.set_community(a_community(surplus_power=900.0))
        assert process.wait(DEADLINE_S) == 0
        assert line_of(process) == ""


def test_an_alert_rides_out_a_restart(stand: Stand) -> None:
    stand.community = a_community(surplus_power=0.0)
    with running("surplus_alert.py", "--url", stand.url) as process:
        stand.await_subscribers(1)
        stand.stop()
        assert process.stderr is not None
        assert process.stderr.readline().endswith("trying again\n")
        stand.community = a_community(surplus_power=5000.0)
        stand.start()
        assert "5000.0 W  use it now" in line_of(process)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_ctrl_c_ends_a_script_without_a_word(script: Path, stand: Stand) -> None:
    with running(script.name, "--url", stand.url) as process:
        stand.await_subscribers(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_an_unknown_home_or_community_is_one_line(script: Path, stand: Stand) -> None:
    option = "--home" if script.name == "live_home.py" else "--community"
    with running(script.name, "--url", stand.url, option, "nobody") as process:
        assert process.wait(DEADLINE_S) == 1
        assert process.stderr is not None
        assert process.stderr.read() == "nobody: No such home or community.\n"


@pytest.mark.parametrize("script", ["live_home.py", "community_csv.py"])
def test_a_server_that_is_not_there_is_one_line(script: str, stand: Stand) -> None:
    stand.stop()
    with running(script, "--url", stand.url) as process:
        assert process.wait(DEADLINE_S) == 1
        assert process.stderr is not None
        assert process.stderr.read().count("\n") == 1


def test_a_token_is_sent(stand: Stand) -> None:
    stand.token = "open-sesame"
    for script in SCRIPTS:
        with running(script.name, "--url", stand.url, "--token", "open-sesame", "--count", "1") as process:
            assert process.wait(DEADLINE_S) == 0
    assert stand.payloads == [{"authorization": "Bearer open-sesame"}] * 3
