import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from server.bodies import LimitBodies


async def count(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


async def ignore(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("early")(scope, receive, send)


def client(app: Any = count) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(LimitBodies(app, 100)), base_url="http://test")


async def pieces(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield bytes(size)


def check_refused(response: httpx.Response) -> None:
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    (error,) = json.loads(response.content)["errors"]
    assert error["extensions"] == {"code": "REQUEST_TOO_LARGE", "limit": "max_body_bytes", "most": 100}
    assert "at most 100 bytes" in error["message"]


async def test_the_limit_itself_is_taken_and_one_byte_more_is_not() -> None:
    async with client() as http:
        assert (await http.post("/", content=bytes(100))).text == "100"
        check_refused(await http.post("/", content=bytes(101)))


async def test_a_body_that_says_no_length_is_refused_when_it_is_over() -> None:
    async with client() as http:
        assert (await http.post("/", content=pieces(50, 50))).text == "100"
        check_refused(await http.post("/", content=pieces(50, 50, 1)))


async def test_an_announced_length_is_refused_whatever_the_application_reads() -> None:
    async with client(ignore) as http:
        check_refused(await http.post("/", content=bytes(101)))
        assert (await http.post("/", content=pieces(50, 60))).text == "early"


@pytest.mark.parametrize("length", ["-5", "x", "", "1e3", "9" * 5000])
async def test_a_length_that_is_none_is_no_announcement(length: str) -> None:
    async with client() as http:
        assert (await http.post("/", content=pieces(5), headers={"Content-Length": length})).text == "5"


async def test_websockets_pass() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return {}

    await LimitBodies(app, 100)({"type": "websocket"}, nothing, nothing)
    assert seen == ["websocket"]
