"""Readings of communities that nobody registered: refused, the many of a minute in few messages, each once."""

import msgspec

from aggregator.checkpoint import Checkpoint
from aggregator.flood import MOST_OF_STRANGERS
from aggregator.state import VERSION
from aggregator.strays import Strays
from bus.client import Bus
from bus.messages import Rejected
from bus.stored import Stored
from tests.aggregator.service.village import rejected

MINUTE = 60_000
NOW = 30_000_000 * MINUTE


def stray(sequence: int, time_ms: int = NOW) -> Stored:
    return Stored(f"readings.elsewhere.m{sequence % 7}", sequence, time_ms, b"{}")


def tick(sequence: int, time_ms: int) -> Stored:
    return Stored("readings.tick", sequence, time_ms, b"{}")


async def test_the_first_of_a_minute_are_told_whole_and_the_others_at_the_first_tick_of_the_next(bus: Bus) -> None:
    strays = Strays(bus)
    await strays.open(None)
    strays.tick(tick(1, NOW))
    for sequence in range(2, 202):
        strays.take(stray(sequence))
    strays.tick(tick(202, NOW + MINUTE - 1))
    assert len(await strays.flush()) == MOST_OF_STRANGERS
    strays.tick(tick(203, NOW + MINUTE))
    strays.take(stray(204, NOW + MINUTE))
    counted, alone = await strays.flush()
    assert isinstance(counted, Rejected)
    assert (counted.count, counted.sequence, counted.payload) == (200 - MOST_OF_STRANGERS, 203, "")
    assert "the last at sequence 201 of READINGS: no community 'elsewhere' is registered" in counted.detail
    assert isinstance(alone, Rejected)
    assert (alone.count, alone.sequence) == (1, 204)
    assert sum(one.count for one in await rejected(bus)) == 201


async def test_what_was_counted_goes_on_from_a_checkpoint_and_is_told_once(bus: Bus) -> None:
    strays = Strays(bus)
    await strays.open(None)
    strays.tick(tick(1, NOW))
    for sequence in range(2, 102):
        strays.take(stray(sequence))
    await strays.flush()
    before = msgspec.msgpack.encode(Checkpoint(VERSION, *strays.stand(101), None, strays=strays.refusals))
    for _ in range(2):  # two that begin at one checkpoint, for the first was killed
        again = Strays(bus)
        await again.open(msgspec.msgpack.decode(before, type=Checkpoint))
        for sequence in range(50, 111):  # those up to the checkpoint are behind it
            again.take(stray(sequence))
        again.tick(tick(111, NOW + MINUTE))
        again.take(stray(112, NOW + MINUTE))
        await again.flush()
    told = await rejected(bus)
    assert [one.count for one in told if one.count > 1] == [100 + 9 - MOST_OF_STRANGERS]
    assert sum(one.count for one in told) == 110
