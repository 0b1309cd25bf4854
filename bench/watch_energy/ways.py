"""The ways to the wrist: each a client that shows the same two figures, the community's surplus and the home's share.

Pollers and subscriptions of one's own, and the device itself in its modes (watch.shell). A way knows its
server's address and its clock; what it costs is counted at its sockets.
"""

import asyncio
import gzip
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

from bench.watch_energy.clock import Clock
from bench.watch_energy.site import everything
from bench.watch_energy.sockets import CLIENT, Traffic
from watch import events as on
from watch.address import read_address
from watch.documents import Document, read_documents
from watch.events import Screen, Show, Target
from watch.glance import HomeGlance
from watch.line import Party, SocketLine
from watch.meter import Meter
from watch.modes import PACES
from watch.shell import Shell
from watch.state import Moment
from watch.transport import Limits, parameters

_FIVE_S: Final = 4.98
"""A little less than the 5 s for which the server keeps a connection: it is still there."""
_PHASE_S: Final = 0.5
_CHANCE: Final = 0.5
"""The device's: each cadence is as long as it is on average."""
_GLANCE: Final = {"homeStep": 50, "communityStep": 500}


@dataclass
class Shown:
    """What the wrist shows: figures in W, words, and when they were measured (ms since 1970 UTC)."""

    surplus_w: float
    share_w: float
    words: str
    measured_ms: float | None


@dataclass
class Cost:
    """What a way has cost: what passed its sockets, whole messages in both directions, µs of parsing."""

    traffic: Traffic = field(default_factory=Traffic)
    messages: int = 0
    parse_us: int = 0


class Client(Protocol):
    """One way at work."""

    @property
    def cost(self) -> Cost:
        """What it has cost so far."""

    async def run(self) -> None:
        """Get figures until cancelled."""

    def shown(self, now_ms: float) -> tuple[Shown | None, float]:
        """Return what is shown, and its age in ms as the device tells it."""


@dataclass(frozen=True)
class Place:
    """Where clients look: the server, the home, and the time."""

    url: str
    home: str
    clock: Clock
    steady_s: Callable[[], float]


