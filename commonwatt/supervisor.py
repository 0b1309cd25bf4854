"""The supervisor: starts child processes, starts again what dies, ends them all in time.

Children get their own process groups, so that a Ctrl-C reaches them through the supervisor only,
in the right order; on Linux the kernel ends them, too, should the supervisor itself be killed.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from bus.errors import ConfigurationError

log = structlog.get_logger(__name__)

_BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_S: Final = 60.0
_END_S: Final = 4.0
_MISCONFIGURED: Final = 2


class ChildError(ConfigurationError):
    """Raised when a child cannot work as it is configured; it said why itself."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running: what it is called, its command, and what its environment has beside ours.

    `last`: ended after the others.
    """

    name: str
    command: Sequence[str]
    last: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    keeps: tuple[int, ...] = ()
    """File descriptors that stay open in it."""


class Supervisor:
    """Keeps children running until cancelled; then they have `end_s` to end."""

    def __init__(self, children: Sequence[Child], *, end_s: float = _END_S) -> None:
        self._children = children
        self._end_s = end_s
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._ending = False
        self._pid = os.getpid()

    async def run(self) -> None:
        """Run all children until cancelled, then end them. Raises ChildError."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for child in self._children:
                    tasks.create_task(self._keep_running(child))
        finally:
            self._ending = True
            await asyncio.shield(self._end_all())

    async def _keep_running(self, child: Child) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **child.environment},
                pass_fds=child.keeps,
                preexec_fn=self._die_with_parent,
            )
            self._processes[child.name] = process
            log.debug("started", child=child.name, pid=process.pid)
            code = await process.wait()
            if self._ending:
                return
            if code == _MISCONFIGURED:
                raise ChildError(f"{child.name} cannot work as it is configured")
            failures = 0 if time.monotonic() - started > _STEADY_S else failures + 1
            wait_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
            log.warning("a process ended, starting it again", child=child.name, how=_how(code), in_s=wait_s)
            await asyncio.sleep(wait_s)

    async def _end_all(self) -> None:
        """Ask the children to end, those marked `last` after the others; kill what does not in time."""
        deadline = time.monotonic() + self._end_s
        for last in (False, True):
            chosen = [self._processes[c.name] for c in self._children if c.last == last and c.name in self._processes]
            running = [process for process in chosen if process.returncode is None]
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            left = max(0.3, deadline - time.monotonic() - (0.0 if last else 1.0))
            waiting = [asyncio.ensure_future(process.wait()) for process in running]
            if waiting:
                await asyncio.wait(waiting, timeout=left)
            for process in running:
                if process.returncode is None:
                    log.warning("a process did not end in time, killing it", pid=process.pid)
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
            if waiting:
                await asyncio.wait(waiting, timeout=1.0)

    def _die_with_parent(self) -> None:
        """Ask Linux to end this process, a child, when the supervisor ends, however that came."""
        if sys.platform == "linux":
            pr_set_pdeathsig = 1
            ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGTERM)
            if os.getppid() != self._pid:  # it ended before it could be asked
                os._exit(1)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
