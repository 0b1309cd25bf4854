"""A real nats-server for the session, emptied for each test that asks for it."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from bus.broker import Broker, free_port
from bus.client import Bus, connection_of
from bus.settings import NatsSettings
from bus.streams import Retention, configurations, ensure_streams

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def pytest_configure() -> None:
    """Heed Ctrl-C, in processes that tests start too: whoever runs the tests in a shell's background has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def absent(reason: str) -> None:
    """Fail in CI, skip elsewhere: what a test needs is not there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class NatsServer:
    """An embedded nats-server of the tests' own, which can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.broker = Broker(directory, free_port())
        self.url = self.broker.url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self.broker.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(10)
            self._process = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.broker.directory, ignore_errors=True)


@pytest.fixture(scope="session")
def session_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One nats-server for the whole session."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.remove()


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server for one test that kills or restarts it."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def bus(session_nats: NatsServer) -> AsyncIterator[Bus]:
    """A connection to the session's nats-server with fresh, empty streams."""
    bus = await Bus.connect(NatsSettings(url=session_nats.url), name="test", patience_s=10)
    jetstream = connection_of(bus).jetstream()
    for config in configurations(Retention()):
        assert config.name is not None
        try:
            await jetstream.delete_stream(config.name)
        except NotFoundError:
            await asyncio.sleep(0)
    await ensure_streams(jetstream, Retention())
    yield bus
    await bus.close()


@pytest.fixture
def nats_url(bus: Bus, session_nats: NatsServer) -> str:
    """The session's nats-server, its streams emptied."""
    return session_nats.url


@pytest.fixture(scope="session")
def citylearn() -> Path:
    """The CityLearn folder, or a skip (a failure in CI)."""
    folder = SHARED / "data" / "citylearn_2022"
    if not folder.is_dir():
        absent("../shared/data/citylearn_2022 is not there")
    return folder
