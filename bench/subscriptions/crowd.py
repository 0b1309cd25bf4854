"""A crowd of clients that come, stay a while and go, and some that stall; each checks what it is sent.

A client watches a home, a home with its community, or a community. It leaves as the protocol wants
it or by vanishing, and comes again as another. What must not be is kept in `faults`.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from bench.subscriptions.client import Client, ClientError
from bench.subscriptions.frames import Source
from bench.subscriptions.prepare import HOMES

_DOCUMENTS: Final = (
    "subscription Home($id: ID!) { home(id: $id) { netPower pvPower light } }",
    "subscription Face($id: ID!) { home(id: $id) { netPower pvPower light community { surplusPower load } } }",
    "subscription Community($id: ID!) { community(id: $id) { surplusPower load light } }",
)
_HOME, _FACE, _COMMUNITY = range(3)
_OPERATIONS: Final = 100
_STALL_S: Final = 45.0
_ARRIVE_S: Final = 20.0
_MOST_FAULTS: Final = 50


class Target(NamedTuple):
    """What a client watches; `home` counts for nothing where the document is of the community."""

    document: int
    community: int
    home: int

    @property
    def key(self) -> str:
        """The id that the API knows it by."""
        return f"c{self.community:03}" if self.document == _COMMUNITY else f"c{self.community:03}.h{self.home:03}"


@dataclass(slots=True)
class Visitor:
    """A client that is there: what it watches, and what it was sent last."""

    target: Target
    shown: dict[str, Any] | None = None


@dataclass
class Tally:
    """What the crowd did and saw."""

    came: int = 0
    stalled: int = 0
    messages: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Keep a fault, unless there are many already."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(text[:500])


class Crowd:
    """`size` clients at a time, one in a hundred stalled; `stay_s` is how long one stays on average."""

    def __init__(self, port: int, source: Source, size: int, stay_s: float, chance: random.Random) -> None:
        self.tally = Tally()
        self._port = port
        self._source = source
        self._size = size
        self._stay_s = stay_s
        self._chance = chance
        self._visitors: dict[int, Visitor] = {}
        self._connecting = asyncio.Semaphore(32)
        self._closed = False
        self._leave: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Let clients come and go until `leave`."""
        async with asyncio.TaskGroup() as group:
            sleepers = max(1, self._size // 100)
            for _ in range(sleepers):
                group.create_task(self._stall())
            for number in range(self._size - sleepers):
                group.create_task(self._come_and_go(number))

    def close(self) -> None:
        """Let nobody come or go any more; who is there stays until `leave`."""
        self._closed = True

    def leave(self) -> None:
        """Send all away."""
        self._closed = True
        self._leave.set_result(None)

    def mistaken(self) -> list[str]:
        """Return what clients show that is not the state of the last frame."""
        wrong = []
        for visitor in self._visitors.values():
            expected = self._expected(visitor.target)
            if visitor.shown != expected:
                wrong.append(f"{visitor.target.key} shows {visitor.shown}, not {expected}")
        return wrong

    @property
    def present(self) -> int:
        """How many are there and read."""
        return len(self._visitors)

    # --- one client ---

    async def _come_and_go(self, number: int) -> None:
        stay = self._chance.uniform(0, min(_ARRIVE_S, self._stay_s))
        await asyncio.wait({self._leave}, timeout=stay)
        while not self._closed:
            try:
                await self._visit(number)
            except ClientError as error:
                self.tally.fault(str(error))
                await asyncio.wait({self._leave}, timeout=1)

    async def _visit(self, number: int) -> None:
        target = self._any_target()
        async with self._connecting:
            client = await Client.connect(self._port)
        self.tally.came += 1
        client.subscribe("1", _DOCUMENTS[target.document], {"id": target.key})
        visitor = self._visitors[number] = Visitor(target)
        reading = asyncio.ensure_future(self._read(client, visitor))
        try:
            stay = min(self._chance.expovariate(1 / self._stay_s), 5 * self._stay_s)
            await asyncio.wait({reading, self._leave}, timeout=stay, return_when=asyncio.FIRST_COMPLETED)
            if self._closed:
                await asyncio.wait({reading, self._leave}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                client.abort()
                reading.result()  # it ends by raising only
        finally:
            reading.cancel()
            del self._visitors[number]
        if self._chance.random() < 0.5:
            await client.close("1")
        else:
            client.abort()

    async def _read(self, client: Client, visitor: Visitor) -> None:
        """Take what comes, for ever; raise ClientError for what must not come."""
        async for kind, _, payload in client.messages():
            if kind != "next":
                raise ClientError(f"{kind} for {visitor.target.key}: {bytes(payload).decode()}")
            shown = _flat(payload)
            expected = self._expected(visitor.target)
            if shown.keys() != expected.keys():
                raise ClientError(f"{shown} for {visitor.target.key}")
            for name in ("pvPower", "load"):
                if shown.get(name) != expected.get(name):
                    raise ClientError(f"{shown} for {visitor.target.key}: that is of another")
            for name in ("netPower", "surplusPower"):
                if visitor.shown is not None and shown.get(name, 0) < visitor.shown.get(name, 0):
                    raise ClientError(f"{shown} for {visitor.target.key} after {visitor.shown}")
            visitor.shown = shown
            self.tally.messages += 1

    async def _stall(self) -> None:
        """Be a client that subscribes much and reads nothing, and after a while another one."""
        while not self._leave.done():
            try:
                async with self._connecting:
                    client = await Client.connect(self._port, narrow=True)
                for number in range(_OPERATIONS):
                    target = self._any_target()
                    client.subscribe(str(number), _DOCUMENTS[target.document], {"id": target.key})
                client.stall()
                self.tally.stalled += 1
                await asyncio.wait({self._leave}, timeout=_STALL_S)
                client.abort()
            except ClientError as error:
                self.tally.fault(f"stalled: {error}")
                await asyncio.wait({self._leave}, timeout=1)

    def _any_target(self) -> Target:
        chance = self._chance
        document = chance.choice((_HOME, _FACE, _COMMUNITY))
        return Target(document, chance.randrange(self._source.count), chance.randrange(HOMES))

    def _expected(self, target: Target) -> dict[str, Any]:
        """Return what the last frame shows of a target, as `_flat` has it."""
        source, community = self._source, target.community
        whole: dict[str, Any] = {"surplusPower": source.surplus(community), "load": community + 10000.5}
        if target.document == _COMMUNITY:
            return whole | {"light": _light(source.frames[community])}
        sequence = source.sequences[community][target.home]
        number = community * HOMES + target.home
        home = {"netPower": sequence + 0.5, "pvPower": number + 10000.5, "light": _light(sequence)}
        return home | whole if target.document == _FACE else home


def _light(number: int) -> str:
    return "GREEN" if number & 1 else "YELLOW"


def _flat(payload: msgspec.Raw) -> dict[str, Any]:
    """Return the fields of a result, those of a home's community among the others."""
    try:
        root = msgspec.json.decode(payload)["data"]
        fields: dict[str, Any] = root.get("home") or root["community"]
        fields.update(fields.pop("community", {}))
        return fields
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise ClientError(f"no result: {bytes(payload).decode(errors='replace')}") from None
