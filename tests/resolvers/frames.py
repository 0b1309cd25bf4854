"""Communities and frames for tests, and a publisher that numbers frames as the aggregator does."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from bus.client import Bus, Message
from bus.community import Community, Home, Meter, Tariff
from bus.identifiers import live_subject
from bus.messages import CommunityState, Frame, HomeState, encode
from bus.registry import apply

EVENING_MS = 1_900_000_800_000
"""2030-03-17T18:00:00Z."""


def community(key: str = "demo", *, homes: tuple[str, ...] = ("home-1", "home-2"), **changes: Any) -> Community:
    """Return a community as the registry has it."""
    members = tuple(Home(id=home, meters=(Meter(id=f"{home}-grid"),)) for home in homes)
    tariff = Tariff(supplier_price=Decimal("0.3"), community_price=Decimal("0.2"), feed_in_price=Decimal("0.08"))
    fields: dict[str, Any] = {"name": key.title(), "timezone": "Europe/Vienna", "tariff": tariff, "homes": members}
    return Community(id=key, **(fields | changes))


def home_state(home: str = "home-1", **changes: Any) -> HomeState:
    """Return a home that draws 1500 W and has neither photovoltaics nor a battery."""
    fields: dict[str, Any] = {
        "measured_at": EVENING_MS,
        "power_import_w": 1500.0,
        "power_export_w": 0.0,
        "net_power_w": 1500.0,
        "pv_power_w": None,
        "battery_power_w": None,
        "battery_charge": None,
        "load_w": 1500.0,
        "shared_power_w": 250.5,
        "shared_out_power_w": 0.0,
        "self_sufficiency": 0.1667,
        "self_consumption": None,
        "light": "YELLOW",
        "quality": "MEASURED",
        "today": None,
    }
    return HomeState(home=home, **(fields | changes))


def community_state(key: str = "demo", **changes: Any) -> CommunityState:
    """Return a community that takes 1000 W in all."""
    fields: dict[str, Any] = {
        "measured_at": EVENING_MS,
        "power_import_w": 3000.0,
        "power_export_w": 2000.0,
        "surplus_power_w": -1000.0,
        "shared_power_w": 2000.0,
        "pv_power_w": 2500.0,
        "load_w": 3500.0,
        "self_sufficiency": 0.7143,
        "self_consumption": 1.0,
        "light": "YELLOW",
        "trend": "STEADY",
        "homes_reporting": 2,
        "homes_total": 2,
        "today": None,
    }
    return CommunityState(community=key, **(fields | changes))


def frame(
    number: int, *homes: HomeState, state: CommunityState | None = None, changed: list[str] | None = None, at: int = 0
) -> Frame:
    """Return a frame; by default all its homes changed."""
    return Frame(
        number=number,
        at=at or EVENING_MS + number,
        state=state or community_state(),
        changed=[home.home for home in homes] if changed is None else changed,
        homes={home.home: msgspec.Raw(encode(home)) for home in homes},
    )


class Publisher:
    """Publishes frames of one community, all homes in each."""

    def __init__(self, bus: Bus, key: str = "demo") -> None:
        self.number = 0
        self._bus = bus
        self._key = key
        self._homes: dict[str, HomeState] = {}

    async def publish(self, *homes: HomeState, **state: Any) -> None:
        """Store the next frame, with these homes changed and the community as given; return once it is stored."""
        self.number += 1
        self._homes |= {home.home: home for home in homes}
        now = frame(
            self.number,
            *self._homes.values(),
            state=community_state(self._key, **state),
            changed=[home.home for home in homes],
            at=time.time_ns() // 1_000_000,
        )
        await self.publish_raw(encode(now))

    async def publish_raw(self, payload: bytes) -> None:
        """Store any bytes where frames go."""
        await self._bus.publish(Message(live_subject(self._key), payload))


class Cable:
    """A TCP proxy in front of nats-server: pull it, and a client loses its connection while NATS lives on."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def plug(self) -> None:
        """Let connections through."""
        port = int(self.url.rpartition(":")[2] or 0)
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", port)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def pull(self) -> None:
        """Cut all connections and let none through."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def register(bus: Bus, *communities: Community) -> None:
    """Add communities to the registry, or new versions of them."""
    for one in communities:
        await apply(bus, one, now=datetime.now(UTC))


async def eventually(check: Callable[[], Awaitable[bool]], *, timeout: float = 10.0) -> None:
    """Ask again until `check` holds; fail after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while not await check():  # noqa: ASYNC110 -- what is asked has no event to wait for
            await asyncio.sleep(0.01)
