"""What waits is kept in its order: in memory, on disk, over restarts, never more than is allowed."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from meters.gateways.buffer import Buffer, BufferError

Open = Callable[..., Buffer]


@pytest.fixture
def open_buffer(tmp_path: Path) -> Iterator[Open]:
    """Open a buffer in one file for the test; the one before is closed."""
    buffers: list[Buffer] = []

    def open_next(**options: Any) -> Buffer:
        if buffers:
            buffers.pop().close()
        buffers.append(Buffer(tmp_path / "folder" / "buffer.sqlite3", **options))
        return buffers[-1]

    yield open_next
    for buffer in buffers:
        buffer.close()


def add(buffer: Buffer, *numbers: int) -> None:
    for number in numbers:
        buffer.add(f"readings.demo.m{number % 3}", str(number).encode())


async def spill(buffer: Buffer) -> None:
    """Write to the file whatever waits."""
    await buffer.spill()
    await buffer.spill()


async def drain(buffer: Buffer, most: int = 500) -> list[int]:
    """Take everything and return the messages."""
    found: list[int] = []
    while len(buffer):
        batch = await buffer.take(most)
        found += [int(waiting.data) for waiting in batch]
        await buffer.done(batch[-1].number)
    assert (len(buffer), buffer.size, buffer.kept) == (0, 0, 0)
    return found


async def test_what_is_taken_at_once_never_touches_the_file(open_buffer: Open) -> None:
    buffer = open_buffer()
    for number in range(10):
        add(buffer, number)
        await buffer.spill()
        assert buffer.kept == 0
        assert await drain(buffer) == [number]


async def test_what_waits_longer_is_in_the_file_and_keeps_its_order(open_buffer: Open) -> None:
    buffer = open_buffer()
    add(buffer, *range(5))
    await spill(buffer)
    assert buffer.kept == 5
    add(buffer, *range(5, 9))
    assert await drain(buffer, most=2) == list(range(9))


async def test_what_is_not_done_comes_again(open_buffer: Open) -> None:
    buffer = open_buffer()
    add(buffer, *range(5))
    first = await buffer.take(3)
    assert await buffer.take(3) == first
    await buffer.done(first[-1].number)
    assert [waiting.data for waiting in await buffer.take(3)] == [b"3", b"4"]


async def test_taking_waits_until_something_comes(open_buffer: Open) -> None:
    buffer = open_buffer()
    taking = asyncio.create_task(buffer.take(10))
    await asyncio.sleep(0)
    assert not taking.done()
    add(buffer, 7)
    assert [(one.subject, one.data) for one in await asyncio.wait_for(taking, 10)] == [("readings.demo.m1", b"7")]


async def test_waiting_for_room_ends_when_there_is_some(open_buffer: Open) -> None:
    buffer = open_buffer()
    add(buffer, *range(3))
    waiting = asyncio.create_task(buffer.below(2))
    await asyncio.sleep(0)
    batch = await buffer.take(1)
    await buffer.done(batch[-1].number)
    assert not waiting.done()
    assert await drain(buffer) == [1, 2]
    await asyncio.wait_for(waiting, 10)


async def test_a_restart_finds_all_that_waited(open_buffer: Open) -> None:
    buffer = open_buffer()
    add(buffer, *range(10))
    await spill(buffer)
    batch = await buffer.take(3)
    await buffer.done(batch[-1].number)
    add(buffer, *range(10, 20))
    again = open_buffer()
    assert (len(again), again.kept) == (17, 17)
    add(again, 20)
    assert await drain(again) == list(range(3, 21))


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from typing import Any
from meters.gateways.buffer import Buffer

async def main():
    buffer = Buffer(Path(sys.argv[1]))
    for number in range(1000):
        buffer.add("readings.demo.m", str(number).encode())
    await buffer.spill()
    await buffer.spill()
    buffer.add("readings.demo.m", b"in memory alone")
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_is_in_the_file_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite3"
    script = [sys.executable, "-c", KILLED, str(path)]
    process = await asyncio.create_subprocess_exec(*script, stdout=subprocess.DEVNULL)
    assert await process.wait() == -signal.SIGKILL
    buffer = Buffer(path)
    assert await drain(buffer) == list(range(1000))
    buffer.close()


async def test_the_oldest_of_too_many_are_dropped_and_counted(open_buffer: Open) -> None:
    buffer = open_buffer(most=10)
    with capture_logs() as logs:
        for number in range(25):
            add(buffer, number)
            await spill(buffer)
    assert buffer.dropped == 15
    assert [(entry["event"], entry["dropped"]) for entry in logs] == [
        ("buffer full, its oldest messages are dropped", 1)
    ], "once a minute"
    assert await drain(buffer) == list(range(15, 25))


async def test_the_oldest_of_too_much_are_dropped(open_buffer: Open) -> None:
    buffer = open_buffer(most_bytes=1000)
    for number in range(100, 120):
        add(buffer, number)
    size = buffer.size // 20
    await spill(buffer)
    assert 1000 - size < buffer.size <= 1000
    assert buffer.dropped == 20 - 1000 // size
    assert await drain(buffer) == list(range(100 + buffer.dropped, 120))


async def test_what_is_on_its_way_is_not_dropped(open_buffer: Open) -> None:
    buffer = open_buffer(most=4)
    add(buffer, *range(3))
    batch = await buffer.take(2)
    add(buffer, *range(3, 8))
    await spill(buffer)
    assert await buffer.take(2) == batch
    await buffer.done(batch[-1].number)
    assert buffer.dropped == 4
    assert await drain(buffer) == [6, 7]


async def test_a_file_that_empties_gives_its_room_back(open_buffer: Open, tmp_path: Path) -> None:
    buffer = open_buffer()
    for _ in range(6000):
        buffer.add("readings.demo.m", b"7" * 4000)
    await spill(buffer)
    assert await drain(buffer)
    open_buffer()
    assert sum(path.stat().st_size for path in (tmp_path / "folder").iterdir()) < 1_000_000


async def test_a_file_that_takes_nothing_more_is_said_and_memory_goes_on(
    open_buffer: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = open_buffer()
    buffer._file.execute("PRAGMA max_page_count = 2")
    add(buffer, *range(2000))
    with capture_logs() as logs:
        await spill(buffer)
        await spill(buffer)
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("buffer not written", "database or disk is full")]
    assert buffer.kept == 0
    assert await drain(buffer) == list(range(2000))


async def test_what_is_lost_at_the_end_is_said(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path / "buffer.sqlite3")
    buffer._file.execute("PRAGMA max_page_count = 2")
    add(buffer, *range(2000))
    with pytest.raises(BufferError, match=r"buffer\.sqlite3: database or disk is full: 2000 messages .* are lost"):
        buffer.close()


async def test_a_file_that_can_no_longer_be_read_is_named(open_buffer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = open_buffer()
    add(buffer, *range(10))
    await spill(buffer)

    def fail(most: int) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(buffer, "_oldest", fail)
    with pytest.raises(BufferError, match=r"buffer\.sqlite3: not readable: disk I/O error: look at the disk"):
        await buffer.take(5)


async def test_a_file_that_cannot_forget_is_asked_again(open_buffer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meters.gateways.buffer._AGAIN_S", 0.0)
    buffer = open_buffer()
    add(buffer, *range(10))
    await spill(buffer)
    delete, failures = buffer._delete, iter([True, True])

    def fail(number: int) -> None:
        if next(failures, False):
            raise sqlite3.OperationalError("database or disk is full")
        delete(number)

    monkeypatch.setattr(buffer, "_delete", fail)
    with capture_logs() as logs:
        assert await drain(buffer, most=4) == list(range(10))
    assert [entry["event"] for entry in logs] == ["buffer not written"]


async def test_memory_is_bounded_where_the_file_takes_nothing(
    open_buffer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meters.gateways.buffer._MOST_IN_MEMORY", 100)
    buffer = open_buffer()
    add(buffer, *range(150))
    assert (len(buffer), buffer.dropped) == (100, 50)
    assert await drain(buffer) == list(range(50, 150))


async def test_a_spill_that_is_cancelled_loses_nothing_and_doubles_nothing(open_buffer: Open) -> None:
    buffer = open_buffer()
    add(buffer, *range(2000))
    await buffer.spill()
    spilling = asyncio.create_task(buffer.spill())
    await asyncio.sleep(0)
    spilling.cancel()
    await asyncio.wait([spilling])
    assert await drain(open_buffer()) == list(range(2000))


async def test_a_second_gateway_on_the_same_file_is_told(open_buffer: Open, tmp_path: Path) -> None:
    open_buffer()
    with pytest.raises(BufferError, match=r"buffer\.sqlite3: another gateway has it.*--data-dir"):
        Buffer(tmp_path / "folder" / "buffer.sqlite3")


async def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite3"
    path.write_bytes(b"no database" * 1000)
    with capture_logs() as logs:
        buffer = Buffer(path)
    assert [entry["event"] for entry in logs] == ["buffer set aside, beginning anew"]
    assert (tmp_path / logs[0]["aside"]).name.startswith("buffer.sqlite3.damaged-")
    add(buffer, 1)
    assert await drain(buffer) == [1]
    buffer.close()


async def test_a_file_of_another_version_is_refused(open_buffer: Open) -> None:
    open_buffer()._file.execute("PRAGMA user_version = 2")
    with pytest.raises(BufferError, match="is of version 2, expected 1"):
        open_buffer()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BufferError, match=r"file.*--data-dir"):
        Buffer(tmp_path / "file" / "below" / "buffer.sqlite3")


@given(st.lists(st.sampled_from(["add", "take", "spill", "restart"]), max_size=40), st.integers(1, 4))
@settings(deadline=None, max_examples=20)
def test_whatever_happens_in_between_each_message_leaves_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, happenings: list[str], most: int
) -> None:
    path = tmp_path_factory.mktemp("buffer") / "buffer.sqlite3"

    async def work() -> None:
        buffer, added, left = Buffer(path), 0, list[int]()
        for what in happenings:
            match what:
                case "add":
                    add(buffer, added, added + 1)
                    added += 2
                case "take" if len(buffer):
                    batch = await buffer.take(most)
                    left += [int(waiting.data) for waiting in batch]
                    await buffer.done(batch[-1].number)
                case "spill":
                    await buffer.spill()
                case "restart":
                    buffer.close()
                    buffer = Buffer(path)
        left += await drain(buffer)
        buffer.close()
        assert left == list(range(added))

    asyncio.run(work())


def test_the_file_is_nobody_elses(open_buffer: Open, tmp_path: Path) -> None:
    open_buffer()
    assert os.stat(tmp_path / "folder").st_mode & 0o077 == 0
