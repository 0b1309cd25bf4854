"""The client keeps one subscription up, whatever server and network do."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from graphql import GraphQLSyntaxError
from websockets.asyncio.server import ServerConnection, serve

from tests.watch.stand import Quality, Stand, a_home, unknown
from watch.backoff import Backoff
from watch.client import Following, Watch
from watch.news import Link, News, Result, Standing
from watch.screen import home_screen
from watch.transport import Limits

DEADLINE_S = 15.0
SCREEN = home_screen("demo.home-01")
ACK = '{"type": "connection_ack"}'
Script = Callable[[ServerConnection], Awaitable[None]]


async def until(following: Following, wanted: Callable[[News], bool]) -> News:
    """Return the first news that is wanted."""
    async with asyncio.timeout(DEADLINE_S):
        async for news in following:
            if wanted(news):
                return news
    raise AssertionError("the news ended")


async def until_standing(following: Following, standing: Standing) -> Link:
    link = await until(following, lambda news: isinstance(news, Link) and news.standing is standing)
    assert isinstance(link, Link)
    return link


async def until_result(following: Following) -> Result:
    result = await until(following, lambda news: isinstance(news, Result))
    assert isinstance(result, Result)
    return result


class Sleeper:
    """Stands for time between attempts: notes each wait, and lets it pass when told, or at once."""

    def __init__(self, at_once: bool = True) -> None:
        self.waits: list[float] = []
        self.asleep = asyncio.Event()
        self.wake = asyncio.Event()
        if at_once:
            self.wake.set()

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.asleep.set()
        await asyncio.sleep(0)
        await self.wake.wait()


def watch(url: str, **options: object) -> Watch:
    return Watch(url, **({"random": lambda: 0.5, "sleep": Sleeper()} | options))  # type: ignore[arg-type]  # by name


def follow(watching: Watch) -> Following:
    return watching.follow(SCREEN.document, SCREEN.variables)


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[str]:
    """A server that plays one script per connection, the last one again and again."""
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


async def test_the_present_state_comes_first_then_each_change(stand: Stand) -> None:
    async with watch(stand.url) as watching, follow(watching) as news:
        assert await anext(news) == Link(Standing.CONNECTING)
        first = await until_result(news)
        assert first.data["home"]["netPower"] == -410
        stand.set_home(a_home(net_power=99, quality=Quality.STALE))
        second = await until_result(news)
        assert (second.data["home"]["netPower"], second.data["home"]["quality"]) == (99, "STALE")


async def test_a_server_that_was_restarted_is_found_again(own_stand: Stand) -> None:
    sleeper = Sleeper(at_once=False)
    async with watch(own_stand.url, sleep=sleeper) as watching, follow(watching) as news:
        await until_result(news)
        await asyncio.to_thread(own_stand.stop)
        await until_standing(news, Standing.GONE)
        own_stand.home = a_home(net_power=7)
        await asyncio.to_thread(own_stand.start)
        sleeper.wake.set()
        assert (await until_result(news)).data["home"]["netPower"] == 7


async def test_waits_double_from_half_a_second_to_half_a_minute_with_full_jitter(own_stand: Stand) -> None:
    own_stand.stop()
    sleeper = Sleeper()
    async with watch(own_stand.url, random=lambda: 0.5, sleep=sleeper) as watching, follow(watching) as news:
        while len(sleeper.waits) < 9:
            await until_standing(news, Standing.GONE)
    assert sleeper.waits[:9] == [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15]


async def test_a_link_that_falls_at_once_is_not_hammered() -> None:
    async def fall(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(ACK)
        await connection.recv()
        await connection.send(next_message({"home": {}}))
        await connection.close(1012)

    sleeper = Sleeper()
    async with scripted(fall) as url, watch(url, sleep=sleeper) as watching, follow(watching) as news:
        while len(sleeper.waits) < 3:
            await until_standing(news, Standing.GONE)
    assert sleeper.waits[:3] == [0.25, 0.5, 1]


async def test_a_link_that_held_begins_the_waits_anew(own_stand: Stand) -> None:
    now = 0.0
    own_stand.stop()
    sleeper = Sleeper()
    async with watch(own_stand.url, sleep=sleeper, clock=lambda: now) as watching, follow(watching) as news:
        while len(sleeper.waits) < 3:
            await until_standing(news, Standing.GONE)
        sleeper.wake.clear()
        await asyncio.to_thread(own_stand.start)
        sleeper.wake.set()
        await until_result(news)
        now += 31
        sleeper.waits.clear()
        sleeper.wake.clear()
        await asyncio.to_thread(own_stand.stop)
        await until_standing(news, Standing.GONE)
        assert sleeper.waits == [0.25]


async def test_the_token_travels_in_connection_init(stand: Stand) -> None:
    stand.token = "open-sesame"
    async with watch(stand.url, token="open-sesame") as watching, follow(watching) as news:
        await until_result(news)
    assert stand.payloads == [{"authorization": "Bearer open-sesame"}]


async def test_without_a_token_nothing_is_claimed(stand: Stand) -> None:
    async with watch(stand.url) as watching, follow(watching) as news:
        await until_result(news)
    assert stand.payloads == [{}]


async def test_a_wrong_token_is_refused_and_asked_for_again_later(stand: Stand) -> None:
    stand.token = "open-sesame"
    sleeper = Sleeper(at_once=False)
    async with watch(stand.url, token="wrong", sleep=sleeper) as watching, follow(watching) as news:
        link = await until_standing(news, Standing.REFUSED)
        assert link == Link(Standing.REFUSED, "closed with 4403: Forbidden", 0.25)
        stand.token = None
        sleeper.wake.set()
        await until_result(news)


async def test_a_path_where_no_socket_is_gives_a_reason(stand: Stand) -> None:
    async with watch(f"{stand.url}/elsewhere") as watching, follow(watching) as news:
        assert (await until_standing(news, Standing.REFUSED)).reason == "HTTP status 403"


async def test_an_unknown_home_is_told_and_asked_for_again(stand: Stand) -> None:
    stand.home = unknown()
    sleeper = Sleeper(at_once=False)
    async with watch(stand.url, sleep=sleeper) as watching, follow(watching) as news:
        link = await until(news, lambda news: isinstance(news, Link) and news.retry_in_s is not None)
        assert link == Link(Standing.UNKNOWN, "No such home or community.", 0.25)
        stand.home = a_home()
        sleeper.wake.set()
        await until_result(news)


async def test_a_field_that_the_server_lacks_is_a_fault(stand: Stand) -> None:
    async with watch(stand.url) as watching, watching.follow("subscription { home(id: 1) { bogus } }", {}) as news:
        link = await until_standing(news, Standing.FAULT)
    assert link.reason == "Cannot query field 'bogus' on type 'HomeLive'."


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
    ],
    ids=lambda nonsense: repr(nonsense[:40]),
)
async def test_garbage_is_told_and_the_next_connection_is_tried(nonsense: str | bytes) -> None:
    good = saying(next_message({"home": {"light": "GREEN"}}))
    async with scripted(saying(nonsense), good) as url, watch(url) as watching, follow(watching) as news:
        link = await until_standing(news, Standing.GARBAGE)
        assert link.reason.isprintable()
        assert len(link.reason) <= 160
        assert (await until_result(news)).data == {"home": {"light": "GREEN"}}


async def test_a_server_that_speaks_no_http_is_garbage() -> None:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hello, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with watch(url) as watching, follow(watching) as news:
            await until_standing(news, Standing.GARBAGE)


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that takes connections and never answers; the event: it has one."""
    connected = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", connected


