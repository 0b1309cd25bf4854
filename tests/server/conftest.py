"""A server with one registered community, `demo` of home-1 and home-2."""

from collections.abc import AsyncIterator

import pytest

from bus.client import Bus
from tests.resolvers.frames import Publisher, community, register
from tests.server.served import serving, until_ready


@pytest.fixture
async def url(bus: Bus) -> AsyncIterator[str]:
    """The URL of a server that is ready."""
    await register(bus, community("demo"))
    async with serving(bus) as url:
        await until_ready(url)
        yield url


@pytest.fixture
def publisher(bus: Bus) -> Publisher:
    """Publishes frames of `demo`."""
    return Publisher(bus)
