"""Published npm packages, installed once for each state of the lock."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.conftest import absent

HERE = Path(__file__).parent
_INSTALL_S = 100


def install(cache: Path) -> Path:
    """Return a folder below `cache` with the packages of the lock and this folder's scripts.

    Skips the test, or fails it in CI, where npm is absent or cannot install them.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        absent("there is no npm for the published clients")
    lock = (HERE / "package-lock.json").read_bytes() + (HERE / "package.json").read_bytes()
    folder = cache / hashlib.sha256(lock).hexdigest()[:16]
    if not folder.is_dir():
        fresh = cache / f"{folder.name}.{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / name, fresh)
        _run_npm(str(npm), fresh)
        try:
            fresh.rename(folder)  # at once: whoever else installs does not see half of it
        except OSError:
            shutil.rmtree(fresh)
    for script in HERE.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def _run_npm(npm: str, folder: Path) -> None:
    try:
        subprocess.run([npm, "ci"], cwd=folder, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.CalledProcessError as error:
        absent(f"npm could not install the published clients: {error.stderr}")
    except subprocess.TimeoutExpired:
        absent(f"npm did not install the published clients within {_INSTALL_S} s")
