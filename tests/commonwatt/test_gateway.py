"""`commonwatt gateway p1` and `sml`: what their options and files may be, and how they end."""

import re
import socket
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bus.client import Bus
from bus.reading import parse
from commonwatt.cli import app
from tests.bus.stream import stored
from tests.commonwatt.tree import command, environment, refused
from tests.meters.gateways.fake_meters import FakeMeter

METER = ("--community", "demo", "--meter", "m")


@pytest.fixture
def telegrams(tmp_path: Path) -> Path:
    """A file of ten telegrams, the fifth with a wrong checksum."""
    meter = FakeMeter("E0047", 1000, 0)
    path = tmp_path / "telegrams.txt"
    said = [meter.telegram(number) for number in range(10)]
    said[4] = said[4].replace(b"!", b"! ").replace(b"(0002)", b"(0001)")
    path.write_bytes(b"".join(said))
    return path


@pytest.mark.parametrize(
    "words",
    [
        (),
        METER,
        ("--community", "demo", "--tcp", "a:1"),
        (*METER, "--tcp", "a:1", "--serial", "/dev/ttyUSB0"),
        (*METER, "--config", "gateway.toml"),
        ("--config", "gateway.toml", "--file", "telegrams.txt"),
        ("--config", "gateway.toml", "--every", "10"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("kind", ["p1", "sml"])
def test_one_meter_is_named_by_options_or_many_by_a_file(kind: str, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["gateway", kind, *words])
    assert done.exit_code == 2
    text = re.sub(r"[│\s]+", " ", done.output)
    assert "expected --community, --meter and one of --serial" in text or "the file says it all" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*METER, "--tcp", "10.0.0.5"), "tcp:10.0.0.5: expected tcp:HOST:PORT"),
        (("--config", "absent.toml"), "absent.toml: not readable: "),
    ],
    ids=["address", "config"],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(words: tuple[str, ...], says: str) -> None:
    assert refused(["gateway", "p1", *words]).startswith(says)


def test_recorded_frames_are_refused_before_anything_is_published(tmp_path: Path) -> None:
    (tmp_path / "frames.bin").write_bytes(b"recorded")
    said = refused(["gateway", "sml", *METER, "--file", str(tmp_path / "frames.bin"), "--data-dir", str(tmp_path)])
    assert said.startswith("the meter says no time of day, so nobody knows when sml:file:")


@pytest.mark.slow
async def test_a_file_is_published_and_counted_and_again_nothing_twice(
    bus: Bus, nats_url: str, tmp_path: Path, telegrams: Path
) -> None:
    words = ("gateway", "p1", *METER, "--file", str(telegrams), "--nats-url", nats_url, "--data-dir", str(tmp_path))

    def run() -> tuple[int, str]:
        done = subprocess.run(command(*words), capture_output=True, text=True, timeout=60, env=environment())
        return done.returncode, done.stdout

    assert run() == (0, "9 readings taken, 1 refused, 0 left out; 10 messages published, 0 waiting, 0 dropped\n")
    assert run() == (0, "0 readings taken, 1 refused, 9 left out; 1 messages published, 0 waiting, 0 dropped\n")
    found = [one.data for one in await stored(bus, "READINGS") if b"refused" not in one.data]
    meter = FakeMeter("E0047", 1000, 0)
    assert [parse(data) for data in found] == [meter.reading(number) for number in range(10) if number != 4]


@pytest.mark.slow
def test_a_metrics_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["gateway", "sml", *METER, "--tcp", "127.0.0.1:1", "--metrics-port", str(port)]
        assert refused([*words, "--data-dir", str(tmp_path)]).startswith(f"metrics port {port} on 127.0.0.1: ")
