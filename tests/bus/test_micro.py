"""Services on NATS: found, counted, shared, bounded, and never a question without an end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from bus.client import Bus, connection_of
from bus.errors import BusError, UnavailableError
from bus.micro import Answering, QuestionError, ask, serving
from bus.settings import NatsSettings
from tests.conftest import NatsServer
from tests.resolvers.frames import eventually


@asynccontextmanager
async def echoing(bus: Bus, answer: Answering, **limits: Any) -> AsyncIterator[None]:
    async with serving(bus, "echo", {"say": answer}, version="1.2.3", description="Says it again", **limits):
        yield


@pytest.fixture
async def other(session_nats: NatsServer) -> AsyncIterator[Bus]:
    """A connection of whoever asks."""
    bus = await Bus.connect(NatsSettings(url=session_nats.url), name="test", patience_s=10)
    yield bus
    await bus.close()


async def again(data: bytes) -> bytes:
    return data


async def control(bus: Bus, verb: str) -> dict[str, Any]:
    reply = await connection_of(bus).request(f"$SRV.{verb}.echo", b"", timeout=5)
    value: dict[str, Any] = json.loads(reply.data)
    return value


async def test_a_question_gets_its_answer(bus: Bus, other: Bus) -> None:
    async with echoing(bus, again):
        assert await ask(other, "echo.say", b"hello") == b"hello"
        assert await ask(other, "echo.say", b"") == b""


async def test_a_service_is_found_and_counts_questions_and_errors(bus: Bus, other: Bus) -> None:
    async def judge(data: bytes) -> bytes:
        if data == b"bad":
            raise QuestionError("400", "bad is not allowed; good is")
        return data

    async with echoing(bus, judge):
        await ask(other, "echo.say", b"good")
        with pytest.raises(QuestionError):
            await ask(other, "echo.say", b"bad")
        ping, info, stats = [await control(other, verb) for verb in ("PING", "INFO", "STATS")]
    assert (ping["name"], ping["version"]) == ("echo", "1.2.3")
    assert (info["description"], info["endpoints"][0]["subject"]) == ("Says it again", "echo.say")
    (endpoint,) = stats["endpoints"]
    assert (endpoint["num_requests"], endpoint["num_errors"]) == (2, 1)
    assert endpoint["processing_time"] > 0
    assert "bad is not allowed" in endpoint["last_error"]


async def test_a_refusal_says_which_one_it_is_and_what_is_allowed(bus: Bus, other: Bus) -> None:
    async def refuse(_: bytes) -> bytes:
        raise QuestionError("409", "fewer than 4 homes – ask for more")

    async with echoing(bus, refuse):
        with pytest.raises(QuestionError, match=r"^fewer than 4 homes – ask for more$") as caught:
            await ask(other, "echo.say", b"")
    assert caught.value.code == "409"


async def test_what_fails_is_masked_and_counted(bus: Bus, other: Bus) -> None:
    async def fail(_: bytes) -> bytes:
        raise ZeroDivisionError("a secret")

    async with echoing(bus, fail):
        with pytest.raises(BusError, match="its log says why") as caught:
            await ask(other, "echo.say", b"")
        assert (await control(other, "STATS"))["endpoints"][0]["num_errors"] == 1
    assert "secret" not in str(caught.value)
    assert not isinstance(caught.value, QuestionError)


async def test_nobody_there_is_said_at_once(other: Bus) -> None:
    async with asyncio.timeout(2):
        with pytest.raises(UnavailableError, match=r"nobody answers echo\.say"):
            await ask(other, "echo.say", b"", timeout_s=60)


async def test_a_service_without_a_connection_is_away(own_nats: NatsServer) -> None:
    async with AsyncExitStack() as stack:
        there = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
        stack.push_async_callback(there.close)
        await stack.enter_async_context(echoing(there, again))
        assert await ask(there, "echo.say", b"1") == b"1"
        own_nats.kill()
        async with asyncio.timeout(5):
            with pytest.raises(UnavailableError):
                await ask(there, "echo.say", b"2", timeout_s=60)
        own_nats.start()

        async def answers() -> bool:
            try:
                return await ask(there, "echo.say", b"3", timeout_s=1) == b"3"
            except UnavailableError:
                return False

        await eventually(answers, timeout=20)


async def test_an_answer_that_takes_too_long_is_given_up(bus: Bus, other: Bus) -> None:
    ended = asyncio.Event()

    async def dream(_: bytes) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    async with echoing(bus, dream, timeout_s=0.05):
        with pytest.raises(UnavailableError, match=r"no answer within 0\.05 s"):
            await ask(other, "echo.say", b"")
        assert ended.is_set()


async def test_a_silent_service_is_waited_for_no_longer_than_asked(bus: Bus, other: Bus) -> None:
    async def dream(_: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with echoing(bus, dream, timeout_s=60), asyncio.timeout(5):
        with pytest.raises(UnavailableError, match=r"no answer to echo\.say within 0\.1 s"):
            await ask(other, "echo.say", b"", timeout_s=0.1)


async def test_questions_are_answered_side_by_side_up_to_the_bound(bus: Bus, other: Bus) -> None:
    gate, started = asyncio.Event(), 0

    async def wait(data: bytes) -> bytes:
        nonlocal started
        started += 1
        await gate.wait()
        return data

    async def has_three() -> bool:
        return started == 3

    async with echoing(bus, wait, most=3):
        waiting = [asyncio.create_task(ask(other, "echo.say", str(number).encode())) for number in range(3)]
        await eventually(has_three)
        with pytest.raises(UnavailableError, match="3 questions wait for an answer; ask again"):
            await ask(other, "echo.say", b"3")
        gate.set()
        assert await asyncio.gather(*waiting) == [b"0", b"1", b"2"]
        assert await ask(other, "echo.say", b"4") == b"4"


async def test_two_services_of_a_name_share_the_questions(bus: Bus, other: Bus) -> None:
    counts = [0, 0]

    def counting(index: int) -> Answering:
        async def count(data: bytes) -> bytes:
            counts[index] += 1
            return data

        return count

    async with echoing(bus, counting(0)), echoing(other, counting(1)):
        for number in range(60):
            await ask(other, "echo.say", str(number).encode())
    assert sum(counts) == 60
    assert all(counts)


async def test_a_service_that_ends_leaves_no_question_at_work(bus: Bus, other: Bus) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def dream(_: bytes) -> bytes:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    async with echoing(bus, dream, timeout_s=60):
        asking = asyncio.create_task(ask(other, "echo.say", b"", timeout_s=1))
        await started.wait()
    assert ended.is_set()
    with pytest.raises(UnavailableError):
        await asking
    with pytest.raises(UnavailableError, match="nobody answers"):
        await ask(other, "echo.say", b"")


async def test_a_message_that_asks_for_no_answer_is_left_alone(bus: Bus, other: Bus) -> None:
    asked = False

    async def note(data: bytes) -> bytes:
        nonlocal asked
        asked = asked or data == b"quiet"
        return data

    async with echoing(bus, note):
        await other.publish_core("echo.say", b"quiet")
        await ask(other, "echo.say", b"loud")
    assert not asked
