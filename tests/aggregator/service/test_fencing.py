"""Two aggregators for the same communities, lost acknowledgements, checkpoints that are of no use."""

import zlib
from typing import Any

import msgspec
import pytest

from aggregator.checkpoint import Checkpoint, CheckpointError, Checkpoints
from aggregator.outbox import FencedError, Outbox
from aggregator.state import OLDEST, VERSION, State
from bus.client import Bus, Message
from bus.errors import UnavailableError
from bus.messages import Alert, Rejected
from bus.settings import NatsSettings
from bus.streams import CHECKPOINTS
from tests.aggregator.service.conftest import Start
from tests.aggregator.service.process import eventually
from tests.aggregator.service.turbulent import store
from tests.aggregator.service.village import alerts, folded_to, frame, intervals, publish, reading, register, rejected
from tests.aggregator.service.village import village as a_village

KEY = f"$KV.{CHECKPOINTS}.demo"


class DeafBus(Bus):
    """A bus that does not hear acknowledgements while `deaf`."""

    deaf = False

    async def publish(self, message: Message, *, timeout: float = 5.0) -> int:
        sequence = await super().publish(message, timeout=timeout)
        if self.deaf:
            raise UnavailableError("not heard")
        return sequence

    async def publish_batch(self, messages: Any, *, timeout: float = 10.0) -> int:
        if len(messages) == 1:
            return await self.publish(messages[0])
        sequence = await super().publish_batch(messages, timeout=timeout)
        if self.deaf:
            raise UnavailableError("not heard")
        return sequence

    async def pause(self) -> None:
        self.deaf = False


@pytest.fixture
async def deaf_bus(bus: Bus, nats_url: str) -> Any:
    other = await DeafBus.connect(NatsSettings(url=nats_url), name="deaf")
    yield other
    await other.close()


def checkpoint(position: int) -> Checkpoint:
    return Checkpoint(VERSION, position, {}, State("demo", now=position))


def alert(number: int) -> Alert:
    return Alert(
        key=str(number), kind="METER_SILENT", community="demo", home="h1", at=number, value=None, limit=None, meter="m"
    )


# --- checkpoints ---


async def test_a_save_whose_acknowledgement_was_lost_does_not_fence_out_its_own_writer(deaf_bus: DeafBus) -> None:
    checkpoints = Checkpoints(deaf_bus, "one")
    assert await checkpoints.load("demo") is None
    deaf_bus.deaf = True
    for position in (1, 2):
        with pytest.raises(UnavailableError):
            await checkpoints.save("demo", checkpoint(position))
    deaf_bus.deaf = False
    await checkpoints.save("demo", checkpoint(3))
    found = await checkpoints.load("demo")
    assert found is not None
    assert found.position == 3


async def test_the_second_to_save_after_the_same_load_is_fenced_out_even_with_the_same_state(bus: Bus) -> None:
    one, other = Checkpoints(bus, "one"), Checkpoints(bus, "other")
    await one.load("demo")
    await other.load("demo")
    await one.save("demo", checkpoint(1))
    with pytest.raises(FencedError, match="another aggregator has saved a checkpoint of 'demo'"):
        await other.save("demo", checkpoint(1))
    await one.save("demo", checkpoint(2))


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (b"\x00garbage", "not readable"),
        (zlib.compress(b"\xc1"), "not readable"),
        (zlib.compress(msgspec.msgpack.encode({"version": VERSION})), "not readable"),
        (zlib.compress(msgspec.msgpack.encode({"version": VERSION + 1})), "newer Commonwatt"),
        (zlib.compress(msgspec.msgpack.encode({"version": OLDEST - 1})), "older Commonwatt"),
    ],
    ids=["garbage", "no msgpack", "half of it", "newer", "older"],
)
async def test_a_checkpoint_that_is_of_no_use_names_the_way_out(bus: Bus, stored: bytes, said: str) -> None:
    await bus.publish(Message(KEY, stored))
    with pytest.raises(CheckpointError, match=rf"{said}.*--rebuild demo"):
        await Checkpoints(bus, "one").load("demo")
    assert await Checkpoints(bus, "one").load("demo", ignore=True) is None


# --- outputs ---


async def test_outputs_whose_acknowledgement_was_lost_are_found_and_not_sent_again(deaf_bus: DeafBus) -> None:
    outbox = Outbox(deaf_bus, "demo", {})
    await outbox.open()
    for sent in ([alert(1)], [alert(2), alert(3)]):
        deaf_bus.deaf = True
        await outbox.send(sent)
    await outbox.send([alert(4)])
    assert [one.key for one in await alerts(deaf_bus)] == ["1", "2", "3", "4"]
    assert outbox.positions["ALERTS"] == 4


async def test_a_position_stands_before_what_was_found_until_the_fold_has_given_it_again(bus: Bus) -> None:
    before = Outbox(bus, "demo", {})
    await before.open()
    await before.send([alert(1), alert(2), alert(3)])  # and killed before a checkpoint
    for given in ([], [alert(1)], [alert(1), alert(2)]):  # killed again and again, soon after the start
        outbox = Outbox(bus, "demo", {})
        await outbox.open()
        await outbox.send(given)
        assert outbox.positions["ALERTS"] == len(given)
    outbox = Outbox(bus, "demo", outbox.positions)
    await outbox.open()
    assert await outbox.send([alert(3), alert(4)]) == {("alert", "3"): 3, ("alert", "4"): 4}
    assert outbox.positions["ALERTS"] == 4
    assert [one.key for one in await alerts(bus)] == ["1", "2", "3", "4"]


