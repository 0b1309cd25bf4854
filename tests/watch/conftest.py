"""The server: one for the session, and one of a test's own that it may stop and start, or that asks for tokens."""

from collections.abc import Iterator

import pytest

from tests.conftest import NatsServer
from tests.watch.stand import Stand, a_community, a_home


@pytest.fixture(scope="session")
def watch_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A nats-server for the tests of the watch, whose streams nobody empties."""
    server = NatsServer(tmp_path_factory.mktemp("watch-nats"))
    server.start()
    yield server.url
    server.remove()


@pytest.fixture(scope="session")
def session_stand(watch_nats: str) -> Iterator[Stand]:
    stand = Stand(watch_nats)
    stand.start()
    yield stand
    stand.stop()


@pytest.fixture
def stand(session_stand: Stand) -> Stand:
    """The session's server, in its first state and open to all."""
    session_stand.community = a_community()
    session_stand.set_home(a_home())
    return session_stand


@pytest.fixture
def own_stand(watch_nats: str) -> Iterator[Stand]:
    """A server of this test's own."""
    stand = Stand(watch_nats)
    stand.start()
    yield stand
    stand.stop()


@pytest.fixture
def guarded_stand(watch_nats: str) -> Iterator[Stand]:
    """A server of this test's own that asks for tokens, and takes trusted documents only."""
    stand = Stand(watch_nats, sign_in=True, trusted_only=True)
    stand.start()
    yield stand
    stand.stop()
