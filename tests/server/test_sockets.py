import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from server.census import Census
from server.sockets import Sockets
from tests.server.test_groups import COMMUNITY
from tests.server.test_session import ALERTS, QUERY, Office, settle


class Peer:
    """A client behind a plain ASGI server: what it says is received, what it takes is kept."""

    def __init__(
        self, office: Office, *, origins: tuple[str, ...] = (), census: Census | None = None, **scope: Any
    ) -> None:
        self.sent: list[Message] = []
        self.takes = asyncio.Event()
        """While it is not set, `send` waits."""
        self.takes.set()
        self.breaks: Exception | None = None
        """What `send` raises."""
        self._says: asyncio.Queue[Message] = asyncio.Queue()
        self._says.put_nowait({"type": "websocket.connect"})
        given = {"type": "websocket", "subprotocols": ["graphql-transport-ws"], "headers": []} | scope
        self.served = asyncio.ensure_future(Sockets(office.desk, origins, census)(given, self._says.get, self._send))

    async def _send(self, message: Message) -> None:
        assert "websocket.close" not in [one["type"] for one in self.sent], "sent after the close"
        await self.takes.wait()
        if self.breaks is not None:
            raise self.breaks
        self.sent.append(message)

    async def greet(self) -> None:
        await self.say(type="connection_init")
        assert self.take() == [{"type": "connection_ack"}]

    async def say(self, **message: Any) -> None:
        self.put({"type": "websocket.receive", "text": json.dumps(message)})
        await settle()

    def put(self, message: Message) -> None:
        self._says.put_nowait(message)

    async def subscribe(self, query: str, id: str = "1") -> None:
        await self.say(type="subscribe", id=id, payload={"query": query})

    def take(self) -> list[Any]:
        """Return the messages taken since the last call; `accept` is none."""
        sent, self.sent = self.sent, [one for one in self.sent if one["type"] == "websocket.close"]
        return [json.loads(one["text"]) for one in sent if one["type"] == "websocket.send"]

    @property
    def closed(self) -> tuple[int, str] | None:
        """The close frame sent."""
        for message in self.sent:
            if message["type"] == "websocket.close":
                return message["code"], message.get("reason", "")
        return None


@pytest.fixture
async def office() -> Office:
    return Office()


async def ended(peer: Peer, office: Office) -> None:
    """Expect the application to have returned, and nothing to be left of the connection."""
    async with asyncio.timeout(10):
        await peer.served
    counted = office.stand.hub.statistics()
    assert (counted.groups, counted.members, counted.stalled, office.open, office.streams) == (0, 0, 0, 0, 0)
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    assert not rest


# --- who may open one ---


async def test_a_page_of_another_origin_is_denied_before_the_handshake(office: Office) -> None:
    headers = [(b"host", b"watch.example"), (b"origin", b"https://evil.example")]
    peer = Peer(office, headers=headers)
    await ended(peer, office)
    assert peer.sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    ("origins", "headers"),
    [
        ((), []),
        ((), [(b"host", b"watch.example"), (b"origin", b"https://watch.example")]),
        (("https://other.example",), [(b"host", b"a"), (b"origin", b"https://other.example")]),
        (("*",), [(b"host", b"a"), (b"origin", b"https://any.example")]),
    ],
)
async def test_other_clients_may_open_a_socket(office: Office, origins: tuple[str, ...], headers: Any) -> None:
    peer = Peer(office, origins=origins, headers=headers)
    await settle()
    assert peer.sent == [{"type": "websocket.accept", "subprotocol": "graphql-transport-ws"}]
    peer.put({"type": "websocket.disconnect", "code": 1000})
    await ended(peer, office)


@pytest.mark.parametrize("protocols", [[], ["graphql-ws"], ["GRAPHQL-TRANSPORT-WS"]])
async def test_another_subprotocol_is_closed_with_4406(office: Office, protocols: list[str]) -> None:
    peer = Peer(office, subprotocols=protocols)
    await ended(peer, office)
    assert peer.closed == (4406, "Subprotocol not acceptable")


