"""Subscriptions by published clients: each value in order, several at once, and the end of one."""

import asyncio

import pytest

from tests.clients.clients import NodeClient
from tests.clients.conftest import SOCKETS, SUBSCRIBING, Open
from tests.clients.stand import Scene
from tests.resolvers.frames import eventually, home_state
from tests.server.served import metric

LOAD = "subscription Load($home: ID!) { home(id: $home) { load } }"
SURPLUS = "subscription Surplus($community: ID!) { community(id: $community) { surplusPower } }"
ALERTS = "subscription Alerts($home: ID!, $after: Cursor) { alerts(home: $home, after: $after) { cursor } }"

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("name", SUBSCRIBING)
async def test_each_value_comes_in_order_and_the_last_one_is_right(name: str, scene: Scene, open_client: Open) -> None:
    await scene.publisher.publish(home_state(load_w=0.5))
    client = await open_client(name, scene)
    operation = await client.start(LOAD, home=scene.home)
    assert await operation.data() == {"home": {"load": 0.5}}
    for load in (1, 2, 3):
        await scene.publisher.publish(home_state(load_w=float(load)))
        assert await operation.data() == {"home": {"load": load}}
    for load in range(4, 54):
        await scene.publisher.publish(home_state(load_w=float(load)))
    seen = [3]
    while seen[-1] != 53:
        seen.append((await operation.data())["home"]["load"])
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("name", SUBSCRIBING)
async def test_no_alert_is_left_out(name: str, scene: Scene, open_client: Open) -> None:
    cursors = [await scene.raise_alert(number) for number in range(20)]
    client = await open_client(name, scene)
    operation = await client.start(ALERTS, home=scene.home, after=cursors[0])
    cursors += [await scene.raise_alert(number) for number in range(20, 40)]
    assert [(await operation.data())["alerts"]["cursor"] for _ in cursors[1:]] == cursors[1:]


@pytest.mark.parametrize("name", SUBSCRIBING)
async def test_a_subscription_that_cannot_be_tells_the_application_why(
    name: str, scene: Scene, open_client: Open
) -> None:
    await scene.publisher.publish(home_state(load_w=1.0))
    client = await open_client(name, scene)
    (unknown,) = await (await client.start(LOAD, home=f"{scene.community}.home-9")).errors()
    assert unknown["extensions"]["code"] == "NOT_FOUND"
    (invalid,) = await (await client.start("subscription { home { load } }")).errors()
    assert "is required" in invalid["message"]
    (expired,) = await (await client.start(ALERTS, home=scene.home, after="999999")).errors()
    assert expired["extensions"]["code"] == "CURSOR_EXPIRED"
    assert await (await client.start(LOAD, home=scene.home)).data() == {"home": {"load": 1}}


@pytest.mark.parametrize("name", SUBSCRIBING)
async def test_a_subscription_that_is_ended_leaves_no_group_and_the_others_go_on(
    name: str, scene: Scene, open_client: Open
) -> None:
    async def are_left(groups: int) -> bool:
        return await metric(scene.url, "commonwatt_groups") == groups

    await scene.publisher.publish(home_state(load_w=1.0), surplus_power_w=1.0)
    client = await open_client(name, scene)
    kept = await client.start(SURPLUS, community=scene.community)
    ended = await client.start(LOAD, home=scene.home)
    assert await kept.data() == {"community": {"surplusPower": 1}}
    assert await ended.data() == {"home": {"load": 1}}
    await eventually(lambda: are_left(2))
    await client.stop(ended)
    await eventually(lambda: are_left(1))
    await scene.publisher.publish(home_state(load_w=2.0), surplus_power_w=2.0)
    assert await kept.data() == {"community": {"surplusPower": 2}}
    await client.stop(kept)
    await eventually(lambda: are_left(0))


@pytest.mark.parametrize("name", SOCKETS)
async def test_all_operations_share_one_socket(name: str, scene: Scene, open_client: Open) -> None:
    async def are_open(sockets: int, subscriptions: int) -> bool:
        names = ("commonwatt_websocket_connections", "commonwatt_subscriptions")
        return [await metric(scene.url, name) for name in names] == [sockets, subscriptions]

    homes = (home_state("home-1", load_w=1.0), home_state("home-2", load_w=2.0))
    await scene.publisher.publish(*homes, surplus_power_w=3.0)
    await eventually(lambda: are_open(0, 0))
    client = await open_client(name, scene)
    home_1, home_2, community = await asyncio.gather(
        client.start(LOAD, home=scene.home),
        client.start(LOAD, home=f"{scene.community}.home-2"),
        client.start(SURPLUS, community=scene.community),
    )
    assert await home_1.data() == {"home": {"load": 1}}
    assert await home_2.data() == {"home": {"load": 2}}
    assert await community.data() == {"community": {"surplusPower": 3}}
    query = "query ($home: ID!) { home(id: $home) { name } }"
    for answer in [await client.start(query, home=scene.home) for _ in range(5)]:
        assert await answer.data() == {"home": {"name": "home-1"}}
    assert await are_open(1, 3)


async def test_pings_of_graphql_ws_are_answered(scene: Scene, open_client: Open) -> None:
    await scene.publisher.publish(home_state(load_w=1.0))
    client = await open_client("graphql-ws", scene, keepAlive=20)
    assert isinstance(client, NodeClient)
    operation = await client.start(LOAD, home=scene.home)
    assert await operation.data() == {"home": {"load": 1}}
    for _ in range(3):
        assert await client.connection.happens() == {"event": "pong"}
