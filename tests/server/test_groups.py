import gc
import json
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.messages import CommunityState, HomeState, encode
from resolvers.feed import Counts, Feed
from schema.operations import Operations
from schema.plans import Plan, Planner
from schema.receipt import Tally
from server import groups
from server.frames import text_head
from server.groups import Group, Member
from tests.resolvers.frames import community_state, frame, home_state
from tests.schema.test_plans import CORE, EVERYTHING, make_planner
from tests.schema.test_projection import TODAY

COMMUNITY = 'subscription { community(id: "demo") { load } }'
TIMED = 'subscription { community(id: "demo") { measuredAt load } }'
HOME = 'subscription { home(id: "demo.home-1") { load } }'


def messages_in(frames: bytes) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each text frame of a server."""
    while frames:
        assert frames[0] == 0x81
        length, start = frames[1], 2
        if length == 126:
            length, start = int.from_bytes(frames[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(frames[2:10], "big"), 10
        assert len(frames) >= start + length
        yield json.loads(frames[start : start + length])
        frames = frames[start + length :]


class FakeWire:
    """A connection that keeps what is written; `full_after`: how many writes it takes before it is paused."""

    def __init__(self) -> None:
        self.paused = False
        self.full_after: int | None = None
        self.writes: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self.on_write: Callable[[], None] = lambda: None
        self.tally: Tally | None = None

    def write(self, frame: bytes, messages: int = 1) -> None:
        assert self.closed is None, "written after the close"
        assert not self.aborted, "written after the end"
        self.writes.append(frame)
        if self.full_after is not None:
            self.full_after -= 1
            if self.full_after <= 0:
                self.paused = True
        self.on_write()

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    def abort(self) -> None:
        self.aborted = True

    def take(self) -> list[dict[str, Any]]:
        """Return the messages written since the last call."""
        writes, self.writes = self.writes, []
        return [message for write in writes for message in messages_in(write)]


class FakeSession:
    """A connection with one member per call of `member`, and a phase of its own."""

    def __init__(self, phase_ms: int = 0) -> None:
        self.wire = FakeWire()
        self.phase_ms = phase_ms

    def offset_ms(self, every_ms: int) -> int:
        return self.phase_ms

    def member(self, id: str = "1") -> Member:
        return Member(self, self.wire, b'{"id":"%s","type":"next","payload":' % id.encode())


class FakeSchedule:
    """Notes what a group asks for; writes at once."""

    def __init__(self) -> None:
        self.slots: list[Group] = []
        self.silences: list[int] = []
        self.stalls: list[groups.Session] = []

    def at_slot(self, group: Group) -> None:
        if group.slot is None:
            group.slot = 1
            self.slots.append(group)

    def flush(self) -> None:
        waiting, self.slots = self.slots, []
        for group in waiting:
            group.slot = None
            group.flush()

    def speak_after(self, group: Group, delay_ms: int) -> None:
        self.silences.append(delay_ms)

    def stalled(self, session: groups.Session) -> None:
        self.stalls.append(session)

    def put(self, member: Member, frame: bytes) -> None:
        member.wire.write(frame)


class Source:
    """A feed, and the aggregator before it."""

    def __init__(self) -> None:
        self.feed = Feed("demo", Counts())
        self.number = 0
        self._homes: dict[str, HomeState] = {}

    def send(self, *homes: HomeState, **state: Any) -> None:
        """Take in the next frame with these homes changed."""
        self.number += 1
        self._homes |= {home.home: home for home in homes}
        changed = [home.home for home in homes]
        now: CommunityState = community_state(**state)
        self.feed.take(encode(frame(self.number, *self._homes.values(), state=now, changed=changed)), 0)


def plan_of(document: str, variables: dict[str, Any] | None = None, planner: Planner | None = None) -> Plan:
    return (planner or make_planner()).plan(Operations(CORE).open(document, None), variables, EVERYTHING)


class Stand:
    """One group over a source."""

    def __init__(self, document: str = COMMUNITY) -> None:
        self.source = Source()
        self.counts = groups.Counts()
        self.schedule = FakeSchedule()
        self.plan = plan_of(document)
        self.group = Group(self.plan, self.source.feed, 0, self.counts, self.schedule, text_head)

    def join(self, id: str = "1") -> tuple[FakeWire, Member]:
        session = FakeSession()
        member = session.member(id)
        self.group.join(member)
        return session.wire, member


def loads(wire: FakeWire) -> list[Any]:
    """Return the loads in the messages written since the last call."""
    return [next(iter(message["payload"]["data"].values()))["load"] for message in wire.take()]


def test_a_member_gets_the_state_that_is_there_at_once_then_each_change() -> None:
    stand = Stand()
    stand.source.send(load_w=1.0)
    wire, _ = stand.join("a")
    assert wire.take() == [{"id": "a", "type": "next", "payload": {"data": {"community": {"load": 1}}}}]
    stand.source.send(load_w=2.0)
    stand.source.send(load_w=3.0)
    assert loads(wire) == [2, 3]


def test_a_member_that_is_there_before_any_state_waits_for_it() -> None:
    stand = Stand()
    wire, _ = stand.join()
    assert wire.take() == []
    stand.source.send(load_w=1.0)
    assert loads(wire) == [1]


def test_what_looks_the_same_is_not_sent() -> None:
    stand = Stand()
    wire, _ = stand.join()
    stand.source.send(load_w=1.0)
    stand.source.send(load_w=1.0, pv_power_w=7.0)
    stand.source.send(load_w=1.04)
    assert loads(wire) == [1]
    assert (stand.counts.suppressed, stand.counts.encoded) == (1, 1)  # the second does not even wake the group


def test_the_time_of_measurement_travels_but_is_no_change() -> None:
    stand = Stand(TIMED)
    wire, _ = stand.join()
    for at, load in ((0, 1.0), (1000, 1.0), (2000, 2.0)):
        stand.source.send(measured_at=at, pv_power_w=float(at), load_w=load)
    shown = [message["payload"]["data"]["community"]["measuredAt"] for message in wire.take()]
    assert shown == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:02Z"]


def test_a_thousand_members_cost_one_payload_and_equal_ids_share_its_bytes() -> None:
    stand = Stand()
    wires = [stand.join("same")[0] for _ in range(1000)]
    stand.source.send(load_w=5.0)
    assert stand.counts.encoded == 1
    assert stand.counts.sent == 1000
    assert stand.counts.bytes == sum(len(wire.writes[0]) for wire in wires)
    assert len({id(wire.writes[0]) for wire in wires}) == 1


def test_each_member_is_told_its_own_id_whatever_its_length() -> None:
    stand = Stand()
    ids = ["a", "b", "bb", "x" * 200, "c", "y" * 70_000, "dd"]
    wires = {id: stand.join(id)[0] for id in ids}
    stand.source.send(load_w=5.0)
    assert stand.counts.bytes == sum(len(wire.writes[0]) for wire in wires.values())
    for id, wire in wires.items():
        (message,) = wire.take()
        assert message["id"] == id


def test_joining_shows_others_nothing_and_takes_nothing_from_them() -> None:
    stand = Stand('subscription { community(id: "demo") { measuredAt load(step: 100) } }')
    stand.source.send(load_w=100.0, measured_at=0)
    first, _ = stand.join()
    assert loads(first) == [100]
    current = 100
    changes: list[tuple[float, list[int]]] = [(170.0, []), (176.0, [200]), (130.0, []), (124.0, [100])]
    for load, shown in changes:
        stand.source.send(load_w=load, measured_at=int(load))
        current = shown[0] if shown else current
        second, member = stand.join()
        assert loads(second) == [current]
        stand.group.leave(member)
        assert loads(first) == shown


def test_who_allows_more_error_is_told_of_fewer_changes() -> None:
    stand = Stand('subscription { community(id: "demo", hysteresis: 0.5) { load(step: 100) } }')
    stand.source.send(load_w=100.0)
    wire, _ = stand.join()
    for load in (176.0, 200.0, 0.0, 201.0, 110.0, 100.0, 99.0):
        stand.source.send(load_w=load)
    assert loads(wire) == [100, 200, 100]


def test_a_wrist_that_wakes_for_one_figure_is_shown_the_others_as_they_are() -> None:
    stand = Stand('subscription { community(id: "demo") { load(step: 100) pvPower(step: 100) } }')
    stand.source.send(load_w=100.0, pv_power_w=100.0)
    wire, _ = stand.join()
    stand.source.send(load_w=170.0, pv_power_w=120.0)  # within the margin of the step shown
    stand.source.send(load_w=170.0, pv_power_w=180.0)
    stand.source.send(load_w=130.0, pv_power_w=180.0)
    shown = [message["payload"]["data"]["community"] for message in wire.take()]
    assert shown == [{"load": 100, "pvPower": 100}, {"load": 200, "pvPower": 200}]


def test_a_home_is_touched_only_by_its_own_changes() -> None:
    stand = Stand(HOME)
    wire, _ = stand.join()
    stand.source.send(home_state(load_w=1.0), home_state("home-2"))
    stand.source.send(home_state("home-2", load_w=9.0), load_w=3.0)
    assert stand.counts.suppressed == 0
    assert loads(wire) == [1]


def test_a_home_that_shows_its_community_changes_with_it_and_once_a_frame() -> None:
    stand = Stand('subscription { home(id: "demo.home-1") { load community { load } } }')
    wire, _ = stand.join()
    stand.source.send(home_state(load_w=1.0), load_w=1.0)
    stand.source.send(load_w=2.0)
    stand.source.send(home_state(load_w=3.0), load_w=3.0)
    shown = [message["payload"]["data"]["home"] for message in wire.take()]
    assert [(home["load"], home["community"]["load"]) for home in shown] == [(1, 1), (1, 2), (3, 3)]


def test_a_malformed_frame_leaves_the_last_state_as_it_is() -> None:
    stand = Stand()
    wire, _ = stand.join()
    stand.source.send(load_w=1.0)
    stand.source.feed.take(b'{"number": 2', 0)
    late, _ = stand.join()
    assert loads(wire) == loads(late) == [1]


# --- slow connections ---


def test_a_paused_connection_gets_only_the_latest_state_when_it_drains_and_delays_nobody() -> None:
    stand = Stand()
    slow, member = stand.join("slow")
    quick, _ = stand.join("quick")
    stand.source.send(load_w=1.0)
    slow.paused = True
    for load in range(2, 12):
        stand.source.send(load_w=float(load))
    assert loads(quick) == list(range(1, 12))
    assert loads(slow) == [1]
    assert stand.schedule.stalls == [member.session]
    assert stand.counts.conflated == 9
    slow.paused = False
    stand.group.drained(member)
    assert loads(slow) == [11]
    stand.source.send(load_w=12.0)
    assert loads(slow) == [12]


def test_who_joins_on_a_paused_connection_gets_the_state_when_it_drains() -> None:
    stand = Stand()
    stand.source.send(load_w=1.0)
    session = FakeSession()
    session.wire.paused = True
    member = session.member()
    stand.group.join(member)
    assert session.wire.take() == []
    session.wire.paused = False
    stand.group.drained(member)
    assert loads(session.wire) == [1]


def test_members_that_leave_while_others_are_written_to_get_nothing() -> None:
    stand = Stand()
    joined = [stand.join(str(number)) for number in range(4)]

    def leave() -> None:
        for _, member in joined[1:3]:
            stand.group.leave(member)

    joined[0][0].on_write = leave
    stand.source.send(load_w=1.0)
    assert [len(wire.take()) for wire, _ in joined] == [1, 0, 0, 1]
    assert stand.counts.sent == 2


# --- slots ---


SLOTTED = 'subscription { community(id: "demo", every: "PT1S") { load(step: 10) } }'


def test_with_every_the_latest_state_comes_in_the_slot() -> None:
    stand = Stand(SLOTTED)
    wire, _ = stand.join()
    stand.source.send(load_w=10.0)
    stand.source.send(load_w=20.0)
    stand.source.send(load_w=30.0)
    assert loads(wire) == [10]
    assert stand.schedule.slots == [stand.group]
    stand.schedule.flush()
    assert loads(wire) == [30]


def test_what_came_and_went_between_two_slots_is_not_sent() -> None:
    stand = Stand(SLOTTED)
    wire, _ = stand.join()
    for load in (10.0, 20.0, 10.0):
        stand.source.send(load_w=load)
    stand.schedule.flush()
    assert loads(wire) == [10]


@pytest.mark.parametrize(
    ("later", "first", "second"),
    [(20.0, [10, 20], [20]), (30.0, [10, 30], [20, 30]), (10.0, [10], [20, 10])],
)
def test_who_joins_between_two_slots_gets_the_state_of_now_and_nothing_twice(
    later: float, first: list[int], second: list[int]
) -> None:
    stand = Stand(SLOTTED)
    early, _ = stand.join()
    stand.source.send(load_w=10.0)
    stand.source.send(load_w=20.0)
    late, _ = stand.join()
    stand.source.send(load_w=later)
    stand.schedule.flush()
    assert (loads(early), loads(late)) == (first, second)
    stand.source.send(load_w=later + 50)
    stand.schedule.flush()
    assert loads(early) == loads(late) == [later + 50]


def test_a_group_with_slots_ends_its_silence_in_a_slot() -> None:
    stand = Stand('subscription { community(id: "demo", every: "PT2S", maxSilence: "PT5S") { load } }')
    stand.source.send(load_w=1.0)
    wire, _ = stand.join()
    assert loads(wire) == [1]
    assert stand.schedule.silences == [3000]  # a slot comes within two seconds more
    stand.group.speak()
    assert loads(wire) == []
    stand.schedule.flush()
    assert loads(wire) == [1]
    stand.source.send(load_w=1.0)
    stand.schedule.flush()
    assert loads(wire) == []


def test_a_group_is_silent_for_max_silence_at_the_most() -> None:
    stand = Stand('subscription { community(id: "demo", maxSilence: "PT5S") { load measuredAt } }')
    stand.group.speak()
    assert stand.schedule.silences == []
    wire, member = stand.join()
    stand.group.speak()  # there is nothing to say yet
    stand.source.send(load_w=1.0, measured_at=0)
    stand.source.send(load_w=1.0, measured_at=5000)
    stand.group.speak()
    shown = [message["payload"]["data"]["community"]["measuredAt"] for message in wire.take()]
    assert shown == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:05Z"]
    assert stand.schedule.silences == [5000] * 3
    wire.on_write = lambda: stand.group.leave(member)
    stand.group.speak()
    assert stand.schedule.silences == [5000] * 3


def test_max_silence_is_kept_even_if_the_first_member_was_paused() -> None:
    stand = Stand('subscription { community(id: "demo", maxSilence: "PT5S") { load } }')
    stand.source.send(load_w=1.0)
    session = FakeSession()
    session.wire.paused = True
    stand.group.join(session.member())
    stand.join()
    assert stand.schedule.silences == [5000]


# --- errors ---


def test_a_value_that_cannot_be_shown_is_an_error_to_all_and_the_group_lives_on() -> None:
    stand = Stand('subscription { community(id: "demo") { pvPower load(step: 10) } }')
    wires = [stand.join()[0] for _ in range(2)]
    stand.source.send(load_w=10.0)
    good = stand.source.feed.community_state
    stand.source.feed.community_state = lambda: community_state(load_w=float("nan"))  # type: ignore[method-assign]  # JSON has no NaN: no frame brings it
    stand.group.wake()
    stand.source.feed.community_state = good  # type: ignore[method-assign]  # as above
    stand.group.wake()
    for wire in wires:
        first, second, third = wire.take()
        assert first == third
        assert second["type"] == "next"
        assert second["payload"]["data"] is None
        assert second["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert stand.counts.fallbacks == 1


def test_a_selection_that_does_not_compile_is_executed_once_a_change() -> None:
    class Uncompiled(Planner):
        def _projection(self, *_: Any) -> None:
            return None

    stand = Stand()
    plain = make_planner()
    plain.__class__ = Uncompiled
    plan = plan_of(COMMUNITY, None, plain)
    assert plan.projection is None
    group = Group(plan, stand.source.feed, 0, stand.counts, stand.schedule, text_head)
    sessions = [FakeSession() for _ in range(3)]
    for session in sessions:
        group.join(session.member())
    for load in (1.0, 2.0, 2.0):
        stand.source.send(load_w=load)
    assert all(loads(session.wire) == [1, 2] for session in sessions)
    assert stand.counts.encoded == 2


# --- what is left ---


@pytest.mark.parametrize("document", [COMMUNITY, SLOTTED.replace("step: 10", "step: 1")])
def test_who_joins_a_group_that_was_empty_gets_the_state_of_now(document: str) -> None:
    stand = Stand(document)
    stand.source.send(load_w=1.0)
    _, member = stand.join()
    stand.group.leave(member)
    stand.source.send(load_w=2.0)
    wire, _ = stand.join()
    assert loads(wire) == [2]


def test_a_group_that_was_closed_holds_nothing() -> None:
    stand = Stand('subscription { home(id: "demo.home-1") { load community { load } } }')
    _, member = stand.join()
    stand.source.send(home_state())
    stand.group.leave(member)
    stand.group.close()
    assert stand.source.feed.watchers == 0
    group = weakref.ref(stand.group)
    gc.disable()  # without a collection: no cycle holds it either
    try:
        del stand.group
        assert group() is None
    finally:
        gc.enable()


def test_a_group_without_members_works_nothing_out() -> None:
    stand = Stand()
    stand.source.send(load_w=1.0)
    stand.group.flush()
    stand.group.speak()
    assert stand.counts.encoded <= 1
    encoded = stand.counts.encoded
    stand.source.send(load_w=2.0)
    assert stand.counts.encoded == encoded


# --- any order of events ---

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("frame"), st.integers(0, 6)),
        st.tuples(st.sampled_from(["join", "leave", "pause", "drain", "full"]), st.integers(0, 3)),
        st.tuples(st.just("flush"), st.just(0)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(ACTIONS, st.sampled_from([COMMUNITY, SLOTTED.replace("step: 10", "step: 1")]))
def test_whatever_happens_a_member_ends_with_the_latest_state_and_nothing_is_doubled_or_reordered(
    actions: list[tuple[str, int]], document: str
) -> None:
    stand = Stand(document)
    members: dict[int, Member] = {}
    heard: dict[int, list[int]] = {}
    states: list[int] = []
    missed: set[int] = set()

    def listen() -> None:
        for who, member in members.items():
            wire = member.session.wire
            assert isinstance(wire, FakeWire)
            heard[who] += loads(wire)

    def drain(who: int) -> None:
        member = members[who]
        wire = member.session.wire
        assert isinstance(wire, FakeWire)
        wire.paused, wire.full_after = False, None
        if member.pending:
            missed.add(who)
            stand.group.drained(member)

    for action, number in actions:
        if action == "frame":
            states.append(number)
            stand.source.send(load_w=float(number))
        elif action == "flush":
            stand.schedule.flush()
        elif action == "join" and number not in members:
            members[number] = FakeSession().member(str(number))
            heard[number] = []
            stand.group.join(members[number])
        elif number in members:
            wire = members[number].session.wire
            assert isinstance(wire, FakeWire)
            if action == "leave":
                stand.group.leave(members.pop(number))
            elif action == "pause":
                wire.paused = True
            elif action == "full":
                wire.full_after = 1
            elif action == "drain":
                drain(number)
        listen()
    for who in members:
        drain(who)
    stand.schedule.flush()
    listen()
    for who in members:
        assert heard[who][-1:] == states[-1:]
        if who not in missed:
            assert all(one != other for one, other in zip(heard[who], heard[who][1:], strict=False))
        # in order: what was heard is found in what happened, one after the other
        rest = iter(states)
        assert all(any(state == load for state in rest) for load in heard[who]) or who in missed


FIELDS = ["load", "pvPower", "light", "selfSufficiency", "today { shared }"]
STATES = st.fixed_dictionaries(
    {
        "load_w": st.sampled_from([0.0, 1.0, 1.04]),
        "pv_power_w": st.sampled_from([None, 1.0]),
        "light": st.sampled_from(["GREEN", "RED"]),
        "self_sufficiency": st.sampled_from([None, 0.5]),
        "measured_at": st.integers(0, 2),
        "today": st.sampled_from([None, TODAY, msgspec.structs.replace(TODAY, shared_wh=6)]),
    }
)
CHOICE = st.lists(st.sampled_from(FIELDS), unique=True)


@settings(deadline=None)
@given(CHOICE, CHOICE, st.booleans(), st.lists(st.tuples(STATES, st.none() | STATES), min_size=1, max_size=8))
def test_whatever_is_selected_each_visible_change_is_sent_and_no_other(
    home: list[str],
    community: list[str],
    of_home: bool,
    changes: list[tuple[dict[str, Any], dict[str, Any] | None]],
) -> None:
    whole = f"{{ __typename {' '.join(community)} }}"
    document = f'subscription {{ community(id: "demo") {whole} }}'
    if of_home:
        document = f'subscription {{ home(id: "demo.home-1") {{ homeId {" ".join(home)} community {whole} }} }}'
    stand = Stand(document)
    wire, _ = stand.join()
    heard: list[Any] = []
    expected: list[Any] = []
    for state, changed in [(changes[0][0], changes[0][1] or {}), *changes]:
        stand.source.send(*([] if changed is None else [home_state(**changed)]), **state)
        root: Any = stand.source.feed.live_home("home-1") if of_home else stand.source.feed.community_state()
        now = json.loads(stand.plan.execute(root))
        if expected[-1:] != [now]:
            expected.append(now)
        heard += [message["payload"] for message in wire.take()]
        assert heard == expected
