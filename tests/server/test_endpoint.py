import asyncio
import json
from typing import Any

import httpx
import pytest
from gql.transport.exceptions import TransportQueryError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from bus.client import Bus
from bus.messages import Today
from bus.settings import NatsSettings
from server.limits import Limits
from server.options import ServerOptions
from tests.conftest import NatsServer
from tests.resolvers.frames import EVENING_MS, Publisher, community, eventually, home_state, register
from tests.server.served import ask, metric, next_of, serving, subscribed, until_ready

TODAY = Today(
    import_wh=5_000_000_000,
    export_wh=1,
    produced_wh=2,
    consumed_wh=3,
    shared_wh=4,
    saved="-12.5",
    currency="EUR",
    since=EVENING_MS,
)


# --- queries ---


async def test_a_query_shows_the_registered_community(url: str) -> None:
    query = """{ community(id: "demo") {
        id name timezone settlementInterval allocationKey homes { id name key participation community { id } }
    } }"""
    assert (await ask(url, query))["data"]["community"] == {
        "id": "demo",
        "name": "Demo",
        "timezone": "Europe/Vienna",
        "settlementInterval": "PT15M",
        "allocationKey": "DYNAMIC",
        "homes": [
            {"id": "demo.home-1", "name": "home-1", "key": None, "participation": 1, "community": {"id": "demo"}},
            {"id": "demo.home-2", "name": "home-2", "key": None, "participation": 1, "community": {"id": "demo"}},
        ],
    }


async def test_a_query_shows_the_live_state_and_null_for_what_a_home_lacks(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state("home-1", today=TODAY), home_state("home-2", pv_power_w=12.34))
    query = """query ($id: ID!) { home(id: $id) { live {
        homeId measuredAt powerImport powerExport netPower pvPower batteryPower batteryCharge load sharedPower
        sharedOutPower selfSufficiency selfConsumption light quality community { communityId trend }
        today { imported exported produced consumed shared saved currency status since }
    } } }"""
    assert (await ask(url, query, id="demo.home-1"))["data"]["home"]["live"] == {
        "homeId": "demo.home-1",
        "measuredAt": "2030-03-17T18:00:00Z",
        "powerImport": 1500,
        "powerExport": 0,
        "netPower": 1500,
        "pvPower": None,
        "batteryPower": None,
        "batteryCharge": None,
        "load": 1500,
        "sharedPower": 250.5,
        "sharedOutPower": 0,
        "selfSufficiency": 0.1667,
        "selfConsumption": None,
        "light": "YELLOW",
        "quality": "MEASURED",
        "community": {"communityId": "demo", "trend": "STEADY"},
        "today": {
            "imported": 5_000_000_000,
            "exported": 1,
            "produced": 2,
            "consumed": 3,
            "shared": 4,
            "saved": "-12.5",
            "currency": "EUR",
            "status": "PROVISIONAL",
            "since": "2030-03-17T18:00:00Z",
        },
    }
    second = (await ask(url, query, id="demo.home-2"))["data"]["home"]["live"]
    assert (second["pvPower"], second["today"]) == (12.3, None)


async def test_whole_numbers_are_written_without_a_fraction(url: str, publisher: Publisher) -> None:
    await publisher.publish()
    async with httpx.AsyncClient(base_url=url) as http:
        answer = await http.post("/graphql", json={"query": '{community(id:"demo"){live{load selfConsumption}}}'})
    assert answer.text == '{"data":{"community":{"live":{"load":3500,"selfConsumption":1}}}}'


async def test_a_community_without_data_has_no_live_state(url: str) -> None:
    answer = await ask(url, "{ communities { id live { load } homes { live { load } } } }")
    assert answer == {"data": {"communities": [{"id": "demo", "live": None, "homes": [{"live": None}] * 2}]}}


@pytest.mark.parametrize("field", ['community(id: "x")', 'home(id: "demo.x")', 'home(id: "x.y")', 'home(id: "Ä *>")'])
async def test_what_is_unknown_is_not_found_and_its_siblings_answer(url: str, field: str) -> None:
    answer = await ask(url, f"{{ asked: {field} {{ id }} communities {{ id }} }}")
    assert answer["data"] == {"asked": None, "communities": [{"id": "demo"}]}
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "NOT_FOUND"}
    assert error["path"] == ["asked"]


