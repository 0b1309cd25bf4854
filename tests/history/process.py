"""Histories as processes of their own, to be killed."""

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Final

from bus.broker import free_port

_ROOT: Final = Path(__file__).resolve().parents[2]


class HistoryProcess:
    """`commonwatt history`, or a script of the tests in its place."""

    def __init__(self, url: str, file: Path, log: Path, *, script: str = "commonwatt") -> None:
        self.metrics_port = free_port()
        self._log = log
        words = ["history", "--nats-url", url, "--file", str(file), "--metrics-port", str(self.metrics_port)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", script, *words, "--log-format", "text"],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """What it has said so far, with what others that write to the same file said."""
        return self._log.read_text("utf-8", errors="replace")

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def end(self, how: signal.Signals) -> int:
        """End it and return its exit code."""
        self._process.send_signal(how)
        return self._process.wait(10)

    @property
    def position(self) -> int:
        """The sequence up to which the stream is stored; 0 while it does not tell."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0
        return next(
            (int(float(line.split()[1])) for line in lines if line.startswith("commonwatt_history_position")), 0
        )
