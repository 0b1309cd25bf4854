"""What tests of pairing over HTTP need: a server that signs people in, a device, and a member."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from bus.client import Bus
from bus.revocations import Revocations
from resolvers.access import Role
from server.keys import SigningKey
from server.options import ServerOptions
from server.pairing import GRANT_TYPE
from server.tokens import Tokens
from tests.resolvers.frames import register
from tests.resolvers.pairings import COMMUNITY, remove_buckets
from tests.server.issuing import ed25519
from tests.server.served import serving, until_ready


def now_ms() -> int:
    """Return the time in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Deployment:
    """Servers on one NATS with one key, and who talks to them."""

    def __init__(self, bus: Bus, *, trusted_only: bool = False) -> None:
        self._bus = bus
        self.key = SigningKey(ed25519())
        self._trusted_only = trusted_only
        self.tokens = self._tokens()

    def _tokens(self) -> Tokens:
        return Tokens(self.key, Revocations(now_ms=now_ms), now_ms=now_ms)

    def options(self) -> ServerOptions:
        """Return the options of a server of its own."""
        return ServerOptions(tokens=self._tokens(), trusted_only=self._trusted_only)

    def token(self, subject: str = "ada", role: Role = "member") -> str:
        return self.tokens.issue(subject=subject, role=role, community="demo", ttl_s=3600)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Have one more server; the value is its URL."""
        async with serving(self._bus, self.options()) as url:
            await until_ready(url)
            yield url


async def prepare(bus: Bus) -> None:
    """Forget all requests and devices, and register COMMUNITY."""
    await remove_buckets(bus)
    await register(bus, COMMUNITY)


class Device:
    """A device that is being paired by a server."""

    def __init__(self, http: httpx.AsyncClient, client: str = "watch") -> None:
        self._http = http
        self._client = client
        self.begun: dict[str, Any] = {}

    async def begin(self) -> dict[str, Any]:
        response = await self._http.post("/oauth/device_authorization", data={"client_id": self._client})
        assert response.status_code == 200, response.text
        self.begun = response.json()
        return self.begun

    async def poll(self, http: httpx.AsyncClient | None = None) -> httpx.Response:
        form = {"grant_type": GRANT_TYPE, "device_code": self.begun["device_code"], "client_id": self._client}
        return await (http or self._http).post("/oauth/token", data=form)


async def ask(http: httpx.AsyncClient, token: str | None, query: str, **variables: Any) -> Any:
    """Return the answer to an operation, errors included."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    response = await http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
    return response.json()
