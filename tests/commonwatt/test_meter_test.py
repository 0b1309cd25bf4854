"""`commonwatt meter test`: what an installer sees of a meter, before it does harm."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from bus.reading import Reading
from commonwatt.cli import app
from commonwatt.probe import Probe, Seen, Sentences, said
from commonwatt.probe_view import Picture, printable, summary
from meters.gateways import p1
from meters.gateways.source import Given, Refusal, Register, Source, SourceLostError
from tests.meters.gateways.frames import REAL
from tests.meters.gateways.telegrams import changed, telegram, written

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)

Commonwatt = Callable[..., Result]


@pytest.fixture
def commonwatt(monkeypatch: pytest.MonkeyPatch) -> Commonwatt:
    """Run the command line in this process, with its log left as it is."""
    monkeypatch.setattr("commonwatt.running.configure", lambda *_: None)
    runner = CliRunner(env={"COLUMNS": "200", "COMMONWATT_CONFIG": None, "TERM": "dumb"})
    return lambda *words: runner.invoke(app, ["meter", "test", *words], prog_name="commonwatt")


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_sound_file_ends_with_0_and_says_what_became_of_it(commonwatt: Commonwatt, tmp_path: Path) -> None:
    result = commonwatt(f"p1:file:{written(tmp_path, telegram('v5'))}")

    assert result.exit_code == 0
    assert "1-0:1.8.1    000004.426 kWh" in result.stdout
    assert "4426 Wh import_wh (total drawn)" in result.stdout
    assert "2017-01-02T18:20:02Z drawn 6.825 kWh, fed in 2.444 kWh: you draw 244 W from the grid now" in result.stdout
    assert result.stdout.splitlines()[-2].endswith("readings 1, refused 0, lost 0 times")
    assert result.stdout.splitlines()[-1] == "all is well"


def test_a_file_with_refusals_ends_with_1_and_counts_them_by_their_reasons(
    commonwatt: Commonwatt, tmp_path: Path
) -> None:
    harmed = telegram("v5").replace(b"000004.426", b"000009.426")
    result = commonwatt(f"p1:file:{written(tmp_path, harmed, harmed, telegram('v5'), telegram('v5')[:200])}")

    assert result.exit_code == 1
    assert "refused (checksum): the checksum is 6EEE; the telegram's is " in result.stdout
    assert "    2 refused (checksum): its checksum does not match" in result.stdout
    assert "    1 refused (cut): it ends in the middle" in result.stdout
    assert result.stdout.splitlines()[-1] == "something is wrong, see above"


def test_a_file_in_which_nothing_is_ends_with_1(commonwatt: Commonwatt, tmp_path: Path) -> None:
    result = commonwatt(f"sml:file:{written(tmp_path, b'')}")

    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "no reading came"


def test_frames_are_shown_like_telegrams(commonwatt: Commonwatt, tmp_path: Path) -> None:
    result = commonwatt(f"sml:file:{written(tmp_path, REAL)}")

    assert result.exit_code == 0
    assert "you draw 168 W from the grid now" in result.stdout
    assert "1 ISK00 6736 2659 epoch (which meter)" in result.stdout


def test_a_mix_up_of_units_in_a_file_is_told_once_and_ends_with_1(commonwatt: Commonwatt, tmp_path: Path) -> None:
    def at(second: int) -> bytes:
        return changed("v5", (b"170102192002W", b"17010219%02d%02dW" % (20 + second // 60, second % 60)), *MIXED_UP)

    MIXED_UP = ((b"1-0:1.7.0(00.244*kW)", b"1-0:1.7.0(02440.0*kW)"),)  # noqa: N806 - W printed as kW
    result = commonwatt(f"p1:file:{written(tmp_path, *(at(second) for second in range(0, 120, 10)))}")

    assert result.exit_code == 1
    told = [line for line in result.stdout.splitlines() if line.startswith("    ! ")]
    assert len([line for line in told if "more than a house can" in line]) == 2  # when it comes, and at the end
    assert any("the register is in kWh taken for Wh" in line for line in told)


def test_two_sources_that_disagree_are_told(commonwatt: Commonwatt, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(telegram("fluvius_v171_alt"))
    theirs.write_bytes(
        changed(
            "fluvius_v171_alt", (b"1-0:1.7.0(00.338", b"1-0:1.7.0(00.000"), (b"1-0:2.7.0(00.000", b"1-0:2.7.0(00.338")
        )
    )
    result = commonwatt(f"p1:file:{ours}", f"p1:file:{theirs}")

    assert result.exit_code == 1
    assert "one of them has import and export swapped" in result.stdout


def test_json_is_a_line_for_each_thing_that_came_and_one_for_the_whole(commonwatt: Commonwatt, tmp_path: Path) -> None:
    path = written(tmp_path, telegram("v5"), telegram("unpadded_crc"))
    result = commonwatt(f"p1:file:{path}", "--json")

    reading, refused, whole = records(result)
    assert reading["reading"] == {
        "at": "2017-01-02T18:20:02Z",
        "epoch": "K8EG004046395507",
        "import_wh": 6825,
        "export_wh": 2444,
        "power_import_w": 244.0,
        "power_export_w": 0.0,
    }
    assert {"name": "1-0:1.8.1", "given": "000004.426 kWh", "field": "import_wh", "becomes": "4426 Wh"} in reading[
        "registers"
    ]
    assert reading["says"] == "you draw 244 W from the grid now"
    assert (refused["reading"], refused["refusal"]["reason"]) == (None, "missing_field")
    assert whole["sound"] is False
    assert whole["sources"][f"p1:file:{path}"]["refused"] == {"missing_field": 1}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["p2:tcp:10.0.0.5:1"], "'p2:tcp:10.0.0.5:1' names no source; expected p1:serial:DEVICE"),
        (["p1:file:/nothing/here"], "there is no such file"),
        (["p1:tcp:10.0.0.5:1", "--zone", "Mars/Olympus"], "zone is 'Mars/Olympus'; expected an IANA time zone"),
        (["p1:tcp:10.0.0.5:1"] * 2, "is there twice"),
        ([f"p1:tcp:10.0.0.5:{port}" for port in range(1, 10)], "at most 8"),
    ],
    ids=["no source", "no file", "no zone", "twice", "too many"],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(commonwatt: Commonwatt, words: list[str], expected: str) -> None:
    result = commonwatt(*words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert expected in result.stderr


def test_a_line_that_is_lost_is_told_and_tried_again(commonwatt: Commonwatt) -> None:
    result = commonwatt("p1:serial:/dev/nothing-here", "--seconds", "0.2")

    assert result.exit_code == 1
    assert "lost: serial:/dev/nothing-here: there is no such device; is it plugged in?" in result.stdout
    assert result.stdout.splitlines()[-1] == "no reading came"


def test_ctrl_c_ends_it_clean_with_what_came_so_far(tmp_path: Path) -> None:
    master, slave = os.openpty()
    command = [sys.executable, "-m", "commonwatt", "meter", "test", f"p1:serial:{os.ttyname(slave)}"]
    shown, troubles = tmp_path / "out", tmp_path / "err"
    with shown.open("wb") as out, troubles.open("wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    try:
        while b"you draw 244 W" not in shown.read_bytes():
            assert process.poll() is None, troubles.read_text()
            # What is written while the device is being opened is flushed, so it is written again.
            os.write(master, telegram("v5"))
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        process.send_signal(signal.SIGINT)
        assert (process.wait(30), troubles.read_text()) == (0, "")
        assert ", refused 0, lost 0 times" in shown.read_text()
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def test_who_reads_the_lines_may_have_had_enough(tmp_path: Path) -> None:
    path = written(tmp_path, telegram("v5") * 5000)
    command = [sys.executable, "-m", "commonwatt", "meter", "test", f"p1:file:{path}"]
    with (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err)
    assert process.stdout is not None
    assert process.stdout.readline().split()[0] == b"/"
    process.stdout.close()

    assert process.wait(60) == 0
    assert (tmp_path / "err").read_bytes() == b""


class Spoken:
    """A source that says what a test gave it, and is then lost or ends."""

    def __init__(self, name: str, *given: Given, losses: int = 0) -> None:
        self.name = name
        self._given = given
        self._losses = losses

    async def read(self) -> AsyncIterator[Given]:
        if self._losses:
            self._losses -= 1
            raise SourceLostError(f"{self.name}: refused; is the port right?")
        for one in self._given:
            yield one
            await asyncio.sleep(0)


def reading(at: datetime = NOW, **more: Any) -> Given:
    fields: dict[str, Any] = {"at": at, "import_wh": 5_000_000, "export_wh": 7_000, "power_import_w": 1234.5} | more
    return Given(
        b"raw", Reading(**fields), registers=(Register("1-0:1.8.0", "5000.000 kWh", "import_wh", "5000000 Wh"),)
    )


async def probed(*sources: Source) -> tuple[Probe, list[Seen]]:
    seen: list[Seen] = []
    probe = Probe(sources, seen.append, now=lambda: NOW, pause_s=0)
    await probe.run()
    return probe, seen


async def test_a_source_that_comes_back_goes_on_where_it_was() -> None:
    probe, seen = await probed(Spoken("p1:tcp:10.0.0.5:1", reading(), losses=3))

    tally = probe.tallies["p1:tcp:10.0.0.5:1"]
    assert (tally.readings, tally.losses, tally.lost) == (1, 3, "")
    assert [one.lost != "" for one in seen] == [True, True, True, False]


async def test_a_file_that_cannot_be_read_is_not_tried_again() -> None:
    source = Spoken("p1:file:telegrams.txt", reading(), losses=1)
    probe = Probe([source], lambda seen: None, now=lambda: NOW, recorded={source.name}, pause_s=0)

    await probe.run()

    assert (probe.is_sound, probe.tallies[source.name].losses) == (False, 1)


async def test_devices_behind_one_source_are_told_apart() -> None:
    probe, _ = await probed(Spoken("mqtt:#", reading()._replace(device="shelly"), reading()._replace(device="tasmota")))

    assert list(probe.tallies) == ["mqtt:#", "mqtt:# shelly", "mqtt:# tasmota"]


async def test_a_clock_that_is_wrong_now_is_told() -> None:
    _, (ahead,) = await probed(Spoken("p1:tcp:10.0.0.5:1", reading(NOW + timedelta(hours=1))))
    _, (behind,) = await probed(Spoken("p1:tcp:10.0.0.5:1", reading(NOW - timedelta(minutes=9))))

    assert ahead.doubts[-1].startswith("the meter's clock is 60 minutes ahead, and over 5 minutes ahead is refused")
    assert behind.doubts[-1].startswith("the meter's clock is 9 minutes behind")


def test_a_sentence_is_new_once_whatever_numbers_are_in_it() -> None:
    sentences = Sentences()

    assert sentences.add(["it fell from 5 to 3 Wh"]) == ("it fell from 5 to 3 Wh",)
    assert sentences.add(["it fell from 1,200 to -7.5 Wh"]) == ()
    assert sentences.counted() == [("it fell from 1,200 to -7.5 Wh", 2)]
    for number in range(1000):
        sentences.add([f"it says {chr(0x4E00 + number)}"])
    assert len(sentences.counted()) == 100


@pytest.mark.parametrize(
    ("drawn", "fed", "words"),
    [
        (1234.5, 0.0, "you draw 1.23 kW from the grid now"),
        (0.0, 800.0, "you feed 800 W into the grid now"),
        (170.0, 270.0, "on some phases you draw 170 W, on others you feed in 270 W"),
        (0.0, 0.0, "nothing flows now, in or out"),
        (None, None, "it does not say what flows now"),
    ],
)
def test_powers_are_said_in_words(drawn: float | None, fed: float | None, words: str) -> None:
    assert said(Reading(at=NOW, import_wh=0, export_wh=0, power_import_w=drawn, power_export_w=fed)) == words


async def test_a_terminal_shows_a_picture_and_leaves_it_at_the_end() -> None:
    screen = io.StringIO()
    picture = Picture(Console(file=screen, force_terminal=True, width=140))
    garbage = Given(b"x", refusal=Refusal("garbage", "9 bytes \x1b[31m that belong to no telegram"))
    sources = Spoken("p1:tcp:10.0.0.5:1", p1.given(telegram("v5"), NOW), garbage), Spoken("p1:tcp:10.0.0.6:1", losses=1)
    probe = Probe(sources, lambda seen: picture.show(seen, probe), now=lambda: NOW, pause_s=0)
    with picture:
        await probe.run()
        picture.end(probe)

    shown = screen.getvalue()
    for words in ("you draw 244 W from the grid now", "4426 Wh", "1 garbage", "p1:tcp:10.0.0.6:1: refused", "wrong"):
        assert words in shown
    assert "\x1b[31m that" not in shown


def test_what_a_device_sends_commands_no_terminal() -> None:
    assert printable("\x1b[2J\x02ISk5ü") == "\\x1b[2J\\x02ISk5ü"


async def test_the_summary_says_that_all_is_well_only_where_it_is() -> None:
    sound, _ = await probed(Spoken("p1:tcp:10.0.0.5:1", reading()))
    lost, _ = await probed(Spoken("p1:tcp:10.0.0.5:1", reading(), losses=1))

    assert summary(sound) == ["p1:tcp:10.0.0.5:1: readings 1, refused 0, lost 0 times", "all is well"]
    assert summary(lost)[-1] == "something is wrong, see above"
