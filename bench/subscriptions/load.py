"""The load: wsload.c, compiled and told what to do, one command and one answer at a time."""

import json
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.subscriptions.prepare import HOMES
from bench.subscriptions.processes import Pinned, core_busy
from bus.messages import decode_frame, decode_home, encode

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1

_SOURCE: Final = Path(__file__).parent / "wsload.c"
_ERRORS: Final = ("bad", "foreign", "doubles", "reordered", "undelivered", "dead")
_FACE: Final = '{"netPower":0,"pvPower":0,"community":{"surplusPower":0},"selfSufficiency":0,"light":0}'


class LoadError(Exception):
    """Raised when the load could not be put on a server, or a server does not send what it should."""


def build(directory: Path) -> Path:
    """Compile wsload into `directory` and check its frames; raise LoadError if they are not the aggregator's."""
    wsload = directory / "wsload"
    try:
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", str(wsload), str(_SOURCE)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LoadError(f"wsload.c needs gcc ({error}); bench.subscriptions.small needs none") from None
    text = subprocess.run([str(wsload), "-e"], check=True, capture_output=True).stdout
    try:
        frame = decode_frame(text)
        same = encode(frame) == text and all(encode(decode_home(home)) == bytes(home) for home in frame.homes.values())
    except msgspec.DecodeError as error:
        raise LoadError(f"wsload's frame is none: {error}") from None
    if not same or len(frame.homes) != HOMES:
        raise LoadError("wsload's frames differ from what bus.messages.encode writes; bring write_home() up to date")
    return wsload


class Load(Pinned):
    """One wsload on its core. `homes` are watched and changed, `stalled` of the connections never read."""

    def __init__(
        self,
        wsload: Path,
        port: int,
        nats_port: int,
        *,
        connections: int = 1,
        homes: int = 1,
        gather_ms: float = 0,
        stalled: int = 0,
    ) -> None:
        options: Iterable[object] = (
            *("-p", port, "-N", nats_port, "-n", connections, "-H", homes, "-z", HOMES),
            *("-g", gather_ms, "-k", stalled),
        )
        command = [str(wsload), *map(str, options)]
        super().__init__(LOAD_CORE, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None)

    def do(self, command: str) -> dict[str, Any]:
        """Carry out a command and return its report; `errors` are all that must not happen."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(command, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise LoadError(f"wsload died before {command!r}") from None
        line = self.process.stdout.readline()
        if not line:
            raise LoadError(f"wsload died at {command!r}")
        answer: dict[str, Any] = json.loads(line)
        answer["errors"] = sum(answer[what] for what in _ERRORS)
        return answer

    def join(self) -> dict[str, Any]:
        """Connect all, wait for the first value of each and one change more, and check the form of a message."""
        up = self.do("connect")
        if up["bad"] or up["foreign"] or up["undelivered"] or up["dead"]:
            raise LoadError(f"not all subscriptions have a first value: {_faults(up)}")
        sync = self.do("sync")
        if sync["undelivered"] or sync["dead"]:
            raise LoadError(f"not all subscriptions are live: {_faults(sync)}")
        message = json.loads(up["sample"])
        face = message["payload"].pop("data").pop("home")
        blank = json.dumps(_without_values(face), separators=(",", ":"))
        if len(message.pop("id")) != 36 or message != {"type": "next", "payload": {}} or blank != _FACE:
            raise LoadError(f"unexpected message: {up['sample']}")
        return up

    def measured(self, command: str, server: Pinned) -> dict[str, Any]:
        """Carry out a command and add what it cost: CPU of the server, of both cores, and what the host took."""
        cpu, cores, began = (
            server.usage().cpu_s,
            [core_busy(core) for core in (SERVER_CORE, LOAD_CORE)],
            time.monotonic(),
        )
        result = self.do(command)
        wall = time.monotonic() - began
        cpu = server.usage().cpu_s - cpu
        after = [core_busy(core) for core in (SERVER_CORE, LOAD_CORE)]
        busy = [(now[0] - before[0]) / wall for now, before in zip(after, cores, strict=True)]
        stolen = sum(now[1] - before[1] for now, before in zip(after, cores, strict=True)) / wall
        return result | {
            "cpu": cpu,
            "wall": wall,
            "server_busy": cpu / wall,
            "core0_busy": busy[0],
            "core1_busy": busy[1],
            "stolen": stolen,
        }


def _faults(answer: dict[str, Any]) -> str:
    counts = ", ".join(f"{what} {answer[what]}" for what in ("live", *_ERRORS) if answer[what])
    return f"{counts}; {answer['trouble']}"


def _without_values(value: Any) -> Any:
    """Return an object with 0 for all that is none: its keys and their order."""
    return {key: _without_values(inner) for key, inner in value.items()} if isinstance(value, dict) else 0
