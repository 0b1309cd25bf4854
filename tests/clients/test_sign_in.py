"""Sign-in by published clients, each in the way that it has for a token: a header, or the first message of a socket."""

import pytest
from gql.transport.exceptions import TransportConnectionFailed

from bus.revocations import revoke
from tests.clients.clients import NodeClient
from tests.clients.conftest import ALL, SOCKETS, SUBSCRIBING, Open
from tests.clients.signing import Signing, identify
from tests.clients.stand import Scene
from tests.clients.test_subscriptions import LOAD
from tests.resolvers.frames import home_state

NAME = "query Name($home: ID!) { home(id: $home) { name } }"
FOR_JAVASCRIPT = [name for name in ALL if not name.startswith("gql")]
CLOSED = ("4403", "Socket closed with event 4403 Forbidden")
UNAUTHORIZED = ("401", "UNAUTHENTICATED")

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("name", ALL)
async def test_a_token_opens_its_own_home_and_no_other(
    name: str, scene: Scene, signing: Signing, open_client: Open
) -> None:
    await scene.publisher.publish(home_state(load_w=1.0))
    client = await open_client(name, scene, token=signing.household(scene.community))
    assert await (await client.start(NAME, home=scene.home)).data() == {"home": {"name": "home-1"}}
    documents = [NAME]
    if name in SUBSCRIBING:
        assert await (await client.start(LOAD, home=scene.home)).data() == {"home": {"load": 1}}
        documents.append(LOAD)
    for document in documents:
        (unknown,) = await (await client.start(document, home=f"{scene.community}.home-2")).errors()
        assert unknown["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("name", [*FOR_JAVASCRIPT, "gql-aiohttp", "gql-httpx"])
async def test_without_a_good_token_the_application_is_told_so(name: str, scene: Scene, open_client: Open) -> None:
    for token in (None, f"{scene.token}x"):
        client = await open_client(name, scene, token=token, attempts=1)
        refused = CLOSED if name in ("graphql-ws", "apollo-socket", "urql-socket") else UNAUTHORIZED
        assert await (await client.start(NAME, home=scene.home)).refusal() in refused
        if name in SUBSCRIBING:
            refused = CLOSED if name in SOCKETS else UNAUTHORIZED
            assert await (await client.start(LOAD, home=scene.home)).refusal() in refused


@pytest.mark.parametrize("name", ["gql-websockets", "gql-aiohttp-websockets"])
async def test_without_a_good_token_the_sockets_of_gql_do_not_open(name: str, scene: Scene, open_client: Open) -> None:
    for token in (None, f"{scene.token}x"):
        with pytest.raises(TransportConnectionFailed):
            await open_client(name, scene, token=token, once=True)


async def test_graphql_ws_gives_a_refused_token_up_by_itself(scene: Scene, open_client: Open) -> None:
    client = await open_client("graphql-ws", scene, token="not a token", byDefault=True)
    assert isinstance(client, NodeClient)
    operation = await client.start(LOAD, home=scene.home)
    assert await operation.refusal() == "4403"
    closes = [(await client.connection.happens())["code"] for _ in range(6)]
    assert closes == [4403] * 6


@pytest.mark.parametrize("name", [name for name in SUBSCRIBING if not name.startswith("gql")])
async def test_a_revoked_token_ends_what_is_open(name: str, scene: Scene, signing: Signing, open_client: Open) -> None:
    await scene.publisher.publish(home_state(load_w=1.0))
    token = signing.household(scene.community)
    client = await open_client(name, scene, token=token)
    operation = await client.start(LOAD, home=scene.home)
    assert await operation.data() == {"home": {"load": 1}}
    await revoke(scene.bus, *identify(token))
    refusal = await operation.refusal()
    assert "4403" in refusal if name in SOCKETS else refusal == "UNAUTHENTICATED"


async def test_a_ping_with_a_newer_token_keeps_the_socket_open(
    scene: Scene, signing: Signing, open_client: Open
) -> None:
    await scene.publisher.publish(home_state(load_w=1.0))
    old, new, other = (signing.household(scene.community) for _ in range(3))
    client, another = (
        await open_client("graphql-ws", scene, token=old),
        await open_client("graphql-ws", scene, token=other),
    )
    assert isinstance(client, NodeClient)
    operation, control = await client.start(LOAD, home=scene.home), await another.start(LOAD, home=scene.home)
    assert await operation.data() == await control.data() == {"home": {"load": 1}}
    await client.ping({"token": new})
    assert await client.connection.happens() == {"event": "pong"}
    await revoke(scene.bus, *identify(old))
    await revoke(scene.bus, *identify(other))
    assert await control.refusal() == "4403"
    await scene.publisher.publish(home_state(load_w=2.0))
    assert await operation.data() == {"home": {"load": 2}}
    await client.ping({"token": "not a token"})
    assert await operation.refusal() == "4403"
