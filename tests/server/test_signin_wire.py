"""Signing in over real sockets: how long a connection stays, and what ends it, against a real NATS."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bus.client import Bus
from bus.community import Member
from bus.revocations import revoke
from server.keys import ensure_signing_key
from server.options import ServerOptions
from server.run import listen
from server.websocket import DirectWebSocketProtocol
from tests.commonwatt.test_tokens import serving as process
from tests.resolvers.frames import Publisher, community, eventually, home_state, register
from tests.server.people import Signer, get, opened, post, signed_in, streamed
from tests.server.served import metric, serving, until_ready
from tests.server.test_alerts import raise_alert

HOMES = ("home-1", "home-2", "home-3", "home-4", "home-5")
PEOPLE = (Member(id="anna", homes=("home-1",)), Member(id="bert", homes=("home-2",)))
HOME = "subscription ($id: ID!) { home(id: $id) { load } }"
GLANCE = "subscription ($id: ID!) { home(id: $id) { load community { load } } }"
TOTALS = "subscription ($id: ID!) { community(id: $id) { load } }"
ALERTS = 'subscription ($id: ID!) { alerts(home: $id, after: "0") { kind community } }'
MINE = "{ communities { id homes { id } } }"


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture
async def url(bus: Bus, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The URL of a server that asks for tokens; its clock is the signer's, its guard looks often."""
    monkeypatch.setattr("server.run.listen", listen_narrowly)
    monkeypatch.setattr("server.app._now_ms", signer.clock)
    monkeypatch.setattr("server.signin._LOOK_S", 0.02)
    await register(bus, community("demo", homes=HOMES, members=PEOPLE))
    async with serving(bus, ServerOptions(tokens=signer.tokens)) as url:
        await until_ready(url)
        yield url


def listen_narrowly(*arguments: Any, **options: Any) -> socket.socket:
    """Listen for connections that hold little of what a client does not take."""
    listener = listen(*arguments, **options)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return listener


async def until_heard(server: str, query: str, expected: Any, token: str | None) -> None:
    """Wait until a query has an answer."""

    async def is_so() -> bool:
        return bool((await post(server, token, query)).json() == expected)

    await eventually(is_so)


def narrow(url: str) -> socket.socket:
    """Return a connection that takes little at a time."""
    host, _, port = url.removeprefix("http://").partition(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((host, int(port)))
    return raw


def request_for_stream(token: str, document: str, **variables: str) -> bytes:
    """Return the request that opens an event stream, as it goes over the wire."""
    body = json.dumps({"query": document, "variables": variables}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


# --- coming in ---


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"token": ""},
        {"token": "x"},
        {"token": None},
        {"token": 5},
        {"token": {"a": 1}},
        {"Authorization": "Basic eDp5"},
        {"authorization": "Bearer"},
        {"Token": "$"},
        {"headers": {"Authorization": "Bearer $"}},
        {"token": "$ended"},
        {"token": "Bearer $"},
    ],
    ids=str,
)
async def test_who_greets_without_a_token_that_counts_is_closed_with_4403(
    url: str, signer: Signer, payload: dict[str, Any] | None
) -> None:
    good, ended = signer.token("anna"), signer.token("anna", ttl_s=-1)
    text = json.dumps(payload).replace("$ended", ended).replace("$", good)
    async with opened(url) as socket:
        await socket.say(type="connection_init", payload=json.loads(text))
        assert await socket.end() == 4403
        assert socket.connection.close_reason == "Forbidden"


@pytest.mark.parametrize("way", ["token", "Authorization", "authorization", "header", "other header"])
async def test_a_token_comes_in_the_greeting_or_in_the_header_of_the_request(
    url: str, signer: Signer, way: str
) -> None:
    token = signer.token("anna")
    payload = {"token": {"token": token}, "Authorization": {"Authorization": f"Bearer {token}"}}.get(way)
    if way == "authorization":
        payload = {"authorization": f"bearer {token}"}
    header = token if way == "header" else "x" if way == "other header" else None
    if way == "other header":
        payload = {"token": token}
    async with opened(url, header) as socket:
        await socket.say(type="connection_init", payload=payload)
        assert await socket.hear() == {"type": "connection_ack"}
        answer = await socket.ask(MINE)
    assert answer["payload"]["data"]["communities"] == [{"id": "demo", "homes": [{"id": "demo.home-1"}]}]


async def test_a_subscription_before_the_acknowledgement_is_closed_with_4401_token_or_not(
    url: str, signer: Signer
) -> None:
    async with opened(url, signer.token("anna")) as socket:
        await socket.subscribe("1", HOME, id="demo.home-1")
        assert await socket.end() == 4401


