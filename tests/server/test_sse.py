"""Event streams: graphql-sse's distinct connections mode, as a client reads it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message

from bus.client import Bus
from schema.context import Context
from server.documents import Documents
from server.drain import Drain
from server.execution import Executor
from server.options import ServerOptions
from server.signin import Guard
from server.sse import Streams
from tests.resolvers.frames import Publisher, community, eventually, home_state, register
from tests.schema.test_plans import EVERYTHING
from tests.server.served import metric, next_of, serving, subscribed, until_ready
from tests.server.test_alerts import raise_alert
from tests.server.test_hub import Clock, Stand

HOME = 'subscription { home(id: "demo.home-1") { load } }'
ALERTS = 'subscription { alerts(home: "demo.home-1", after: "0") { kind } }'


class Events:
    """The blocks of an event stream, comments included."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self) -> list[str]:
        """Return the lines up to the next empty one; none at the end."""
        lines: list[str] = []
        async with asyncio.timeout(20):
            async for line in self._lines:
                if not line:
                    return lines
                lines.append(line)
        return lines

    async def event(self) -> tuple[str, Any, str | None]:
        """Return the next event: its name, its data and its id."""
        while (lines := await self.block()) == [":"]:
            pass
        fields = dict(line.split(": ", 1) for line in lines)
        return fields["event"], json.loads(fields["data"] or "null"), fields.get("id")


@asynccontextmanager
async def events(
    url: str, query: str, *, method: str = "POST", accept: str = "text/event-stream", last: str | None = None
) -> AsyncIterator[Events]:
    headers = {"Accept": accept} | ({"Last-Event-ID": last} if last else {})
    content: dict[str, Any] = {"json": {"query": query}} if method == "POST" else {"params": {"query": query}}
    async with (
        httpx.AsyncClient(base_url=url) as http,
        http.stream(method, "/graphql", headers=headers, **content) as response,
    ):
        yield Events(response)


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_stream_gets_the_current_value_then_each_change(url: str, publisher: Publisher, method: str) -> None:
    await publisher.publish(home_state(load_w=1.0))
    async with events(url, HOME, method=method) as stream:
        assert stream.response.status_code == 200
        assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.response.headers["cache-control"] == "no-store"
        assert await stream.event() == ("next", {"data": {"home": {"load": 1}}}, None)
        await publisher.publish(home_state(load_w=2.5))
        assert await stream.event() == ("next", {"data": {"home": {"load": 2.5}}}, None)


async def test_streams_and_sockets_are_members_of_one_group(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state(load_w=1.0))
    async with subscribed(url, HOME) as socket, events(url, HOME) as stream, events(url, HOME) as another:
        await next_of(socket)
        await stream.event()
        await another.event()
        assert await metric(url, "commonwatt_groups") == 1
        assert await metric(url, "commonwatt_subscriptions") == 3
        await publisher.publish(home_state(load_w=2.0))
        assert await next_of(socket) == {"home": {"load": 2}}
        assert await stream.event() == await another.event() == ("next", {"data": {"home": {"load": 2}}}, None)

    async def is_left() -> bool:
        return await metric(url, "commonwatt_subscriptions") == 0

    await eventually(is_left)


async def test_a_query_is_one_event_and_complete(url: str) -> None:
    async with events(url, "{ communities { id } }") as stream:
        assert await stream.event() == ("next", {"data": {"communities": [{"id": "demo"}]}}, None)
        assert await stream.event() == ("complete", None, None)
        assert await stream.block() == []


@pytest.mark.parametrize(
    ("query", "code"),
    [("{", None), ("subscription { home { load } }", None), ('subscription { home(id: "x") { load } }', "NOT_FOUND")],
)
async def test_what_cannot_be_executed_is_an_event_with_errors_and_complete(
    url: str, query: str, code: str | None
) -> None:
    async with events(url, query) as stream:
        assert stream.response.status_code == 200
        name, result, _ = await stream.event()
        assert name == "next"
        assert result.keys() == {"errors"}
        assert result["errors"][0].get("extensions", {}).get("code") == code
        assert (await stream.event())[0] == "complete"


