"""The watch as people and scripts meet it: on a terminal, in a pipe, once."""

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.watch.stand import Light, Quality, Stand, a_home, unknown
from watch.device import Device
from watch.news import Link, News, Standing
from watch.screen import home_screen
from watch.terminal import redraw, run

DEADLINE_S = 30.0
SHOW_CURSOR = "\x1b[?25h"
PROGRAM = """
import sys
from watch.terminal import run
url, home, as_json = sys.argv[1:]
sys.exit(run(url, home, None, None, False, as_json == "json"))
"""


def command(url: str, home: str = "demo.home-01", way: str = "face") -> list[str]:
    return [sys.executable, "-W", "error", "-c", PROGRAM, url, home, way]


class Terminal:
    """A program on a terminal of its own: what it wrote, and how it ended."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process, self._screen, self.written = process, screen, ""

    def await_text(self, text: str) -> None:
        """Wait until `text` is written after all that was awaited before."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.written:
            ready, _, _ = select.select([self._screen], [], [], deadline - time.monotonic())
            assert ready, f"{text!r} was not written, but {self.written[-2000:]!r}"
            self.written += os.read(self._screen, 65536).decode()
        self.written = self.written[self.written.index(text) + len(text) :]

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        while True:  # the last words must be read, or a full terminal would hold the program
            try:
                ready, _, _ = select.select([self._screen], [], [], DEADLINE_S)
                self.written += os.read(self._screen, 65536).decode() if ready else ""
            except OSError:  # Linux: the other end is closed
                return self.process.wait(DEADLINE_S)
            if not ready:
                return self.process.wait(1)


@contextmanager
def on_a_terminal(arguments: list[str]) -> Iterator[Terminal]:
    screen, program = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        arguments,
        stdin=program,
        stdout=program,
        stderr=program,
        env=environment,
        start_new_session=True,
        close_fds=True,
    )
    os.close(program)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def test_the_face_follows_each_change_and_ends_with_ctrl_c(stand: Stand) -> None:
    with on_a_terminal(command(stand.url)) as terminal:
        terminal.await_text("use it now")
        terminal.await_text(" live ")
        stand.set_home(a_home(light=Light.RED, net_power=1500))
        terminal.await_text("+1.50 kW")
        terminal.await_text("better wait")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0
        assert SHOW_CURSOR in terminal.written
        assert "Traceback" not in terminal.written


def test_sigterm_ends_it_as_cleanly(stand: Stand) -> None:
    with on_a_terminal(command(stand.url)) as terminal:
        terminal.await_text(" live ")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 0
        assert SHOW_CURSOR in terminal.written


def test_the_server_may_go_and_come_back_under_the_face(own_stand: Stand) -> None:
    with on_a_terminal(command(own_stand.url)) as terminal:
        terminal.await_text(" live ")
        own_stand.stop()
        terminal.await_text("server gone for 1 s")
        terminal.await_text(" old ")
        own_stand.home = a_home(net_power=2500)
        own_stand.start()
        terminal.await_text("+2.50 kW")
        terminal.await_text(" live ")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0


def test_a_home_that_turns_stale_shows_an_age_that_grows(stand: Stand) -> None:
    with on_a_terminal(command(stand.url)) as terminal:
        terminal.await_text(" live ")
        stand.set_home(a_home(quality=Quality.STALE, measured_at=None))
        terminal.await_text(" 1 s old ")
        terminal.await_text(" 2 s old ")


def test_an_unknown_home_has_a_face_and_does_not_end_it(stand: Stand) -> None:
    with on_a_terminal(command(stand.url, "demo.nobody")) as terminal:
        terminal.await_text("demo.nobody is not known here")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0


