"""Processes of a benchmark: pinned to a core, measured through /proc (Linux), ended with their block."""

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

_TICK: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """What a process and its children have used: CPU seconds (user and system), resident bytes now."""

    cpu_s: float
    rss: int


class Pinned:
    """A process in a session of its own, on one core (None: on any); its output goes to `log`."""

    def __init__(self, core: int | None, command: list[str], *, log: Path | None = None, **options: Any) -> None:
        pin = [] if core is None else ["taskset", "-c", str(core)]
        with (log or Path(os.devnull)).open("ab") as output:
            output_options = {"stdout": output, "stderr": output} | options
            self.process: subprocess.Popen[str] = subprocess.Popen(
                [*pin, *command], start_new_session=True, text=True, **output_options
            )

    @property
    def pid(self) -> int:
        """The process, taskset having become it."""
        return self.process.pid

    @property
    def ended(self) -> bool:
        """True once it has ended."""
        return self.process.poll() is not None

    def usage(self) -> Usage:
        """Return what it and its children, those that have ended too, have used."""
        rows = [row for pid in _family(self.pid) if (row := _stat(pid))]
        return Usage(
            sum(int(ticks) for row in rows for ticks in row[11:15]) / _TICK, sum(int(row[21]) for row in rows) * _PAGE
        )

    def stop(self) -> None:
        """End it and what it started: asked first, killed after 10 s."""
        if not self.ended:
            os.killpg(self.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()


def core_busy(core: int) -> tuple[float, float]:
    """Return the seconds since boot that a core was busy, and that the host took from it."""
    lines = Path("/proc/stat").read_text().splitlines()
    fields = next(line for line in lines if line.startswith(f"cpu{core} ")).split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq) / _TICK, steal / _TICK


def unsent(port: int) -> list[int]:
    """Return the bytes that wait in the kernel on each connection of a local port where its peer takes none."""
    waiting = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, queues = line.split()[1], line.split()[4]
        if int(local.partition(":")[2], 16) == port and (bytes_ := int(queues.partition(":")[0], 16)):
            waiting.append(bytes_)
    return waiting


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the state on; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _family(root: int) -> list[int]:
    parents = {int(name): int(row[1]) for name in os.listdir("/proc") if name.isdigit() and (row := _stat(int(name)))}
    family = [root]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family
