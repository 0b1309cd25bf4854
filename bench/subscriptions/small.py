"""What a delivery costs in CPU, beside plain Strawberry: the small form, which needs no C compiler.

    python -m bench.subscriptions.small [--clients 200] [--seconds 5] [--repeats 3] [--json]

Two servers in turn get the same frames from a nats-server of their own: `commonwatt serve`, and
the app below, Strawberry as its documentation shows it, with an AsyncGenerator and a queue per
subscriber. In "one home" all clients watch one home, in "own home" each another one; a frame then
changes 10 homes of a community of 50. At most 4 updates a client are under way. A figure is the
CPU time of the server process, from the operating system, over the deliveries that its clients
took; the ratio is what counts, for both share the machine.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from strawberry.asgi import GraphQL

from bench.subscriptions.client import Client, ClientError
from bench.subscriptions.frames import Source
from bench.subscriptions.prepare import HOMES, register
from bench.subscriptions.processes import Pinned
from bus.broker import Broker, free_port
from bus.client import Bus
from bus.messages import decode_frame, decode_home
from bus.settings import NatsSettings

_FACE: Final = (
    "subscription Face($home: ID!) { home(id: $home)"
    " { netPower pvPower community { surplusPower } selfSufficiency light } }"
)
_WINDOW: Final = 4
_CHANGED: Final = 10
_SHAPES: Final = {"one home": False, "own home": True}


# --- the baseline ---


@strawberry.type
class Community:
    surplus_power: float


@strawberry.type
class Home:
    net_power: float | None
    pv_power: float | None
    community: Community
    self_sufficiency: float | None
    light: str


@strawberry.type
class Query:
    ok: bool = True


def baseline(nats_url: str) -> Starlette:
    """Return the app: a subscription of NATS, a queue per subscriber, and Strawberry for the rest."""
    queues: dict[str, set[asyncio.Queue[Home]]] = {}

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def home(self, id: strawberry.ID) -> AsyncGenerator[Home, None]:
            queue: asyncio.Queue[Home] = asyncio.Queue()
            queues.setdefault(id, set()).add(queue)
            try:
                while True:
                    yield await queue.get()
            finally:
                queues[id].discard(queue)

    def take(payload: bytes) -> None:
        frame = decode_frame(payload)
        community = Community(surplus_power=frame.state.surplus_power_w)
        for name in frame.changed:
            state = decode_home(frame.homes[name])
            home = Home(
                net_power=state.net_power_w,
                pv_power=state.pv_power_w,
                community=community,
                self_sufficiency=state.self_sufficiency,
                light=state.light,
            )
            for queue in queues.get(f"{frame.state.community}.{name}", ()):
                queue.put_nowait(home)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        bus = await Bus.connect(NatsSettings(url=nats_url), name="baseline")
        await bus.subscribe("live.*", take)
        yield
        await bus.close()

    graphql: GraphQL[None, None] = GraphQL(strawberry.Schema(Query, subscription=Subscription))
    return Starlette(routes=[WebSocketRoute("/graphql", graphql)], lifespan=lifespan)


# --- the load ---


class _HomeFace(msgspec.Struct, rename="camel"):
    net_power: float
    pv_power: float


class _Data(msgspec.Struct):
    home: _HomeFace


class _Result(msgspec.Struct):
    data: _Data


_result: Final = msgspec.json.Decoder(_Result)


class Audience:
    """All clients of one measurement, and the frames for them."""

    def __init__(self, port: int, bus: Bus, clients: int, *, own_home: bool) -> None:
        self.delivered = 0
        self._port = port
        self._bus = bus
        self._homes = clients if own_home else 1
        self._seen = [-1] * clients
        self._source = Source(-(-self._homes // HOMES), surplus_moves=False)
        self._progress = asyncio.Event()
        self._next = 0

    async def watch(self, number: int, subscribed: asyncio.Semaphore) -> None:
        """Be one client, for ever; raise ClientError for a message that must not be."""
        home = number % self._homes
        community, place = divmod(home, HOMES)
        async with subscribed:
            client = await Client.connect(self._port)
            client.subscribe("1", _FACE, {"home": f"c{community:03}.h{place:03}"})
        try:
            async for kind, _, payload in client.messages():
                if kind != "next":
                    raise ClientError(f"{kind}: {bytes(payload).decode()}")
                face = _result.decode(payload).data.home
                sequence = int(face.net_power)
                if face.pv_power != home + 10000.5 or sequence < self._seen[number]:
                    raise ClientError(f"of another home, or older than {self._seen[number]}: {bytes(payload).decode()}")
                self.delivered += sequence > self._seen[number]
                self._seen[number] = sequence
                self._progress.set()
        finally:
            client.abort()

    async def publish(self) -> None:
        """Publish the next frame: one home's, or the next homes of the next community."""
        community, homes = 0, range(1)
        if self._homes > 1:
            community, place = divmod(self._next, HOMES)
            count = min(_CHANGED, self._homes - self._next, HOMES - place)
            homes = range(place, place + count)
            self._next = (self._next + count) % self._homes
        await self._bus.publish_core(f"live.c{community:03}", self._source.change(community, homes))

    async def caught_up(self, behind: int) -> None:
        """Wait until no client is more than `behind` updates late; raise ClientError if nothing comes for 20 s."""
        try:
            while self._latest_gap() > behind:
                self._progress.clear()
                async with asyncio.timeout(20):
                    await self._progress.wait()
        except TimeoutError:
            raise ClientError(f"a client is {self._latest_gap()} updates late, and nothing comes") from None

    def _latest_gap(self) -> int:
        """Return by how many updates the latest client is behind (those before its first value count one)."""
        sequences = self._source.sequences
        return max(
            sequences[number % self._homes // HOMES][number % self._homes % HOMES] - seen
            for number, seen in enumerate(self._seen)
        )

    async def begin(self) -> None:
        """Publish until every client has its first value and the latest."""
        for _ in range(100):
            for _ in range(-(-self._homes // _CHANGED)):
                await self.publish()
            try:
                async with asyncio.timeout(1):
                    return await self.caught_up(0)
            except TimeoutError:
                continue
        raise ClientError("not all clients have a value")


async def measure(bus: Bus, server: Pinned, port: int, clients: int, seconds: float, *, own_home: bool) -> float:
    """Return the CPU microseconds of a delivery."""
    audience = Audience(port, bus, clients, own_home=own_home)
    at_once = asyncio.Semaphore(32)

    async def drive() -> float:
        await audience.begin()
        loop = asyncio.get_running_loop()
        cpu, delivered = 0.0, 0
        for phase in (seconds / 3, seconds):
            cpu, delivered = server.usage().cpu_s, audience.delivered
            until = loop.time() + phase
            while loop.time() < until:
                await audience.publish()
                await audience.caught_up(_WINDOW)
            await audience.caught_up(0)
        return (server.usage().cpu_s - cpu) / (audience.delivered - delivered) * 1e6

    async with asyncio.TaskGroup() as group:
        watchers = [group.create_task(audience.watch(number, at_once)) for number in range(clients)]
        figure = await drive()
        for watcher in watchers:
            watcher.cancel()
    return figure


async def compare(o: argparse.Namespace) -> dict[str, Any]:
    """Measure both servers in turn and return medians and ratios."""
    several = len(os.sched_getaffinity(0)) > 1
    server_core, load_core = (0, 1) if several else (None, None)
    if several:
        os.sched_setaffinity(0, {1})
    figures: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder), free_port())
        with Pinned(load_core, broker.command()):
            await register(broker.url, -(-o.clients // HOMES))
            bus = await Bus.connect(NatsSettings(url=broker.url), name="bench")
            for _ in range(o.repeats):
                for shape, own_home in _SHAPES.items():
                    for name in ("strawberry", "commonwatt"):
                        port = free_port()
                        log = Path(folder) / f"{name}.log"
                        with Pinned(server_core, _command(name, port, broker.url, o.serve), log=log) as server:
                            await _answering(server, port, log)
                            cost = await measure(bus, server, port, o.clients, o.seconds, own_home=own_home)
                        figures.setdefault((shape, name), []).append(cost)
                        print(f"{shape}: {name} {cost:.1f} µs a delivery", file=sys.stderr, flush=True)
            await bus.close()
    result: dict[str, Any] = {"clients": o.clients}
    for shape in _SHAPES:
        plain, ours = (statistics.median(figures[shape, name]) for name in ("strawberry", "commonwatt"))
        key = shape.replace(" ", "_")
        result |= {
            f"{key}_strawberry_us": round(plain, 1),
            f"{key}_commonwatt_us": round(ours, 1),
            f"{key}_ratio": round(plain / ours, 2),
        }
    return result


def _command(name: str, port: int, url: str, options: str) -> list[str]:
    if name == "commonwatt":
        serve = [sys.executable, "-m", "commonwatt", "serve", "--nats-url", url, "--port", str(port)]
        return [*serve, *options.split()]
    return [sys.executable, "-m", "bench.subscriptions.small", "--baseline", str(port), url]


async def _answering(server: Pinned, port: int, log: Path) -> None:
    """Wait until the server takes a subscription, and does not say that it knows of no such home."""
    for _ in range(200):
        try:
            client = await Client.connect(port)
            client.subscribe("1", _FACE, {"home": "c000.h000"})
            messages = client.messages()
            try:
                async with asyncio.timeout(0.5):
                    kind, _, _ = await anext(messages)
            except TimeoutError:
                kind = "next"  # no answer is no error: it waits for a frame
            finally:
                client.abort()
            if kind == "next":
                return
        except ClientError:
            if server.ended:
                raise ClientError(f"the server ended: {log.read_text()[-2000:]}") from None
        await asyncio.sleep(0.1)
    raise ClientError(f"the server does not answer: {log.read_text()[-2000:]}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--serve", default="--development --sign-in=off", metavar="OPTIONS", help="of `commonwatt serve`"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--baseline", nargs=2, metavar=("PORT", "URL"), help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.baseline:
        app = baseline(o.baseline[1])
        uvicorn.run(app, port=int(o.baseline[0]), ws="websockets-sansio", loop="uvloop", log_level="warning")
        return
    result = asyncio.run(compare(o))
    if o.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:24} {value:,}")


if __name__ == "__main__":
    main()
