"""The command line: each command explains itself; the registry and the contract, as people use them."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from bus.broker import free_port
from commonwatt.cli import app
from schema.printing import print_sdl
from tests.commonwatt.line import commands, understand

EXAMPLE = Path(__file__).parents[2] / "examples" / "community.toml"
COMMANDS = sorted(commands())

Commonwatt = Callable[..., Result]


@pytest.fixture
def commonwatt(monkeypatch: pytest.MonkeyPatch) -> Commonwatt:
    """Run the command line in this process, with its log left as it is."""
    monkeypatch.setattr("commonwatt.running.configure", lambda *_: None)
    monkeypatch.setattr("commonwatt.registry._PATIENCE_S", 2.0)
    runner = CliRunner(env={"COMMONWATT_CONFIG": None, "TERM": "dumb"})

    def run(*words: str, columns: int = 200) -> Result:
        with capture_logs():
            return runner.invoke(app, list(words), prog_name="commonwatt", env={"COLUMNS": str(columns)})

    return run


@pytest.fixture
def at(nats_url: str) -> tuple[str, str]:
    """The option that leads to the session's nats-server."""
    return ("--nats-url", nats_url)


def last_word(result: Result, code: int = 2) -> str:
    """Return the one line on stderr with which a command ended."""
    assert (result.exit_code, result.stdout) == (code, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("commonwatt: ")
    return line.removeprefix("commonwatt: ")


def community(tmp_path: Path, *changes: tuple[str, str]) -> str:
    """Write the example with changes, each of which must apply, and return its path."""
    text = EXAMPLE.read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "community.toml"
    path.write_text(text, "utf-8")
    return str(path)


# --- help ---


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_explains_itself_with_examples_that_parse(commonwatt: Commonwatt, words: tuple[str, ...]) -> None:
    result = commonwatt(*words, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.stdout
    examples = re.findall(r"^\W*commonwatt (\S.*?)(?: >.*)?\W*$", commands()[words].help, re.MULTILINE)
    assert examples
    for example in examples:
        assert tuple(example.split())[: len(words)] == words
        understand(example.split())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_option_says_what_it_is_for(words: tuple[str, ...]) -> None:
    shown = [parameter for parameter in commands()[words].params if not getattr(parameter, "hidden", False)]
    assert not [parameter.name for parameter in shown if not getattr(parameter, "help", None)]


@pytest.mark.parametrize("words", [(), ("registry",), ("schema",), ("token",)], ids=" ".join)
def test_without_a_command_the_commands_are_listed(commonwatt: Commonwatt, words: tuple[str, ...]) -> None:
    result = commonwatt(*words)
    for command in COMMANDS:
        if command[: len(words)] == words:
            assert f" {command[len(words)]} " in result.output


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_has_two_names(commonwatt: Commonwatt, option: str) -> None:
    assert "Usage: commonwatt serve" in commonwatt("serve", option).stdout


# --- bad options ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serv"], "No such command 'serv'"),
        (["serve", "--prot", "8000"], "No such option: --prot"),
        (["serve", "--port", "eight"], "--port"),
        (["up", "--homes", "0"], "--homes"),
        (["aggregate", "--part", "5/4"], "expected K/N with 1 <= K <= N <= 1024"),
        (["aggregate", "--part", "x"], "expected K/N with 1 <= K <= N <= 1024"),
        (["replay", "absent"], "'absent' does not exist"),
        (["registry", "apply"], "Missing argument 'FILE'"),
    ],
)
def test_a_bad_option_is_explained(commonwatt: Commonwatt, words: list[str], said: str) -> None:
    result = commonwatt(*words)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve", "--port", "65536"], "setting port: Input should be less than or equal to 65535 (got '65536')"),
        (["serve", "--log-level", "loud"], "setting log_level: "),
        (["serve", "--sign-in", "maybe"], "setting sign_in: "),
        (["serve", "--sign-in", "off", "--host", "0.0.0.0"], "sign_in is off and host is '0.0.0.0'"),
        (["serve", "--nats-credentials", "/nowhere"], "nats_credentials names '/nowhere', which is no file"),
        (["aggregate", "--metrics-port", "-1"], "setting metrics_port: "),
        (["simulate", "--community", "No Such Id"], "'No Such Id'"),
        (["simulate", "--rate", "0"], "rate"),
        (["simulate", "--speed", "-1"], "speed"),
        (["replay", ".", "--format", "csv"], "format is 'csv'; expected citylearn"),
        (["replay", ".", "--start", "tomorrow"], "start is 'tomorrow'; expected a date or time"),
        (["replay", "."], ""),
        (["watch"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_work_is_one_line_that_names_it(
    commonwatt: Commonwatt, at: tuple[str, str], tmp_path: Path, words: list[str], said: str
) -> None:
    words = [str(tmp_path) if word == "." else word for word in words]
    if words[0] != "watch":
        words += at
    result = commonwatt(*words)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert said in line


# --- registry ---


def test_a_community_is_applied_once_and_shown(commonwatt: Commonwatt, at: tuple[str, str]) -> None:
    first = commonwatt("registry", "apply", str(EXAMPLE), *at)
    assert first.exit_code == 0, first.output
    assert first.stdout == "sonnenhang: 5 homes, 9 meters, 5 members; valid from the beginning\n"
    again = commonwatt("registry", "apply", str(EXAMPLE), *at)
    assert (again.exit_code, again.stdout) == (0, "sonnenhang: nothing changed, the registry says the same already\n")

    table = commonwatt("registry", "show", *at)
    assert table.exit_code == 0
    for word in ("sonnenhang", "Energiegemeinschaft Sonnenhang", "STATIC_ROUNDS", "the beginning"):
        assert word in table.stdout
    whole = commonwatt("registry", "show", "sonnenhang", *at).stdout
    assert "Time zone Europe/Vienna, settled every 15 min." in whole
    assert "bakery-pv (PV)" in whole


def test_nothing_is_cut_short_in_a_terminal_of_80_columns(commonwatt: Commonwatt, at: tuple[str, str]) -> None:
    commonwatt("registry", "apply", str(EXAMPLE), *at)
    for words in (("show",), ("show", "sonnenhang")):
        said = commonwatt("registry", *words, *at, columns=80).stdout
        assert "…" not in said
        assert "sonnenhang" in said
        assert max(map(len, said.splitlines())) <= 80


def test_a_change_is_a_version_of_its_own(commonwatt: Commonwatt, at: tuple[str, str], tmp_path: Path) -> None:
    commonwatt("registry", "apply", str(EXAMPLE), *at)
    changed = community(tmp_path, ("supplier_price = 0.2790", "supplier_price = 0.2990"))
    result = commonwatt("registry", "apply", changed, "--valid-from", "2031-01-01", *at)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("valid from 2031-01-01\n")
    versions: list[dict[str, Any]] = json.loads(commonwatt("registry", "show", "sonnenhang", "--json", *at).stdout)
    assert [version["valid_from"] for version in versions] == ["1970-01-01", "2031-01-01"]
    prices = [version["community"]["tariff"]["supplier_price"] for version in versions]
    assert [float(price) for price in prices] == [0.279, 0.299]

    earlier = commonwatt("registry", "apply", str(EXAMPLE), "--valid-from", "2030-01-01", *at)
    assert "2031-01-01; versions are dated in order, choose that day or a later one" in last_word(earlier)


def test_a_file_from_a_pipe_is_applied(commonwatt: Commonwatt, at: tuple[str, str]) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb") as pipe:
        pipe.write(EXAMPLE.read_bytes())
        pipe.close()
        result = commonwatt("registry", "apply", f"/dev/fd/{reading}", *at)
    assert result.exit_code == 0, result.output


def test_an_empty_registry_shows_nothing(commonwatt: Commonwatt, at: tuple[str, str]) -> None:
    assert commonwatt("registry", "show", "--json", *at).stdout == "[]\n"
    assert last_word(commonwatt("registry", "show", "demo", *at)) == "no community 'demo' is registered; known: none"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('timezone = "Europe/Vienna"', 'timezone = "Vienna"', "timezone: not an IANA time zone"),
        ('timezone = "Europe/Vienna"', 'time_zone = "Europe/Vienna"', "time_zone: unknown key"),
        ("supplier_price = 0.2790", 'supplier_price = "much"', "tariff.supplier_price: "),
        ("key = 0.15", "key = 0.16", "the homes' keys add up to 1.01; expected exactly 1"),
        ('role = "PV"', 'role = "SOLAR"', "homes[0].meters[1].role: "),
        ('homes = ["home-01"]', 'homes = ["home-99"]', "member 'member-01' names the unknown home 'home-99'"),
        ('id = "home-02-pv"', 'id = "home-01-pv"', "meter 'home-01-pv' occurs twice"),
        ('id = "sonnenhang"', "id = ", "not TOML: Invalid value (at line 11, column 6)"),
    ],
)
def test_a_bad_file_is_refused_with_the_line_or_the_key(
    commonwatt: Commonwatt, at: tuple[str, str], tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = community(tmp_path, (old, new))
    result = commonwatt("registry", "apply", path, *at)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{path}: " in result.stderr
    assert said in result.stderr
    assert commonwatt("registry", "show", "--json", *at).stdout == "[]\n"


def test_a_file_that_is_not_there_is_one_line(commonwatt: Commonwatt, at: tuple[str, str], tmp_path: Path) -> None:
    path = str(tmp_path / "absent.toml")
    assert last_word(commonwatt("registry", "apply", path, *at)).startswith(f"{path}: not readable: ")


@pytest.mark.parametrize("day", ["tomorrow", "2027-13-01", "01.01.2027"])
def test_a_day_that_is_none_is_one_line(commonwatt: Commonwatt, at: tuple[str, str], day: str) -> None:
    line = last_word(commonwatt("registry", "apply", str(EXAMPLE), "--valid-from", day, *at))
    assert line == f"valid from {day!r}; expected a day such as 2027-01-01"


def test_without_nats_it_gives_up_and_says_what_to_do(commonwatt: Commonwatt) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    line = last_word(commonwatt("registry", "show", "--nats-url", url), code=1)
    assert line == f"no NATS with JetStream at {url} within 2 s: start it, or name another with --nats-url"


# --- contract ---


def test_the_printed_schema_is_the_one_in_the_repository(commonwatt: Commonwatt) -> None:
    sdl = commonwatt("schema", "print").stdout
    assert sdl == print_sdl()
    assert sdl == (EXAMPLE.parents[1] / "schema" / "schema.graphql").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("$^", "", 0, "no changes\n"),
        ("(  homesTotal: Int!\n)", r"\1  gone: Watts!\n", 1, "breaking: "),
        ('\n *"""[^"]*"""\n  RISING\n', "\n", 0, "dangerous: "),
        ('\n *"""[^"]*"""\n  homesTotal: Int!\n', "\n", 0, "safe: "),
    ],
    ids=["the same", "a field taken away", "a value added", "a field added"],
)
def test_only_a_breaking_change_fails(
    commonwatt: Commonwatt, tmp_path: Path, old: str, new: str, code: int, said: str
) -> None:
    earlier = tmp_path / "earlier.graphql"
    text, changes = re.subn(old, new, print_sdl())
    assert changes == (old != "$^")
    earlier.write_text(text, "utf-8")
    result = commonwatt("schema", "check", "--against", str(earlier))
    assert result.exit_code == code, result.output
    assert [line for line in result.stdout.splitlines(keepends=True) if line.startswith(said)]


@pytest.mark.parametrize(("text", "said"), [("type {", "not an SDL: "), (None, "not readable: ")])
def test_an_earlier_schema_that_is_none_is_one_line(
    commonwatt: Commonwatt, tmp_path: Path, text: str | None, said: str
) -> None:
    earlier = tmp_path / "earlier.graphql"
    if text is not None:
        earlier.write_text(text, "utf-8")
    result = commonwatt("schema", "check", "--against", str(earlier))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"commonwatt: {earlier}: {said}")
