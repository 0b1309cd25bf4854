"""The watch as people and scripts meet it: on a terminal, in a pipe, once."""

import codecs
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.watch.stand import Light, Quality, Stand, a_home
from watch.store import Store
from watch.terminal import run

DEADLINE_S = 30.0
HOME = "demo.home-01"
SHOW_CURSOR, FOCUS_ON, FOCUS_OFF = "\x1b[?25h", "\x1b[?1004h", "\x1b[?1004l"
OTHER_SCREEN, FIRST_SCREEN, TOP = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H"
RIGHT = b"\x1b[C"
PROGRAM = """
import json, sys
from watch.terminal import run
url, home, options = sys.argv[1:]
options = json.loads(options)
sys.exit(run(url, home or None, None, options.pop("token", None), False, options.pop("as_json", False), **options))
"""


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the user's configuration and state, empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path / "commonwatt"


def command(url: str, home: str = HOME, **options: Any) -> list[str]:
    return [sys.executable, "-W", "error", "-c", PROGRAM, url, home, json.dumps(options)]


class Terminal:
    """A program on a terminal of its own: what it wrote, and how it ended."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process, self._screen, self.written = process, screen, ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self.before = termios.tcgetattr(screen)

    def await_text(self, text: str) -> str:
        """Wait until `text` is written after all that was awaited before; return what came before it."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.written:
            ready, _, _ = select.select([self._screen], [], [], deadline - time.monotonic())
            assert ready, f"{text!r} was not written, but {self.written[-2000:]!r}"
            self.written += self._decode(os.read(self._screen, 65536))
        before, _, self.written = self.written.partition(text)
        return before

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._screen, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self._screen) == self.before

    def type(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        while True:  # the last words must be read, or a full terminal would hold the program
            try:
                ready, _, _ = select.select([self._screen], [], [], DEADLINE_S)
                self.written += self._decode(os.read(self._screen, 65536)) if ready else ""
            except OSError:  # Linux: the other end is closed
                return self.process.wait(DEADLINE_S)
            if not ready:
                return self.process.wait(1)


@contextmanager
def on_a_terminal(arguments: list[str], **environment: str) -> Iterator[Terminal]:
    screen, program = pty.openpty()
    process = subprocess.Popen(
        arguments,
        stdin=program,
        stdout=program,
        stderr=program,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"} | environment,
        process_group=0,  # of this session: nobody could let a session of its own go on after Ctrl-Z
        close_fds=True,
    )
    terminal = Terminal(process, screen)
    os.close(program)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def test_the_face_follows_each_change_and_ends_with_ctrl_c(stand: Stand) -> None:
    with on_a_terminal(command(stand.url)) as terminal:
        terminal.await_text("use it now")
        terminal.await_text(" live ")
        stand.set_home(a_home(light=Light.RED, shared_power=1500))
        terminal.await_text("1.50 kW")
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


def test_keys_turn_to_each_screen_and_q_ends_it(stand: Stand) -> None:
    with on_a_terminal(command(stand.url)) as terminal:
        terminal.await_text(FOCUS_ON)
        terminal.await_text(" live ")
        terminal.type(RIGHT)
        terminal.await_text("demo.home-01 · today")
        terminal.await_text("4.2 kWh")
        terminal.await_text("0.85 EUR")
        terminal.await_text(" live ")
        terminal.type(b"r")
        terminal.await_text("receipt")
        terminal.await_text("wake-ups")
        terminal.await_text("q quit")
        terminal.await_text(" since ")
        terminal.type(b"x")
        terminal.await_text("· today")
        terminal.type(b"\t")
        terminal.await_text("· hours")
        terminal.await_text("best hours")
        terminal.type(b"\t")
        terminal.await_text("my share")
        terminal.type(b"q")
        assert terminal.end() == 0
        assert FOCUS_OFF in terminal.written
        assert SHOW_CURSOR in terminal.written


def test_a_terminal_that_loses_the_focus_turns_ambient_on_the_same_socket(own_stand: Stand) -> None:
    with on_a_terminal(command(own_stand.url)) as terminal:
        terminal.await_text("╭")
        terminal.await_text(" live ")
        terminal.type(b"\x1b[O")
        terminal.await_text("● use it now")
        assert "╭" not in terminal.await_text("s old")
        terminal.type(b"\x1b[I")
        terminal.await_text("╭")
        terminal.await_text(" live ")
        own_stand.await_sockets(1)
        terminal.type(b"a")
        terminal.await_text("● use it now")


def test_ambient_is_an_option(stand: Stand) -> None:
    with on_a_terminal(command(stand.url, ambient=True)) as terminal:
        before = terminal.await_text("use it now")
        assert "╭" not in before
        assert "\x1b[1m" not in before


def test_the_server_may_go_and_come_back_under_the_face(own_stand: Stand) -> None:
    with on_a_terminal(command(own_stand.url)) as terminal:
        terminal.await_text(" live ")
        own_stand.stop()
        terminal.await_text("server gone for 1 s")
        terminal.await_text(" old ")
        own_stand.home = a_home(shared_power=2500)
        own_stand.start()
        terminal.await_text("2.50 kW")
        terminal.await_text(" live ")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0


def test_a_home_that_turns_stale_shows_an_age_that_grows(stand: Stand) -> None:
    with on_a_terminal(command(stand.url)) as terminal:
        terminal.await_text(" live ")
        stand.set_home(a_home(quality=Quality.STALE, measured_at=None))
        terminal.await_text(" 1 s old ")
        terminal.await_text(" 2 s old ")


def test_without_a_server_the_last_state_is_shown_with_its_age(own_stand: Stand, configuration: Path) -> None:
    with on_a_terminal(command(own_stand.url)) as terminal:
        terminal.await_text(" live ")
        terminal.type(b"q")
        assert terminal.end() == 0
    own_stand.stop()
    assert (configuration / "last.json").stat().st_mode & 0o777 == 0o600
    for home in (HOME, ""):  # and what it was: nobody is there to say what there is
        with on_a_terminal(command(own_stand.url, home)) as terminal:
            terminal.await_text("+1.00 kW")
            terminal.await_text("server gone for")
            terminal.await_text(" old ")
            terminal.type(b"q")
            assert terminal.end() == 0
    with piped(command(own_stand.url)) as process:
        assert "surplus +1.00 kW to the grid" in line_of(process)


def test_a_script_is_never_given_the_past(own_stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    with on_a_terminal(command(own_stand.url)) as terminal:
        terminal.await_text(" live ")
        terminal.type(b"q")
        assert terminal.end() == 0
    own_stand.stop()
    assert run(own_stand.url, HOME, None, None, once=True, as_json=True) == 1
    assert run(own_stand.url, None, None, None, once=True, as_json=False) == 2
    assert capsys.readouterr().out == ""


def test_an_unknown_home_has_a_face_and_does_not_end_it(stand: Stand) -> None:
    with on_a_terminal(command(stand.url, "demo.nobody")) as terminal:
        terminal.await_text("demo.nobody is not known here")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0


def test_a_refused_token_has_a_face_and_does_not_end_it(guarded_stand: Stand) -> None:
    with on_a_terminal(command(guarded_stand.url, token="wrong")) as terminal:
        terminal.await_text("refused for")
        terminal.type(b"q")
        assert terminal.end() == 0


def test_a_watch_is_paired_and_remembers_it(guarded_stand: Stand, configuration: Path) -> None:
    with on_a_terminal(command(guarded_stand.url, pair=True)) as terminal:
        shown = terminal.await_text("within 9 min")
        guarded_stand.approve(re.findall(r"[A-Z]{4}-[A-Z]{4}", shown)[-1])
        terminal.await_text(" live ")
        terminal.type(b"q")
        assert terminal.end() == 0
    kept = Store(configuration).find(guarded_stand.url)
    assert kept is not None
    assert kept.home == HOME
    with piped(command(guarded_stand.url, "", as_json=True)) as process:
        assert json.loads(line_of(process))["data"]["home"]["light"] == "GREEN"


def test_a_terminal_is_left_as_it_was(stand: Stand) -> None:
    with on_a_terminal(command(stand.url)) as terminal:
        terminal.await_text(" live ")
        assert not terminal.is_as_before()
        terminal.type(b"q")
        terminal.process.wait(DEADLINE_S)
        assert terminal.is_as_before()


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(stand: Stand) -> None:
    with on_a_terminal(command(stand.url)) as terminal:
        terminal.await_text(OTHER_SCREEN)
        terminal.await_text(" live ")
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.await_text(FOCUS_OFF)
        assert SHOW_CURSOR in terminal.await_text(FIRST_SCREEN)
        assert os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED) is not None
        assert terminal.is_as_before()
        terminal.process.send_signal(signal.SIGCONT)
        terminal.await_text(OTHER_SCREEN)
        terminal.await_text(FOCUS_ON)
        terminal.await_text(" live ")
        terminal.type(b"q")
        assert terminal.end() == 0


def test_a_terminal_of_another_size_is_drawn_anew_from_its_top(stand: Stand) -> None:
    with on_a_terminal(command(stand.url), COLUMNS="", LINES="") as terminal:
        terminal.await_text(" live ")
        for columns, lines in ((30, 30), (100, 6)):
            terminal.resize(columns, lines)
            assert TOP in terminal.await_text("● use it now")
            terminal.resize(100, 30)
            assert TOP in terminal.await_text("███████")


def test_a_dumb_terminal_and_a_narrow_one_get_a_face_too(stand: Stand) -> None:
    for environment in ({"TERM": "dumb"}, {"COLUMNS": "24"}, {"NO_COLOR": "1"}):
        with on_a_terminal(command(stand.url), **environment) as terminal:
            text = terminal.await_text("300 W")
            assert "NO_COLOR" not in environment or "\x1b[32m" not in text
            assert environment.get("TERM") != "dumb" or "\x1b" not in text


def test_once_prints_the_face_and_ends(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stand.url, HOME, None, None, once=True, as_json=False) == 0
    out, err = capsys.readouterr()
    assert "use it now" in out
    assert "+1.00 kW" in out
    assert err == ""


def test_once_works_for_a_community_and_for_today_too(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stand.url, None, "demo", None, once=True, as_json=False) == 0
    assert "3.00 kW" in capsys.readouterr().out
    assert run(stand.url, None, "demo", None, once=True, as_json=False, screen="today") == 0
    assert "12.34 EUR" in capsys.readouterr().out


def test_once_with_json_prints_one_line_in_the_form_of_a_response(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stand.url, HOME, None, None, once=True, as_json=True) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["data"]["home"]["community"] == {"surplusPower": 1000, "trend": "RISING"}


def test_a_token_opens_the_door_and_names_the_only_home(
    guarded_stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(guarded_stand.url, HOME, None, guarded_stand.issue(), once=True, as_json=True) == 0
    assert run(guarded_stand.url, None, None, guarded_stand.issue(), once=True, as_json=True) == 0
    one, other = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert one == other
    assert run(guarded_stand.url, HOME, None, None, once=True, as_json=True) == 1
    assert capsys.readouterr().err == "commonwatt watch: demo.home-01: refused, closed with 4403: Forbidden\n"


def test_who_does_not_say_what_to_watch_is_told_what_there_is(
    stand: Stand, guarded_stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stand.url, None, None, None, once=True, as_json=False) == 2
    said = "commonwatt watch: say which one to watch: --home demo.home-01, --home demo.home-02, "
    assert capsys.readouterr().err.startswith(said)
    assert run(guarded_stand.url, None, None, None, once=True, as_json=False) == 2
    said = "commonwatt watch: refused (HTTP status 401): check the token, or pair this watch with --pair\n"
    assert capsys.readouterr().err == said


def test_once_says_in_one_line_that_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("http://127.0.0.1:1", HOME, None, None, once=True, as_json=False) == 1
    assert capsys.readouterr() == ("", "commonwatt watch: demo.home-01: gone, connection refused\n")


@pytest.mark.parametrize("once", [True, False])
def test_a_script_ends_at_a_home_that_is_unknown(stand: Stand, capsys: pytest.CaptureFixture[str], once: bool) -> None:
    assert run(stand.url, "demo.nobody", None, None, once=once, as_json=True) == 1
    assert capsys.readouterr() == ("", "commonwatt watch: demo.nobody: unknown, there is no home 'demo.nobody'\n")


@pytest.mark.parametrize(
    ("url", "home", "community", "screen", "said"),
    [
        ("ftp://host", HOME, None, "glance", "'ftp://host' is no server address"),
        ("http://127.0.0.1:1", None, None, "glance", "either --home COMMUNITY.HOME or --community COMMUNITY"),
        ("http://127.0.0.1:1", HOME, "demo", "glance", "either --home COMMUNITY.HOME or --community COMMUNITY"),
        ("http://127.0.0.1:1", HOME, None, "receipt", "'receipt' is no screen: it is glance, today or hours"),
    ],
)
def test_wrong_arguments_are_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], url: str, home: str | None, community: str | None, screen: str, said: str
) -> None:
    assert run(url, home, community, None, once=False, as_json=False, screen=screen) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_a_pipe_of_another_encoding_gets_the_words_that_it_can_take(stand: Stand) -> None:
    with piped(command(stand.url), PYTHONIOENCODING="ascii") as process:
        assert "; trend / rising;" in line_of(process)


