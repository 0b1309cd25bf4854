"""The end of a server: who is in is told to come back, one after the other; nobody new comes in."""

import asyncio

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bus.client import Bus
from server.drain import Drain
from server.options import ServerOptions
from server.run import serve
from tests.resolvers.frames import Publisher, community, eventually, home_state, register
from tests.server.served import until_ready

HOME = 'subscription { home(id: "demo.home-1") { load } }'


async def test_clients_leave_evenly_over_the_time() -> None:
    left: list[float] = []
    loop = asyncio.get_running_loop()

    def leave() -> bool:
        left.append(loop.time())
        return True

    began = loop.time()
    await Drain(0.5).spread([leave] * 100)
    assert len(left) == 100
    early = sum(1 for at in left if at - began < 0.25)
    assert 30 <= early <= 70
    assert len(set(left)) > 50


async def test_who_waits_for_an_answer_is_asked_again_until_the_time_is_over() -> None:
    asked = 0

    def busy() -> bool:
        nonlocal asked
        asked += 1
        return asked == 4

    await asyncio.wait_for(Drain(60).spread([busy]), 10)
    assert asked == 4
    asked = 5
    await asyncio.wait_for(Drain(0.2).spread([busy]), 10)  # never ready: let go of
    assert asked > 5


async def test_without_clients_there_is_nothing_to_wait_for() -> None:
    await asyncio.wait_for(Drain(300).spread([]), 1)


@pytest.mark.parametrize("sockets", [24])
async def test_a_server_that_ends_lets_nobody_in_and_sends_all_away(bus: Bus, sockets: int) -> None:
    await register(bus, community("demo"))
    await Publisher(bus).publish(home_state("home-1"), home_state("home-2"))
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(bus, ServerOptions(drain_s=2), "127.0.0.1", 0, on_started=started.set_result))
    url = await started
    await until_ready(url)
    address = url.replace("http", "ws") + "/graphql"
    ended: list[tuple[float, int]] = []

    async def watch() -> None:
        async with connect(address, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send('{"type":"connection_init"}')
            await socket.recv()
            await socket.send('{"type":"subscribe","id":"1","payload":{"query":' + _json(HOME) + "}}")
            await socket.recv()
            watching.append(1)
            try:
                while True:
                    await socket.recv()
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd is not None else 0
                ended.append((asyncio.get_running_loop().time(), code))

    watching: list[int] = []
    watchers = [asyncio.create_task(watch()) for _ in range(sockets)]

    async def all_watch() -> bool:
        return len(watching) == sockets

    await eventually(all_watch)
    async with httpx.AsyncClient(base_url=url) as http:
        running.cancel()

        async def is_ending() -> bool:
            answer = await http.get("/ready")
            return answer.status_code == 503 and "the server is ending" in answer.json()["reasons"]

        await eventually(is_ending)
        with pytest.raises(InvalidStatus) as refused:
            await connect(address, subprotocols=["graphql-transport-ws"])  # type: ignore[list-item]
        assert (refused.value.response.status_code, refused.value.response.headers["retry-after"]) == (503, "1")
        streamed = await http.post("/graphql", json={"query": HOME}, headers={"accept": "text/event-stream"})
        assert (streamed.status_code, streamed.headers["retry-after"]) == (503, "1")
        asked = await http.post("/graphql", json={"query": "{ communities { id } }"})
        assert asked.json() == {"data": {"communities": [{"id": "demo"}]}}
    await asyncio.wait_for(asyncio.gather(*watchers), 20)
    await asyncio.wait([running], timeout=20)
    assert {code for _, code in ended} == {1012}
    times = sorted(at for at, _ in ended)
    assert times[-1] - times[0] > 1.0


def _json(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'
