"""The GraphiQL page: what its lock pins, what the build leaves in server/static/graphiql, how the build fails."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate

from server.web import build

PUBLIC = "/static/graphiql/"
OPERATIONS = sorted((build.WEB / "src" / "operations").glob("*.graphql"))
SDL = build.ROOT / "schema" / "schema.graphql"


class Page(HTMLParser):
    """What a page names and carries."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.inline = ""
        self._in_code = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_code = tag in ("script", "style")
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data"):
                self.addresses.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)

    def handle_endtag(self, tag: str) -> None:
        self._in_code = False

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.inline += data.strip()


def lock() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((build.WEB / "package-lock.json").read_text("utf-8"))
    return content


@pytest.fixture(scope="module")
def built() -> Path:
    if not build.is_current(build.OUTPUT, build.WEB):
        reason = "GraphiQL is not built from these sources: run `make setup`"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return build.OUTPUT


@pytest.fixture(scope="module")
def page(built: Path) -> Page:
    return Page((built / "index.html").read_text("utf-8"))


# --- the lock


def test_the_lock_records_no_download_address() -> None:
    text = (build.WEB / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in text
    assert "://" not in text  # `npm run lock` leaves out the funding links too


def test_every_locked_package_has_an_integrity_hash() -> None:
    packages = {name: entry for name, entry in lock()["packages"].items() if name}
    assert packages
    assert [name for name, entry in packages.items() if not entry.get("integrity", "").startswith("sha512-")] == []


def test_every_package_is_asked_for_in_one_exact_version_that_the_lock_holds() -> None:
    package = json.loads((build.WEB / "package.json").read_text("utf-8"))
    locked = lock()["packages"]
    for name, version in (package["dependencies"] | package["devDependencies"]).items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), f"{name} {version}"
        assert locked[f"node_modules/{name}"]["version"] == version


def test_one_copy_of_what_must_be_single_is_locked() -> None:
    names = [name.rpartition("node_modules/")[2] for name in lock()["packages"]]
    for single in ("graphql", "react", "react-dom", "monaco-editor", "@graphiql/react"):
        assert names.count(single) == 1, single


# --- the example operations


@pytest.mark.parametrize("path", OPERATIONS, ids=lambda path: path.stem)
def test_an_example_is_one_named_operation_that_the_page_preloads(path: Path) -> None:
    (operation,) = parse(path.read_text("utf-8")).definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert operation.name is not None  # the tab's title
    assert f'"./operations/{path.name}"' in (build.WEB / "src" / "examples.js").read_text("utf-8")


@pytest.mark.parametrize("path", OPERATIONS, ids=lambda path: path.stem)
def test_an_example_is_valid_for_the_schema(path: Path) -> None:
    if not SDL.exists():
        pytest.skip("schema/schema.graphql is not there yet")
    assert validate(build_schema(SDL.read_text("utf-8")), parse(path.read_text("utf-8"))) == []


# --- the built page


def test_every_asset_that_the_page_names_exists(built: Path, page: Page) -> None:
    assert page.addresses
    for address in page.addresses:
        assert address.startswith(PUBLIC)
        assert (built / address.removeprefix(PUBLIC)).is_file()


def test_every_asset_that_a_script_or_sheet_names_exists(built: Path) -> None:
    for path in [*built.glob("*.js"), *built.glob("*.css")]:
        named = re.findall(rf'["(]{PUBLIC}([^"()]+)[")]', path.read_text("utf-8"))
        assert [name for name in named if not (built / name).is_file()] == [], path.name


def test_the_page_starts_three_workers_from_our_own_origin(built: Path) -> None:
    scripts = "".join(path.read_text("utf-8") for path in built.glob("*.js"))
    assert sorted(re.findall(rf'"{PUBLIC}(\w+)-worker-\w+\.js"', scripts)) == ["editor", "graphql", "json"]


def test_the_built_page_names_no_other_host(built: Path, page: Page) -> None:
    assert "//" not in (built / "index.html").read_text("utf-8")
    assert all(address.startswith("/") for address in page.addresses)


def test_nothing_is_loaded_from_another_host(built: Path) -> None:
    elsewhere = r"""\s*\(?\s*["'`]?\s*(?:https?:|wss?:)?//"""
    for path in built.glob("*.css"):
        sheet = path.read_text("utf-8")
        assert not re.search(rf"url{elsewhere}|@import", sheet), path.name
    # Links in documentation and XML namespaces are only text: what counts is what a host is handed to.
    loads = rf"\b(?:import|from|importScripts|fetch|new (?:Shared)?Worker|new WebSocket|new EventSource){elsewhere}"
    delivery = r"unpkg|jsdelivr|cdnjs|esm\.sh|skypack|googleapis|gstatic"
    for path in built.glob("*.js"):
        script = path.read_text("utf-8")
        assert not re.search(rf"{loads}|{delivery}", script), path.name


def test_the_page_obeys_a_policy_without_inline_code_and_eval(built: Path, page: Page) -> None:
    assert page.inline == ""
    assert page.handlers == []
    for path in built.glob("*.js"):
        assert not re.search(r"\beval\(|\bnew Function\(|[^.\w]Function\(", path.read_text("utf-8")), path.name


