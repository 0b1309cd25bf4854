"""A hamlet of twenty homes for the page /community: eight settled days, live figures, meters, refused readings.

NATS, history and server are real; all run in a thread with a loop of its own. The hamlet replays
an afternoon in May, so that its today is always the same.
"""

import asyncio
import math
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from aggregator.rows import Measured, build_interval
from bus.client import MAX_BATCH, Bus, Message, connection_of
from bus.community import Community, Home, Member, Meter
from bus.identifiers import live_subject
from bus.messages import CommunityState, Frame, HomeState, Interval, Quality, Rejected, encode
from bus.reading import Reading
from bus.settings import NatsSettings
from bus.streams import Retention, ensure_streams
from resolvers.access import Role
from server.options import ServerOptions
from tests.conftest import NatsServer
from tests.resolvers.frames import community, community_state, home_state, register
from tests.server.archive import DAY_MS, QUARTER_MS, TARIFF, at, keeping
from tests.server.people import Signer
from tests.server.served import serving, until_ready

START_S: Final = 60.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NOW: Final = at("2025-05-20T15:37+02:00")
SETTLED: Final = at("2025-05-20T15:15+02:00")
BEGIN: Final = at("2025-05-13T00:00+02:00")
NAMES: Final = (
    "Bakery",
    "Familie Gruber",
    "Familie Huber",
    "School",
    "Familie Wagner",
    "Mill",
    "Familie Steiner",
    "Town hall",
    "Familie Moser",
    "Workshop",
    "Familie Berger",
    "Familie Fuchs",
    "Inn",
    "Familie Eder",
    "Fire station",
    "Familie Wolf",
    "Familie Reiter",
    "Dairy",
    "Familie Lang",
    "Familie Winkler",
)
PEOPLE: Final = (
    Member(id="anna", homes=("home-01",)),
    Member(id="olga", role="operator"),
    Member(id="ida", role="operator"),
)
NEIGHBOURS: Final = (Member(id="bert", homes=("home-1",)), Member(id="ida", role="operator"))
SILENT: Final = "home-07-pv"
REFUSED: Final = "home-13-grid"
HEARD_LAST: Final = at("2025-05-20T12:04+02:00")


def hamlet() -> Community:
    """Return the hamlet: two homes of three have photovoltaics, operated by olga and ida; anna lives in the first."""
    homes = []
    for number, name in enumerate(NAMES, 1):
        key = f"home-{number:02}"
        meters = [Meter(id=f"{key}-grid")]
        if number % 3:
            meters.append(Meter(id=f"{key}-pv", role="PV"))
        homes.append(Home(id=key, name=name, meters=tuple(meters)))
    base = community("sonnenhang", homes=("x",), name="Sonnenhang", tariff=TARIFF, clock="event")
    return base.model_copy(update={"homes": tuple(homes), "members": PEOPLE})


class Figures:
    """What each home does at any time: always the same, more by evening, and sun by day."""

    def __init__(self, registered: Community) -> None:
        dice = Random(7)
        self.registered = registered
        self._size = {home.id: dice.uniform(0.5, 2.2) for home in registered.homes}
        self._sun = {home.id: dice.uniform(2.5, 7.5) if len(home.meters) > 1 else 0.0 for home in registered.homes}

    def watts(self, home: str, moment: int) -> tuple[float, float]:
        """Return load and production in W."""
        hour = (moment - BEGIN) / 3_600_000 % 24
        dice = Random(f"{home} {moment}")
        day = Random(f"{(moment - BEGIN) // DAY_MS}").uniform(0.45, 1.0)
        bumps = math.exp(-(((hour - 7.5) / 1.6) ** 2)) + 1.5 * math.exp(-(((hour - 19.3) / 2.2) ** 2))
        load = self._size[home] * (260 + 900 * bumps + 240 * math.sin(math.pi * hour / 24)) * dice.uniform(0.7, 1.3)
        sun = max(0.0, math.sin(math.pi * (hour - 5.6) / 14.8)) ** 1.4 if 5.6 < hour < 20.4 else 0.0
        return load, self._sun[home] * 1000 * sun * day * dice.uniform(0.86, 1.0)

    def interval(self, start: int) -> Interval:
        """Return a settled interval."""
        measured = {}
        for home in self.registered.homes:
            load, sun = self.watts(home.id, start)
            net = (load - sun) / 4
            measured[home.id] = Measured(
                max(0, round(net)), max(0, round(-net)), round(sun / 4), quality=self._quality(home.id, start)
            )
        return build_interval(self.registered, start, start + QUARTER_MS, measured, 0)

    def _quality(self, home: str, start: int) -> Quality:
        if home == "home-07" and start >= HEARD_LAST:
            return "ESTIMATED"
        dice = Random(f"quality {home} {start}").random()
        return "SUBSTITUTED" if dice < 0.012 else "ESTIMATED" if dice < 0.016 else "MEASURED"

    def states(self, moment: int, measured_at: int) -> tuple[CommunityState, list[HomeState]]:
        """Return the hamlet and its homes as a frame has them."""
        figures = {home.id: self.watts(home.id, moment) for home in self.registered.homes if home.id != "home-13"}
        drawn = sum(max(0.0, load - sun) for load, sun in figures.values())
        given = sum(max(0.0, sun - load) for load, sun in figures.values())
        load = sum(load for load, _ in figures.values())
        shared = min(drawn, given)
        homes = [
            home_state(
                home.id,
                measured_at=measured_at if home.id in figures else HEARD_LAST,
                net_power_w=round(pair[0] - pair[1], 1),
                quality="MEASURED" if home.id in figures else "STALE",
            )
            for home in self.registered.homes
            for pair in (figures.get(home.id, (740.0, 0.0)),)
        ]
        whole = community_state(
            self.registered.id,
            measured_at=measured_at,
            power_import_w=round(drawn, 1),
            power_export_w=round(given, 1),
            surplus_power_w=round(given - drawn, 1),
            shared_power_w=round(shared, 1),
            pv_power_w=round(sum(sun for _, sun in figures.values()), 1),
            load_w=round(load, 1),
            self_sufficiency=round(min(1.0, (load - drawn + shared) / load), 4),
            light="GREEN" if given > drawn else "YELLOW",
            trend="FALLING",
            homes_reporting=len(figures),
            homes_total=len(homes),
        )
        return whole, homes


