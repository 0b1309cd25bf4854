"""The connection to NATS: what is acknowledged is stored, whole or not at all; it comes back by itself."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from bus.acknowledgement import stored_at
from bus.broker import free_port
from bus.client import MAX_BATCH, Bus, Message, connection_of
from bus.errors import ConflictError, UnavailableError
from bus.settings import NatsSettings
from tests.bus.stream import stored

if TYPE_CHECKING:
    from tests.conftest import NatsServer

SUBJECT = "readings.demo.home-01-grid"
OTHER = "readings.demo.home-02-grid"


def _batch(count: int, subject: str = SUBJECT) -> list[Message]:
    return [Message(subject, str(number).encode()) for number in range(count)]


async def test_a_published_message_is_stored_under_the_sequence_returned(bus: Bus) -> None:
    first = await bus.publish(Message(SUBJECT, b"a"))
    second = await bus.publish(Message(SUBJECT, b"b"))
    assert second == first + 1
    found = await bus.message("READINGS", second)
    assert found is not None
    assert (found.subject, found.data) == (SUBJECT, b"b")


async def test_a_message_is_refused_where_its_subject_ends_elsewhere_than_expected(bus: Bus) -> None:
    last = await bus.publish(Message(SUBJECT, b"a", expected_last=0))
    with pytest.raises(ConflictError):
        await bus.publish(Message(SUBJECT, b"b", expected_last=0))
    await bus.publish(Message(OTHER, b"c", expected_last=0))
    await bus.publish(Message(SUBJECT, b"d", expected_last=last))
    assert [message.data for message in await stored(bus, "READINGS")] == [b"a", b"c", b"d"]


@pytest.mark.parametrize("count", [1, 2, MAX_BATCH])
async def test_a_batch_is_stored_whole_and_in_order(bus: Bus, count: int) -> None:
    last = await bus.publish_batch(_batch(count))
    found = await stored(bus, "READINGS")
    assert [message.data for message in found] == [str(number).encode() for number in range(count)]
    assert found[-1].sequence == last


async def test_a_batch_with_one_conflict_stores_nothing(bus: Bus) -> None:
    await bus.publish(Message(OTHER, b"there"))
    with pytest.raises(ConflictError):
        await bus.publish_batch([*_batch(3), Message(OTHER, b"new", expected_last=0), *_batch(2)])
    assert [message.data for message in await stored(bus, "READINGS")] == [b"there"]


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
async def test_a_batch_of_no_or_too_many_messages_is_a_mistake(bus: Bus, count: int) -> None:
    with pytest.raises(ValueError, match="1 to 500"):
        await bus.publish_batch(_batch(count))


async def test_a_batch_of_which_a_part_was_lost_on_the_way_counts_as_not_acknowledged(bus: Bus) -> None:
    headers = {"Nats-Batch-Id": "torn", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"}
    reply = await connection_of(bus).request(SUBJECT, b"end", headers=headers)
    with pytest.raises(UnavailableError):
        stored_at(reply)
    assert await stored(bus, "READINGS") == []


async def test_the_last_message_of_a_subject_is_found(bus: Bus) -> None:
    assert await bus.last("READINGS", SUBJECT) is None
    await bus.publish_batch([*_batch(3), Message(OTHER, b"other")])
    found = await bus.last("READINGS", SUBJECT)
    assert found is not None
    assert (found.data, found.sequence) == (b"2", 3)


async def test_the_next_message_of_a_subject_is_found_from_a_sequence_on(bus: Bus) -> None:
    await bus.publish_batch([Message(SUBJECT, b"a"), Message(OTHER, b"b"), Message(SUBJECT, b"c")])
    found = await bus.next_after("READINGS", SUBJECT, 2)
    assert found is not None
    assert found.data == b"c"
    assert await bus.next_after("READINGS", SUBJECT, 4) is None
    assert await bus.message("READINGS", 4) is None


async def test_the_bounds_of_a_stream_grow_with_it(bus: Bus) -> None:
    assert (await bus.stream_bounds("READINGS"))[1] == 0
    await bus.publish_batch(_batch(5))
    assert await bus.stream_bounds("READINGS") == (1, 5)


async def test_a_core_message_reaches_its_subscriber_until_that_ends(bus: Bus) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    end = await bus.subscribe("questions", heard.put_nowait)
    await bus.publish_core("questions", b"1")
    assert await asyncio.wait_for(heard.get(), 5) == b"1"
    await end()
    await bus.publish_core("questions", b"2")
    await bus.publish(Message(SUBJECT, b"a round trip after it"))
    assert heard.empty()


async def test_without_nats_it_waits_no_longer_than_its_patience() -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    with pytest.raises(UnavailableError, match=rf"{url} within 0\.3 s: start it"):
        await Bus.connect(NatsSettings(url=url), name="test", patience_s=0.3)


async def test_a_publish_while_nats_is_away_says_so_soon(own_nats: "NatsServer") -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    own_nats.kill()
    with pytest.raises(UnavailableError):
        await bus.publish(Message(SUBJECT, b"a"), timeout=0.5)
    with pytest.raises(UnavailableError):
        await bus.publish_batch(_batch(10), timeout=0.5)
    await bus.close()


async def test_it_comes_back_with_all_streams_after_nats_was_killed(own_nats: "NatsServer") -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    back = asyncio.Event()

    async def tell() -> None:
        back.set()

    bus.on_reconnect(tell)
    await bus.publish_batch(_batch(20))
    own_nats.kill()
    own_nats.start()
    await asyncio.wait_for(back.wait(), 20)
    assert bus.connected
    await bus.publish(Message("live.demo", b"frame"))
    assert len(await stored(bus, "READINGS")) == 20, "what was acknowledged is still there"
    await bus.close()


def test_settings_with_an_unknown_key_are_refused() -> None:
    with pytest.raises(ValidationError, match="urls"):
        NatsSettings.model_validate({"urls": "nats://127.0.0.1"})


def test_tls_is_used_only_where_it_is_asked_for(tmp_path: Path) -> None:
    assert NatsSettings().tls() is None
    assert NatsSettings(url="tls://127.0.0.1:4222").tls() is not None
    with pytest.raises(OSError, match=r"No such file"):
        NatsSettings(tls_ca=tmp_path / "absent.pem").tls()
