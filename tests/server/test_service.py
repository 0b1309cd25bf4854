"""What the connections of one server share."""

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from server.service import service_of


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serve nothing."""


async def test_connections_of_one_server_share_a_service() -> None:
    config, state, loop = Config(app, log_config=None), ServerState(), asyncio.get_running_loop()
    app_state: dict[str, Any] = {}
    service = service_of(config, state, app_state, loop)
    assert service.app is config.loaded_app
    assert service_of(config, state, app_state, loop) is service


async def test_another_server_has_a_service_of_its_own() -> None:
    config, state, loop = Config(app, log_config=None), ServerState(), asyncio.get_running_loop()
    service = service_of(config, state, {}, loop)
    assert service_of(config, ServerState(), {}, loop) is not service
    assert service_of(config, state, {"of": "another start"}, loop) is not service


async def test_without_an_interval_there_is_no_keep_alive() -> None:
    config = Config(app, log_config=None, ws_ping_interval=None)
    assert service_of(config, ServerState(), {}, asyncio.get_running_loop()).rounds is None