async def test_a_client_that_accepts_all_gets_streams_for_subscriptions_alone(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    accept = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed"
    async with events(url, HOME, accept=accept) as stream:
        assert (await stream.event())[0] == "next"
    async with events(url, "{ __typename }", accept=accept) as answer:
        assert answer.response.headers["content-type"].startswith("application/graphql-response+json")


async def test_a_silent_stream_is_kept_alive_by_comments(bus: Bus) -> None:
    await register(bus, community("demo"))
    async with serving(bus, ServerOptions(keep_alive_s=0.05)) as url:
        await until_ready(url)
        for query in (HOME, ALERTS):
            async with events(url, query) as stream:
                assert [await stream.block() for _ in range(4)] == [[":"]] * 4


async def test_alerts_have_their_cursor_as_id_and_resume_after_the_last_one(bus: Bus, url: str) -> None:
    cursors = [str(await raise_alert(bus, number)) for number in range(5)]
    async with events(url, ALERTS) as stream:
        assert [(await stream.event())[2] for _ in range(5)] == cursors
    async with events(url, ALERTS, last=cursors[2]) as stream:
        assert [(await stream.event())[2] for _ in range(2)] == cursors[3:]
        cursors.append(str(await raise_alert(bus, 5)))
        assert (await stream.event())[2] == cursors[5]


async def test_an_id_that_is_none_of_ours_is_an_error_and_not_a_silent_gap(url: str) -> None:
    for last, code in (("x", None), ("999999", "CURSOR_EXPIRED")):
        async with events(url, ALERTS, last=last) as stream:
            _, result, _ = await stream.event()
            assert result["errors"][0].get("extensions", {}).get("code") == code
            assert (await stream.event())[0] == "complete"


async def test_a_slow_stream_skips_states_and_ends_with_the_latest(url: str, publisher: Publisher) -> None:
    # Large states, and a client with small buffers that reads none of them for a while.
    aliases = " ".join(f"{'a' * 300}{number}: load" for number in range(40))
    document = f'subscription {{ home(id: "demo.home-1") {{ {aliases} }} }}'
    body = json.dumps({"query": document}).encode()
    await publisher.publish(home_state(load_w=0.5))
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
    head = "POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    number = 0

    async def is_conflated() -> bool:
        nonlocal number
        for _ in range(100):
            number += 1
            await publisher.publish(home_state(load_w=float(number)))
        return await metric(url, "commonwatt_stalled") == 1

    await eventually(is_conflated)
    number += 1
    await publisher.publish(home_state(load_w=float(number)))
    received = 0
    async with asyncio.timeout(20):
        last = f'a39":{number}}}'.encode()
        tail = b""
        while last not in tail:
            data = await reader.read(65536)
            received += data.count(b"event: next")
            tail = (tail + data)[-30_000:]
    assert received < number
    writer.close()


class Client:
    """The ASGI side of a client: what it was sent; takes nothing while `takes` is cleared."""

    def __init__(self) -> None:
        self.takes = asyncio.Event()
        self.takes.set()
        self.sent = b""
        self.over = False

    async def receive(self) -> Message:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def send(self, message: Message) -> None:
        await self.takes.wait()
        if message["type"] == "http.response.body":
            self.sent += message["body"]
            self.over = not message["more_body"]


CONTEXT = Context(EVERYTHING, cast(Any, None), cast(Any, None))
GUARD = Guard(cast(Any, None), now_ms=lambda: 0)


class Answering(Executor):
    """Answers when the test says so, which is never."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def execute(self, query: str, name: str | None, variables: dict[str, Any] | None, context: Context) -> bytes:
        self.asked.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError


async def test_streams_of_a_server_that_ends_are_told_when_to_come_back() -> None:
    stand, client, executor = Stand(Clock()), Client(), Answering()
    streams = Streams(stand.hub, executor, GUARD, 12.0)
    opened = Documents(stand.operations).open({"query": "{ __typename }"})
    running = asyncio.ensure_future(streams.run(opened, CONTEXT, None, client.receive, client.send))
    async with asyncio.timeout(10):
        await executor.asked.wait()
        await Drain(0).spread(streams.leaves())
        await running
    assert client.over
    assert re.fullmatch(rb":\n\nretry: \d{3,4}\n\n", client.sent)


async def test_a_stream_that_is_aborted_ends_though_its_client_takes_nothing() -> None:
    stand, client = Stand(Clock()), Client()
    opened = Documents(stand.operations).open({"query": HOME})
    running = asyncio.ensure_future(
        Streams(stand.hub, Answering(), GUARD, 12.0).run(opened, CONTEXT, None, client.receive, client.send)
    )
    async with asyncio.timeout(10):
        while not stand.hub.statistics().members:
            await stand.clock.move(0)
        (group,) = stand.hub._groups.values()
        (member,) = group.members
        client.takes.clear()
        member.wire.write(b"event: next\ndata: {}\n\n")
        assert member.wire.paused
        member.wire.abort()
        await running
    assert stand.hub.statistics().members == 0


async def test_what_nobody_expected_is_masked_and_completes_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stand, client = Stand(Clock()), Client()
    opened = Documents(stand.operations).open({"query": HOME})
    monkeypatch.setattr(stand.hub, "subscribe", lambda *_: 1 / 0)
    streams = Streams(stand.hub, Answering(), GUARD, 12.0)
    async with asyncio.timeout(10):
        await streams.run(opened, CONTEXT, None, client.receive, client.send)
    assert client.over
    _, data, end = client.sent.split(b"data: ")
    assert b"event: complete" in data + end
    (error,) = json.loads(data.partition(b"\n")[0])["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["extensions"]["reference"] in error["message"]
    assert "division" not in error["message"]