async def test_a_second_greeting_is_closed_with_4429_whoever_it_is_of(url: str, signer: Signer) -> None:
    for token in (signer.token("anna"), signer.token("bert"), "x"):
        async with signed_in(url, signer.token("anna")) as socket:
            await socket.say(type="connection_init", payload={"token": token})
            assert await socket.end() == 4429


# --- renewing ---


async def test_a_newer_token_by_ping_lets_a_connection_stay_and_is_not_repeated(
    url: str, signer: Signer, bus: Bus
) -> None:
    publisher = Publisher(bus)
    await publisher.publish(home_state("home-1", load_w=1.0))
    async with (
        signed_in(url, signer.token("anna", ttl_s=60)) as socket,
        signed_in(url, signer.token("anna", ttl_s=60)) as other,
    ):
        await socket.subscribe("1", HOME, id="demo.home-1")
        assert (await socket.hear())["payload"] == {"data": {"home": {"load": 1}}}
        await socket.say(type="ping", payload={"token": signer.token("anna"), "more": 1})
        assert await socket.hear() == {"type": "pong"}
        signer.clock.move(120)
        assert await other.end() == 4403
        await publisher.publish(home_state("home-1", load_w=2.0))
        assert (await socket.hear())["payload"] == {"data": {"home": {"load": 2}}}


@pytest.mark.parametrize("way", ["bert", "role", "x", "", "ended", "number", "null"])
async def test_a_ping_with_the_token_of_another_viewer_or_none_closes_with_4403(
    url: str, signer: Signer, way: str
) -> None:
    tokens: dict[str, Any] = {
        "bert": signer.token("bert"),
        "role": signer.token("anna", role="member"),
        "ended": signer.token("anna", ttl_s=-1),
        "number": 5,
        "null": None,
    }
    async with signed_in(url, signer.token("anna")) as socket:
        await socket.say(type="ping", payload={"token": tokens.get(way, way)})
        assert await socket.end() == 4403


async def test_a_token_in_a_ping_before_the_greeting_is_not_repeated(url: str, signer: Signer) -> None:
    async with opened(url) as socket:
        await socket.say(type="ping", payload={"token": signer.token("anna")})
        assert await socket.hear() == {"type": "pong"}
        await socket.say(type="ping", payload={"a": 1})
        assert await socket.hear() == {"type": "pong", "payload": {"a": 1}}


# --- the end of a token ---


async def test_a_connection_ends_with_its_token_whatever_it_does(url: str, signer: Signer, bus: Bus) -> None:
    await Publisher(bus).publish(home_state("home-1", load_w=1.0))
    brief, long = signer.token("anna", ttl_s=60), signer.token("anna")
    async with AsyncExitStack() as stack:
        idle = await stack.enter_async_context(signed_in(url, brief))
        busy = await stack.enter_async_context(signed_in(url, brief))
        stays = await stack.enter_async_context(signed_in(url, long))
        state = await stack.enter_async_context(streamed(url, brief, HOME, id="demo.home-1"))
        alerts = await stack.enter_async_context(streamed(url, brief, ALERTS, id="demo.home-1"))
        await busy.subscribe("1", HOME, id="demo.home-1")
        await busy.subscribe("2", ALERTS, id="demo.home-1")
        assert (await busy.hear())["id"] == "1"
        assert await state.next() == {"data": {"home": {"load": 1}}}
        signer.clock.move(65)
        assert await idle.end() == await busy.end() == 4403
        for stream in (state, alerts):
            (error,) = (await stream.next())["errors"]
            assert error["extensions"] == {"code": "UNAUTHENTICATED"}
            assert await stream.is_complete()
        assert (await stays.ask(MINE))["type"] == "next"
        assert (await post(url, brief, MINE)).status_code == 401
        assert await metric(url, "commonwatt_subscriptions") == 0


async def test_who_takes_nothing_is_ended_with_their_token_too(
    url: str, signer: Signer, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DirectWebSocketProtocol, "close_timeout_s", 0.2)
    publisher = Publisher(bus)
    token = signer.token("anna", ttl_s=60)
    async with opened(url, sock=narrow(url), max_queue=1, close_timeout=0.1) as client:
        await client.say(type="connection_init", payload={"token": token})
        await client.hear()
        names = " ".join(f"n{number}: load" for number in range(50))
        for number in range(80):
            await client.subscribe(str(number), f'subscription {{ home(id: "demo.home-1") {{ {names} }} }}')
        load = 0.0
        while not await metric(url, "commonwatt_stalled"):
            load += 1.0
            await publisher.publish(home_state("home-1", load_w=load))
        signer.clock.move(65)

        async def is_gone() -> bool:
            return await metric(url, "commonwatt_websocket_connections") == 0

        await eventually(is_gone)
        assert await metric(url, "commonwatt_subscriptions") == 0


