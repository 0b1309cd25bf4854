"""The server for tests of the watch: the real one, in a thread, on a real nats-server; figures are published at will.

State goes in by `set_home` and `set_community`; all transports, pairing and the watch page come out on 127.0.0.1.
It can be stopped and started again on its port.
"""

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, TypeVar

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bus.client import Bus, connection_of
from bus.messages import CommunityState, HomeState, Today
from bus.registry import apply
from bus.revocations import Revocations
from bus.settings import NatsSettings
from bus.streams import Retention, ensure_streams
from resolvers.access import Viewer
from server.options import ServerOptions
from server.run import serve
from server.tokens import Tokens
from tests.conftest import NatsServer
from tests.resolvers.frames import Publisher, community, community_state, home_state
from tests.server.people import Signer

T = TypeVar("T")
DEADLINE_S = 20.0
DOCUMENTS = Path(__file__).parents[2] / "watch"
EXAMPLES = Path(__file__).parents[2] / "examples"
HOMES = ("home-01", "home-02", "home-03", "home-04", "home-05")


class Light(StrEnum):
    GREEN = "GREEN"
    YELLOW = "YELLOW"
    RED = "RED"
    UNKNOWN = "UNKNOWN"


class Trend(StrEnum):
    RISING = "RISING"
    FALLING = "FALLING"
    STEADY = "STEADY"


class Quality(StrEnum):
    MEASURED = "MEASURED"
    ESTIMATED = "ESTIMATED"
    STALE = "STALE"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def a_day(**changes: Any) -> Today:
    """Energy since midnight: 4.2 kWh drawn, 1.8 kWh from others, 0.85 EUR saved."""
    fields: dict[str, Any] = dict.fromkeys(("import_wh", "export_wh", "produced_wh", "consumed_wh"), 0)
    fields |= {"import_wh": 4200, "shared_wh": 1800, "saved": "84.5", "currency": "EUR", "since": now_ms() - 3_600_000}
    return Today(**(fields | changes))


def a_home(**changes: Any) -> HomeState:
    """Home home-01, by the names of the API: light, shared_power, quality, measured_at (ms), today."""
    fields: dict[str, Any] = {"light": "GREEN", "shared_power": 320.0, "quality": "MEASURED", "measured_at": now_ms()}
    fields |= {"net_power": -410.0, "today": a_day()} | changes
    return home_state("home-01", **_inner(fields))


def a_community(**changes: Any) -> CommunityState:
    """The community demo, by the names of the API: light, surplus_power, shared_power, trend, measured_at, today."""
    fields: dict[str, Any] = {"light": "GREEN", "surplus_power": 1240.0, "shared_power": 3100.0, "trend": "RISING"}
    fields |= {"measured_at": now_ms(), "homes_reporting": 4, "homes_total": 5}
    fields |= {"today": a_day(import_wh=120_000, shared_wh=31_000, saved="1234")} | changes
    return community_state("demo", **_inner(fields))


def _inner(fields: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value.value if isinstance(value, Enum) else value for name, value in fields.items()}
    return {f"{name}_w" if name.endswith("_power") else name: value for name, value in plain.items()}


