"""The supervisor: children kept running, ended in order, never left behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from commonwatt import supervisor as module
from commonwatt.supervisor import Child, ChildError, Supervisor
from tests.resolvers.frames import eventually

NOTE = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')"
STAY = f"{NOTE}; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STAY}"


def child(name: str, file: Path, code: str = STAY, *, last: bool = False, keeps: tuple[int, ...] = ()) -> Child:
    """Return a child that adds its number to a file when it has started."""
    return Child(name, [sys.executable, "-c", code, str(file)], last=last, keeps=keeps)


def pids(file: Path) -> list[int]:
    """Return the numbers of the processes that a child was, in order."""
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def runs(pid: int) -> bool:
    """Say whether a process is there; one that ended and waits to be collected is not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def opened(pid: int) -> list[str]:
    """Return the files that a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in the meantime
            found.append(os.readlink(entry))
    return found


@asynccontextmanager
async def supervised(children: Sequence[Child]) -> AsyncIterator[asyncio.Task[None]]:
    """Run children; on leaving, end them."""
    task = asyncio.create_task(Supervisor(children).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until_started(file: Path, times: int = 1) -> int:
    """Wait until a child has started so often; return the number of its latest process."""

    async def has_started() -> bool:
        return len(pids(file)) >= times

    await eventually(has_started)
    return pids(file)[-1]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF_S", (0.01, 0.02))


async def test_a_child_that_is_killed_is_started_again_and_the_log_says_how_it_ended(tmp_path: Path) -> None:
    file = tmp_path / "one"
    with capture_logs() as logs:
        async with supervised([child("one", file)]):
            os.kill(await until_started(file), signal.SIGKILL)
            await until_started(file, 2)
    (line,) = [line for line in logs if line["log_level"] == "warning"]
    assert line == {
        "event": "a process ended, starting it again",
        "log_level": "warning",
        "child": "one",
        "how": "SIGKILL",
        "in_s": 0.02,
    }


async def test_a_child_that_ends_by_itself_is_started_again_with_back_off(tmp_path: Path) -> None:
    file = tmp_path / "one"
    with capture_logs() as logs:
        async with supervised([child("one", file, f"{NOTE}; sys.exit(1)")]):
            await until_started(file, 3)
    said = [(line["how"], line["in_s"]) for line in logs if line["log_level"] == "warning"]
    assert said[:2] == [("exit code 1", 0.02), ("exit code 1", 0.02)]


async def test_a_child_that_held_long_is_started_again_without_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STEADY_S", 0.0)
    file = tmp_path / "one"
    with capture_logs() as logs:
        async with supervised([child("one", file, f"{NOTE}; sys.exit(0)")]):
            await until_started(file, 3)
    assert {line["in_s"] for line in logs if line["log_level"] == "warning"} == {0.01}


async def test_the_others_run_on_while_one_is_started_again(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    async with supervised([child("one", one), child("other", other)]):
        steady = await until_started(other)
        os.kill(await until_started(one), signal.SIGKILL)
        await until_started(one, 2)
        assert pids(other) == [steady]
        assert runs(steady)


async def test_a_child_that_is_misconfigured_ends_them_all(tmp_path: Path) -> None:
    steady = tmp_path / "steady"
    wait = f"import os, sys, time\nwhile not os.path.exists({str(steady)!r}): time.sleep(0.01)\nsys.exit(2)"
    async with supervised([child("steady", steady), child("wrong", tmp_path / "wrong", wait)]) as task:
        with pytest.raises(ExceptionGroup) as raised:
            await task
    assert raised.group_contains(ChildError, match="wrong cannot work as it is configured")
    assert not runs(pids(steady)[0])


async def test_a_program_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    async with supervised([Child("one", [missing])]) as task:
        with pytest.raises(ExceptionGroup) as raised:
            await task
    assert raised.group_contains(FileNotFoundError, match="missing")


async def test_cancelled_it_ends_its_children_and_the_last_one_last(tmp_path: Path) -> None:
    order = tmp_path / "order"
    stay = f"""
import os, signal, sys, time
name = sys.argv[1].rpartition("/")[2]
def end(*_):
    open({str(order)!r}, "a").write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1], "a").write(f"{{os.getpid()}}\\n")
while True:
    time.sleep(1)
"""
    files = {name: tmp_path / name for name in ("nats", "one", "two")}
    children = [child(name, file, stay, last=name == "nats") for name, file in files.items()]
    async with supervised(children):
        for file in files.values():
            await until_started(file)
    lines = order.read_text().split()
    assert sorted(lines) == ["nats", "one", "two"]
    assert lines[-1] == "nats"
    assert not any(runs(pids(file)[0]) for file in files.values())


async def test_a_child_that_does_not_end_when_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_END_S", 1.1)
    file = tmp_path / "one"
    with capture_logs() as logs:
        async with supervised([child("one", file, STUBBORN)]):
            pid = await until_started(file)
    assert not runs(pid)
    said = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert said == ["a process did not end in time, killing it"]


async def test_cancelled_while_it_waits_to_start_one_again_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BACKOFF_S", (600.0,))
    file = tmp_path / "one"
    async with supervised([child("one", file, f"{NOTE}; sys.exit(1)")]), asyncio.timeout(10):
        await until_started(file)


async def test_a_child_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "one"
    code = f"""
import asyncio
from commonwatt.supervisor import Child, Supervisor
asyncio.run(Supervisor([Child("one", [{sys.executable!r}, "-c", {STAY!r}, {str(file)!r}])]).run())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    pid = await until_started(file)
    process.kill()
    await process.wait()

    async def has_ended() -> bool:
        return not runs(pid)

    await eventually(has_ended)


async def test_descriptors_stay_open_only_in_the_child_that_keeps_them(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with (tmp_path / "lock").open("w") as lock:
        async with supervised([child("one", one, keeps=(lock.fileno(),)), child("other", other)]):
            holds = [str(tmp_path / "lock") in opened(await until_started(file)) for file in (one, other)]
    assert holds == [True, False]