async def test_a_change_of_the_registry_is_seen_without_a_restart(url: str, bus: Bus) -> None:
    await register(bus, community("demo", name="Renamed"), community("sun", homes=("roof",)))

    async def is_seen() -> bool:
        answer = await ask(url, "{ communities { name homes { id } } }")
        homes = {one["name"]: len(one["homes"]) for one in answer["data"]["communities"]}
        return homes == {"Renamed": 2, "Sun": 1}

    await eventually(is_seen)


async def test_a_query_goes_over_get_too(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        response = await http.get("/graphql", params={"query": "{ communities { id } }"})
    assert response.json() == {"data": {"communities": [{"id": "demo"}]}}
    assert response.headers["cache-control"] == "private, max-age=60"


async def test_a_query_that_nats_does_not_answer_says_so(own_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    await register(bus, community("demo"))
    async with serving(bus) as url:
        await until_ready(url)
        own_nats.kill()
        answer = await ask(url, '{ community(id: "demo") { name live { load } } }')
    assert answer["data"] == {"community": {"name": "Demo", "live": None}}
    assert answer["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
    await bus.close()


# --- bad requests ---


BAD_BODIES = [
    b"",
    b"{",
    b"null",
    b"5",
    b'"x"',
    b"[]",
    b"\xff\xfe",
    b"[" * 60_000,
    b"{}",
    b'{"query": 5}',
    b'{"query": ""}',
    b'{"query": "{ __typename }", "variables": 5}',
    b'{"query": "{ __typename }", "variables": [1]}',
    b'{"query": "{ __typename }", "operationName": 5}',
    b'{"query": "{ __typename }", "extensions": []}',
    b'[{"query": "{ __typename }"}]',
]


async def test_a_bad_body_is_answered_with_400_and_an_error(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for body in BAD_BODIES:
            response = await http.post("/graphql", content=body, headers={"Content-Type": "application/json"})
            assert response.status_code == 400, body
            assert response.json()["errors"][0]["message"]
        assert (await http.get("/health")).status_code == 200


async def test_bad_parameters_are_answered_with_400(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for parameters in ({"variables": "["}, {"variables": "[1]"}, {"extensions": "5"}):
            response = await http.get("/graphql", params={"query": "{ __typename }"} | parameters)
            assert response.status_code == 400
            assert response.json()["errors"]


async def test_a_document_of_hostile_depth_is_an_error_and_no_crash(url: str) -> None:
    answer = await ask(url, "{ a" * 5_000)
    assert answer["errors"][0]["extensions"] == {"code": "DOCUMENT_TOO_DEEP"}
    assert (await ask(url, "{ __typename }"))["data"]


async def test_other_methods_and_types_are_refused(url: str) -> None:
    refused = {
        ("PUT", "application/json"): 405,
        ("DELETE", "application/json"): 405,
        ("POST", "text/plain"): 415,
        ("POST", "multipart/form-data; boundary=x"): 415,
    }
    async with httpx.AsyncClient(base_url=url) as http:
        for (method, kind), status in refused.items():
            headers = {"Content-Type": kind}
            response = await http.request(method, "/graphql", content=b'{"query":"{__typename}"}', headers=headers)
            assert response.status_code == status
            assert response.json()["errors"]


async def test_a_body_over_the_limit_is_refused(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        response = await http.post("/graphql", json={"query": "{ __typename }" + " " * 70_000})
    assert response.status_code == 413


# --- subscriptions ---

HOME = "subscription ($id: ID!) { home(id: $id) { load } }"
COMMUNITY = "subscription ($id: ID!) { community(id: $id) { load } }"


async def test_a_subscription_gets_the_current_value_then_each_change(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state(load_w=1.0))
    async with subscribed(url, HOME, id="demo.home-1") as stream:
        assert await next_of(stream) == {"home": {"load": 1}}
        await publisher.publish(home_state("home-2"))
        await publisher.publish(home_state(load_w=2.5))
        assert await next_of(stream) == {"home": {"load": 2.5}}


async def test_a_subscription_without_data_waits_for_it(url: str, publisher: Publisher) -> None:
    async with subscribed(url, COMMUNITY, id="demo") as stream:
        first = asyncio.create_task(next_of(stream))

        async def is_followed() -> bool:
            return await metric(url, "commonwatt_watchers") == 1

        await eventually(is_followed)
        assert not first.done()
        await publisher.publish(load_w=7.0)
        assert await first == {"community": {"load": 7}}


async def test_a_home_that_shows_its_community_changes_with_it(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state(), trend="STEADY")
    document = """
        subscription ($id: ID!) { home(id: $id) { load ...whole } }
        fragment whole on HomeLive { ... on HomeLive { community { trend } } }
    """
    async with subscribed(url, document, id="demo.home-1") as stream:
        assert await next_of(stream) == {"home": {"load": 1500, "community": {"trend": "STEADY"}}}
        await publisher.publish(trend="RISING")
        assert await next_of(stream) == {"home": {"load": 1500, "community": {"trend": "RISING"}}}


@pytest.mark.parametrize(("document", "key"), [(HOME, "demo.x"), (HOME, "x"), (COMMUNITY, "x")])
async def test_a_subscription_to_what_is_unknown_is_not_found(url: str, document: str, key: str) -> None:
    async with subscribed(url, document, id=key) as stream:
        with pytest.raises(TransportQueryError) as error:
            await next_of(stream)
    assert error.value.errors is not None
    assert error.value.errors[0]["extensions"] == {"code": "NOT_FOUND"}


async def test_a_malformed_frame_does_not_reach_the_watch(url: str, publisher: Publisher) -> None:
    await publisher.publish(load_w=1.0)
    async with subscribed(url, COMMUNITY, id="demo") as stream:
        await next_of(stream)
        await publisher.publish_raw(b'{"number": 2')

        async def is_counted() -> bool:
            return await metric(url, "commonwatt_frames_malformed_total") == 1

        await eventually(is_counted)
        answer = await ask(url, '{ community(id: "demo") { live { load } } }')
        assert answer == {"data": {"community": {"live": {"load": 1}}}}
        await publisher.publish(load_w=2.0)
        assert await next_of(stream) == {"community": {"load": 2}}


async def test_an_open_subscription_goes_on_when_nats_was_restarted(own_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    await register(bus, community("demo"))
    publisher = Publisher(bus)
    async with serving(bus) as url:
        await until_ready(url)
        await publisher.publish(home_state(load_w=1.0))
        async with subscribed(url, HOME, id="demo.home-1") as stream:
            await next_of(stream)
            own_nats.kill()

            async def is_lost() -> bool:
                return await metric(url, "commonwatt_nats_connected") == 0

            await eventually(is_lost)
            own_nats.start()
            await until_ready(url)
            assert await metric(url, "commonwatt_websocket_connections") == 1
            await publisher.publish(home_state(load_w=2.0))
            assert await next_of(stream) == {"home": {"load": 2}}
    await bus.close()


# --- graphql-transport-ws ---


async def open_socket(url: str, **arguments: Any) -> ClientConnection:
    protocols = [Subprotocol(one) for one in arguments.pop("protocols", ["graphql-transport-ws"])]
    return await connect(url.replace("http", "ws") + "/graphql", subprotocols=protocols or None, **arguments)


async def close_code(socket: ClientConnection) -> int | None:
    """Return the code with which the server closes."""
    async with asyncio.timeout(10):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            return socket.close_code


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        message = await socket.recv()
    assert isinstance(message, str)
    heard: dict[str, Any] = json.loads(message)
    return heard


async def greet(socket: ClientConnection) -> None:
    await say(socket, type="connection_init")
    assert await hear(socket) == {"type": "connection_ack"}


async def test_the_legacy_protocol_is_refused_with_4406(url: str) -> None:
    for protocols in (["graphql-ws"], []):
        async with await open_socket(url, protocols=protocols) as socket:
            assert await close_code(socket) == 4406


async def test_a_socket_at_an_address_where_there_is_none_is_not_found_rather_than_refused(url: str) -> None:
    for path in ("/other", "/", "/graphql/", "/static/graphql", "/community/graphql"):
        with pytest.raises(InvalidStatus) as error:
            await connect(url.replace("http", "ws") + path, subprotocols=[Subprotocol("graphql-transport-ws")])
        assert error.value.response.status_code == 404, path


async def test_a_page_of_another_origin_opens_no_socket(url: str) -> None:
    with pytest.raises(InvalidStatus) as error:
        await open_socket(url, origin="https://evil.example")
    assert error.value.response.status_code == 403
    async with await open_socket(url, origin=url) as socket:
        await greet(socket)


async def test_a_page_of_an_allowed_origin_opens_a_socket(bus: Bus) -> None:
    async with (
        serving(bus, ServerOptions(allowed_origins=("https://watch.example",))) as url,
        await open_socket(url, origin="https://watch.example") as socket,
    ):
        await greet(socket)


BAD_MESSAGES: list[str | bytes] = [
    "",
    "{",
    "5",
    "null",
    "[]",
    "[" * 50_000,
    "{}",
    '{"type": 5}',
    '{"type": "nonsense"}',
    '{"type": "connection_init", "payload": 5}',
    '{"type": "subscribe"}',
    '{"type": "subscribe", "id": 5, "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": "1", "payload": null}',
    '{"type": "subscribe", "id": "1", "payload": []}',
    '{"type": "subscribe", "id": "1", "payload": {}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": 5}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": 5}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "operationName": 5}}',
    '{"type": "complete"}',
    '{"type": "complete", "id": {}}',
]


async def test_a_message_of_a_wrong_form_closes_with_4400(url: str) -> None:
    for message in BAD_MESSAGES:
        async with await open_socket(url) as socket:
            await socket.send(message)
            assert await close_code(socket) == 4400, message


async def test_a_binary_message_closes_with_1003(url: str) -> None:
    async with await open_socket(url) as socket:
        await socket.send(b"{}")
        assert await close_code(socket) == 1003


async def test_the_other_close_codes_are_those_of_the_protocol(bus: Bus) -> None:
    await register(bus, community("demo"))
    waiting = {"query": 'subscription { community(id: "demo") { load } }'}
    async with serving(bus, ServerOptions(limits=Limits(init_timeout_s=0.05))) as url:
        await until_ready(url)
        async with await open_socket(url) as socket:
            await say(socket, type="subscribe", id="1", payload=waiting)
            assert await close_code(socket) == 4401
        async with await open_socket(url) as socket:
            assert await close_code(socket) == 4408
        async with await open_socket(url) as socket:
            await greet(socket)
            await say(socket, type="connection_init")
            assert await close_code(socket) == 4429
        async with await open_socket(url) as socket:
            await greet(socket)
            await say(socket, type="subscribe", id="1", payload=waiting)
            await say(socket, type="subscribe", id="1", payload=waiting)
            assert await close_code(socket) == 4409


async def test_a_message_over_the_limit_closes_with_1009(url: str) -> None:
    async with await open_socket(url) as socket:
        await socket.send(" " * 70_000)
        assert await close_code(socket) == 1009


async def test_a_payload_of_null_is_none_at_all(url: str) -> None:
    async with await open_socket(url) as socket:
        await say(socket, type="connection_init", payload=None)
        assert await hear(socket) == {"type": "connection_ack"}


async def test_queries_and_pings_are_answered_on_the_socket(url: str) -> None:
    async with await open_socket(url) as socket:
        await greet(socket)
        await say(socket, type="ping")
        assert await hear(socket) == {"type": "pong"}
        await say(socket, type="subscribe", id="1", payload={"query": "{ communities { id } }", "variables": None})
        assert await hear(socket) == {
            "type": "next",
            "id": "1",
            "payload": {"data": {"communities": [{"id": "demo"}]}},
        }
        assert await hear(socket) == {"type": "complete", "id": "1"}


async def test_an_invalid_document_is_an_error_of_its_operation_alone(url: str) -> None:
    async with await open_socket(url) as socket:
        await greet(socket)
        await say(socket, type="subscribe", id="1", payload={"query": "subscription { home { load } }"})
        answer = await hear(socket)
        assert (answer["type"], answer["id"]) == ("error", "1")
        await say(socket, type="subscribe", id="1", payload={"query": "{ __typename }"})
        assert (await hear(socket))["type"] == "next"


async def test_only_so_many_operations_are_open_on_one_socket(bus: Bus) -> None:
    await register(bus, community("demo"))
    waiting = {"query": 'subscription { community(id: "demo") { load } }'}
    async with serving(bus, ServerOptions(limits=Limits(operations=1))) as url:
        await until_ready(url)
        async with await open_socket(url) as socket:
            await greet(socket)
            await say(socket, type="subscribe", id="1", payload=waiting)
            await say(socket, type="subscribe", id="2", payload=waiting)
            answer = await hear(socket)
            assert (answer["type"], answer["id"]) == ("error", "2")


async def test_a_client_that_vanishes_leaves_nothing_behind(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    socket = await open_socket(url)
    await greet(socket)
    for number in range(3):
        payload = {"query": 'subscription { home(id: "demo.home-1") { load } }'}
        await say(socket, type="subscribe", id=str(number), payload=payload)
        await hear(socket)
    assert await metric(url, "commonwatt_subscriptions") == 3
    socket.transport.abort()

    async def is_gone() -> bool:
        names = ("commonwatt_websocket_connections", "commonwatt_subscriptions", "commonwatt_watchers")
        return [await metric(url, name) for name in names] == [0, 0, 0]

    await eventually(is_gone)
