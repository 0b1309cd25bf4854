import asyncio
import json
import socket
import time

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bus.client import Bus
from server.options import ServerOptions
from server.run import ListenError, listen, serve
from tests.resolvers.frames import Publisher, community, home_state, register
from tests.server.served import serving, until_ready


async def start(bus: Bus) -> tuple[asyncio.Task[None], str]:
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(bus, ServerOptions(), "127.0.0.1", 0, on_started=started.set_result))
    return task, await started


async def open_subscription(url: str) -> ClientConnection:
    client = await connect(url.replace("http", "ws") + "/graphql", subprotocols=[Subprotocol("graphql-transport-ws")])
    await client.send(json.dumps({"type": "connection_init"}))
    await client.recv()
    payload = {"query": 'subscription { home(id: "demo.home-1") { load } }'}
    await client.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
    await client.recv()
    return client


async def test_a_port_in_use_is_one_clear_error_before_the_start(bus: Bus) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"^port {port} on 127.0.0.1 is in use: .*--port$"):
            await serve(bus, ServerOptions(), "127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_one_clear_error(host: str) -> None:
    with pytest.raises(ListenError, match=f"cannot listen on {host}, port 0"):
        listen(host, 0)


def test_listens_on_ipv6_too() -> None:
    try:
        listener = listen("::1", 0)
    except ListenError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert listener.family is socket.AF_INET6


async def test_the_port_is_free_again_after_the_end(bus: Bus) -> None:
    task, url = await start(bus)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    port = int(url.rpartition(":")[2])
    with listen("127.0.0.1", port):
        pass


async def test_ends_at_once_and_tells_open_sockets_to_come_back(bus: Bus) -> None:
    await register(bus, community("demo"))
    await Publisher(bus).publish(home_state())
    task, url = await start(bus)
    await until_ready(url)
    clients = [await open_subscription(url) for _ in range(10)]
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 3
    for client in clients:
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1012


async def test_ends_within_5_s_though_a_client_takes_nothing(bus: Bus) -> None:
    await register(bus, community("demo"))
    publisher = Publisher(bus)
    await publisher.publish(home_state())
    task, url = await start(bus)
    await until_ready(url)
    client = await open_subscription(url)
    client.transport.pause_reading()
    # A hundred subscriptions with long aliases fill what the sockets buffer.
    fields = " ".join(f"{'x' * 200}{number}: load" for number in range(100))
    document = f'subscription {{ home(id: "demo.home-1") {{ {fields} }} }}'
    for number in range(50):
        message = {"type": "subscribe", "id": f"s{number}", "payload": {"query": document}}
        await client.send(json.dumps(message))
    for load in range(20):
        await publisher.publish(home_state(load_w=float(load)))
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 5
    client.transport.abort()


async def test_two_servers_run_beside_each_other(bus: Bus) -> None:
    async with serving(bus) as one, serving(bus) as two, httpx.AsyncClient() as http:
        assert one != two
        for url in (one, two):
            assert (await http.get(f"{url}/health")).status_code == 200


async def test_leaves_no_task_behind(bus: Bus) -> None:
    before = asyncio.all_tasks()
    async with serving(bus) as url:
        await until_ready(url)
    assert {task.get_name() for task in asyncio.all_tasks() - before} == set()
