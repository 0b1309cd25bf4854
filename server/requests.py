"""Requests, bounded by address: so many a second, over some seconds; who is over it gets 429."""

import time
from collections.abc import Callable, Container
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from resolvers.allowance import Allowance
from server.addresses import client_key
from server.refusals import too_many_requests

BURST_S: Final = 10
"""Over which requests are counted."""
_ADDRESSES: Final = 50_000
_FREE: Final = frozenset({"/health", "/ready"})
"""Asked by load balancers, which shall not take a server for broken because its clients ask too much."""


class LimitRequests:
    """Refuses requests, and WebSockets, of an address that makes more than `most` a second; proxies may."""

    def __init__(
        self,
        app: ASGIApp,
        most: int,
        now_ms: Callable[[], int] | None = None,
        *,
        uncounted: Container[str | None] = (),
    ) -> None:
        self._app = app
        self._uncounted = uncounted
        self._most = most
        self._allowance = Allowance(
            most * BURST_S,
            refill_s=1 / most,
            keys=_ADDRESSES,
            now_ms=now_ms or (lambda: time.monotonic_ns() // 1_000_000),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        kind = scope["type"]
        if kind in ("http", "websocket") and scope["path"] not in _FREE:
            client = scope.get("client")
            host = client[0] if client else None
            wait_s = 0.0 if host in self._uncounted else self._allowance.take(client_key(host))
            if wait_s:
                await self._refuse(kind, wait_s, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refuse(self, kind: str, wait_s: float, receive: Receive, send: Send) -> None:
        refusal = too_many_requests(self._most, wait_s)
        if kind == "http":
            await refusal.send(send)
        else:
            await receive()  # websocket.connect
            await refusal.send(send, "websocket.http")
