"""graphql-http's audits of GraphQL over HTTP, those that say SHOULD and MAY included."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
async def test_all_audits_of_graphql_over_http_pass(packages: Path, open_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "node",
        "audit.mjs",
        f"{open_url}/graphql",
        cwd=packages,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    results = [json.loads(line) for line in output.splitlines()]
    assert process.returncode == 0
    assert len(results) >= 60
    assert [result for result in results if result["status"] != "ok"] == []