class Direct:
    """What the direct extension hands out."""

    def __init__(self) -> None:
        self.limits: tuple[int, int] | None = None
        self.session: Any = None
        self.tally = None

    def set_limits(self, high: int, low: int) -> None:
        self.limits = high, low

    def take_over(self, session: Any) -> None:
        self.session = session


async def test_where_the_server_offers_a_direct_wire_the_session_has_it_and_no_task_remains(office: Office) -> None:
    wire = Direct()
    peer = Peer(office, extensions={"commonwatt.direct": {"wire": wire}})
    await settle()
    assert peer.served.done()
    assert wire.limits == (0, 0)
    assert wire.session.wire is wire
    assert asyncio.all_tasks() == {asyncio.current_task()}
    wire.session.on_closed(1000)


# --- the relay ---


async def test_the_protocol_is_spoken_over_plain_asgi(office: Office) -> None:
    peer = Peer(office)
    await settle()
    await peer.greet()
    await peer.say(type="ping", payload={"é": "🌍" * 100})
    assert peer.take() == [{"type": "pong", "payload": {"é": "🌍" * 100}}]
    office.stand.source.send(load_w=1.0)
    await peer.subscribe(COMMUNITY, "x" * 70_000)
    await peer.subscribe(COMMUNITY, "a")
    office.stand.source.send(load_w=2.0)
    await settle()
    heard = [(message["id"][0], message["payload"]["data"]["community"]["load"]) for message in peer.take()]
    assert heard == [("x", 1), ("a", 1), ("x", 2), ("a", 2)]
    await peer.subscribe(QUERY, "q")
    office.answers[0].set_result(b'{"data":1}')
    await settle()
    assert [message["type"] for message in peer.take()] == ["next", "complete"]
    peer.put({"type": "websocket.disconnect", "code": 1001})
    await ended(peer, office)


async def test_a_binary_message_closes_with_1003_and_nothing_after_it_counts(office: Office) -> None:
    peer = Peer(office)
    await settle()
    await peer.greet()
    await peer.subscribe(COMMUNITY)
    for _ in range(2):
        peer.put({"type": "websocket.receive", "bytes": b"{}"})
    peer.put({"type": "websocket.receive", "text": "{"})
    await ended(peer, office)
    assert peer.closed == (1003, "text messages only")


async def test_a_close_comes_after_what_was_written_and_ends_the_application(office: Office) -> None:
    peer = Peer(office)
    await settle()
    await peer.greet()
    office.stand.source.send(load_w=1.0)
    await peer.subscribe(COMMUNITY, "é" * 80)
    peer.takes.clear()
    await peer.say(type="ping")
    await peer.subscribe(COMMUNITY, "é" * 80)
    office.stand.source.send(load_w=2.0)
    peer.takes.set()
    await ended(peer, office)
    assert peer.closed is not None
    code, reason = peer.closed
    assert code == 4409
    assert 100 < len(reason.encode()) <= 123
    assert [message["type"] for message in peer.take()] == ["next", "pong"]


async def test_while_the_peer_takes_nothing_states_are_skipped_and_the_latest_comes_in_the_end(office: Office) -> None:
    peer = Peer(office)
    await settle()
    await peer.greet()
    await peer.subscribe(COMMUNITY)
    peer.takes.clear()
    for load in range(1000):
        office.stand.source.send(load_w=float(load))
    await settle()
    assert office.stand.hub.statistics().sent == 1
    peer.takes.set()
    await settle()
    assert [message["payload"]["data"]["community"]["load"] for message in peer.take()] == [0, 999]
    peer.put({"type": "websocket.disconnect"})
    await ended(peer, office)


async def test_a_peer_that_takes_nothing_for_too_long_is_dropped(office: Office) -> None:
    peer = Peer(office)
    await settle()
    await peer.greet()
    await peer.subscribe(COMMUNITY)
    peer.takes.clear()
    for at in range(1, 50):
        office.stand.source.send(load_w=float(at))
        await office.clock.move(at)
    await ended(peer, office)