async def test_a_server_that_never_answers_is_gone() -> None:
    async with silent() as (url, _), watch(url, limits=Limits(connect_s=0.05)) as watching, follow(watching) as news:
        assert (await until_standing(news, Standing.GONE)).reason == "no answer in time"


async def test_a_server_that_never_acknowledges_is_gone() -> None:
    async def listen(connection: ServerConnection) -> None:
        await connection.wait_closed()

    limits = Limits(ack_s=0.05)
    async with scripted(listen) as url, watch(url, limits=limits) as watching, follow(watching) as news:
        assert (await until_standing(news, Standing.GONE)).reason == "no answer in time"


async def test_a_result_with_nulls_and_errors_is_still_a_result() -> None:
    errors = [{"message": "no share", "path": ["home", "sharedPower"]}]
    partial = next_message({"home": {"sharedPower": None}}, errors=errors)
    async with scripted(saying(partial)) as url, watch(url) as watching, follow(watching) as news:
        assert await until_result(news) == Result({"home": {"sharedPower": None}}, tuple(errors))


async def test_errors_without_data_are_told_and_the_subscription_goes_on() -> None:
    failed = next_message(None, errors=[{"message": "try later", "extensions": {"code": "UNAVAILABLE"}}])
    then = next_message({"home": {}})
    async with scripted(saying(failed, then)) as url, watch(url) as watching, follow(watching) as news:
        assert await until_standing(news, Standing.FAULT) == Link(Standing.FAULT, "try later")
        await until_result(news)


