"""The mailbox holds the latest of each kind, however much is put."""

import asyncio

import pytest

from watch.news import Link, Result, Standing
from watch.pending import Pending


async def test_the_latest_result_and_the_latest_link_wait_in_the_order_heard() -> None:
    pending = Pending()
    for n in range(100):
        pending.put(Result({"n": n}))
        pending.put(Link(Standing.GONE, str(n)))
    assert len(pending) == 2
    assert await pending.get() == Result({"n": 99})
    assert await pending.get() == Link(Standing.GONE, "99")


async def test_a_result_after_a_link_stays_after_it() -> None:
    pending = Pending()
    for news in (Result({"n": 1}), Link(Standing.GONE), Result({"n": 2})):
        pending.put(news)
    assert [await pending.get(), await pending.get()] == [Link(Standing.GONE), Result({"n": 2})]


async def test_a_reader_waits_until_something_is_put() -> None:
    pending = Pending()
    reader = asyncio.create_task(pending.get())
    await asyncio.sleep(0)
    assert not reader.done()
    pending.put(Result({}))
    assert await reader == Result({})


async def test_what_waits_is_read_before_the_end() -> None:
    pending = Pending()
    pending.put(Result({}))
    pending.end(ValueError("over"))
    assert await pending.get() == Result({})
    with pytest.raises(ValueError, match="over"):
        await pending.get()
