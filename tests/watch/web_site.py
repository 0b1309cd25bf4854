"""A real deployment for the web watch: nats-server and `commonwatt serve` as processes, with sign-in on.

Frames go in by `show`; the server can be killed and started again on its port.
"""

import asyncio
import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bus.broker import free_port
from bus.client import Bus, connection_of
from bus.community import Member
from bus.messages import Today
from bus.revocations import Revocations
from bus.settings import NatsSettings
from bus.streams import Retention, ensure_streams
from commonwatt.signing import KEY_FILE
from resolvers.access import Role
from server.keys import ensure_signing_key
from server.pairing import DEVICE
from server.tokens import Tokens
from tests.commonwatt.tree import command, environment
from tests.conftest import NatsServer
from tests.resolvers.frames import Publisher, community, home_state, register
from tests.server.people import Clock

HOME = "demo.home-1"
START_S = 30.0
PLACES = community(
    "demo", homes=tuple(f"home-{i}" for i in range(1, 6)), members=(Member(id="ada", homes=("home-1",)),)
)


def a_day(**changes: Any) -> Today:
    """Return what home-1 did today: drew 4.2 kWh, 1.8 of it from others, and saved 0.84 EUR."""
    fields: dict[str, Any] = {
        "import_wh": 4200,
        "export_wh": 0,
        "produced_wh": 0,
        "consumed_wh": 4200,
        "shared_wh": 1800,
        "saved": "84",
        "currency": "EUR",
        "since": time.time_ns() // 1_000_000,
    }
    return Today(**(fields | changes))


class Site:
    """One community, `demo` of home-1 to home-5, and a server for it."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self._folder = folder
        self._nats = NatsServer(folder / "nats")
        self._port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._bus: Bus | None = None
        self._publisher: Publisher | None = None
        key = ensure_signing_key(folder / KEY_FILE)
        self._tokens = Tokens(key, Revocations(now_ms=self.clock), now_ms=self.clock)

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self._port}"

    def token(self, subject: str = "home:home-1", *, role: Role = "member", ttl_s: int = 3600) -> str:
        """Return a token."""
        return self._tokens.issue(subject=subject, role=role, community="demo", ttl_s=ttl_s)

    def link(self, fragment: str = "", *, home: str = HOME) -> str:
        """Return the link that signs a home in."""
        return f"{self.url}/watch/#home={home}&token={self.token()}{fragment}"

    def show(self, light: str = "GREEN", *, today: Today | None = None, age_s: float = 0, **state: Any) -> None:
        """Publish a frame: of the community, and of home-1 by what begins with `home_`."""
        at = time.time_ns() // 1_000_000 - int(age_s * 1000)
        home = {name.removeprefix("home_"): value for name, value in state.items() if name.startswith("home_")}
        rest = {name: value for name, value in state.items() if not name.startswith("home_")}
        fields: dict[str, Any] = {"light": light, "measured_at": at, "today": today, "shared_power_w": 320.0}
        figures: dict[str, Any] = {"light": light, "measured_at": at, "surplus_power_w": 1240.0, "trend": "RISING"}
        assert self._publisher is not None
        self.run(self._publisher.publish(home_state("home-1", **(fields | home)), **(figures | rest)))

    def start(self) -> None:
        """Start the server, and wait until it is ready."""
        words = ("serve", "--port", str(self._port), "--nats-url", self._nats.url, "--data-dir", str(self._folder))
        with (self._folder / "serve.log").open("ab") as log:
            self._server = subprocess.Popen(
                command(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment()
            )
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            assert time.monotonic() < deadline, (self._folder / "serve.log").read_text("utf-8")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the server, as a machine that loses power does."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(10)
            self._server = None

    def pause(self) -> None:
        """Stop the server where it stands: it answers nothing, and its connections stay open."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server go on."""
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def ask(self, token: str, operation: str, /, **variables: Any) -> dict[str, Any]:
        """Return the data of an operation of the page /device, which a server trusts."""
        document = (DEVICE / "device.graphql").read_text("utf-8")
        body = {"query": document, "operationName": operation, "variables": variables}
        response = httpx.post(f"{self.url}/graphql", json=body, headers={"Authorization": f"Bearer {token}"})
        answer: dict[str, Any] = response.json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    @contextmanager
    def counted(self) -> Iterator["Wire"]:
        """Have another address for the server, at which all bytes are counted."""
        wire = Wire(self._port)
        self.run(wire.open())
        try:
            yield wire
        finally:
            self.run(wire.close())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something with the bus, in its loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)

    def open(self) -> None:
        """Start all of it."""
        self._nats.start()
        self._thread.start()
        self.run(self._connect())
        self.start()

    def close(self) -> None:
        """End all of it."""
        self.kill()
        if self._bus is not None:
            self.run(self._bus.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._nats.remove()

    async def _connect(self) -> None:
        self._bus = await Bus.connect(NatsSettings(url=self._nats.url), name="test", patience_s=10)
        await ensure_streams(connection_of(self._bus).jetstream(), Retention())
        await register(self._bus, PLACES)
        self._publisher = Publisher(self._bus)
        await self._publisher.publish(home_state("home-1", measured_at=time.time_ns() // 1_000_000))

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ready").status_code == 200
        except httpx.TransportError:
            return False


class Wire:
    """A TCP proxy in front of a server that counts what the server sends."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self.url = ""
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """End, with all connections."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for source, sink, count in ((reader, far_writer, False), (far_reader, writer, True)):
            task = asyncio.create_task(self._pump(source, sink, count=count))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool) -> None:
        with contextlib.suppress(ConnectionError):
            try:
                while data := await reader.read(65536):
                    self.bytes += len(data) * count
                    writer.write(data)
                    await writer.drain()
            finally:
                writer.close()


@contextmanager
def deployed(folder: Path) -> Iterator[Site]:
    """Have a deployment in a folder."""
    site = Site(folder)
    try:
        site.open()
        yield site
    finally:
        site.close()
