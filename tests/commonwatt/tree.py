"""`commonwatt up` as a process tree of the tests' own: started, looked at from outside, ended."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

from tests.resolvers.frames import eventually
from tests.server.served import Changes

HEADER = re.compile(r"^(GraphiQL|Watch|NATS|MQTT)\s+(\S+)", re.MULTILINE)
CHILDREN = ("nats-server", "aggregate", "serve", "history", "simulate")
SURPLUS = 'subscription { community(id: "demo") { surplusPower measuredAt } }'


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told from a later one with the same number by the time of its start."""

    pid: int
    started: int

    def runs(self) -> bool:
        """Say whether it is still there; one that ended and waits to be collected is not."""
        return any(self == found for _, found in _table())


def _table() -> list[tuple[int, Process]]:
    """Return all running processes with their parents' numbers, from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] not in "ZX":
            found.append((int(fields[1]), Process(int(entry.name), int(fields[19]))))
    return found


def environment(**changes: str) -> dict[str, str]:
    """Return the environment without settings of Commonwatt, and with `changes`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMMONWATT_")}
    return kept | {"COLUMNS": "200"} | changes


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "commonwatt", *words]


def refused(words: Sequence[str], **changes: str) -> str:
    """Return the one line with which a command ends that cannot work as it is configured."""
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=30, env=environment(**changes))
    return last_word(done)


def last_word(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a command left with exit code 2."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("commonwatt: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("commonwatt: ").removesuffix("\n")


class Tree:
    """One `commonwatt up` on free ports, whose output goes into files beside its data directory."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self.began = time.monotonic()
        self._out = data_dir.with_name(f"{data_dir.name}-{time.monotonic_ns()}.out")
        self._log = self._out.with_suffix(".log")
        ports = ("--port", "0", "--nats-port", "0", "--mqtt-port", "0")
        words = ("up", *ports, "--rate", "1", "--data-dir", str(data_dir), *options)
        with self._out.open("wb") as out, self._log.open("wb") as log:
            self._popen = subprocess.Popen(
                command(*words), stdout=out, stderr=log, env=environment(), start_new_session=True
            )
        self._known: set[Process] = set()

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        return self._log.read_text("utf-8")

    @property
    def url(self) -> str:
        """The server's address."""
        return self._addresses()["GraphiQL"].partition("/graphql")[0]

    @property
    def operator(self) -> str:
        """The operator's token, as the link to GraphiQL carries it."""
        return self._addresses()["GraphiQL"].partition("#token=")[2]

    @property
    def watch(self) -> str:
        """The link to the watch."""
        return self._addresses()["Watch"]

    @property
    def out(self) -> str:
        """What it has written to stdout so far."""
        return self._out.read_text("utf-8")

    @property
    def nats_url(self) -> str:
        """The address of its NATS."""
        return self._addresses()["NATS"]

    @property
    def mqtt_url(self) -> str:
        """The address of its NATS for devices that speak MQTT."""
        return self._addresses()["MQTT"]

    @property
    def pid(self) -> int:
        """The number of the supervisor."""
        return self._popen.pid

    @property
    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._popen.poll()

    def _addresses(self) -> dict[str, str]:
        return dict(HEADER.findall(self.out))

    def children(self) -> dict[str, Process]:
        """Return its child processes by what they are."""
        found = {}
        for parent, process in _table():
            if parent != self._popen.pid:
                continue
            try:
                words = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            name = words[words.index("commonwatt") + 1] if "commonwatt" in words else Path(words[0]).name
            if name in CHILDREN:  # and not what has yet to become one
                found[name] = process
        self._known |= set(found.values())
        return found

    async def up(self) -> None:
        """Wait until it says where everything is."""

        async def says_so() -> bool:
            assert self.ended is None, self.log
            return set(self._addresses()) == {"GraphiQL", "Watch", "NATS", "MQTT"}

        await eventually(says_so, timeout=60)

    async def ask(self, query: str) -> dict[str, Any]:
        """Return the answer to the operator's query, errors included."""
        headers = {"Authorization": f"Bearer {self.operator}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers) as http:
            response = await http.post("/graphql", json={"query": query})
        answer: dict[str, Any] = response.json()
        return answer

    @asynccontextmanager
    async def subscribed(self, document: str) -> AsyncIterator[Changes]:
        """Subscribe as the operator; the value is the stream of data."""
        transport = WebsocketsTransport(
            self.url.replace("http", "ws") + "/graphql",
            subprotocols=["graphql-transport-ws"],
            init_payload={"authorization": f"Bearer {self.operator}"},
        )
        async with Client(transport=transport) as session:
            stream = session.subscribe(gql(document))
            try:
                yield stream
            finally:
                await stream.aclose()

    async def data(self) -> dict[str, Any]:
        """Wait for the first data in a query and return it."""
        await self.up()
        found: dict[str, Any] = {}

        async def is_live() -> bool:
            answer = await self.ask('{ home(id: "demo.home-01") { live { load quality measuredAt } } }')
            home = (answer.get("data") or {}).get("home") or {}
            found.update(home.get("live") or {})
            return found.get("measuredAt") is not None

        await eventually(is_live, timeout=60)
        return found

    async def replaced(self, name: str, before: Process) -> None:
        """Wait until another child does the work of one that died."""

        async def is_other() -> bool:
            return self.children().get(name, before) != before

        await eventually(is_other, timeout=30)

    async def gone(self, processes: Sequence[Process]) -> None:
        """Wait until none of the processes runs."""

        async def are_gone() -> bool:
            return not any(process.runs() for process in processes)

        await eventually(are_gone, timeout=15)

    def signal(self, how: signal.Signals) -> None:
        """Send it a signal, and to its children none, as a terminal would in a session of its own."""
        self._popen.send_signal(how)

    async def exit_code(self) -> int:
        """Wait until it has ended and return how."""

        async def has_ended() -> bool:
            return self.ended is not None

        await eventually(has_ended, timeout=30)
        return self._popen.wait()

    def remove(self) -> None:
        """Kill whatever is left of it."""
        self.children()
        self._popen.kill()
        self._popen.wait()
        for process in self._known:
            if process.runs():
                os.kill(process.pid, signal.SIGKILL)
