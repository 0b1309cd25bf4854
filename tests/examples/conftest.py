"""The watch's stand-in server, for scripts as subprocesses."""

from collections.abc import Iterator

import pytest

from tests.watch.stand import Stand


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    stand.start()
    yield stand
    stand.stop()
