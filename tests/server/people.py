"""People with tokens, and how they call on a server: as raw as the wire, so that nothing is done for them."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bus.revocations import Revocations
from server.keys import SigningKey
from server.tokens import ISSUER, Tokens

WAIT_S = 20.0


class Clock:
    """A clock that runs with the real one, and can be moved on."""

    def __init__(self) -> None:
        self._moved_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self._moved_ms

    def move(self, seconds: float) -> None:
        """Move on."""
        self._moved_ms += int(seconds * 1000)


class Signer:
    """Signs tokens with any claims for one deployment, whose server verifies them with `tokens`."""

    def __init__(self, clock: Clock | None = None, key: SigningKey | None = None) -> None:
        self.clock = clock or Clock()
        self.key = key or SigningKey(Ed25519PrivateKey.generate())
        self.tokens = Tokens(self.key, Revocations(now_ms=self.clock), now_ms=self.clock)
        self._issued = 0

    def token(self, sub: str, *, ttl_s: float = 3600, jti: str | None = None, **claims: Any) -> str:
        """Return a token of our own that names somebody, with these claims beside it."""
        self._issued += 1
        now_s = self.clock() / 1000
        known = {"iss": ISSUER, "aud": ISSUER, "sub": sub, "iat": now_s, "exp": now_s + ttl_s}
        return self.key.sign(known | {"jti": jti or f"{sub}-{self._issued}"} | claims)


def bearing(token: str | None) -> dict[str, str]:
    """Return the headers of somebody with a token."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


async def post(url: str, token: str | None, query: str, /, **variables: Any) -> httpx.Response:
    """Return the answer to a POST."""
    async with httpx.AsyncClient(base_url=url, headers=bearing(token), timeout=WAIT_S, verify=False) as http:
        return await http.post("/graphql", json={"query": query, "variables": variables})


async def get(
    url: str, token: str | None, query: str, headers: dict[str, str] | None = None, /, **variables: Any
) -> httpx.Response:
    """Return the answer to a GET."""
    parameters = {"query": query, "variables": json.dumps(variables)}
    async with httpx.AsyncClient(base_url=url, headers=bearing(token), timeout=WAIT_S, verify=False) as http:
        return await http.get("/graphql", params=parameters, headers=headers)


class Socket:
    """A WebSocket, message by message."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, **message: Any) -> None:
        """Send a message."""
        await self.connection.send(msgspec.json.encode(message).decode())

    async def hear(self) -> dict[str, Any]:
        """Return the next message."""
        async with asyncio.timeout(WAIT_S):
            message: dict[str, Any] = msgspec.json.decode(await self.connection.recv())
        return message

    async def subscribe(self, id: str, query: str, /, **variables: Any) -> None:
        """Begin an operation."""
        await self.say(type="subscribe", id=id, payload={"query": query, "variables": variables})

    async def ask(self, query: str, /, **variables: Any) -> dict[str, Any]:
        """Return the first message that an operation brings, and end it."""
        await self.subscribe("asked", query, **variables)
        answer = await self.hear()
        if answer["type"] == "next":
            await self.say(type="complete", id="asked")
            await self.say(type="ping", payload={"after": "asked"})
            while (await self.hear()) != {"type": "pong", "payload": {"after": "asked"}}:
                pass
        return answer

    async def end(self) -> int:
        """Wait until the server closes it; return the code. What comes before is forgotten."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(WAIT_S):
                while True:
                    await self.connection.recv()
        assert self.connection.close_code is not None
        return self.connection.close_code


@asynccontextmanager
async def opened(url: str, token: str | None = None, **options: Any) -> AsyncIterator[Socket]:
    """Open a WebSocket; `token` goes into a header."""
    address = url.replace("http", "ws") + "/graphql"
    protocol = Subprotocol("graphql-transport-ws")
    async with connect(address, subprotocols=[protocol], additional_headers=bearing(token), **options) as connection:
        yield Socket(connection)


@asynccontextmanager
async def signed_in(url: str, token: str | None) -> AsyncIterator[Socket]:
    """Open a WebSocket and sign in."""
    async with opened(url) as socket:
        await socket.say(type="connection_init", payload={} if token is None else {"token": token})
        assert await socket.hear() == {"type": "connection_ack"}
        yield socket


class Stream:
    """An event stream, block by block."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self) -> list[str]:
        """Return the lines up to the next empty one, comments left out; none at the end."""
        lines: list[str] = []
        async with asyncio.timeout(WAIT_S):
            async for line in self._lines:
                if line and line != ":":
                    lines.append(line)
                elif lines:
                    return lines
        return lines

    async def next(self) -> Any:
        """Return the result in the next event, which must be one."""
        lines = await self.block()
        assert "event: next" in lines, lines
        return json.loads(lines[-1].removeprefix("data: "))

    async def is_complete(self) -> bool:
        """Say whether the next event is the last one, and the response ends after it."""
        return "event: complete" in await self.block() and await self.block() == []


@asynccontextmanager
async def streamed(
    url: str, token: str | None, query: str, more: dict[str, str] | None = None, /, **variables: Any
) -> AsyncIterator[Stream]:
    """Open an event stream; `more` are headers."""
    headers = bearing(token) | {"Accept": "text/event-stream"} | (more or {})
    content = {"query": query, "variables": variables}
    async with (
        httpx.AsyncClient(base_url=url, timeout=WAIT_S, verify=False) as http,
        http.stream("POST", "/graphql", json=content, headers=headers) as response,
    ):
        yield Stream(response)