async def test_an_event_stream_that_takes_nothing_is_ended_with_its_token_too(
    url: str, signer: Signer, bus: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.sse.STALL_S", 0.2)
    publisher = Publisher(bus)
    names = " ".join(f"n{number}: load" for number in range(50))
    with narrow(url) as raw, capture_logs() as logs:
        document = f"subscription ($id: ID!) {{ home(id: $id) {{ {names} }} }}"
        raw.sendall(request_for_stream(signer.token("anna", ttl_s=60), document, id="demo.home-1"))
        raw.setblocking(False)
        async with asyncio.timeout(10):
            assert (await asyncio.get_running_loop().sock_recv(raw, 100)).startswith(b"HTTP/1.1 200 ")
        load = 0.0
        while not await metric(url, "commonwatt_stalled"):
            for _ in range(20):
                load += 1.0
                await publisher.publish(home_state("home-1", load_w=load))
        signer.clock.move(65)

        async def is_gone() -> bool:
            return not await metric(url, "commonwatt_subscriptions") and "event stream took nothing" in str(logs)

        await eventually(is_gone)
    assert "Traceback" not in caplog.text
    assert {line["log_level"] for line in logs} == {"info"}


# --- revocation ---


async def test_a_revocation_ends_all_that_is_open_with_the_token_within_2_s(url: str, signer: Signer, bus: Bus) -> None:
    await Publisher(bus).publish(home_state("home-1", load_w=1.0))
    lost, kept = signer.token("anna", jti="lost"), signer.token("anna", jti="kept")
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(signed_in(url, lost))
        second = await stack.enter_async_context(signed_in(url, lost))
        stays = await stack.enter_async_context(signed_in(url, kept))
        state = await stack.enter_async_context(streamed(url, lost, HOME, id="demo.home-1"))
        alerts = await stack.enter_async_context(streamed(url, lost, ALERTS, id="demo.home-1"))
        await state.next()
        await second.subscribe("1", HOME, id="demo.home-1")
        await second.hear()
        assert (await get(url, lost, MINE)).status_code == 200
        async with asyncio.timeout(2):
            await revoke(bus, "lost", signer.clock() + 3_600_000)
            assert await first.end() == await second.end() == 4403
            for stream in (state, alerts):
                assert (await stream.next())["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
                assert await stream.is_complete()
            refused = await get(url, lost, MINE)
        assert refused.status_code == 401
        async with opened(url, lost) as again:
            await again.say(type="connection_init")
            assert await again.end() == 4403
        assert (await stays.ask(MINE))["type"] == "next"
        assert (await post(url, kept, MINE)).status_code == 200


@pytest.mark.parametrize("document", [HOME, ALERTS])
async def test_a_token_that_was_revoked_by_the_time_a_stream_begins_shows_nothing(
    url: str, signer: Signer, bus: Bus, monkeypatch: pytest.MonkeyPatch, document: str
) -> None:
    await Publisher(bus).publish(home_state("home-1", load_w=1.0))
    await raise_alert(bus, 1)
    looks = iter((False, False))  # when the head was there, and when the body was; then it is revoked
    monkeypatch.setattr(signer.tokens, "is_revoked", lambda _: next(looks, True))
    async with streamed(url, signer.token("anna"), document, id="demo.home-1") as stream:
        assert stream.response.status_code == 200
        answer = await stream.next()
        assert answer["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
        assert "data" not in answer
        assert await stream.is_complete()


@pytest.mark.slow
async def test_a_revocation_and_a_change_of_the_registry_reach_every_server(
    bus: Bus, nats_url: str, tmp_path: Path
) -> None:
    await register(bus, community("demo", homes=HOMES, members=PEOPLE))
    await Publisher(bus).publish(home_state("home-1", load_w=1.0), home_state("home-2", load_w=1.0))
    signer = Signer(key=ensure_signing_key(tmp_path / "token-key.pem"))
    lost, kept = signer.token("anna", jti="lost"), signer.token("bert")
    async with AsyncExitStack() as stack:
        urls = [(await stack.enter_async_context(process(tmp_path, nats_url, "--development")))[0] for _ in range(2)]
        losing = [await stack.enter_async_context(signed_in(url, lost)) for url in urls]
        staying = [await stack.enter_async_context(signed_in(url, kept)) for url in urls]
        streams = [await stack.enter_async_context(streamed(url, lost, HOME, id="demo.home-1")) for url in urls]
        for stream in streams:
            await stream.next()
        for socket in staying:
            await socket.subscribe("1", HOME, id="demo.home-2")
            await socket.hear()
        async with asyncio.timeout(2):
            await revoke(bus, "lost", signer.clock() + 3_600_000)
            assert [await socket.end() for socket in losing] == [4403, 4403]
            for stream in streams:
                assert (await stream.next())["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
            assert [(await get(url, lost, MINE)).status_code for url in urls] == [401, 401]
        assert [(await get(url, kept, MINE)).status_code for url in urls] == [200, 200]
        await register(bus, moved(PEOPLE[0]))
        async with asyncio.timeout(2):
            ends = [await socket.hear() for socket in staying]
        assert [(end["type"], end["payload"][0]["extensions"]["code"]) for end in ends] == [("error", "NOT_FOUND")] * 2


async def test_who_renewed_before_the_older_token_was_revoked_stays(url: str, signer: Signer, bus: Bus) -> None:
    async with (
        signed_in(url, signer.token("anna", jti="old")) as renewed,
        signed_in(url, signer.token("anna", jti="old")) as left,
    ):
        await renewed.say(type="ping", payload={"token": signer.token("anna", jti="new")})
        await renewed.hear()
        await revoke(bus, "old", signer.clock() + 3_600_000)
        assert await left.end() == 4403
        assert (await renewed.ask(MINE))["type"] == "next"


async def test_a_token_that_was_revoked_while_its_request_came_in_opens_no_stream(
    url: str, signer: Signer, bus: Bus
) -> None:
    await Publisher(bus).publish(home_state("home-1", load_w=1.0))
    token = signer.token("anna", jti="slow")
    request = request_for_stream(token, HOME, id="demo.home-1")
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request[:-5])
    await writer.drain()
    await revoke(bus, "slow", signer.clock() + 3_600_000)

    async def is_known() -> bool:
        return (await get(url, token, MINE)).status_code == 401

    await eventually(is_known)
    writer.write(request[-5:])
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    assert b"load" not in answer
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("id", ["9" * 5000, "9" * 19, "x", "-1", "1e9"])
async def test_an_id_of_an_event_that_is_none_is_an_error_of_the_stream(url: str, signer: Signer, id: str) -> None:
    async with streamed(url, signer.token("anna"), ALERTS, {"Last-Event-ID": id}, id="demo.home-1") as stream:
        (error,) = (await stream.next())["errors"]
        assert "Last-Event-ID" in error["message"]
        assert len(error["message"]) < 200
        assert await stream.is_complete()


# --- changes of the registry ---


def moved(*people: Member, **changes: Any) -> Any:
    return community("demo", homes=HOMES, members=people, **changes)


async def test_a_member_who_is_removed_loses_what_is_open_and_others_do_not(url: str, signer: Signer, bus: Bus) -> None:
    publisher = Publisher(bus)
    await publisher.publish(*(home_state(home, load_w=1.0) for home in HOMES))
    async with AsyncExitStack() as stack:
        anna = await stack.enter_async_context(signed_in(url, signer.token("anna")))
        bert = await stack.enter_async_context(signed_in(url, signer.token("bert")))
        state = await stack.enter_async_context(streamed(url, signer.token("anna"), HOME, id="demo.home-1"))
        alerts = await stack.enter_async_context(streamed(url, signer.token("anna"), ALERTS, id="demo.home-1"))
        for one, home in ((anna, "demo.home-1"), (bert, "demo.home-2")):
            await one.subscribe("home", HOME, id=home)
            await one.hear()
            await one.subscribe("glance", GLANCE, id=home)
            await one.hear()
            await one.subscribe("totals", TOTALS, id="demo")
            await one.hear()
            await one.subscribe("alerts", ALERTS, id=home)
        await state.next()
        await register(bus, moved(PEOPLE[1]))
        ends = {(answer := await anna.hear())["id"]: answer for _ in range(4)}
        assert ends.keys() == {"home", "glance", "totals", "alerts"}
        for id, answer in ends.items():
            assert answer["type"] == "error", answer
            (error,) = answer["payload"]
            what = "community 'demo'" if id == "totals" else "home 'demo.home-1'"
            assert error == {
                "message": f"there is no {what}",
                "path": [{"home": "home", "glance": "home", "totals": "community", "alerts": "alerts"}[id]],
                "extensions": {"code": "NOT_FOUND"},
            }
        for stream in (state, alerts):
            assert (await stream.next())["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
            assert await stream.is_complete()
        # Anna may stay, and asks in vain; ids of operations that ended are free.
        await anna.subscribe("home", HOME, id="demo.home-1")
        assert (await anna.hear())["type"] == "error"
        await publisher.publish(*(home_state(home, load_w=2.0) for home in HOMES), load_w=9.0)
        heard = [await bert.hear() for _ in range(3)]
        assert {answer["id"] for answer in heard} == {"home", "glance", "totals"}
        assert {answer["type"] for answer in heard} == {"next"}
        cursor = await raise_alert(bus, 1, "home-2")
        assert cursor
        assert (await bert.hear())["id"] == "alerts"
        await anna.say(type="ping", payload={"nothing": "between"})
        assert await anna.hear() == {"type": "pong", "payload": {"nothing": "between"}}


async def test_a_home_that_is_taken_away_is_ended_and_the_other_one_stays(url: str, signer: Signer, bus: Bus) -> None:
    both, one = Member(id="anna", homes=("home-1", "home-2")), Member(id="anna", homes=("home-2",))
    await register(bus, moved(both))
    token = signer.token("anna")
    await until_heard(
        url,
        MINE,
        {"data": {"communities": [{"id": "demo", "homes": [{"id": "demo.home-1"}, {"id": "demo.home-2"}]}]}},
        token,
    )
    publisher = Publisher(bus)
    await publisher.publish(home_state("home-1", load_w=1.0), home_state("home-2", load_w=1.0))
    async with signed_in(url, token) as socket:
        for number in (1, 2):
            await socket.subscribe(str(number), HOME, id=f"demo.home-{number}")
            await socket.hear()
        await register(bus, moved(one))
        ended = await socket.hear()
        assert (ended["type"], ended["id"]) == ("error", "1")
        await publisher.publish(home_state("home-1", load_w=2.0), home_state("home-2", load_w=2.0))
        assert await socket.hear() == {"id": "2", "type": "next", "payload": {"data": {"home": {"load": 2}}}}


async def test_totals_that_members_agreed_to_show_no_more_end_and_their_homes_stay(
    url: str, signer: Signer, bus: Bus
) -> None:
    small: dict[str, Any] = {"homes": ("home-1", "home-2"), "members": (*PEOPLE, Member(id="olga", role="operator"))}
    await register(bus, community("small", **small, show_totals_to_members=True))
    await until_heard(
        url, '{ community(id: "small") { name } }', {"data": {"community": {"name": "Small"}}}, signer.token("anna")
    )
    publisher = Publisher(bus, "small")
    await publisher.publish(home_state("home-1", load_w=1.0), load_w=5.0)
    async with AsyncExitStack() as stack:
        anna = await stack.enter_async_context(signed_in(url, signer.token("anna")))
        olga = await stack.enter_async_context(signed_in(url, signer.token("olga")))
        state = await stack.enter_async_context(streamed(url, signer.token("anna"), TOTALS, id="small"))
        for one in (anna, olga):
            await one.subscribe("home", HOME, id="small.home-1")
            await one.hear()
            await one.subscribe("glance", GLANCE, id="small.home-1")
            await one.hear()
            await one.subscribe("totals", TOTALS, id="small")
            await one.hear()
        await anna.subscribe("alerts", ALERTS, id="small.home-1")
        await state.next()
        await register(bus, community("small", **small))
        ends = {(answer := await anna.hear())["id"]: answer for _ in range(2)}
        assert ends.keys() == {"glance", "totals"}
        assert all(answer["payload"][0]["extensions"] == {"code": "NOT_FOUND"} for answer in ends.values())
        assert (await state.next())["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
        await publisher.publish(home_state("home-1", load_w=2.0), load_w=6.0)
        assert (await anna.hear())["id"] == "home"
        assert {(await olga.hear())["id"] for _ in range(3)} == {"home", "glance", "totals"}


async def test_a_community_that_a_member_joins_is_seen_by_connections_that_are_open(
    url: str, signer: Signer, bus: Bus
) -> None:
    async with signed_in(url, signer.token("cora")) as socket:
        assert (await socket.ask(MINE))["payload"] == {"data": {"communities": []}}
        await register(bus, moved(*PEOPLE, Member(id="cora", homes=("home-3",))))

        async def is_seen() -> bool:
            answer = (await socket.ask(MINE))["payload"]["data"]["communities"]
            return bool(answer == [{"id": "demo", "homes": [{"id": "demo.home-3"}]}])

        await eventually(is_seen)
