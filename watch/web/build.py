"""Build the page's script, its style and its service worker: `python watch/web/build.py`.

In go what is in src and the documents in watch/*.graphql; out come src/documents.js, watch.js (one small request
instead of thirty on a radio that pays for each), watch.css, and sw.js, which knows the shell's version. All four are in
git, so that nobody has to build to serve; a test holds that they are what their sources make. The bundler is the
esbuild that the build of GraphiQL has installed (`make setup`).
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).resolve().parent
SOURCES = WEB / "src"
BUNDLER = WEB.parents[1] / "server" / "web" / "node_modules" / "@esbuild"
SHELL = ("index.html", "watch.css", "watch.js", "manifest.webmanifest", "icon.svg")
_OPTIONS = ("--minify", "--target=es2022", "--charset=utf8", "--log-level=warning")


class BuildError(Exception):
    """Raised when the page cannot be built; the message is one line that says what to do."""


def bundler() -> Path:
    """Return esbuild; raise BuildError where it is not installed."""
    for path in sorted(BUNDLER.glob("*/bin/esbuild")):
        return path
    raise BuildError("esbuild is not installed: run `make setup` once")


def documents() -> str:
    """Return src/documents.js, which knows each operation's document: its id and its text."""
    known = {}
    for path in sorted(WEB.parent.glob("*.graphql")):
        text = path.read_text("utf-8").rstrip("\n")
        slim = re.sub(r"[\s,]+", " ", re.sub(r"#.*", "", text)).strip()
        slim = re.sub(r" ?([{}():=$!]) ?", r"\1", slim)  # commas and spaces say nothing to GraphQL
        for name in re.findall(r"^(?:query|subscription) (\w+)", text, re.MULTILINE):
            known[name] = [hashlib.sha256(text.encode()).hexdigest(), slim]
    head = "// Made by build.py of watch/*.graphql: by operation, the id of its document and its text.\n\n"
    return f"{head}export const DOCUMENTS = {json.dumps(known, indent=2)};\n"


def script() -> str:
    """Return watch.js, of src/main.js and what it imports; raise BuildError."""
    return _built("main.js", "--bundle", "--format=esm")


def style() -> str:
    """Return watch.css; raise BuildError."""
    return _built("watch.css")


def _built(name: str, *options: str) -> str:
    command = [str(bundler()), str(SOURCES / name), *options, *_OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)  # noqa: S603
    if done.returncode != 0 or done.stderr:
        raise BuildError(done.stderr.strip())
    return done.stdout


def worker(script: str) -> str:
    """Return sw.js for a shell with this script."""
    digest = hashlib.sha256(script.encode())
    for name in SHELL:
        if name != "watch.js":
            digest.update((WEB / name).read_bytes())
    source = re.sub(r"^ *//.*\n+", "", (SOURCES / "sw.js").read_text("utf-8"), flags=re.MULTILINE)
    return source.replace("VERSION", digest.hexdigest()[:12]).replace('"SHELL"', json.dumps(["./", *SHELL[1:]]))


def main() -> int:
    """Write all four; return the exit code."""
    try:
        (SOURCES / "documents.js").write_text(documents(), "utf-8")
        text, look = script(), style()
    except BuildError as error:
        sys.stderr.write(f"build.py: {error}\n")
        return 1
    (WEB / "watch.js").write_text(text, "utf-8")
    (WEB / "watch.css").write_text(look, "utf-8")
    (WEB / "sw.js").write_text(worker(text), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
