from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from server.requests import BURST_S, LimitRequests


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


async def greet(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(limit: LimitRequests, host: str = "192.0.2.1") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(limit, client=(host, 5)), base_url="http://test")


async def test_so_many_requests_are_taken_at_once_and_one_more_later(clock: Clock) -> None:
    limit = LimitRequests(greet, 2, clock)
    async with client(limit) as http:
        for _ in range(2 * BURST_S):
            assert (await http.get("/graphql")).status_code == 200
        refused = await http.get("/graphql")
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        (error,) = refused.json()["errors"]
        expected = {"code": "TOO_MANY_REQUESTS", "limit": "max_requests_per_second", "most": 2, "retryAfter": 1}
        assert error["extensions"] == expected
        assert "at most 2 requests a second" in error["message"]
        clock.now_ms += 500
        assert (await http.get("/graphql")).status_code == 200
        assert (await http.get("/graphql")).status_code == 429


async def test_each_address_has_its_own_and_health_is_free(clock: Clock) -> None:
    limit = LimitRequests(greet, 1, clock)
    async with client(limit) as http, client(limit, "192.0.2.2") as other, client(limit, "2001:db8::1") as third:
        for _ in range(BURST_S):
            await http.get("/graphql")
        assert (await http.get("/metrics")).status_code == 429
        assert (await http.get("/health")).status_code == 200
        assert (await http.get("/ready")).status_code == 200
        assert (await other.get("/graphql")).status_code == 200
        assert (await third.get("/graphql")).status_code == 200


async def test_a_websocket_is_a_request_and_is_refused_before_it_is_one(clock: Clock) -> None:
    limit = LimitRequests(greet, 1, clock)
    async with client(limit) as http:
        for _ in range(BURST_S):
            await http.get("/graphql")
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "websocket", "path": "/graphql", "client": ("192.0.2.1", 5)}
    await limit(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 429
    assert (b"retry-after", b"1") in sent[0]["headers"]


async def test_the_lifespan_passes(clock: Clock) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return {}

    for _ in range(BURST_S + 5):
        await LimitRequests(app, 1, clock)({"type": "lifespan"}, nothing, nothing)
    assert len(seen) == BURST_S + 5
