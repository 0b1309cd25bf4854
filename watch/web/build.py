"""Build the page's script and its service worker: `python watch/web/build.py`, standard library only.

In go the modules in src and the documents in watch/*.graphql; out come watch.js, one request instead of twenty on a
radio that pays for each, and sw.js, which knows the shell's version. Both are in git, so that nobody has to build to
serve; a test holds that they are what their sources make. Modules share one scope in watch.js: a name is declared
once in all of them.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

WEB = Path(__file__).resolve().parent
SOURCES = WEB / "src"
SHELL = ("index.html", "watch.css", "watch.js", "manifest.webmanifest", "icon.svg")
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w[\w-]*)\.js";\n', re.MULTILINE)
_DECLARED = re.compile(
    r"^(?:export )?(?:async )?(?:const|let|class|function\*?) (\w+|\{[^}]*\}|\[[^\]]*\])", re.MULTILINE
)


class BuildError(Exception):
    """Raised when the modules cannot be joined; the message names the module."""


def script() -> str:
    """Return watch.js."""
    seen: dict[str, str] = {}
    parts = [_bare(text) for text in _modules("main", seen)]
    return "".join(parts)


def worker(script: str) -> str:
    """Return sw.js for a shell with this script."""
    digest = hashlib.sha256(script.encode())
    for name in SHELL:
        if name != "watch.js":
            digest.update((WEB / name).read_bytes())
    source = _bare((SOURCES / "sw.js").read_text("utf-8"))
    return source.replace("VERSION", digest.hexdigest()[:12]).replace('"SHELL"', json.dumps(["./", *SHELL[1:]]))


def documents() -> str:
    """Return the module that knows each operation's document: its id and its text."""
    known = {}
    for path in sorted(WEB.parent.glob("*.graphql")):
        text = path.read_text("utf-8").rstrip("\n")
        slim = re.sub(r"\s+", " ", re.sub(r"#.*", "", text)).strip()
        for name in re.findall(r"^(?:query|subscription) (\w+)", text, re.MULTILINE):
            known[name] = [hashlib.sha256(text.encode()).hexdigest(), slim]
    return f"export const DOCUMENTS = {json.dumps(known, indent=1)};\n"


def _modules(name: str, seen: dict[str, str]) -> Iterator[str]:
    """Yield the text of a module without its imports, after those of the modules that it imports."""
    if name in seen:
        return
    seen[name] = name
    text = documents() if name == "documents" else (SOURCES / f"{name}.js").read_text("utf-8")
    for _, below in _IMPORT.findall(text):
        yield from _modules(below, seen)
    for declared in _DECLARED.findall(text):
        for one in re.findall(r"\w+", declared):
            if (other := seen.setdefault(f" {one}", name)) != name:
                raise BuildError(f"{name}.js and {other}.js both declare {one}")
    yield _IMPORT.sub("", text)


def _bare(text: str) -> str:
    """Return a module without exports, comments that have lines of their own, and indentation."""
    text = re.sub(r"^export (?:default )?", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*/\*\*.*?\*/\n", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))


def main() -> int:
    """Write both files; return the exit code."""
    try:
        text = script()
    except BuildError as error:
        sys.stderr.write(f"build.py: {error}\n")
        return 1
    (WEB / "watch.js").write_text(text, "utf-8")
    (WEB / "sw.js").write_text(worker(text), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
