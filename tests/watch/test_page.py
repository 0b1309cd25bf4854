"""The watch page as it is served: built from its sources, strict, small, and its own."""

import importlib.util
import json
import re
from types import ModuleType

import pytest

from tests.conftest import absent
from tests.watch.web_browser import ARGUMENTS, WEB

__all__ = ["ARGUMENTS"]

SHELL = [WEB / name for name in ("index.html", "watch.css", "watch.js", "sw.js", "manifest.webmanifest", "icon.svg")]
MARKUP = (WEB / "index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", WEB / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_the_style_and_the_worker_are_what_their_sources_make(build: ModuleType) -> None:
    advice = "run `python watch/web/build.py`, and commit what it writes"
    assert (WEB / "src" / "documents.js").read_text("utf-8") == build.documents(), advice
    assert (WEB / "sw.js").read_text("utf-8") == build.worker((WEB / "watch.js").read_text("utf-8")), advice
    try:
        script, style = build.script(), build.style()
    except build.BuildError as error:
        absent(str(error))
    assert (WEB / "watch.js").read_text("utf-8") == script, advice
    assert (WEB / "watch.css").read_text("utf-8") == style, advice


def test_the_worker_keeps_every_file_of_the_shell() -> None:
    kept = re.search(r"const FILES = (\[.*?\]);", (WEB / "sw.js").read_text("utf-8"))
    assert kept is not None
    assert set(json.loads(kept[1])) == {"./"} | {path.name for path in SHELL} - {"index.html", "sw.js"}


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", MARKUP) == []
    names = set(re.findall(r'(?:src|href)="([^"]*)"', MARKUP))
    assert names == {"watch.css", "watch.js", "icon.svg", "icon-192.png", "manifest.webmanifest"}
    assert all((WEB / name).is_file() for name in names)
    texts = {path.name: path.read_text("utf-8") for path in SHELL}
    addresses = {name: re.findall(r"\w+://[\w.]+", text) for name, text in texts.items()}
    assert {name: found for name, found in addresses.items() if found} == {
        "watch.js": ["http://www.w3.org"],  # the namespace of SVG
        "icon.svg": ["http://www.w3.org"],
    }


def test_server_texts_can_only_become_text() -> None:
    sources = "".join(path.read_text("utf-8") for path in (WEB / "src").glob("*.js"))
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", sources) == []


def test_every_id_that_the_script_names_exists_once() -> None:
    ids = re.findall(r'\bid="([^"]+)"', MARKUP)
    assert len(ids) == len(set(ids))
    sources = "".join(path.read_text("utf-8") for path in (WEB / "src").glob("*.js"))
    assert set(re.findall(r'(?:this|page)\.at\("([^"]+)"\)', sources)) <= set(ids)


def test_the_manifest_makes_it_installable() -> None:
    manifest = json.loads((WEB / "manifest.webmanifest").read_text("utf-8"))
    assert manifest["name"]
    assert manifest["start_url"] == manifest["scope"] == "./"
    assert manifest["display"] in ("fullscreen", "standalone")
    assert {"any", "maskable"} <= {icon.get("purpose", "any") for icon in manifest["icons"]}
    assert all((WEB / icon["src"]).is_file() for icon in manifest["icons"])


def test_every_module_is_small() -> None:
    lines = {path.name: len(path.read_text("utf-8").splitlines()) for path in (WEB / "src").glob("*.js")}
    assert {name: count for name, count in lines.items() if count > 350} == {}
