"""What the documents say is true: commands, links, settings, metrics, warnings, examples.

`python -m tests.test_documentation` writes the table of settings into the README.
"""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from graphql import build_schema, parse, validate
from prometheus_client import generate_latest
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import aggregator.metrics
import history.metrics
import meters.gateways.metrics
from bus.client import Bus
from bus.reading import parse as parse_reading
from commonwatt.limits import LimitSettings
from commonwatt.running import MISCONFIGURED, TAKEN_OVER
from commonwatt.settings import Settings
from tests.commonwatt.line import understand
from tests.server.served import serving
from tests.watch.stand import Stand

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"
BEGIN = "<!-- settings: `python -m tests.test_documentation` writes what is between these two lines -->\n"
END = "<!-- end of settings -->\n"
DEFAULTS = {"data_dir": "the user's data directory"}
FOLDERS = ("aggregator", "bus", "commonwatt", "history", "meters", "resolvers", "schema", "server", "watch")


def tracked() -> list[Path]:
    """Return the files of the repository."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def documents() -> list[Path]:
    """Return the documents."""
    return [path for path in tracked() if path.suffix == ".md"]


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def shell_lines() -> Iterator[tuple[Path, str]]:
    """Return each command line in the documents, without comments."""
    for path in documents():
        for block in blocks(path, "sh"):
            for line in block.splitlines():
                if line := re.sub(r"\s#.*", "", line).strip():
                    yield path, line


def commands_of(line: str) -> Iterator[list[str]]:
    """Return the words of each `commonwatt` command in a line."""
    for part in re.split(r"\s(?:&&|\||;|<|>)\s", line):
        found = re.search(r"(?:^|\s)(?:\.venv/bin/)?commonwatt((?:\s.*)?)$", part)
        if found:
            yield shlex.split(found[1])


def inline(text: str) -> list[str]:
    return re.findall(r"`((?:\.venv/bin/)?commonwatt [^`]+)`", text)


def table_rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the tables below a heading."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    lines = [line for line in section[1].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for index, row in enumerate(rows) if not set("".join(row)) <= {"-"} and not _is_head(rows, index)]


def _is_head(rows: list[list[str]], index: int) -> bool:
    return index + 1 < len(rows) and set("".join(rows[index + 1])) <= {"-"}


# --- settings ---


def settings_table() -> str:
    """Return the table of settings, from the settings themselves."""
    lines = ["| variable | default | what it is |", "|---|---|---|"]
    limits = LimitSettings.model_fields
    for name in [*(name for name in Settings.model_fields if name not in limits), *limits]:
        field = Settings.model_fields[name]
        lines.append(f"| `COMMONWATT_{name.upper()}` | {_default(name, field)} | {field.description} |")
    return "\n" + "\n".join(lines) + "\n\n"


def _default(name: str, field: FieldInfo) -> str:
    if name in DEFAULTS:
        return DEFAULTS[name]
    assert field.default is not PydanticUndefined
    if field.default is None:
        return ""
    if isinstance(field.default, bool | tuple):
        return f"`{json.dumps(field.default)}`"
    return f"`{field.default}`"


def test_the_readme_names_every_setting_with_its_default_and_what_it_is() -> None:
    text = README.read_text("utf-8")
    found = text.partition(BEGIN)[2].partition(END)[0]
    assert found == settings_table(), "to write it: python -m tests.test_documentation"


def test_every_variable_in_the_documents_is_known() -> None:
    known = {f"COMMONWATT_{name.upper()}" for name in Settings.model_fields}
    known |= {"COMMONWATT_CONFIG", "COMMONWATT_TOKEN"}
    named = {name for path in documents() for name in re.findall(r"COMMONWATT_[A-Z_]*[A-Z]", path.read_text("utf-8"))}
    assert named <= known


# --- commands ---


def test_every_command_in_the_documents_exists_with_its_options() -> None:
    found = [words for _, line in shell_lines() for words in commands_of(line)]
    found += [words for path in documents() for code in inline(path.read_text("utf-8")) for words in commands_of(code)]
    assert len(found) > 20
    for words in found:
        if words not in (["--help"], ["-h"]):
            understand(words)


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {
        name for path in documents() for name in re.findall(r"(?:`|^)make ([a-z]+)", path.read_text("utf-8"), re.M)
    }
    assert {"up", "setup", "test", "check"} - named <= {"setup"}
    assert named <= targets


def test_every_script_in_the_documents_takes_its_options() -> None:
    lines = {line for _, line in shell_lines() if "python examples/" in line}
    assert len(lines) >= 3
    for line in lines:
        _, script, *words = shlex.split(line.partition(" > ")[0])
        text = (ROOT / script).read_text("utf-8")
        assert not [word for word in words if word.startswith("--") and f'"{word}"' not in text]


def test_services_and_files_of_compose_lines_exist() -> None:
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    for _, line in shell_lines():
        for word in re.findall(r"docker compose (?:exec -T|--profile) (\w+)", line):
            assert re.search(rf"^  {word}:|profiles: \[{word}\]", compose, re.MULTILINE)


# --- links, examples ---


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_that_exist(path: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+://|#", target):
            assert (path.parent / target.partition("#")[0]).exists(), target


def test_graphql_in_the_documents_is_valid() -> None:
    schema = build_schema((ROOT / "schema" / "schema.graphql").read_text("utf-8"))
    found = [block for path in documents() for block in blocks(path, "graphql")]
    assert len(found) >= 2
    for block in found:
        assert validate(schema, parse(block)) == []


def test_the_reading_in_the_readme_is_one() -> None:
    (block,) = blocks(README, "json")
    reading = parse_reading(block.strip().encode())
    assert (reading.import_wh, reading.power_import_w) == (1_234_567, 420.0)


def test_the_python_in_the_readme_runs() -> None:
    (block,) = blocks(README, "python")
    stand = Stand()
    stand.token = "open-sesame"
    stand.start()
    try:
        script = block.replace("http://127.0.0.1:8000", stand.url).replace(
            "ws://127.0.0.1:8000", stand.url.replace("http", "ws")
        )
        assert stand.url.rpartition("/")[2] in script
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COMMONWATT_TOKEN": "open-sesame"},
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
        finally:
            process.kill()
            _, errors = process.communicate()
        assert errors == ""
        assert set(ast.literal_eval(line)) == {"netPower", "sharedPower", "light"}
    finally:
        stand.stop()


# --- operations ---


async def test_every_metric_of_all_processes_is_in_the_operations_page_and_no_other(bus: Bus) -> None:
    async with serving(bus) as url, httpx.AsyncClient(base_url=url) as http:
        server = (await http.get("/metrics")).text
    others = [module.Metrics().registry for module in (aggregator.metrics, history.metrics, meters.gateways.metrics)]
    exist = [_metrics(text) for text in (server, *(generate_latest(registry).decode() for registry in others))]
    text = OPERATIONS.read_text("utf-8")
    parts = re.split(
        r"^(?:The|A) \w+'s, on its metrics port[:;]",
        text.partition("## Metrics\n")[2].partition("\n## ")[0],
        flags=re.M,
    )
    named = [re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) for part in parts]
    assert [sorted(names) for names in named] == [sorted(names) for names in exist]


def _metrics(text: str) -> list[str]:
    names = re.findall(r"^# TYPE (commonwatt_\w+)", text, re.MULTILINE)
    return [name for name in names if not name.endswith("_created")]


def test_every_warning_is_explained_and_no_other() -> None:
    said = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                match node:
                    case ast.Call(
                        func=ast.Attribute(
                            value=ast.Name(id="log"), attr="warning" | "error" | "exception" | "critical"
                        ),
                        args=[ast.Constant(value=str(message)), *_],
                    ):
                        said.add(message)
    explained = [row[0] for row in table_rows(OPERATIONS.read_text("utf-8"), "Warnings and errors in the log")]
    assert sorted(explained) == sorted(said)


def test_every_exit_code_is_explained() -> None:
    rows = table_rows(OPERATIONS.read_text("utf-8"), "Exit codes")
    assert [int(row[0]) for row in rows] == [0, 1, MISCONFIGURED, TAKEN_OVER]


def test_decisions_are_numbered_without_a_gap() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:3]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text("utf-8")
        assert text.startswith(f"# {path.name[:3]} ")
        assert "**Question.**" in text
        assert "**Choice.**" in text


def test_the_changelog_has_a_place_for_what_comes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "\n## [Unreleased]\n" in text
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds


# --- what must not be there ---


HOSTS = r"py" r"pi\.org|python" r"hosted\.|npm" r"js\.(?:org|com)|registry\.[a-z]+\.(?:io|org|com)"
PLACES = rf"{re.escape(str(ROOT))}\b|(?<![\w.}}-])/(?:ho" r"me|Us" r"ers)/\w+/\w|/ro" r"ot/\.\w"


@pytest.mark.parametrize("pattern", [HOSTS, PLACES], ids=["a package registry", "a place on one machine"])
def test_no_file_names(pattern: str) -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in re.finditer(pattern, text)]
    assert not found


def main() -> None:
    """Write the table of settings into the README."""
    text = README.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    README.write_text(before + begin + settings_table() + end + after, "utf-8")


if __name__ == "__main__":
    main()