async def test_a_face_is_redrawn_by_time_alone() -> None:
    shown: asyncio.Queue[Device] = asyncio.Queue()

    class Silence:
        def __aiter__(self) -> "Silence":
            return self

        async def __anext__(self) -> News:
            await asyncio.Event().wait()
            raise AssertionError

    device = Device(home_screen("h"), since=0, link=Link(Standing.CONNECTING))
    drawing = asyncio.create_task(redraw(Silence(), device, shown.put_nowait, wait_s=0.001))
    async with asyncio.timeout(DEADLINE_S):
        assert [await shown.get() for _ in range(3)] == [device] * 3
    drawing.cancel()
    await asyncio.wait([drawing])
    assert drawing.cancelled()


def test_once_prints_the_face_and_ends(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stand.url, "demo.home-01", None, None, once=True, as_json=False) == 0
    out, err = capsys.readouterr()
    assert "use it now" in out
    assert "+1.24 kW" in out
    assert err == ""


def test_once_works_for_a_community_too(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stand.url, None, "demo", None, once=True, as_json=False) == 0
    assert "19 of 20" in capsys.readouterr().out


def test_once_with_json_prints_one_line_in_the_form_of_a_response(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stand.url, "demo.home-01", None, None, once=True, as_json=True) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["data"]["home"]["community"] == {"surplusPower": 1240, "trend": "RISING"}


def test_a_token_opens_the_door(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    stand.token = "open-sesame"
    assert run(stand.url, "demo.home-01", None, "open-sesame", once=True, as_json=True) == 0
    assert run(stand.url, "demo.home-01", None, None, once=True, as_json=True) == 1
    assert capsys.readouterr().err == ("commonwatt watch: demo.home-01: refused, closed with 4403: Forbidden\n")


def test_once_says_in_one_line_that_nobody_answers(own_stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    own_stand.stop()
    assert run(own_stand.url, "demo.home-01", None, None, once=True, as_json=False) == 1
    assert capsys.readouterr() == ("", "commonwatt watch: demo.home-01: gone, connection refused\n")


@pytest.mark.parametrize("once", [True, False])
def test_a_script_ends_at_a_home_that_is_unknown(stand: Stand, capsys: pytest.CaptureFixture[str], once: bool) -> None:
    stand.home = unknown()
    assert run(stand.url, "demo.home-01", None, None, once=once, as_json=True) == 1
    assert capsys.readouterr() == ("", "commonwatt watch: demo.home-01: unknown, No such home or community.\n")


@pytest.mark.parametrize(
    ("url", "home", "community", "said"),
    [
        ("ftp://host", "demo.home-01", None, "'ftp://host' is no server address"),
        ("http://127.0.0.1:1", None, None, "either --home COMMUNITY.HOME or --community COMMUNITY"),
        ("http://127.0.0.1:1", "demo.home-01", "demo", "either --home COMMUNITY.HOME or --community COMMUNITY"),
    ],
)
def test_wrong_arguments_are_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], url: str, home: str | None, community: str | None, said: str
) -> None:
    assert run(url, home, community, None, once=False, as_json=False) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


@contextmanager
def piped(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_json_gives_a_line_for_each_result_and_rides_out_a_restart(own_stand: Stand) -> None:
    with piped(command(own_stand.url, way="json")) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["data"]["home"]["netPower"] == -410
        own_stand.set_home(a_home(net_power=1))
        assert json.loads(process.stdout.readline())["data"]["home"]["netPower"] == 1
        own_stand.stop()
        assert process.stderr.readline().startswith("commonwatt watch: demo.home-01: gone, ")
        own_stand.home = a_home(net_power=2)
        own_stand.start()
        assert json.loads(process.stdout.readline())["data"]["home"]["netPower"] == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == ""


def test_a_reader_that_has_had_enough_ends_it_quietly(stand: Stand) -> None:
    with piped(command(stand.url, way="json")) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        stand.set_home(a_home(net_power=1))
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == ""
        process.stdout = None


def test_a_pipe_gets_one_spoken_line_per_change(stand: Stand) -> None:
    with piped(command(stand.url)) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        live = next(line for line in lines if line.endswith("; live\n"))
        assert live.startswith("demo.home-01; green, use it now; surplus +1.24 kW to the grid; ")
        stand.set_home(a_home(light=Light.YELLOW))
        assert "yellow, as you like" in next(lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