class Stand:
    """The server: one community `demo` of five homes, of which `demo.home-01` has figures.

    `sign_in`: who asks must have a token; else all see everything. `documents`: whether it knows the watch's.
    `nats_url` None: it has a nats-server of its own. `token`, set before the start: a word that lets the operator in,
    and nobody else in without it.
    """

    def __init__(
        self,
        nats_url: str | None = None,
        *,
        sign_in: bool = False,
        trusted_only: bool = False,
        documents: bool = True,
    ) -> None:
        self.home = a_home()
        self.community = a_community()
        self.port = 0
        self.signer = Signer()
        self.token: str | None = None
        self._own_nats = None if nats_url else NatsServer(Path(tempfile.mkdtemp(prefix="watch-nats-")))
        self.nats_url = nats_url or (self._own_nats.url if self._own_nats else "")
        self._options = ServerOptions(
            watch_directory=DOCUMENTS / "web",
            document_directories=(DOCUMENTS, EXAMPLES) if documents else (),
            tokens=self.signer.tokens if sign_in else None,
            trusted_only=trusted_only,
            development=not trusted_only,
            drain_s=0,
        )
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._publisher: Publisher | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def issue(self, home: str = "home-01", **claims: Any) -> str:
        """Return a token for one home of the community; `role="operator"` for all."""
        subject = "operator:" if claims.get("role") == "operator" else f"home:{home}"
        return self.signer.token(subject, community="demo", **claims)

    def start(self) -> None:
        if self._own_nats is not None and self.port == 0:
            self._own_nats.start()
        if self.token is not None:
            self._options = replace(self._options, tokens=_OneWord(self.signer, self.token))
        started: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), daemon=True)
        self._thread.start()
        self.port = int(started.result(DEADLINE_S).rpartition(":")[2])

    def stop(self) -> None:
        if self._thread is not None and self._loop is not None and self._serving is not None:
            self._loop.call_soon_threadsafe(self._serving.cancel)
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive(), "the server did not stop"
        self._thread = self._publisher = None
        if self._own_nats is not None:
            self._own_nats.remove()

    def set_home(self, home: HomeState) -> None:
        self.home = home
        self._publish()

    def set_community(self, community: CommunityState) -> None:
        self.community = community
        self._publish()

    def await_sockets(self, count: int) -> None:
        """Wait until exactly `count` WebSockets are open."""
        self._await(lambda: self.metric("commonwatt_websocket_connections") == count, f"{count} sockets")

    def await_subscribed(self) -> None:
        """Wait until somebody follows a subscription, and has been sent its first state."""
        self._await(lambda: self.metric("commonwatt_messages_sent_total") > 0, "any")

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over its labels but these."""
        text = httpx.get(f"{self.url}/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def approve(self, code: str, home: str = "demo.home-01") -> str:
        """Let the device that shows a code show a home; return the device's id."""
        document = "mutation Approve($code: String!, $home: ID!) { approveDevice(code: $code, home: $home) { id } }"
        id: str = self.mutate(document, code=code, home=home)["approveDevice"]["id"]
        return id

    def revoke(self, device: str) -> None:
        """Take its token from a device."""
        self.mutate("mutation Revoke($id: ID!) { revokeDevice(id: $id) }", id=device)

    def deny(self, code: str) -> None:
        """Refuse the device that shows a code."""
        self.mutate("mutation Deny($code: String!) { denyDevice(code: $code) }", code=code)

    def mutate(self, document: str, **variables: Any) -> dict[str, Any]:
        """Do something as the operator, who may send any document; return the data."""
        headers = {"Authorization": f"Bearer {self.issue(role='operator')}"}
        asked = {"query": document, "variables": variables}
        answer = httpx.post(f"{self.url}/graphql", json=asked, headers=headers, timeout=DEADLINE_S).json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def _await(self, check: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not check():
            assert time.monotonic() < deadline, f"there never were {what}"
            time.sleep(0.01)

    async def _run(self, started: "Future[str]") -> None:
        try:
            self._loop = asyncio.get_running_loop()
            bus = await Bus.connect(NatsSettings(url=self.nats_url), name="watch-tests", patience_s=10)
            await ensure_streams(connection_of(bus).jetstream(), Retention())
            await apply(bus, community("demo", homes=HOMES), now=datetime.now(UTC))
            self._publisher = Publisher(bus)
            self._publisher.number = now_ms()  # frames are numbered on, whoever publishes
            await self._state()
            self._serving = asyncio.create_task(
                serve(bus, self._options, "127.0.0.1", self.port, on_started=started.set_result)
            )
            await asyncio.wait([self._serving])
            if not self._serving.cancelled():
                await self._serving
            await bus.close()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    def _publish(self) -> None:
        if self._publisher is not None:
            self._do(self._state())

    async def _state(self) -> None:
        assert self._publisher is not None
        others = [home_state(home, quality="MISSING", measured_at=None) for home in HOMES[1:]]
        fields = {name: getattr(self.community, name) for name in CommunityState.__struct_fields__}
        fields.pop("community")
        await self._publisher.publish(self.home, *others, **fields)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)


class _OneWord(Tokens):
    """Tokens of which there is one more, a word."""

    def __init__(self, signer: Signer, word: str) -> None:
        super().__init__(signer.key, Revocations(now_ms=signer.clock), now_ms=signer.clock)
        self._word = word

    def verify(self, token: str) -> Viewer:
        if token != self._word:
            return super().verify(token)
        return Viewer(subject="operator:", role="operator", community="demo", own=True)
