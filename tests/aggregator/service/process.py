"""Aggregators as processes of their own, to be killed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from bus.broker import free_port

T = TypeVar("T")

_ROOT: Final = Path(__file__).resolve().parents[3]


async def eventually(ask: Callable[[], Awaitable[T]], what: str, timeout_s: float = 20.0) -> T:
    """Ask until the answer is true; return it. Fails after `timeout_s`, naming what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not (answer := await ask()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}; last answer: {answer!r}"
        await asyncio.sleep(0.02)
    return answer


class AggregatorProcess:
    """`commonwatt aggregate`, or a script of the tests in its place."""

    def __init__(self, url: str, log: Path, *arguments: str, script: str | None = None, **environment: str) -> None:
        self.metrics_port = free_port()
        self._log = log
        command = ["-m", script] if script else ["-m", "commonwatt", "aggregate", f"--metrics-port={self.metrics_port}"]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *command, "--nats-url", url, "--log-format", "text", *arguments],
                cwd=_ROOT,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    @property
    def log(self) -> str:
        """What it has said so far, with what others that write to the same file said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        """End it and return its exit code."""
        self._process.send_signal(how)
        return self._process.wait(10)

    async def end(self, timeout_s: float = 20.0) -> int:
        """Wait until it ends by itself and return its exit code."""

        async def over() -> bool:
            return self.code is not None

        await eventually(over, f"the end of the aggregator, which says:\n{self.log}", timeout_s)
        assert self.code is not None
        return self.code

    async def ready(self) -> None:
        """Wait until it says that it is ready."""

        async def said() -> bool:
            assert self.code is None, self.log
            return "aggregator ready" in self.log

        await eventually(said, "an aggregator that is ready")

    def metric(self, line: str) -> float:
        """Return the value of a metric, named as Prometheus's text names it; 0 where it is absent."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            for found in answer.read().decode().splitlines():
                name, _, value = found.rpartition(" ")
                if name == line:
                    return float(value)
        return 0.0