@contextmanager
def piped(arguments: list[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_json_gives_a_line_for_each_result_and_rides_out_a_restart(own_stand: Stand) -> None:
    with piped(command(own_stand.url, as_json=True)) as process:
        assert process.stderr is not None
        assert json.loads(line_of(process))["data"]["home"]["sharedPower"] == 300
        own_stand.set_home(a_home(shared_power=500))
        assert json.loads(line_of(process))["data"]["home"]["sharedPower"] == 500
        own_stand.stop()
        assert process.stderr.readline().startswith("commonwatt watch: demo.home-01: gone, ")
        own_stand.home = a_home(shared_power=700)
        own_stand.start()
        assert json.loads(line_of(process))["data"]["home"]["sharedPower"] == 700
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == ""


def test_a_reader_that_has_had_enough_ends_it_quietly(stand: Stand) -> None:
    with piped(command(stand.url, as_json=True)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line_of(process)
        process.stdout.close()
        stand.set_home(a_home(shared_power=900))
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == ""
        process.stdout = None


def test_a_pipe_gets_one_spoken_line_per_change(stand: Stand) -> None:
    with piped(command(stand.url)) as process:
        lines = iter(lambda: line_of(process), "")
        live = next(line for line in lines if line.endswith("; live\n"))
        assert live.startswith("demo.home-01; green, use it now; surplus +1.00 kW to the grid; ")
        stand.set_home(a_home(light=Light.YELLOW))
        assert "yellow, as you like" in next(lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0


def test_a_script_that_pairs_says_the_code_on_stderr(guarded_stand: Stand) -> None:
    with piped(command(guarded_stand.url, pair=True, as_json=True)) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        guarded_stand.approve(said.partition(" enter ")[2].partition(",")[0])
        assert json.loads(line_of(process))["data"]["home"]["light"] == "GREEN"
    with piped(command(guarded_stand.url, pair=True, as_json=True)) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        guarded_stand.deny(said.partition(" enter ")[2].partition(",")[0])
        assert process.wait(DEADLINE_S) == 1
        assert process.stderr.read() == "commonwatt watch: a member refused this watch\n"


@pytest.mark.slow
def test_a_server_process_may_be_killed_under_the_face(own_stand: Stand) -> None:
    """A process of its own, killed without a word, and another one in its place."""
    port = own_stand.port
    own_stand.stop()  # its port is taken over; frames stay in NATS
    arguments = ["serve", "--sign-in", "off", "--port", str(port), "--nats-url", own_stand.nats_url]
    with on_a_terminal(command(own_stand.url)) as terminal:
        terminal.await_text("server gone for")
        with serving(arguments) as server:
            terminal.await_text(" live ")
            server.kill()
            terminal.await_text("server gone for")
            terminal.await_text(" old ")
        with serving(arguments):
            terminal.await_text(" live ")
            terminal.type(b"q")
            assert terminal.end() == 0


@contextmanager
def serving(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "commonwatt", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
