import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from schema.context import Context
from schema.receipt import Tally
from server.desk import Desk
from server.documents import Documents
from server.errands import Work
from server.session import MAX_OWED_BYTES, PHASES, Session
from server.signin import Guard, SignIn
from tests.schema.test_plans import EVERYTHING
from tests.server.test_groups import COMMUNITY, HOME, FakeWire, loads
from tests.server.test_hub import Clock, Stand

QUERY = "{ communities { id } }"
ALERTS = 'subscription { alerts(home: "demo.home-1") { at } }'
ANSWER = b'{"data":{"communities":[]}}'


class Office:
    """Sessions over a hub; queries and events are answered when the test says so."""

    def __init__(self, *, max_operations: int = 100) -> None:
        self.clock = Clock()
        self.stand = Stand(self.clock)
        self.open = 0
        self.asked: list[tuple[str, str | None, dict[str, Any] | None]] = []
        self.answers: list[asyncio.Future[bytes]] = []
        self.events: asyncio.Queue[tuple[bytes, bool] | None] = asyncio.Queue()
        self.streams = 0
        self.desk = Desk(
            documents=Documents(self.stand.operations),
            hub=self.stand.hub,
            sign_in=SignIn(None, Context(EVERYTHING, cast(Any, None), cast(Any, None)), cast(Any, None)),
            guard=Guard(cast(Any, None), now_ms=lambda: 0),
            work=Work(self._execute, self._stream),
            max_operations=max_operations,
            init_timeout_s=10.0,
            opened=lambda: self._count(1),
            closed=lambda: self._count(-1),
        )

    def _count(self, change: int) -> None:
        self.open += change

    async def _execute(self, query: str, name: str | None, variables: dict[str, Any] | None, context: Context) -> bytes:
        self.asked.append((query, name, variables))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    async def _stream(
        self, query: str, name: str | None, variables: dict[str, Any] | None, context: Context
    ) -> AsyncIterator[tuple[bytes, bool]]:
        self.streams += 1
        try:
            while (event := await self.events.get()) is not None:
                yield event
        finally:
            self.streams -= 1

    def visitor(self, *, greeted: bool = True) -> "Visitor":
        visitor = Visitor(self)
        if greeted:
            visitor.say(type="connection_init")
            assert visitor.hear() == [{"type": "connection_ack"}]
        return visitor


class Visitor:
    """One connection."""

    def __init__(self, office: Office) -> None:
        self.wire = FakeWire()
        self.session = Session(self.wire, office.desk)

    def say(self, **message: Any) -> None:
        self.session.on_message(json.dumps(message).encode())

    def subscribe(self, query: str, id: str = "1", **payload: Any) -> None:
        self.say(type="subscribe", id=id, payload={"query": query} | payload)

    def hear(self) -> list[dict[str, Any]]:
        return self.wire.take()

    def close_code(self) -> int | None:
        return self.wire.closed[0] if self.wire.closed else None

    def drain(self) -> None:
        self.wire.paused, self.wire.full_after = False, None
        self.session.on_drained()


@pytest.fixture
async def office() -> Office:
    return Office()


