"""A line to a server that is none, that talks nonsense, or that does not answer: each is told, none raises."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.watch.stand import Stand
from tests.watch.wearing import HOME, Clock, Worn, worn
from watch import events as on
from watch.events import Show, Started
from watch.pairing import Phase
from watch.transport import Limits
from watch.verdict import Standing

ACK = '{"type": "connection_ack"}'
GLANCE = {
    "light": "GREEN",
    "community": {"surplusPower": 1000, "trend": "RISING"},
    "sharedPower": 300,
    "quality": "MEASURED",
    "measuredAt": None,
}
Script = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[str]:
    """A WebSocket server that plays one script per connection, the last one again and again."""
    left = list(scripts)

    async def play(connection: ServerConnection) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(connection)

    async with serve(play, "127.0.0.1", 0, subprotocols=["graphql-transport-ws"]) as server:  # type: ignore[list-item]  # Subprotocol is a str
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def saying(*messages: str | bytes) -> Script:
    """Acknowledge, take the subscription, send the messages, hold the line."""

    async def play(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(ACK)
        await connection.recv()
        for message in messages:
            await connection.send(message)
        await connection.wait_closed()

    return play


def next_message(data: object, **more: object) -> str:
    return json.dumps({"id": "1", "type": "next", "payload": {"data": data, **more}})


GOOD = saying(next_message({"home": GLANCE}))


async def until_link(device: Worn, link: Standing) -> str:
    return (await device.until(lambda state: state.link is link)).reason


@pytest.mark.parametrize(
    "nonsense",
    [
        "hello",
        "[]",
        "42",
        "null",
        "{}",
        b"\x00\x01",
        "[" * 5000,
        '{"type": "next"}',
        '{"type": "next", "id": "x", "payload": {"data": {}}}',
        '{"type": "next", "id": "1", "payload": []}',
        '{"type": "next", "id": "1", "payload": {"data": null}}',
        '{"type": "next", "id": "1", "payload": {"data": 3}}',
        '{"type": "next", "id": "1", "payload": {"errors": "no"}}',
        '{"type": "next", "id": "1", "payload": {"data": {}, "errors": [1]}}',
        '{"type": "error", "id": "1", "payload": []}',
        '{"type": "error", "id": "1", "payload": {}}',
        '{"type": "surprise", "id": "1"}',
        next_message("x" * 70_000),
        next_message({"home": {"light": "GREEN"}}),
        next_message({"house": 1}),
    ],
    ids=lambda nonsense: repr(nonsense[:40]),
)
async def test_garbage_is_told_on_one_line(nonsense: str | bytes) -> None:
    async with scripted(saying(nonsense)) as url, worn(url, Started(HOME), clock=Clock(chance=0.9)) as device:
        reason = await until_link(device, Standing.GARBAGE)
        assert reason.isprintable()
        assert 0 < len(reason) <= 160


async def test_after_garbage_the_next_connection_is_tried() -> None:
    async with scripted(saying("hello"), GOOD) as url, worn(url, Started(HOME)) as device:
        await until_link(device, Standing.GARBAGE)
        await device.until_live()


@asynccontextmanager
async def answering(answer: bytes, *, hang: bool = False) -> AsyncIterator[str]:
    """A server that answers whatever is asked with these bytes, and then closes, or hangs."""

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        if hang:
            await reader.read()
        writer.close()

    async with await asyncio.start_server(answered, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def page(status: str, body: str = "", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


WAYS = {
    "socket": Started(HOME, ways=("socket",)),
    "stream": Started(HOME, ways=("stream",)),
    "get": Started(HOME, Show.BACKGROUND),
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize(
    ("answer", "link", "reason"),
    [
        (b"220 mail.example ESMTP\r\n\r\n", "garbage", ""),
        (page("404 Not Found"), "garbage", "HTTP status 404"),
        (page("200 OK", "<html>", "Content-Type: text/html"), "garbage", ""),
        (page("302 Found", "", "Location: /login"), "garbage", ""),
        (page("401 Unauthorized"), "refused", "HTTP status 401"),
        (page("503 Service Unavailable", "", "Retry-After: 7"), "gone", "HTTP status 503"),
        (page("429 Too Many Requests"), "gone", "HTTP status 429"),
        (b"", "gone", ""),
    ],
    ids=["mail", "404", "html", "302", "401", "503", "429", "nothing"],
)
async def test_a_server_that_is_none_has_its_trouble_over_every_way(
    way: str, answer: bytes, link: str, reason: str
) -> None:
    async with answering(answer) as url, worn(url, WAYS[way], clock=Clock(chance=0.9)) as device:
        told = await until_link(device, Standing(link))
        assert reason in told
        if b"Retry-After" in answer:
            assert device.state.due is not None
            assert device.state.due - device.clock().steady > 6_000


@pytest.mark.parametrize("way", list(WAYS))
async def test_a_server_that_never_answers_is_given_up(way: str) -> None:
    async with answering(b"", hang=True) as url, worn(url, WAYS[way]) as device:
        device.pass_until_due()
        assert (device.state.link, device.state.reason) == (Standing.GONE, "no answer in time")


async def test_a_server_that_never_acknowledges_is_given_up() -> None:
    async def listen(connection: ServerConnection) -> None:
        await connection.wait_closed()

    limits = Limits(connect_s=0.05)
    async with scripted(listen) as url, worn(url, WAYS["socket"], limits=limits) as device:
        assert await until_link(device, Standing.GONE) == "no answer in time"


@pytest.mark.parametrize("way", list(WAYS))
async def test_nobody_there_is_gone(way: str) -> None:
    async with worn("http://127.0.0.1:1", WAYS[way], clock=Clock(chance=0.9)) as device:
        assert await until_link(device, Standing.GONE) == "connection refused"


@pytest.mark.parametrize(
    ("blocks", "link", "reason"),
    [
        ("event: next\ndata: hello\n\n", "garbage", "not a GraphQL result: hello"),
        ("event: next\ndata: {}\n\n", "garbage", "not a GraphQL result: {}"),
        ('event: next\ndata: {"errors": [{"message": "no"}]}\n\n:\n\n', "fault", "no"),
        ("event: complete\ndata: \n\n", "gone", "the server ended the subscription"),
        (":\n\nretry: 9000\n\n", "gone", "the stream ended"),
        ("x" * 70_000, "garbage", "a block of over 65536 bytes"),
    ],
    ids=["text", "empty", "errors", "complete", "end", "long"],
)
async def test_each_end_of_a_stream_has_its_trouble(blocks: str, link: str, reason: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{blocks}".encode()
    hang = link in ("fault", "garbage")
    async with answering(answer, hang=hang) as url, worn(url, WAYS["stream"], clock=Clock(chance=0.9)) as device:
        assert await until_link(device, Standing(link)) == reason
        if "retry" in blocks:
            assert device.state.due is not None
            assert device.state.due - device.clock().steady > 8_000


async def test_an_answer_over_the_limit_is_garbage() -> None:
    body = json.dumps({"data": {"home": {"live": GLANCE}}, "x": "y" * 70_000})
    answer = page("200 OK", body, "Content-Type: application/json")
    async with answering(answer) as url, worn(url, WAYS["get"]) as device:
        assert await until_link(device, Standing.GARBAGE) == "an answer of over 65536 bytes"


async def test_the_date_of_an_answer_tells_of_a_clock_that_is_off() -> None:
    body = json.dumps({"data": {"home": {"live": GLANCE}}})
    answer = page("200 OK", body, "Content-Type: application/json", "Date: Sun, 01 Jun 2025 10:00:00 GMT")
    async with answering(answer) as url, worn(url, WAYS["get"]) as device:
        await until_link(device, Standing.LIVE)
        assert device.state.clock_off > 60_000


@pytest.mark.parametrize(
    ("answer", "phase"),
    [
        (page("404 Not Found", "<html>"), Phase.FAILED),
        (page("200 OK", "{}", "Content-Type: application/json"), Phase.FAILED),
        (page("200 OK", "hello"), Phase.FAILED),
        (page("400 Bad Request", '{"error": "invalid_request"}'), Phase.FAILED),
        (page("500 Internal Server Error", "oops"), Phase.ASKING),
        (page("429 Too Many", '{"error": "temporarily_unavailable"}', "Retry-After: 9"), Phase.ASKING),
        (b"", Phase.ASKING),
    ],
    ids=["404", "empty", "text", "400", "500", "429", "nothing"],
)
async def test_a_server_that_pairs_no_watches_has_its_phase(answer: bytes, phase: Phase) -> None:
    async with answering(answer) as url, worn(url, Started(), on.Pair()) as device:
        state = await device.until(lambda state: state.awaited != "answer")
        assert state.pairing is not None
        assert state.pairing.phase is phase
        assert (state.awaited == "poll") == (phase is Phase.ASKING)


async def test_a_slow_reader_gets_the_latest_state_and_no_backlog() -> None:
    flood = [next_message({"home": GLANCE | {"sharedPower": n}}) for n in range(2000)]
    async with scripted(saying(*flood)) as url, worn(url, Started(HOME)) as device:
        state = await device.until(lambda s: s.readings and next(iter(s.readings.values())).data["sharedPower"] == 1999)
        assert len(state.readings) == 1


async def test_dropping_a_line_while_it_connects_leaves_nothing() -> None:
    async with answering(b"", hang=True) as url, worn(url, Started(HOME)) as device:
        assert device.state.open == "opening"
    assert not [task for task in asyncio.all_tasks() if "Line.run" in repr(task)]


async def test_a_server_on_this_machine_is_never_asked_for_through_a_proxy(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    for started in WAYS.values():
        async with worn(stand.url, started) as device:
            await until_link(device, Standing.LIVE)
