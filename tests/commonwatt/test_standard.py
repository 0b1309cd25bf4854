"""Standard output that is closed, that nobody reads, or that is full; and no standard input: never a traceback."""

import os
import subprocess
from pathlib import Path
from typing import IO, Final

import pytest

from tests.commonwatt.tree import command, environment

LIMIT_S: Final = 60.0
HERE: Final = Path(__file__).parents[2]


@pytest.fixture(
    params=[
        ("schema", "print"),
        ("token", "issue", "--role", "operator", "--community", "demo", "--log-level", "warning"),
        ("meter", "test", "--json", "p1:file:nothing.txt"),
    ],
    ids=lambda words: str(words[0]),
)
def words(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words of a command that says something: at its end, from within its event loop, or line by line."""
    monkeypatch.chdir(tmp_path)
    Path("nothing.txt").write_bytes(b"no telegram\r\n")
    return list(request.param)


def ended(words: list[str], out: IO[bytes] | None) -> tuple[int, str]:
    """Run a command with this standard output, None: closed; return its exit code and what it said on stderr."""
    closing = [] if out is not None else ["sh", "-c", 'exec "$@" >&-', "sh"]
    done = subprocess.run(
        [*closing, *command(*words)],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
        env=environment(COMMONWATT_DATA_DIR=str(Path.cwd()), PYTHONPATH=str(HERE)),
    )
    return done.returncode, done.stderr.decode()


def test_a_command_whose_reader_has_gone_ends_without_a_word(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as pipe:
        code, said = ended(words, pipe)
    assert said == ""
    assert code == (0 if words[0] == "meter" else 1)  # who looks may look away


def test_a_command_that_cannot_write_says_so_in_one_line(words: list[str]) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        assert ended(words, full) == (1, "commonwatt: stdout: No space left on device\n")


def test_a_command_whose_output_is_closed_does_its_work(words: list[str]) -> None:
    code, said = ended(words, None)
    assert said == ""
    assert code == (1 if words[0] == "meter" else 0)  # of a file without readings


def test_a_process_without_standard_input_ends_as_others_do() -> None:
    words = command("meter", "test", "p1:file:-")
    # The shell closes it; a closed one is what Python gives no other way.
    closing = ["sh", "-c", 'exec "$@" <&-', "sh", *words]
    done = subprocess.run(closing, capture_output=True, text=True, timeout=LIMIT_S, env=environment())
    assert done.returncode == 1, done.stderr
    assert done.stdout.endswith("no reading came\n")
    assert "there is no standard input" in done.stdout
