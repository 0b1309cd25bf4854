"""Turns: bounded in all, bounded for each viewer, and never waited for without an end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from resolvers.errors import NotReadyError
from resolvers.turns import Turns


class Work:
    """Questions that take until they are told to end."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.running: list[str] = []
        self.most = 0
        self.done = asyncio.Event()

    async def ask(self, viewer: str) -> None:
        async with self._turns.turn(viewer):
            self.running.append(viewer)
            self.most = max(self.most, len(self.running))
            await self.done.wait()
            self.running.remove(viewer)


@asynccontextmanager
async def asked(work: Work, *viewers: str) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(work.ask(viewer)) for viewer in viewers]
    for _ in viewers:
        await asyncio.sleep(0)
    try:
        yield tasks
    finally:
        work.done.set()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_so_many_are_under_way_and_no_more_and_all_get_their_turn() -> None:
    work = Work(Turns(most=3, each=3))
    async with asked(work, *"abcdefgh") as tasks:
        assert work.running == ["a", "b", "c"]
        work.done.set()
        await asyncio.gather(*tasks)
    assert work.most == 3


async def test_one_who_asks_a_lot_keeps_nobody_waiting() -> None:
    work = Work(Turns(most=4, each=2))
    async with asked(work, *["big"] * 500, "small", "other"):
        assert sorted(work.running) == ["big", "big", "other", "small"]


async def test_who_waits_too_long_is_told_and_keeps_no_place() -> None:
    work = Work(Turns(most=1, each=1, patience_s=0.02))
    async with asked(work, "a", "a", "b") as tasks:
        for task in tasks[1:]:
            with pytest.raises(NotReadyError, match=r"no turn within 0\.02 s: ask for less at once"):
                await task
        work.done.set()
        await tasks[0]
        async with asyncio.timeout(5):
            await work.ask("a")
            await work.ask("b")


async def test_more_than_may_wait_are_refused_at_once() -> None:
    work = Work(Turns(most=8, each=1, waiting=3))
    async with asked(work, *"aaaaa", "b") as tasks:
        with pytest.raises(NotReadyError, match="3 of your questions wait for an answer: ask for less at once"):
            await tasks[4]
        assert work.running == ["a", "b"]


async def test_a_turn_that_fails_or_is_cancelled_is_free_again() -> None:
    turns = Turns(most=1, each=1)
    with pytest.raises(ZeroDivisionError):
        async with turns.turn("a"):
            raise ZeroDivisionError
    work = Work(turns)
    async with asked(work, "a", "a") as tasks:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        work.done.set()
        async with asyncio.timeout(5):
            await work.ask("a")
