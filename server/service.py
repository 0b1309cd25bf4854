"""The service: what all WebSocket connections of one server share. It holds no connection itself."""

import asyncio
import logging
import math
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from server.application import App
from server.keepalive import Rounds

_KEY: Final = "commonwatt.service"  # among the attributes of a server's state


class Service:
    """What the connections of one server share."""

    __slots__ = ("app", "app_state", "config", "logger", "loop", "max_queue", "rounds", "state")

    def __init__(
        self, config: Config, state: ServerState, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self.app = cast(App, config.loaded_app)
        self.state = state
        self.app_state = app_state
        self.loop = loop
        self.logger = logging.getLogger("uvicorn.error")
        self.max_queue = max(1, config.ws_max_queue)
        timeout_s = math.inf if config.ws_ping_timeout is None else config.ws_ping_timeout
        self.rounds = Rounds(loop, config.ws_ping_interval, timeout_s) if config.ws_ping_interval else None


def service_of(
    config: Config, state: ServerState, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop
) -> Service:
    """Return the server's service; its first connection makes it, and it lives as long as the server's state."""
    found = vars(state).get(_KEY)
    if isinstance(found, Service) and found.config is config and found.app_state is app_state and found.loop is loop:
        return found
    service = Service(config, state, app_state, loop)
    vars(state)[_KEY] = service
    return service
