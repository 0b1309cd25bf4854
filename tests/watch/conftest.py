"""The stand-in server: one for the session, and one of a test's own that it may stop and start."""

from collections.abc import Iterator

import pytest

from tests.watch.stand import Stand, a_community, a_home


@pytest.fixture(scope="session")
def session_stand() -> Iterator[Stand]:
    stand = Stand()
    stand.start()
    yield stand
    stand.stop()


@pytest.fixture
def stand(session_stand: Stand) -> Stand:
    """The session's server, in its first state and open to all."""
    session_stand.home, session_stand.community = a_home(), a_community()
    session_stand.token = None
    session_stand.payloads.clear()
    return session_stand


@pytest.fixture
def own_stand() -> Iterator[Stand]:
    """A server of this test's own."""
    stand = Stand()
    stand.start()
    yield stand
    stand.stop()
