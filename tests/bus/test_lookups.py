"""Look-ups of many messages at once, by what a stream really holds."""

import pytest

from bus.client import MAX_BATCH, Bus, Message
from bus.errors import RefusedError, UnavailableError
from bus.lookups import MAX_RUN, last_of_each, run_of
from tests.bus.strict import StrictNats


async def _fill(bus: Bus, *meters: str, size: int = 0) -> None:
    messages = [
        Message(f"readings.demo.{meter}", str(number).encode() + b" " * size) for number, meter in enumerate(meters)
    ]
    for start in range(0, len(messages), MAX_BATCH):
        await bus.publish_batch(messages[start : start + MAX_BATCH])


async def test_a_run_begins_at_a_sequence_and_says_how_many_follow(bus: Bus) -> None:
    await _fill(bus, *"abacab")
    run = await run_of(bus, "READINGS", "readings.demo.a", sequence=2, most=1)
    assert [(one.subject, one.sequence, one.data) for one in run.messages] == [("readings.demo.a", 3, b"2")]
    assert run.more == 1
    run = await run_of(bus, "READINGS", "readings.demo.*", sequence=2, most=100)
    assert ([one.sequence for one in run.messages], run.more) == ([2, 3, 4, 5, 6], 0)


async def test_a_run_begins_at_a_time(bus: Bus) -> None:
    await _fill(bus, *"abab")
    third = await bus.message("READINGS", 3)
    assert third is not None
    run = await run_of(bus, "READINGS", "readings.demo.*", since_ms=third.time_ms - 3_600_000, most=3)
    assert ([one.sequence for one in run.messages], run.more) == ([1, 2, 3], 1)
    assert await run_of(bus, "READINGS", "readings.demo.*", since_ms=third.time_ms + 3_600_000) == ([], 0)


async def test_a_run_of_nothing_is_empty(bus: Bus) -> None:
    assert await run_of(bus, "READINGS", "readings.demo.a") == ([], 0)
    await _fill(bus, "a")
    assert await run_of(bus, "READINGS", "readings.demo.b") == ([], 0)
    assert await run_of(bus, "READINGS", "readings.demo.a", sequence=2) == ([], 0)


@pytest.mark.parametrize("most", [0, MAX_RUN + 1])
async def test_a_run_that_is_too_long_is_refused(bus: Bus, most: int) -> None:
    with pytest.raises(ValueError, match=f"{most} messages in a run; 1 to 1000 are allowed"):
        await run_of(bus, "READINGS", "readings.demo.a", most=most)


async def test_the_last_message_of_each_of_many_subjects_is_found(bus: Bus) -> None:
    meters = [f"m{number}" for number in range(1200)]
    await _fill(bus, *meters, *meters[::2])
    found = await last_of_each(bus, "READINGS", [f"readings.demo.{meter}" for meter in [*meters, "absent"]])
    assert set(found) == {f"readings.demo.{meter}" for meter in meters}
    assert found["readings.demo.m0"].sequence == 1201
    assert found["readings.demo.m1"].sequence == 2


async def test_what_does_not_fit_into_one_answer_is_found_all_the_same(bus: Bus) -> None:
    meters = [f"m{number}" for number in range(40)]
    await _fill(bus, *meters, size=400_000)
    run = await run_of(bus, "READINGS", "readings.demo.*", most=40)
    assert 0 < len(run.messages) < 40
    assert len(run.messages) + run.more == 40
    found = await last_of_each(bus, "READINGS", [f"readings.demo.{meter}" for meter in meters])
    assert len(found) == 40


async def test_nothing_is_found_of_no_subjects(bus: Bus) -> None:
    assert await last_of_each(bus, "READINGS", []) == {}


async def test_a_stream_that_is_not_there_is_unavailable(bus: Bus) -> None:
    with pytest.raises(UnavailableError):
        await run_of(bus, "NOTHING", "readings.demo.a")


async def test_the_server_may_look_up_readings_and_what_was_refused_and_the_history_may_not(
    strict: StrictNats,
) -> None:
    administrator = await Bus.connect(strict.settings("administrator"), name="test", patience_s=10)
    server = await Bus.connect(strict.settings("server"), name="serve", patience_s=10)
    history = await Bus.connect(strict.settings("history"), name="history", patience_s=10)
    try:
        await administrator.publish(Message("rejected.sunfield.m1", b"{}"))
        assert len((await run_of(server, "REJECTED", "rejected.sunfield.*")).messages) == 1
        assert len(await last_of_each(server, "REJECTED", ["rejected.sunfield.m1"])) == 1
        assert await last_of_each(server, "READINGS", ["readings.sunfield.m7"]) == {}
        with pytest.raises(RefusedError):
            await run_of(history, "REJECTED", "rejected.sunfield.*")
    finally:
        for one in (administrator, server, history):
            await one.close()