async def settle() -> None:
    """Let tasks that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


# --- the handshake ---


async def test_connection_init_is_acknowledged_once(office: Office) -> None:
    visitor = office.visitor()
    visitor.say(type="connection_init")
    assert visitor.wire.closed == (4429, "Too many initialisation requests")


async def test_who_does_not_greet_in_time_is_closed_with_4408(office: Office) -> None:
    visitor, greeted = office.visitor(greeted=False), office.visitor()
    await office.clock.move(9.9)
    assert visitor.close_code() is None
    await office.clock.move(10)
    assert visitor.close_code() == 4408
    assert greeted.close_code() is None


async def test_a_subscription_before_the_greeting_is_closed_with_4401(office: Office) -> None:
    visitor = office.visitor(greeted=False)
    visitor.subscribe(COMMUNITY)
    assert visitor.wire.closed == (4401, "Unauthorized")
    assert office.stand.hub.statistics().members == 0


async def test_pings_are_answered_before_and_after_the_greeting_and_pongs_are_not(office: Office) -> None:
    visitor = office.visitor(greeted=False)
    visitor.say(type="ping")
    visitor.say(type="ping", payload={"a": ["é"]})
    visitor.say(type="pong", payload=5)
    visitor.say(type="connection_init", payload={"token": "x"})
    visitor.say(type="ping", payload=None)
    assert visitor.hear() == [
        {"type": "pong"},
        {"type": "pong", "payload": {"a": ["é"]}},
        {"type": "connection_ack"},
        {"type": "pong"},
    ]


BAD = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"5",
    b"{}",
    b'{"type":5}',
    b'{"type":null}',
    b'{"type":"x"}',
    b'{"type":"connection_ack"}',
    b'{"type":"connection_init","payload":[]}',
    b'{"type":"ping","payload":5}',
    b'{"type":"subscribe"}',
    b'{"type":"subscribe","id":"","payload":{"query":"{a}"}}',
    b'{"type":"subscribe","id":1,"payload":{"query":"{a}"}}',
    b'{"type":"subscribe","id":"1","payload":{"query":null}}',
    b'{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":[]}}',
    b'{"type":"subscribe","id":"1","payload":{"query":"{a}","operationName":[]}}',
    b'{"type":"complete"}',
    b'{"type":"complete","id":""}',
    b'{"type":"complete","id":5}',
    b"[" * 60_000,
    b'{"type":' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"type":"' + "🌍".encode() * 1000 + b'"}',
]


@pytest.mark.parametrize("message", BAD, ids=lambda message: ascii(message[:40]))
async def test_a_message_of_a_wrong_form_closes_with_4400_and_says_why(office: Office, message: bytes) -> None:
    visitor = office.visitor(greeted=False)
    visitor.session.on_message(message)
    assert visitor.wire.closed is not None
    code, reason = visitor.wire.closed
    assert code == 4400
    assert reason
    assert visitor.hear() == []


@pytest.mark.parametrize("depth", [*range(900, 1010), 5000])
async def test_a_ping_of_any_depth_is_answered_or_refused(office: Office, depth: int) -> None:
    visitor = office.visitor()
    visitor.session.on_message(b'{"type":"ping","payload":{"a":' + b"[" * depth + b"]" * depth + b"}}")
    assert visitor.wire.closed is not None or len(visitor.wire.writes) == 1


# --- what keep-alive and receipts are told ---


async def test_the_least_silence_that_its_subscriptions_ask_for_is_the_patience_of_a_connection(office: Office) -> None:
    visitor = office.visitor()
    assert visitor.session.patience_s == 0
    ambient = 'subscription { community(id: "demo", every: "PT5M", maxSilence: "PT10M") { load } }'
    visitor.subscribe(ambient, "1")
    assert visitor.session.patience_s == 600
    visitor.subscribe('subscription { community(id: "demo", every: "PT1M") { load } }', "2")
    assert visitor.session.patience_s == 60
    visitor.subscribe(COMMUNITY, "3")
    assert visitor.session.patience_s == 0
    visitor.say(type="complete", id="2")
    visitor.say(type="complete", id="3")
    assert visitor.session.patience_s == 600


async def test_a_connection_that_is_over_is_tallied_once_where_somebody_counts(office: Office) -> None:
    told: list[Tally] = []
    office.desk = replace(office.desk, tallied=told.append)
    counted, uncounted = office.visitor(), office.visitor()
    counted.wire.tally = Tally(1, 2, 3, 4, 5, 6, 7.0)
    for visitor in (counted, uncounted):
        visitor.session.on_closed(1000)
        visitor.session.on_closed(1000)
    assert told == [(1, 2, 3, 4, 5, 6, 7.0)]


# --- subscriptions ---


async def test_a_subscription_gets_the_state_and_each_change_until_it_is_completed(office: Office) -> None:
    visitor = office.visitor()
    office.stand.source.send(load_w=1.0)
    visitor.subscribe(COMMUNITY)
    office.stand.source.send(load_w=2.0)
    assert loads(visitor.wire) == [1, 2]
    visitor.say(type="complete", id="1")
    office.stand.source.send(load_w=3.0)
    assert visitor.hear() == []
    visitor.subscribe(COMMUNITY)
    assert loads(visitor.wire) == [3]


async def test_completing_what_is_unknown_is_ignored(office: Office) -> None:
    visitor = office.visitor()
    for _ in range(2):
        visitor.say(type="complete", id="nobody")
    assert visitor.wire.closed is None
    assert visitor.hear() == []


async def test_an_id_in_use_closes_with_4409(office: Office) -> None:
    for first in (COMMUNITY, QUERY, ALERTS):
        visitor = office.visitor()
        visitor.subscribe(first, "é" * 200)
        visitor.subscribe(HOME, "é" * 200)
        assert visitor.wire.closed is not None
        assert visitor.wire.closed[0] == 4409
        assert office.stand.hub.statistics().members == 0


async def test_ids_of_two_connections_have_nothing_to_do_with_each_other(office: Office) -> None:
    visitors = [office.visitor() for _ in range(2)]
    for visitor in visitors:
        visitor.subscribe(COMMUNITY)
    visitors[0].say(type="complete", id="1")
    office.stand.source.send(load_w=1.0)
    assert [loads(visitor.wire) for visitor in visitors] == [[], [1]]


async def test_any_id_comes_back_as_it_was(office: Office) -> None:
    office.stand.source.send(load_w=1.0)
    visitor = office.visitor()
    for id in ('"', "\\", "\n", "é🌍", "%s", "x" * 1000, "\x00", "</script>"):
        visitor.subscribe(COMMUNITY, id)
        (message,) = visitor.hear()
        assert message["id"] == id


async def test_an_operation_that_must_not_start_is_an_error_of_its_own(office: Office) -> None:
    visitor = office.visitor()
    for query in ("{", "subscription { x }", HOME.replace("home-1", "x"), COMMUNITY.replace("load", "load(step: 0)")):
        visitor.subscribe(query)
        (message,) = visitor.hear()
        assert (message["type"], message["id"]) == ("error", "1")
        assert message["payload"][0]["message"]
    hostile: Any = 1
    for _ in range(850):
        hostile = [hostile]
    visitor.subscribe("subscription ($id: ID!) { home(id: $id) { load } }", variables={"id": hostile})
    assert [message["type"] for message in visitor.hear()] == ["error"]
    visitor.subscribe("subscription A { community(id: 5) { load } } subscription B { nothing }", operationName="A")
    assert visitor.hear()[0]["type"] == "error"
    assert visitor.wire.closed is None
    assert office.stand.hub.statistics().members == 0


async def test_an_operation_over_the_limit_is_an_error_and_the_others_live_on() -> None:
    office = Office(max_operations=3)
    visitor = office.visitor()
    for id, query in enumerate((COMMUNITY, QUERY, ALERTS, HOME)):
        visitor.subscribe(query, str(id))
    (error,) = visitor.hear()
    assert (error["type"], error["id"]) == ("error", "3")
    assert error["payload"][0]["message"].startswith("3 operations")
    visitor.say(type="complete", id="0")
    visitor.subscribe(COMMUNITY, "3")
    office.stand.source.send(load_w=1.0)
    assert loads(visitor.wire) == [1]
    visitor.session.on_closed(1000)
    await settle()


async def test_all_subscriptions_of_a_device_have_one_of_16_phases(office: Office) -> None:
    phases = set()
    for _ in range(400):
        session = office.visitor().session
        phases.add(session.offset_ms(1600))
        assert session.offset_ms(1600) % 100 == 0
        assert session.offset_ms(800) == session.offset_ms(1600) % 800
        assert session.offset_ms(16_000) == session.offset_ms(1600)
    assert len(phases) == PHASES


# --- queries and events ---


async def test_a_query_is_answered_then_complete_and_its_id_is_free_again(office: Office) -> None:
    visitor = office.visitor()
    for _ in range(2):
        visitor.subscribe("query A { communities { id } }", operationName="A", variables={})
        await settle()
        assert office.asked[-1] == ("query A { communities { id } }", "A", {})
        assert visitor.hear() == []
        office.answers[-1].set_result(ANSWER)
        await settle()
        assert visitor.hear() == [
            {"id": "1", "type": "next", "payload": {"data": {"communities": []}}},
            {"id": "1", "type": "complete"},
        ]


async def test_a_query_that_was_completed_is_not_answered_and_its_successor_is(office: Office) -> None:
    visitor = office.visitor()
    visitor.subscribe(QUERY)
    await settle()
    visitor.say(type="complete", id="1")
    visitor.subscribe(QUERY)
    await settle()
    assert office.answers[0].cancelled()
    visitor.subscribe(HOME, "1")
    assert visitor.wire.closed is not None  # the second one is open under this id
    visitor = office.visitor()
    visitor.subscribe(QUERY)
    await settle()
    office.answers[-1].set_result(ANSWER)
    await settle()
    assert [message["type"] for message in visitor.hear()] == ["next", "complete"]


async def test_a_query_that_fails_is_a_masked_error_and_the_connection_lives_on(office: Office) -> None:
    visitor = office.visitor()
    visitor.subscribe(QUERY)
    await settle()
    office.answers[0].set_exception(RuntimeError("secret"))
    await settle()
    (message,) = visitor.hear()
    assert (message["type"], message["id"]) == ("error", "1")
    assert message["payload"][0]["extensions"]["code"] == "INTERNAL"
    assert "secret" not in str(message)
    visitor.say(type="ping")
    assert visitor.hear() == [{"type": "pong"}]


async def test_answers_wait_until_the_connection_takes_them(office: Office) -> None:
    visitor = office.visitor()
    for id in ("1", "2"):
        visitor.subscribe(QUERY, id)
    await settle()
    visitor.wire.paused = True
    for answer in office.answers:
        answer.set_result(ANSWER)
    await settle()
    assert visitor.hear() == []
    assert office.stand.hub.statistics().stalled == 1
    visitor.drain()
    await settle()
    assert [message["id"] for message in visitor.hear()] == ["1", "1", "2", "2"]
    assert office.stand.hub.statistics().stalled == 0


async def test_events_come_one_by_one_each_when_the_one_before_was_taken(office: Office) -> None:
    visitor = office.visitor()
    visitor.subscribe(ALERTS)
    visitor.wire.full_after = 1
    for number in range(3):
        office.events.put_nowait((b"%d" % number, False))
    await settle()
    assert [message["payload"] for message in visitor.hear()] == [0]
    visitor.drain()
    await settle()
    assert [message["payload"] for message in visitor.hear()] == [1, 2]
    office.events.put_nowait(None)
    await settle()
    assert visitor.hear() == [{"id": "1", "type": "complete"}]
    assert office.streams == 0


async def test_errors_that_end_events_are_the_last_message(office: Office) -> None:
    visitor = office.visitor()
    visitor.subscribe(ALERTS)
    office.events.put_nowait((b'[{"message":"over"}]', True))
    await settle()
    assert visitor.hear() == [{"id": "1", "type": "error", "payload": [{"message": "over"}]}]
    assert office.streams == 0


async def test_events_that_were_completed_or_whose_connection_closed_end_at_once(office: Office) -> None:
    visitor, other = office.visitor(), office.visitor()
    visitor.subscribe(ALERTS)
    other.subscribe(ALERTS)
    await settle()
    assert office.streams == 2
    visitor.say(type="complete", id="1")
    other.session.on_closed(1006)
    await settle()
    assert office.streams == 0


# --- the end ---


ENDS: list[Callable[[Visitor], None]] = [
    lambda visitor: visitor.session.on_message(b"{"),
    lambda visitor: visitor.say(type="connection_init"),
    lambda visitor: visitor.subscribe(COMMUNITY, "state"),
]


@pytest.mark.parametrize("end", ENDS)
async def test_after_the_close_nothing_is_written_and_nothing_is_held(
    office: Office, end: Callable[[Visitor], None]
) -> None:
    visitor = office.visitor()
    office.stand.source.send(load_w=1.0)
    visitor.subscribe(COMMUNITY, "state")
    visitor.subscribe(QUERY, "query")
    visitor.subscribe(ALERTS, "events")
    await settle()
    end(visitor)
    assert visitor.wire.closed is not None
    counted = office.stand.hub.statistics()
    assert (counted.groups, counted.members) == (0, 0)
    office.stand.source.send(load_w=2.0)
    visitor.say(type="ping")
    visitor.session.on_message(b"{")
    visitor.drain()
    await settle()
    assert office.streams == 0
    assert office.open == 1
    for _ in range(2):
        visitor.session.on_closed(1000)
    assert office.open == 0
    await office.clock.move(100)


async def test_a_connection_that_is_lost_lets_go_of_everything(office: Office) -> None:
    early, visitor = office.visitor(greeted=False), office.visitor()
    for query in (COMMUNITY, HOME, QUERY, ALERTS):
        visitor.subscribe(query, query)
    await settle()
    for one in (early, visitor):
        one.session.on_closed(1006)
    await settle()
    assert (office.open, office.streams, office.stand.hub.statistics().members) == (0, 0, 0)
    await office.clock.move(100)
    assert early.wire.closed is None


async def test_a_connection_that_breaks_with_the_first_write_of_a_subscription_holds_nothing(office: Office) -> None:
    office.stand.source.send(load_w=1.0)
    visitor = office.visitor()
    visitor.wire.on_write = lambda: visitor.session.on_closed(1006)
    visitor.subscribe(COMMUNITY)
    counted = office.stand.hub.statistics()
    assert (counted.groups, counted.members, office.open) == (0, 0, 0)


async def test_a_connection_that_breaks_while_a_change_is_sent_costs_others_nothing(office: Office) -> None:
    visitors = [office.visitor() for _ in range(3)]
    for visitor in visitors:
        for id in ("1", "2"):
            visitor.subscribe(COMMUNITY, id)
    visitors[0].wire.on_write = lambda: visitors[0].session.on_closed(1006)
    office.stand.source.send(load_w=1.0)
    assert [len(visitor.hear()) for visitor in visitors] == [1, 2, 2]
    assert office.stand.hub.statistics().members == 4
    assert office.stand.hub.statistics().stalled == 0


async def test_what_was_missed_is_sent_as_the_connection_drains_bit_by_bit(office: Office) -> None:
    visitor = office.visitor()
    for id in ("1", "2", "3"):
        visitor.subscribe(COMMUNITY, id)
    visitor.wire.paused = True
    for load in (1.0, 2.0):
        office.stand.source.send(load_w=load)
    for id in ("1", "2", "3"):
        visitor.wire.paused, visitor.wire.full_after = False, 1
        visitor.session.on_drained()
        assert [message["id"] for message in visitor.hear()] == [id]
        assert office.stand.hub.statistics().stalled == (id != "3")


async def test_a_client_that_drains_a_little_then_nothing_is_closed_too(office: Office) -> None:
    visitor = office.visitor()
    for id, query in (("1", COMMUNITY), ("2", COMMUNITY.replace("load", "l: load"))):
        visitor.subscribe(query, id)
    visitor.wire.paused = True
    office.stand.source.send(load_w=1.0)
    visitor.wire.paused, visitor.wire.full_after = False, 1
    visitor.session.on_drained()
    for at in range(1, 50):
        await office.clock.move(at)
    assert visitor.wire.aborted


async def test_a_client_that_asks_and_takes_no_answer_is_ended(office: Office) -> None:
    visitor = office.visitor()
    visitor.wire.paused = True
    while not visitor.wire.aborted:
        visitor.say(type="ping", payload={"text": "x" * 1000})
        assert sum(map(len, visitor.wire.writes)) <= MAX_OWED_BYTES
    visitor.session.on_closed(1006)
    assert office.open == 0
