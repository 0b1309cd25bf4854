"""A nats-server that asks who is there, for the tests of one module."""

from collections.abc import Iterator

import pytest

from bus.accounts import Login
from tests.bus.strict import StrictNats


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictNats]:
    """The server, with MQTT, and a gateway, a simulator and a meter of one community."""
    server = StrictNats(tmp_path_factory.mktemp("strict"), mqtt=True)
    server.accounts.keep((), simulate=["sunfield"])
    server.accounts.add_gateway("attic", ["sunfield"])
    server.meters["sunfield.m1"] = server.accounts.add_meter("sunfield", "m1")
    server.start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def meter(strict: StrictNats) -> Login:
    """The credentials of the meter sunfield.m1."""
    return strict.meters["sunfield.m1"]
