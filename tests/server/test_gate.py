import asyncio

import pytest

from server.addresses import Proxies
from server.census import FullError
from server.gate import MESSAGES_BURST_S, Gate
from server.limits import Limits
from tests.resolvers.frames import eventually


class FakeRequest:
    def __init__(self) -> None:
        self.looks: list[float] = []

    def look(self, now_s: float) -> None:
        self.looks.append(now_s)


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


async def test_requests_look_at_the_time_until_they_are_gone(gate: Gate) -> None:
    here, gone = FakeRequest(), FakeRequest()
    for one in (here, gone):
        gate.join_request(one)
    gate.look(5)
    gate.leave_request(gone)
    gate.look(6)
    assert (here.looks, gone.looks) == ([5, 6], [5])


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
        def look(self, now_s: float) -> None:
            super().look(now_s)
            gate.leave_request(self)
            raise RuntimeError("broken")

    broken, here = Broken(), FakeRequest()
    gate.join_request(broken)
    gate.join_request(here)
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

    async def is_looked_at() -> bool:
        return bool(broken.looks and here.looks)

    await eventually(is_looked_at)
    assert [str(one) for one in failures] == ["broken"]


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
