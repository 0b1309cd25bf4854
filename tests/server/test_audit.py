"""graphql-http's audits of GraphQL over HTTP, those that say SHOULD and MAY included."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import absent

AUDIT = Path(__file__).parent / "audit"


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the audits installed."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        absent("there is no npm for graphql-http's audits")
    folder = tmp_path_factory.mktemp("audit")
    for name in ("package.json", "package-lock.json", ".npmrc", "audit.mjs"):
        shutil.copy(AUDIT / name, folder)
    try:
        subprocess.run([str(npm), "ci"], cwd=folder, check=True, capture_output=True, text=True, timeout=100)
    except subprocess.CalledProcessError as error:
        absent(f"npm could not install graphql-http's audits: {error.stderr}")
    except subprocess.TimeoutExpired:
        absent("npm did not install graphql-http's audits within 100 s")
    return folder


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (AUDIT / "package-lock.json").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_all_audits_of_graphql_over_http_pass(audit: Path, url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "node",
        "audit.mjs",
        f"{url}/graphql",
        cwd=audit,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    results = [json.loads(line) for line in output.splitlines()]
    assert process.returncode == 0
    assert len(results) >= 60
    assert [result for result in results if result["status"] != "ok"] == []
