"""A file, and a connection of a server that asks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.client import Bus
from bus.settings import NatsSettings
from resolvers.history import History as Asking
from tests.conftest import NatsServer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history" / "history.duckdb"


@pytest.fixture
async def server(session_nats: NatsServer, bus: Bus) -> AsyncIterator[Bus]:
    """The connection of a server, which asks."""
    other = await Bus.connect(NatsSettings(url=session_nats.url), name="test", patience_s=10)
    yield other
    await other.close()


@pytest.fixture
def asking(server: Bus) -> Asking:
    return Asking(server, patience_s=5)