async def test_a_subscription_that_the_server_completes_is_taken_up_again() -> None:
    over = saying(next_message({"home": {}}), '{"id": "1", "type": "complete"}')
    again = saying(next_message({"home": {"light": "RED"}}))
    async with scripted(over, again) as url, watch(url) as watching, follow(watching) as news:
        assert (await until_standing(news, Standing.GONE)).reason == "the server ended the subscription"
        assert (await until_result(news)).data == {"home": {"light": "RED"}}


async def test_a_slow_reader_gets_the_latest_state_and_no_backlog() -> None:
    sent = asyncio.Event()

    async def flood(connection: ServerConnection) -> None:
        await saying_all(connection, [next_message({"n": n}) for n in range(2000)])
        sent.set()
        await connection.wait_closed()

    async with scripted(flood) as url, watch(url) as watching, follow(watching) as news:
        await until_result(news)
        async with asyncio.timeout(DEADLINE_S):
            await sent.wait()
        assert (await until(news, lambda news: isinstance(news, Result) and news.data["n"] == 1999)) is not None


async def saying_all(connection: ServerConnection, messages: list[str]) -> None:
    await connection.recv()
    await connection.send(ACK)
    await connection.recv()
    for message in messages:
        await connection.send(message)


async def test_leaving_ends_the_subscription_on_the_server_and_every_task(own_stand: Stand) -> None:
    async with watch(own_stand.url) as watching:
        news = follow(watching)
        await until_result(news)
        await asyncio.to_thread(own_stand.await_subscribers, 1)
    await asyncio.to_thread(own_stand.await_subscribers, 0)
    async with asyncio.timeout(DEADLINE_S):
        assert [left async for left in news] == []


async def test_two_subscriptions_end_one_by_one(own_stand: Stand) -> None:
    async with watch(own_stand.url) as watching, follow(watching) as one, follow(watching) as other:
        await until_result(one)
        await until_result(other)
        await one.aclose()
        await asyncio.to_thread(own_stand.await_subscribers, 1)
        own_stand.set_home(a_home(net_power=5))
        assert (await until_result(other)).data["home"]["netPower"] == 5


async def test_a_cancelled_wait_loses_nothing(stand: Stand) -> None:
    async with watch(stand.url) as watching, follow(watching) as news:
        await until_result(news)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(news), 0.01)
        stand.set_home(a_home(net_power=3))
        assert (await until_result(news)).data["home"]["netPower"] == 3


async def test_cancelling_while_connecting_ends_at_once() -> None:
    async with silent() as (url, connected):

        async def listen() -> None:
            async with watch(url) as watching, follow(watching) as news:
                await until_result(news)

        task = asyncio.create_task(listen())
        async with asyncio.timeout(DEADLINE_S):
            await connected.wait()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done
        assert task.cancelled()


async def test_cancelling_after_the_server_broke_off_is_not_swallowed() -> None:
    async def vanish(connection: ServerConnection) -> None:
        await saying_all(connection, [next_message({"home": {}})])
        connection.transport.abort()

    sleeper = Sleeper(at_once=False)
    async with scripted(vanish) as url:

        async def listen() -> None:
            async with watch(url, sleep=sleeper) as watching, follow(watching) as news:
                await until_standing(news, Standing.GONE)
                await anext(news)

        task = asyncio.create_task(listen())
        async with asyncio.timeout(DEADLINE_S):
            await sleeper.asleep.wait()
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()


async def test_an_error_that_nobody_foresaw_is_raised_at_the_reader(own_stand: Stand) -> None:
    def broken() -> float:
        raise ZeroDivisionError

    own_stand.stop()
    async with watch(own_stand.url, random=broken) as watching, follow(watching) as news:
        with pytest.raises(ZeroDivisionError):
            await until_result(news)


async def test_a_server_on_this_machine_is_never_asked_for_through_a_proxy(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with watch(stand.url) as watching, follow(watching) as news:
        await until_result(news)


async def test_a_document_that_does_not_parse_is_refused_before_the_network(stand: Stand) -> None:
    async with watch(stand.url) as watching:
        with pytest.raises(GraphQLSyntaxError):
            watching.follow("subscription {", {})


def test_a_wait_is_anywhere_between_none_and_the_whole() -> None:
    backoff = Backoff(first_s=0.5, most_s=30)
    assert backoff.delay_s(0, lambda: 0.0) == 0
    assert backoff.delay_s(3, lambda: 1.0) == 4
    assert backoff.delay_s(10_000, lambda: 1.0) == 30