class Poller:
    """Asks by GET again and again, over a connection that is kept while the server keeps it."""

    def __init__(
        self,
        place: Place,
        target: str,
        headers: Mapping[str, str],
        period_s: float,
        read: Callable[[Any], Shown],
        unpack: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.cost = Cost()
        self._place = place
        host = urlsplit(place.url)
        self._host, self._port = host.hostname or "", host.port or 80
        lines = [f"GET {target} HTTP/1.1", f"Host: {host.netloc}", *(f"{name}: {headers[name]}" for name in headers)]
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._period_s = period_s
        self._read = read
        self._unpack = unpack
        self._shown: Shown | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        """Ask each period."""
        number = 0
        while True:
            await self._place.clock.until(_PHASE_S + number * self._period_s)
            await self._ask()
            number += 1

    def shown(self, now_ms: float) -> tuple[Shown | None, float]:
        """Return the last answer."""
        return self._shown, _age(self._shown, now_ms)

    async def _ask(self) -> None:
        kept = self._streams
        if kept is None or kept[0].at_eof() or kept[1].is_closing():
            kept = None
            self._streams = await asyncio.open_connection(self._host, self._port)
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(self._request)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            if kept is None:
                raise
            self._streams = None  # it ended as the request went out
            await self._ask()
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"the server says {head[:200]!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(int(length.partition(b":")[2]))
        began = time.perf_counter_ns()
        self._shown = self._read(json.loads(self._unpack(body)))
        self.cost.parse_us += (time.perf_counter_ns() - began + 500) // 1000
        self.cost.messages += 2


class Subscriber:
    """Subscribes, with variables of its own; shows each result as it comes."""

    def __init__(self, place: Place, document: Document, variables: Mapping[str, Any], *, by_text: bool) -> None:
        self._place = place
        self._variables = variables
        self._meter = Meter(lambda: round(place.steady_s() * 1000))
        self._party = Party(read_address(place.url), {"own": document}, Limits(), self._meter, by_text=by_text)
        self._cost = Cost()
        self._shown: Shown | None = None
        self._line: SocketLine | None = None

    @property
    def cost(self) -> Cost:
        """What it has cost so far."""
        receipt = self._meter.receipt
        self._cost.messages, self._cost.parse_us = receipt.messages, receipt.parse_us
        return self._cost

    async def run(self) -> None:
        """Hold the connection; raise RuntimeError when it ends."""
        self._line = SocketLine(self._party, self._tell)
        await self._line.run()

    def shown(self, now_ms: float) -> tuple[Shown | None, float]:
        """Return the last result."""
        return self._shown, _age(self._shown, now_ms)

    def _tell(self, event: on.Event) -> None:
        if isinstance(event, on.Opened):
            assert self._line is not None
            self._line.subscribe(1, "own", {"home": self._place.home, **self._variables})
        elif isinstance(event, on.Result):
            self._shown = _of_live(event.data["home"])
        elif not self._cost.traffic.over:
            raise RuntimeError(f"the subscription ended: {event}")


class Device:
    """The watch's own device in a mode."""

    def __init__(self, place: Place, show: Show, *, low: bool = False) -> None:
        self._place = place
        self._show = show
        self._low = low
        self._cost = Cost()
        self._shell = Shell(read_address(place.url), read_documents(), now=self._now)

    @property
    def cost(self) -> Cost:
        """What it has cost so far."""
        receipt = self._shell.receipt
        self._cost.messages, self._cost.parse_us = receipt.messages, receipt.parse_us
        return self._cost

    async def run(self) -> None:
        """Be worn."""
        async with self._shell as shell:
            shell.put(on.Started(Target("home", self._place.home), self._show))
            if self._low:
                shell.put(on.Battery(0.1))
            while True:
                await shell.changed()

    def shown(self, now_ms: float) -> tuple[Shown | None, float]:
        """Return what is on the face."""
        known = self._shell.state.readings.get(Screen.GLANCE)
        if known is None:
            return None, 0.0
        reading = known.reading
        assert isinstance(reading, HomeGlance)
        words = f"{reading.light} {reading.trend} {reading.quality}"
        return Shown(reading.surplus_w, reading.share_w or 0.0, words, None), float(known.age_at(self._now()))

    def _now(self) -> Moment:
        steady, wall = self._place.steady_s(), self._place.clock.wall_s()
        return Moment(round(steady * 1000), round(wall * 1000), _CHANCE)


@dataclass(frozen=True)
class Way:
    """A way by its name, how often it may bring something (s), and whether it runs in the long and in the quick form.

    Whoever polls each second costs the same in every hour, and the bench time: one such is enough for a day.
    """

    name: str
    title: str
    every_s: int
    make: Callable[[Place], Client]
    day: bool = True
    quick: bool = True

    def start(self, place: Place) -> tuple[Client, "asyncio.Task[None]"]:
        """Start a client whose sockets are counted."""
        client = self.make(place)
        context = copy_context()
        context.run(CLIENT.set, client.cost.traffic)
        work: Coroutine[Any, Any, None] = client.run()
        return client, asyncio.get_running_loop().create_task(work, name=self.name, context=context)


def _whole(period_s: float, *, packed: bool = False) -> Callable[[Place], Client]:
    headers = {"Accept": "application/json", "User-Agent": "watch"}
    if packed:
        headers["Accept-Encoding"] = "gzip"
    return lambda place: Poller(
        place, f"/homes/{place.home}", headers, period_s, _of_live, gzip.decompress if packed else bytes
    )


def _exact(period_s: float) -> Callable[[Place], Client]:
    def make(place: Place) -> Client:
        document = read_documents()["HomeGlanceNow"]
        asked = parameters(document, {"home": place.home, **_GLANCE}, by_text=False)
        flat = {name: v if isinstance(v, str) else json.dumps(v, separators=(",", ":")) for name, v in asked.items()}
        headers = {"Accept": "application/graphql-response+json", "User-Agent": "watch"}
        return Poller(
            place, f"/graphql?{urlencode(flat)}", headers, period_s, lambda a: _of_live(a["data"]["home"]["live"])
        )

    return make


def _subscribed(variables: Mapping[str, Any]) -> Callable[[Place], Client]:
    return lambda place: Subscriber(place, read_documents()["HomeGlance"], variables, by_text=False)


def _worn(show: Show, *, low: bool = False) -> Callable[[Place], Client]:
    return lambda place: Device(place, show, low=low)


def _everything(place: Place) -> Client:
    return Subscriber(place, Document("Everything", everything(), "", alone=True), {}, by_text=True)


def _of_live(home: Mapping[str, Any]) -> Shown:
    at = home["measuredAt"]
    measured_ms = None if at is None else datetime.fromisoformat(at).timestamp() * 1000
    words = f"{home['light']} {home['community']['trend']} {home['quality']}"
    return Shown(home["community"]["surplusPower"], home["sharedPower"] or 0.0, words, measured_ms)


def _age(shown: Shown | None, now_ms: float) -> float:
    return 0.0 if shown is None or shown.measured_ms is None else max(0.0, now_ms - shown.measured_ms)


def _pace_s(show: Show, *, low: bool = False) -> int:
    pace = PACES[show, Screen.GLANCE, low]
    return (pace.every_ms or pace.cadence_ms) // 1000


_LOW: Final = _pace_s(Show.FOREGROUND, low=True)
_AMBIENT: Final = _pace_s(Show.AMBIENT)
_BACKGROUND: Final = _pace_s(Show.BACKGROUND)

WAYS: Final = (
    Way("poll-1", "GET the whole document, each 1 s", 1, _whole(1)),
    Way("poll-gzip", "… each 1 s, gzip", 1, _whole(1, packed=True), day=False, quick=False),
    Way("poll-5", "… each 5 s", 5, _whole(_FIVE_S)),
    Way("poll-60", "… each 60 s", 60, _whole(60)),
    Way("query-1", "GraphQL query of the exact fields, each 1 s", 1, _exact(1), day=False, quick=False),
    Way("all", "subscription to all fields", 1, _everything),
    Way("exact", "… to the exact fields", 1, _subscribed({})),
    Way("step", "… with `step` and `hysteresis`", 1, _subscribed(_GLANCE)),
    Way("foreground", "… and with `every`: foreground", 1, _worn(Show.FOREGROUND)),
    Way("low", "foreground, battery low", _LOW, _worn(Show.FOREGROUND, low=True)),
    Way("ambient", "ambient", _AMBIENT, _worn(Show.AMBIENT)),
    Way("background", "background: conditional GET", _BACKGROUND, _worn(Show.BACKGROUND)),
)
"""From the dearest to the cheapest, about."""
BASELINE: Final = "poll-1"
