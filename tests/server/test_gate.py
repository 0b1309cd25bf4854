import asyncio
import math

import pytest

from server.addresses import Proxies
from server.census import FullError
from server.gate import MESSAGES_BURST_S, Gate
from server.limits import Limits
from tests.resolvers.frames import eventually


class FakeRequest:
    def __init__(self, due_s: float) -> None:
        self.due_s = due_s
        self.expired = 0

    def expire(self) -> None:
        self.expired += 1


class FakeSocket:
    def __init__(self, *, busy: bool = False) -> None:
        self.heard_s = 0.0
        self.busy = busy
        self.closed: tuple[int, str] | None = None

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason


@pytest.fixture
async def gate() -> Gate:
    return Gate(Limits(messages_per_second=10, idle_timeout_s=100))


async def test_what_is_late_is_expired_and_what_arrived_is_not(gate: Gate) -> None:
    late, soon, arrived, done = FakeRequest(5), FakeRequest(6), FakeRequest(5), FakeRequest(math.inf)
    for one in (late, soon, arrived, done):
        gate.wait_for(one)
    gate.arrived(arrived)
    gate.look(5)
    assert [one.expired for one in (late, soon, arrived, done)] == [1, 0, 0, 0]


async def test_a_socket_may_say_so_much_at_once_and_then_so_much_a_second(gate: Gate) -> None:
    socket = FakeSocket()
    gate.join(socket, 0)
    burst = 10 * MESSAGES_BURST_S
    assert all(gate.takes_message(socket, 0) for _ in range(burst))
    assert not gate.takes_message(socket, 0)
    calm = FakeSocket()
    gate.join(calm, 0)
    assert all(gate.takes_message(calm, at / 10) for at in range(1000))
    assert all(gate.takes_message(calm, 200) for _ in range(burst))
    assert not gate.takes_message(calm, 200)


async def test_a_socket_is_closed_when_it_was_silent_for_so_long_with_nothing_open(gate: Gate) -> None:
    idle, talking, busy, gone = FakeSocket(), FakeSocket(), FakeSocket(busy=True), FakeSocket()
    for one in (idle, talking, busy, gone):
        gate.join(one, 0)
    gate.leave(gone)
    gate.look(1)
    gate.takes_message(talking, 50)
    gate.look(99)
    assert [one.closed for one in (idle, talking, busy, gone)] == [None] * 4
    gate.look(111)
    code, reason = idle.closed or (0, "")
    assert code == 1000
    assert "idle for 100 s (idle_timeout)" in reason
    assert len(reason.encode()) <= 123
    assert [one.closed for one in (talking, busy, gone)] == [None] * 3
    gate.look(161)
    assert talking.closed is not None


async def test_a_failing_connection_does_not_stop_the_looks(gate: Gate) -> None:
    class Broken(FakeRequest):
        def expire(self) -> None:
            gate.arrived(self)
            raise RuntimeError("broken")

    broken, late = Broken(0), FakeRequest(0)
    gate.wait_for(broken)
    gate.wait_for(late)
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

    async def is_expired() -> bool:
        return bool(late.expired)

    await eventually(is_expired)
    assert len(failures) <= 1


async def test_a_proxys_own_address_counts_for_nobody() -> None:
    gate = Gate(Limits(connections_per_address=1), Proxies(["192.0.2.0/24"]))
    places = [gate.enter("192.0.2.1") for _ in range(3)]
    assert [place.address for place in places] == [None] * 3
    places[0].name_address("198.51.100.1")
    with pytest.raises(FullError):
        places[1].name_address("198.51.100.1")
    gate.enter("198.51.100.2")
    with pytest.raises(FullError):
        gate.enter("198.51.100.2")
