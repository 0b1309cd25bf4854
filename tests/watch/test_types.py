"""A field that a screen does not have fails the type check, not the script at night."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
from watch.client import Watch


async def follow(url: str) -> None:
    async with Watch(url) as watch:
        async for glance in watch.glance("demo.home-01"):
            print(glance.light, glance.surplus_w + 1, glance.share_w or 0, glance.quality, glance.measured_at)
        async for today in watch.community_today("demo"):
            print(today.imported_wh, today.saved, today.currency)
"""
WRONG = {
    "glance.surplus_w": ("glance.netPower", '"HomeGlance" has no attribute "netPower"'),
    "glance.share_w or 0": ("glance.share_w + 1", 'Unsupported operand types for + ("None" and "int")'),
    "today.currency": ("today.quality", '"CommunityToday" has no attribute "quality"'),
}


def checked(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / f"script_{len(list(folder.glob('*.py')))}.py"  # one that changes within a second looks unchanged
    file.write_text(script)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        "/dev/null",
        "--cache-dir",
        str(folder),
        str(file),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


@pytest.mark.slow
def test_a_wrong_field_fails_the_type_check(tmp_path: Path) -> None:
    right = checked(SCRIPT, tmp_path)
    assert right.returncode == 0, right.stdout
    for field, (wrong, said) in WRONG.items():
        assert field in SCRIPT
        result = checked(SCRIPT.replace(field, wrong), tmp_path)
        assert result.returncode == 1
        assert said in result.stdout