async def test_a_peer_that_does_not_take_the_close_is_dropped(office: Office) -> None:
    peer = Peer(office)
    await settle()
    await peer.greet()
    peer.takes.clear()
    await peer.say(type="nonsense")
    await office.clock.move(9)
    assert not peer.served.done()
    await office.clock.move(10)
    await ended(peer, office)


async def test_a_peer_that_asks_and_takes_no_answer_is_dropped(office: Office) -> None:
    peer = Peer(office)
    await settle()
    await peer.greet()
    peer.takes.clear()
    for number in range(1000):
        peer.put({"type": "websocket.receive", "text": '{"type":"ping"}'})
        if number % 100 == 0:
            await settle()
    await ended(peer, office)
    assert peer.take() == []


async def test_a_connection_that_breaks_while_something_is_sent_ends_cleanly(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer(office)
    await settle()
    await peer.greet()
    for id, query in (("1", COMMUNITY), ("2", QUERY), ("3", ALERTS)):
        await peer.subscribe(query, id)
    peer.breaks = OSError("broken")
    office.stand.source.send(load_w=1.0)
    await ended(peer, office)
    assert "never retrieved" not in caplog.text


async def test_a_server_that_stops_ends_the_connection(office: Office) -> None:
    peer = Peer(office)
    await settle()
    await peer.greet()
    for id, query in (("1", COMMUNITY), ("2", QUERY), ("3", ALERTS)):
        await peer.subscribe(query, id)
    peer.served.cancel()
    await settle()
    assert peer.served.cancelled()
    counted = office.stand.hub.statistics()
    assert (counted.members, office.open, office.streams) == (0, 0, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_nobody_expected_is_masked_and_closes_with_4500(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = Peer(office)
    await settle()
    await peer.greet()
    await peer.subscribe(COMMUNITY)
    monkeypatch.setattr(office.stand.hub, "subscribe", lambda *_: 1 / 0)
    with capture_logs() as logs:
        await peer.subscribe(COMMUNITY, "2")
        await ended(peer, office)
    assert peer.closed is not None
    code, reason = peer.closed
    (entry,) = [entry for entry in logs if entry["event"] == "internal error"]
    assert (code, reason) == (4500, f"internal error; quote the reference {entry['reference']}")


# --- how many ---


async def test_one_too_many_is_answered_with_503_or_closed_with_1013(office: Office) -> None:
    census = Census(2, 5, 5)
    first = Peer(office, census=census)
    second = Peer(office, census=census)
    await settle()
    told = Peer(office, census=census, extensions={"websocket.http.response": {}})
    closed = Peer(office, census=census)
    await settle()
    assert [message["type"] for message in told.sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert told.sent[0]["status"] == 503
    assert closed.closed is not None
    code, reason = closed.closed
    assert code == 1013
    assert "2 connections are open on this server" in reason
    assert len(reason.encode()) <= 123
    for peer in (first, second):
        peer.put({"type": "websocket.disconnect"})
        await peer.served
    assert census.statistics().connections == 0


async def test_a_connection_of_a_proxy_counts_for_the_address_that_it_tells(office: Office) -> None:
    census = Census(5, 1, 5)
    wires = [Direct(), Direct()]
    places = [census.enter(), census.enter()]
    peers = [
        Peer(
            office,
            client=("198.51.100.1", 5),
            extensions={"commonwatt.direct": {"wire": wire}, "commonwatt.place": place, "websocket.http.response": {}},
        )
        for wire, place in zip(wires, places, strict=True)
    ]
    await settle()
    assert wires[0].session is not None
    assert wires[1].session is None
    assert peers[1].sent[0]["status"] == 429
    wires[0].session.on_closed(1000)


async def test_a_broken_handshake_gives_its_place_back(office: Office) -> None:
    census = Census(5, 5, 5)
    peer = Peer(office, census=census)
    peer.breaks = OSError("broken")
    await settle()
    with pytest.raises(OSError, match="broken"):
        await peer.served
    assert census.statistics().connections == 0
