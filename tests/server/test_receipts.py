"""What a connection costs, counted on a real socket by both sides of it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from schema.receipt import TAIL_S
from tests.resolvers.frames import Publisher, eventually, home_state
from tests.server.served import ask
from tests.server.test_sse import events
from tests.watch.cable import Cable

HOME = 'subscription { home(id: "demo.home-1") { load } }'
LABELS = ("transport", "direction")
RECEIPT = "{ receipt { bytesIn bytesOut messagesIn messagesOut pings wakeups since } }"


class Caller:
    """One WebSocket, over a cable that counts."""

    def __init__(self, socket: ClientConnection, cable: Cable) -> None:
        self._socket = socket
        self.cable = cable

    async def say(self, **message: Any) -> None:
        await self._socket.send(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            message: dict[str, Any] = json.loads(await self._socket.recv())
        return message

    async def receipt(self) -> dict[str, Any]:
        await self.say(type="subscribe", id="r", payload={"query": RECEIPT})
        answer, end = await self.hear(), await self.hear()
        assert end == {"id": "r", "type": "complete"}
        found: dict[str, Any] = answer["payload"]["data"]["receipt"]
        return found


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Caller]:
    with Cable(urlsplit(url).port or 0) as cable:
        address = f"{cable.url.replace('http', 'ws')}/graphql"
        async with connect(
            address, subprotocols=[Subprotocol("graphql-transport-ws")], compression=None, proxy=None
        ) as socket:
            caller = Caller(socket, cable)
            await caller.say(type="connection_init")
            assert (await caller.hear())["type"] == "connection_ack"
            yield caller


async def test_the_server_counts_the_bytes_and_messages_that_the_wire_saw(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    async with calling(url) as caller:
        await caller.say(type="subscribe", id="1", payload={"query": HOME})
        await caller.hear()
        await publisher.publish(home_state(load_w=1.0))
        await caller.hear()
        out = caller.cable.to_client
        receipt = await caller.receipt()
        opened = datetime.fromisoformat(receipt.pop("since")).timestamp()
        assert abs(time.time() - opened) < 20
        assert receipt.pop("wakeups") >= 1
        expected = {"bytesIn": caller.cable.to_server, "bytesOut": out, "messagesIn": 3, "messagesOut": 3, "pings": 0}
        assert receipt == expected
        later = await caller.receipt()
        assert (later["messagesIn"], later["messagesOut"]) == (4, 5)  # an answer is two: next, complete
        assert later["bytesIn"] == caller.cable.to_server


async def test_what_passes_after_a_silence_wakes_a_radio_and_what_passes_at_once_does_not(
    url: str, publisher: Publisher
) -> None:
    await publisher.publish(home_state())
    async with calling(url) as caller:
        began_s = time.monotonic()
        before = (await caller.receipt())["wakeups"]
        hurried = (await caller.receipt())["wakeups"]
        if time.monotonic() - began_s < TAIL_S:
            assert hurried == before
        await caller.say(
            type="subscribe", id="1", payload={"query": HOME.replace('home-1"', 'home-1", maxSilence: "PT1.5S"')}
        )
        for _ in range(3):
            await caller.hear()
        assert (await caller.receipt())["wakeups"] >= hurried + 2


async def test_frames_that_go_out_together_are_counted_one_by_one(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    every = 'subscription { home(id: "demo.home-1", every: "PT0.1S") { load } }'
    async with calling(url) as caller:
        for id in ("1", "2"):
            await caller.say(type="subscribe", id=id, payload={"query": every})
            await caller.hear()
        await publisher.publish(home_state(load_w=7.0))
        assert {(await caller.hear())["id"] for _ in range(2)} == {"1", "2"}
        out = caller.cable.to_client
        receipt = await caller.receipt()
        assert (receipt["bytesOut"], receipt["messagesOut"]) == (out, 5)


async def test_a_request_over_http_has_no_connection_of_its_own(url: str) -> None:
    assert await ask(url, RECEIPT) == {"data": {"receipt": None}}


async def metrics(url: str) -> dict[str, float]:
    """Return the sums and counts of what connections cost, by name and labels."""
    async with httpx.AsyncClient(base_url=url) as http:
        text = (await http.get("/metrics")).text
    found = {}
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            if name.startswith("commonwatt_connection_") and name.endswith(("_sum", "_count")):
                told = [
                    name.removeprefix("commonwatt_connection_"),
                    *(labels[label] for label in LABELS if label in labels),
                ]
                found[" ".join(told)] = value
    return found


async def test_a_connection_that_ends_is_counted_without_saying_whose_it_was(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    async with calling(url) as caller:
        await caller.say(type="subscribe", id="1", payload={"query": HOME})
        await caller.hear()
        assert "bytes_count websocket out" not in await metrics(url)

    async def is_counted() -> bool:
        return "seconds_count websocket" in await metrics(url)

    await eventually(is_counted)
    seen = await metrics(url)
    assert seen["bytes_sum websocket out"] == caller.cable.to_client
    assert seen["bytes_sum websocket in"] == caller.cable.to_server
    assert (seen["messages_sum websocket in"], seen["messages_sum websocket out"]) == (2, 2)
    assert (seen["pings_sum websocket"], seen["seconds_count websocket"]) == (0, 1)
    assert seen["wakeups_sum websocket"] >= 1


async def test_an_event_stream_that_ends_is_counted_by_what_went_out(url: str, publisher: Publisher) -> None:
    await publisher.publish(home_state())
    async with events(url, HOME) as stream:
        blocks = [await stream.block(), await stream.block()]

    async def is_counted() -> bool:
        return "seconds_count event-stream" in await metrics(url)

    await eventually(is_counted)
    seen = await metrics(url)
    assert seen["bytes_sum event-stream out"] == sum(len("\n".join(lines)) + 2 for lines in blocks)
    assert (seen["messages_sum event-stream out"], seen["pings_sum event-stream"]) == (1, 1)
    assert seen["wakeups_sum event-stream"] >= 1
    assert "bytes_sum event-stream in" not in seen
