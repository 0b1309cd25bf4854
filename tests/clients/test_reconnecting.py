"""Published clients whose server ends, is killed, or is cut off: their own retry brings the subscription back."""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from bus.broker import free_port
from bus.client import Bus
from tests.clients.clients import WAIT_S
from tests.clients.conftest import SUBSCRIBING, Open
from tests.clients.signing import Signing
from tests.clients.stand import arrange, standing
from tests.clients.test_subscriptions import ALERTS, LOAD, SURPLUS
from tests.conftest import NatsServer
from tests.resolvers.frames import Cable, eventually, home_state

RETRYING = [name for name in SUBSCRIBING if name != "urql-stream"]  # fetch of urql does not try again by itself

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("name", RETRYING)
async def test_subscriptions_go_on_at_a_server_that_ended_and_came_back_and_after_a_cut(
    name: str, module_bus: Bus, signing: Signing, open_client: Open
) -> None:
    async with standing(module_bus, signing) as stand:
        scene = await arrange(module_bus, stand.url, signing)
        await scene.publisher.publish(home_state(load_w=1.0), surplus_power_w=1.0)
        client = await open_client(name, scene)
        home = await client.start(LOAD, home=scene.home)
        community = await client.start(SURPLUS, community=scene.community)

        async def is_shown(figure: int) -> None:
            assert await home.data() == {"home": {"load": figure}}
            assert await community.data() == {"community": {"surplusPower": figure}}

        await is_shown(1)
        await stand.end()
        await scene.publisher.publish(home_state(load_w=2.0), surplus_power_w=2.0)
        await stand.start()
        await is_shown(2)
        await stand.cut()
        await scene.publisher.publish(home_state(load_w=3.0), surplus_power_w=3.0)
        await stand.mend()
        await is_shown(3)
        await scene.publisher.publish(home_state(load_w=4.0), surplus_power_w=4.0)
        await is_shown(4)


async def test_event_streams_of_urql_leave_it_to_the_application_to_come_back(
    module_bus: Bus, signing: Signing, open_client: Open
) -> None:
    """By its fetch a cut is an error, and the end of the server that of the subscription."""
    async with standing(module_bus, signing) as stand:
        scene = await arrange(module_bus, stand.url, signing)
        await scene.publisher.publish(home_state(load_w=1.0))
        client = await open_client("urql-stream", scene)
        operation = await client.start(LOAD, home=scene.home)
        assert await operation.data() == {"home": {"load": 1}}
        await stand.cut()
        await operation.failure()
        await stand.mend()
        operation = await client.start(LOAD, home=scene.home)
        assert await operation.data() == {"home": {"load": 1}}
        await stand.end()
        assert await operation.data() == {"home": {"load": 1}}  # said once more, as the last
        await operation.completed()


async def test_alerts_of_a_cut_event_stream_go_on_after_the_last_one_seen(
    module_bus: Bus, signing: Signing, open_client: Open
) -> None:
    async with standing(module_bus, signing) as stand:
        scene = await arrange(module_bus, stand.url, signing)
        cursors = [await scene.raise_alert(number) for number in range(4)]
        client = await open_client("graphql-sse", scene)
        operation = await client.start(ALERTS, home=scene.home, after=cursors[0])
        seen = [(await operation.data())["alerts"]["cursor"] for _ in range(3)]
        await stand.cut()
        cursors += [await scene.raise_alert(number) for number in range(4, 8)]
        await stand.mend()
        seen += [(await operation.data())["alerts"]["cursor"] for _ in range(4)]
        assert seen == cursors[1:]


@asynccontextmanager
async def process(nats: NatsServer, port: int, folder: Path) -> AsyncIterator[Process]:
    """Run `commonwatt serve`, until it is ready at least."""
    command = ["-m", "commonwatt", "serve", "--port", str(port), "--nats-url", nats.url]
    command += ["--development", "--data-dir", str(folder)]
    running = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        await eventually(lambda: _is_ready(port), timeout=WAIT_S)
        yield running
    finally:
        if running.returncode is None:
            running.send_signal(signal.SIGTERM)
            await running.wait()


async def _is_ready(port: int) -> bool:
    async with httpx.AsyncClient() as http:
        try:
            return (await http.get(f"http://127.0.0.1:{port}/ready")).status_code == 200
        except httpx.TransportError:
            return False


async def test_all_go_on_after_the_process_was_killed(
    session_nats: NatsServer, module_bus: Bus, signing: Signing, open_client: Open
) -> None:
    port = free_port()
    cable = Cable(port)
    await cable.plug()
    async with process(session_nats, port, signing.folder) as server:
        scene = await arrange(module_bus, cable.url.replace("nats://", "http://"), signing)
        await scene.publisher.publish(home_state(load_w=1.0))
        clients = [await open_client(name, scene) for name in RETRYING]
        operations = [await client.start(LOAD, home=scene.home) for client in clients]

        async def is_shown(load: int) -> None:
            assert [await operation.data() for operation in operations] == [{"home": {"load": load}}] * len(RETRYING)

        await is_shown(1)
        server.kill()
        await server.wait()
    await cable.pull()  # nobody shall reach a server that is not ready
    await scene.publisher.publish(home_state(load_w=2.0))
    async with process(session_nats, port, signing.folder):
        await cable.plug()
        await is_shown(2)
        await scene.publisher.publish(home_state(load_w=3.0))
        await is_shown(3)
        await cable.pull()