async def test_an_output_that_another_wrote_differently_fences_out(bus: Bus) -> None:
    one, other = Outbox(bus, "demo", {}), Outbox(bus, "demo", {})
    await one.open()
    await other.open()
    await one.send([alert(1)])
    await other.send([alert(1)])  # the same: not sent again, nobody is harmed
    await one.send([alert(2)])
    with pytest.raises(FencedError, match="another aggregator writes ALERTS of demo"):
        await other.send([alert(7)])
    assert [one.key for one in await alerts(bus)] == ["1", "2"]


async def test_partitions_that_refuse_strays_on_the_same_subject_do_not_fence_each_other_out(bus: Bus) -> None:
    boxes = [Outbox(bus, None, {}), Outbox(bus, None, {})]
    for box in boxes:
        await box.open()
    for number in range(6):
        stray = Rejected(
            reason="invalid_id",
            detail="",
            subject=f"readings.X{number % 2}.m",
            sequence=number,
            received_at=0,
            payload="",
        )
        await boxes[number % 2].send([stray])
    assert [one.sequence for one in await rejected(bus)] == list(range(6))


# --- whole processes ---


@pytest.mark.slow
async def test_of_two_aggregators_one_ends_with_code_3_and_says_why(bus: Bus, nats_url: str, start: Start) -> None:
    await register(bus, a_village())
    one = start(nats_url)
    await one.ready()
    other = start(nats_url)
    await other.ready()
    sent = 0

    async def one_is_over() -> bool:
        nonlocal sent
        for _ in range(4):
            await publish(bus, [("readings.demo.h1-grid", reading(5 * sent, 10 * sent))])
            sent += 1
        return one.code is not None or other.code is not None

    await eventually(one_is_over, "the end of one of them")
    ended, left = (one, other) if one.code is not None else (other, one)
    assert ended.code == 3
    assert "commonwatt: another aggregator" in ended.log
    assert "this one stops" in ended.log
    assert "Traceback" not in ended.log
    last = await publish(bus, [("readings.demo.h1-grid", reading(5 * sent, 10 * sent))])
    await eventually(lambda: folded_to(bus, last), "a checkpoint of the one that is left")
    assert left.code is None
    found = await intervals(bus)
    assert [one.revision for one in found] == [0] * len(found)
    assert len({one.start for one in found}) == len(found) > 10


@pytest.mark.parametrize(
    "newer", [pytest.param(False, id="unreadable", marks=pytest.mark.slow), pytest.param(True, id="newer")]
)
async def test_a_checkpoint_of_no_use_stops_the_start_with_code_2_and_rebuild_is_the_way_out(
    bus: Bus, nats_url: str, start: Start, newer: bool
) -> None:
    await register(bus, a_village())
    await bus.publish(Message(KEY, zlib.compress(msgspec.msgpack.encode({"version": 99})) if newer else b"?"))
    await publish(bus, [("readings.demo.h1-grid", reading(0, 0, power_import_w=70))])
    stopped = start(nats_url)
    assert await stopped.end() == 2
    assert "commonwatt: the checkpoint of 'demo'" in stopped.log
    assert "commonwatt aggregate --rebuild demo" in stopped.log
    assert "Traceback" not in stopped.log
    start(nats_url, "--rebuild", "demo")

    async def shown() -> bool:
        now = await frame(bus)
        return now is not None and now.state.power_import_w == 70

    await eventually(shown, "a frame")


async def test_a_checkpoint_beyond_the_stream_of_readings_stops_the_start_with_code_2(
    bus: Bus, nats_url: str, start: Start
) -> None:
    await register(bus, a_village())
    checkpoints = Checkpoints(bus, "one")
    await checkpoints.load("demo")
    await checkpoints.save("demo", checkpoint(1_000_000))
    stopped = start(nats_url)
    assert await stopped.end() == 2
    assert "stands for reading 1000000, but READINGS ends at" in stopped.log


@pytest.mark.slow
async def test_rebuilding_computes_all_again_and_publishes_nothing_twice(bus: Bus, nats_url: str, start: Start) -> None:
    last = await store(bus, hours=30)
    aggregator = start(nats_url)
    await eventually(lambda: folded_to(bus, last, "sun"), "the first run", 60)
    aggregator.kill()
    before = [await intervals(bus, "sun"), await alerts(bus, "sun"), await rejected(bus)]
    start(nats_url, "--rebuild", "sun", "--rebuild", "wall")
    last = await publish(bus, [("readings.sun.nobody", b"{}")])

    async def read() -> bool:
        return any(one.sequence == last for one in await rejected(bus))

    await eventually(read, "the last reading")
    await eventually(lambda: folded_to(bus, last, "sun"), "a checkpoint of the rebuilt state", 60)
    assert [await intervals(bus, "sun"), await alerts(bus, "sun"), (await rejected(bus))[:-1]] == before
    assert min(len(await intervals(bus, "sun")), len(await alerts(bus, "sun"))) > 10
