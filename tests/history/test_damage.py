"""Files and messages that are not what they should be: noticed, set aside, made again, passed."""

import asyncio
import random
from pathlib import Path

import duckdb
import pytest

from bus.client import Bus, Message
from history.metrics import Metrics
from history.service import History, HistoryOptions
from history.store import Store
from resolvers.errors import NotReadyError
from resolvers.history import History as Asking
from tests.history.running import HOMES, asides, becomes, count, publish, running, some, summary


def spoil(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"damaged" * 4000)


def damage(path: Path) -> None:
    """Change some bytes in every block but the first ones, from which the file is opened."""
    store = Store.open(path, memory_mb=200, threads=1)
    store.cursor().execute("CHECKPOINT")
    store.close()
    dice = random.Random(3)
    size = path.stat().st_size
    with path.open("r+b") as file:
        for at in range(12_288 + 200_000, size - 100_000, 100_000):
            file.seek(at)
            file.write(dice.randbytes(32))


async def test_a_damaged_file_is_set_aside_and_made_again(bus: Bus, asking: Asking, path: Path) -> None:
    sent = some(200)
    await publish(bus, *sent)
    await asyncio.to_thread(spoil, path)
    async with running(bus, path):
        await becomes(asking, sent)
    (aside,) = asides(path)
    assert path.with_name(aside).read_bytes() == b"damaged" * 4000


async def test_damage_that_a_question_meets_is_mended_from_the_stream(bus: Bus, asking: Asking, path: Path) -> None:
    sent = some(2000)
    await publish(bus, *sent)
    async with running(bus, path):
        await becomes(asking, sent)
    await asyncio.to_thread(damage, path)
    async with running(bus, path):
        for home in (None, *HOMES):
            await becomes(asking, sent, home)
    assert len(asides(path)) == 1


async def test_a_database_that_gave_up_ends_the_process_that_it_is_started_again(
    bus: Bus, asking: Asking, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(*_: object) -> bytes:
        raise duckdb.FatalException("database has been invalidated because of a previous fatal error")

    service = History(bus, HistoryOptions(path, memory_mb=200), Metrics(), now_ms=lambda: 0)
    task = asyncio.create_task(service.run())
    await becomes(asking, [])
    monkeypatch.setattr("history.questions.Questions.answer", give_up)
    with pytest.raises(NotReadyError, match="it is opened anew"):
        await summary(asking)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(task, 10)
    assert caught.group_contains(duckdb.FatalException)
    assert asides(path) == []


async def test_what_is_no_interval_is_left_out_and_passed(bus: Bus, asking: Asking, path: Path) -> None:
    sent = some(20)
    await publish(bus, *sent[:10])
    for data in (b"", b"{}", b"\xff", b'{"community":"demo"}'):
        await bus.publish(Message("intervals.demo", data))
    await bus.publish(Message("intervals.Not-An-Id", b"{}"))
    await publish(bus, *sent[10:])
    async with running(bus, path) as metrics:
        await becomes(asking, sent)
        assert (count(metrics, "malformed_total"), count(metrics, "position")) == (5, 25)
    await bus.publish(Message("intervals.demo", b"only this"))
    for expected_malformed in (1, 0):
        async with running(bus, path) as metrics:
            await becomes(asking, sent)
            assert count(metrics, "malformed_total") == expected_malformed
