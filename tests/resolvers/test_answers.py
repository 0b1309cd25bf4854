"""What becomes of a question that NATS does not answer."""

import pytest
from structlog.testing import capture_logs

from bus.errors import RefusedError, UnavailableError
from resolvers.answers import answered
from resolvers.errors import NotReadyError


async def failing(error: Exception) -> str:
    raise error


async def test_while_nats_is_away_it_is_worth_asking_again() -> None:
    with pytest.raises(NotReadyError, match="ask again in a moment"):
        await answered(failing(UnavailableError("JetStream did not answer")))


async def test_who_may_not_look_is_told_so_and_the_log_says_where() -> None:
    with capture_logs() as log, pytest.raises(NotReadyError, match="NATS does not let the server read it"):
        await answered(failing(RefusedError("server may not publish to a.subject", "a.subject")))
    assert [(line["event"], line["reason"]) for line in log] == [
        ("a stream may not be read", "server may not publish to a.subject")
    ]
