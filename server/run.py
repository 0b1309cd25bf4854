"""Running the app on uvicorn inside the caller's event loop, until the caller cancels.

The loop is the caller's choice; `uvloop.new_event_loop` is the fast one. Signals are the
caller's too.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, cast

import uvicorn

from bus.client import Bus
from bus.errors import ConfigurationError
from server.app import create_app
from server.drain import Drain
from server.intake import Intake
from server.options import ServerOptions
from server.sse import Streams
from server.websocket import DirectWebSocketProtocol

_BACKLOG: Final = 2048
_END_S: Final = 5.0
_LAST_ANSWERS_S: Final = 2
"""How long responses that are being sent have at the end."""


class ListenError(ConfigurationError):
    """Raised when the server cannot listen where it was told to; the text says what to do."""


async def serve(
    bus: Bus,
    options: ServerOptions,
    host: str,
    port: int,
    *,
    on_started: Callable[[str], None] | None = None,
    shared: bool = False,
) -> None:
    """Serve until cancelled, then tell clients to come back, WebSockets by 1012, over `drain_s`; end 5 s later.

    With `shared` other processes may listen on the same port; the system spreads connections.
    Calls `on_started` with the server's URL once it answers; port 0 is any free one. Raises
    ListenError before anything starts.
    """
    listener = listen(host, port, shared=shared)
    try:
        app = create_app(bus, options)
        config = uvicorn.Config(
            app,
            http=cast(Any, partial(Intake, gate=app.state.gate)),
            ws=DirectWebSocketProtocol,
            ws_max_size=options.limits.message_bytes,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(options.trusted_proxies),
            forwarded_allow_ips=list(options.trusted_proxies),
            timeout_graceful_shutdown=_LAST_ANSWERS_S,
        )
        server = _Server(config, _url(listener, host), on_started, app.state.drain, app.state.streams)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await asyncio.shield(running)
        finally:
            server.should_exit = True
            try:
                await asyncio.wait([running], timeout=options.drain_s + _END_S)
            finally:
                running.cancel()
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn's server, less its signal handlers, plus a call when it answers and one before it ends."""

    def __init__(
        self,
        config: uvicorn.Config,
        url: str,
        on_started: Callable[[str], None] | None,
        drain: Drain,
        streams: Streams,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._streams = streams
        self._url = url
        self._on_started = on_started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self._on_started is not None:
            self._on_started(self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in, tell those who are in to come back, then end as uvicorn does."""
        self._drain.begin()
        leaves = [leave for one in self.server_state.connections if (leave := getattr(one, "leave", None)) is not None]
        await self._drain.spread([*leaves, *self._streams.leaves()])
        await super().shutdown(sockets)


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a listening socket; raise ListenError when there can be none."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG, reuse_port=shared)
    except OSError as error:
        raise ListenError(_advice(error, host, port)) from None


def _advice(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what listens there, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is not allowed to this user: choose one above 1023 with --port"
    reason = error.strerror if error.errno is None or error.errno < 0 else os.strerror(error.errno)
    return f"cannot listen on {host}, port {port}: {reason or error}: choose another with --host"


def _url(listener: socket.socket, host: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"