def test_the_build_is_small_and_has_no_source_maps(built: Path) -> None:
    files = [path for path in built.iterdir() if path.name not in ("licenses.txt", build.RECORD)]
    assert not any(path.suffix == ".map" for path in files)
    assert not any(b"sourceMappingURL" in path.read_bytes() for path in files if path.suffix in (".js", ".css"))
    assert sum(path.stat().st_size for path in files) < 8_000_000


def test_what_draws_the_charts_of_the_community_page_lies_beside_it(built: Path) -> None:
    script, sheet = built / "uplot.js", built / "uplot.css"
    assert re.search(r"export\{\w+ as default\}", script.read_text("utf-8"))
    assert script.stat().st_size < 60_000
    assert sheet.stat().st_size < 3_000


def test_the_licences_of_what_is_bundled_go_with_it(built: Path) -> None:
    notices = (built / "licenses.txt").read_text("utf-8")
    for name in ("graphiql", "graphql", "graphql-ws", "monaco-editor", "react", "uplot"):
        assert re.search(rf"^{name} \d+\.\d+\.\d+ \(MIT\)$", notices, re.MULTILINE), name


# --- the build itself


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """A folder of sources like server/web."""
    folder = tmp_path / "web"
    (folder / "src").mkdir(parents=True)
    for name in (".npmrc", "build.py", "bundle.mjs", "package.json", "package-lock.json", "src/page.jsx"):
        (folder / name).write_text(name, "utf-8")
    return folder


def finished(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, "utf-8")
    return folder


def test_a_published_build_is_current_until_a_source_changes(web: Path, tmp_path: Path) -> None:
    output = tmp_path / "static" / "graphiql"
    assert not build.is_current(output, web)
    build.publish(finished(tmp_path / "new", index_html="page", a_js="1"), output, build.fingerprint(web))
    assert build.is_current(output, web)
    (web / "src" / "added.css").write_text("", "utf-8")
    assert not build.is_current(output, web)
    (web / "src" / "added.css").unlink()
    (web / "src" / ".page.jsx.swp").write_text("an editor's own", "utf-8")
    assert build.is_current(output, web)


def test_a_build_that_lost_a_file_or_a_part_of_one_is_not_current(web: Path, tmp_path: Path) -> None:
    output = tmp_path / "graphiql"
    damages: tuple[Callable[[Path], object], ...] = (Path.unlink, lambda path: path.write_text("", "utf-8"))
    for damage in damages:
        build.publish(finished(tmp_path / "new", index_html="page", a_js="1"), output, build.fingerprint(web))
        (tmp_path / "new").rmdir()
        damage(output / "a.js")
        assert not build.is_current(output, web)


def test_a_damaged_record_means_not_current(web: Path, tmp_path: Path) -> None:
    output = tmp_path / "graphiql"
    build.publish(finished(tmp_path / "new", index_html="page"), output, build.fingerprint(web))
    for text in ("", "{", "[]", "null", "{}", '{"files": 1, "inputs": 2}'):
        (output / build.RECORD).write_text(text, "utf-8")
        assert not build.is_current(output, web), text


def test_publishing_replaces_the_page_after_its_assets_and_removes_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "graphiql"
    build.publish(finished(tmp_path / "old", index_html="old", old_js="", z_js=""), output, "1")
    moved: list[tuple[str, bool]] = []
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        moved.append((target.name, (output / "old.js").exists()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    build.publish(finished(tmp_path / "new", index_html="new", new_js="", z_js=""), output, "2")
    assert moved == [("new.js", True), ("z.js", True), ("index.html", True), (build.RECORD, True)]
    assert {path.name for path in output.iterdir()} == {"index.html", "new.js", "z.js", build.RECORD}


def test_without_npm_on_the_path_the_machine_offers_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.machine_node() is None


@pytest.mark.parametrize(("version", "good"), [("v20.1.0", True), ("v18.0.0", True), ("v16.20.2", False), ("?", False)])
def test_a_node_too_old_for_the_bundler_counts_as_none(
    version: str, good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!{sys.executable}\nprint({version!r})\n", "utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = build.machine_node()
    assert (found is not None) is good
    assert found is None or found.environment()["PATH"].startswith(f"{tmp_path}{os.pathsep}")


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (
            "npm error code EAI_AGAIN\nnpm error syscall getaddrinfo\nnpm error request to x failed\n",
            "no package registry answers; the first build needs the network",
        ),
        (
            "npm error code EINTEGRITY\nnpm error Integrity checksum failed when using sha512: wanted a\n",
            "Integrity checksum failed when using sha512: wanted a",
        ),
        (
            '✘ [ERROR] Could not resolve "x"\n\n    src/page.jsx:7:9:\n      7 │ import "x"\n',
            '✘ [ERROR] Could not resolve "x" (src/page.jsx:7:9)',
        ),
        (
            "Collecting x\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES\nmore\n",
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES",
        ),
        ("", "it printed nothing"),
    ],
)
def test_a_failure_is_told_in_one_line(printed: str, said: str) -> None:
    assert build.reason(printed) == said


def test_a_build_that_cannot_be_made_ends_with_one_line_and_code_2(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from server.web import build\n"
    script += "build.machine_node = lambda: None\n"
    script += f"build.OUTPUT = Path({str(tmp_path / 'graphiql')!r})\n"
    script += f"build.NODE_REQUIREMENTS = Path({str(tmp_path / 'absent.txt')!r})\n"
    script += "sys.exit(build.main())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=build.ROOT, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "absent.txt: No such file or directory" in done.stderr
