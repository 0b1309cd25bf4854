"""Answers out of the streams of NATS, or that there is none: it is away, or does not let the server look."""

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from bus.errors import RefusedError, UnavailableError
from resolvers.errors import NotReadyError

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")


async def answered(question: Awaitable[Answer]) -> Answer:
    """Return the answer to a question about streams; raise NotReadyError where there is none."""
    try:
        return await question
    except UnavailableError:
        raise NotReadyError("NATS does not answer; ask again in a moment") from None
    except RefusedError as error:
        log.error("a stream may not be read", reason=str(error))
        raise NotReadyError("this is not to be had: NATS does not let the server read it") from error
