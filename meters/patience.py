"""Asking NATS again until it answers."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from bus.client import Bus
from bus.errors import UnavailableError

log = structlog.get_logger(__name__)

T = TypeVar("T")


async def patiently(bus: Bus, ask: Callable[[], Awaitable[T]]) -> T:
    """Return what `ask` returns; call it again, and say so, as long as NATS does not answer it."""
    while True:
        try:
            return await ask()
        except UnavailableError as error:
            log.warning("waiting for NATS", reason=str(error))
            await bus.pause()