class Hamlet:
    """The hamlet, and a server for it that asks for tokens and takes trusted documents only."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self.registered = hamlet()
        self.figures = Figures(self.registered)
        self.signer = Signer()
        self._folder = folder
        self._nats = NatsServer(folder / "nats")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._stack = AsyncExitStack()
        self._frames = 0
        self._bus: Bus

    def link(self, who: str = "olga", role: Role = "operator") -> str:
        """Return the link that signs somebody in."""
        return f"{self.url}/community/#token={self.signer.token(who, role=role)}"

    def show(self, moment: int = NOW, **changes: Any) -> None:
        """Publish the figures of a moment as of now, with changes of the community's."""
        self._run(self._show(moment, changes))

    def hear(self, meter: str, moment: int = NOW) -> None:
        """Have a meter send a reading."""
        self._run(self._hear(meter, moment))

    def refuse(self, count: int, **changes: Any) -> None:
        """Refuse so many readings of the meter that sends wrong ones."""
        self._run(self._refuse(count, changes))

    def open(self) -> None:
        """Start all of it."""
        self._nats.start()
        self._thread.start()
        self._run(self._open())

    def close(self) -> None:
        """End all of it."""
        self._run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._nats.remove()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)

    async def _open(self) -> None:
        self._bus = await Bus.connect(NatsSettings(url=self._nats.url), name="test", patience_s=10)
        self._stack.push_async_callback(self._bus.close)
        await ensure_streams(connection_of(self._bus).jetstream(), Retention())
        # So few that its members see no totals; bert lives there, and ida operates it too.
        farms = community("weiler", homes=("home-1", "home-2"), name="Weiler", members=NEIGHBOURS)
        await register(self._bus, self.registered, farms)
        archive = await self._stack.enter_async_context(keeping(self._bus, self._folder))
        await self._publish_meters()
        await self._refuse(38, {"reason": "register_leapt"})
        await self._refuse(3, {"reason": "future", "detail": "2025-05-20T14:09:00Z is 1921 s ahead of the clock"})
        await self._show(NOW, {})
        await archive.settle(self.figures.interval(start) for start in range(BEGIN, SETTLED, QUARTER_MS))
        options = ServerOptions(tokens=self.signer.tokens, trusted_only=True)
        self.url = await self._stack.enter_async_context(serving(self._bus, options))
        await until_ready(self.url)

    async def _publish_meters(self) -> None:
        messages = []
        for meter in (meter for home in self.registered.homes for meter in home.meters):
            last = HEARD_LAST if meter.id == SILENT else NOW
            messages += [_reading(meter.id, last - 60_000 * back) for back in range(5, -1, -1)]
        for start in range(0, len(messages), MAX_BATCH):
            await self._bus.publish_batch(messages[start : start + MAX_BATCH])

    async def _hear(self, meter: str, moment: int) -> None:
        await self._bus.publish(_reading(meter, moment))

    async def _refuse(self, count: int, changes: dict[str, Any]) -> None:
        stored = await self._bus.last("READINGS", f"readings.sonnenhang.{REFUSED}")
        assert stored is not None
        fields: dict[str, Any] = {
            "reason": "register_leapt",
            "detail": "import 18204113 to 18204113000, export 911 to 911 Wh within 60 s is more than the connection "
            "can carry",
            "subject": f"readings.sonnenhang.{REFUSED}",
            "sequence": stored.sequence,
            "payload": '{"at": "2025-05-20T13:36:00Z", "import_wh": 18204113000, "export_wh": 911, "x": "<b>kWh</b>"}',
        }
        messages = [
            Message(
                f"rejected.sonnenhang.{REFUSED}",
                encode(Rejected(**(fields | {"received_at": NOW - 60_000 * (count - number)} | changes))),
            )
            for number in range(count)
        ]
        await self._bus.publish_batch(messages)

    async def _show(self, moment: int, changes: dict[str, Any]) -> None:
        state, homes = self.figures.states(moment, max(moment, NOW))
        self._frames += 1
        frame = Frame(
            number=self._frames,
            at=moment,
            state=msgspec.structs.replace(state, **changes),
            changed=[home.home for home in homes],
            homes={home.home: msgspec.Raw(encode(home)) for home in homes},
        )
        await self._bus.publish(Message(live_subject(self.registered.id), encode(frame)))


def _reading(meter: str, moment: int) -> Message:
    reading = Reading(at=_EPOCH + timedelta(milliseconds=moment), import_wh=1000, export_wh=0)
    return Message(f"readings.sonnenhang.{meter}", reading.to_bytes())


@contextmanager
def inhabited(folder: Path) -> Iterator[Hamlet]:
    """Have a hamlet in a folder."""
    hamlet = Hamlet(folder)
    try:
        hamlet.open()
        yield hamlet
    finally:
        hamlet.close()
