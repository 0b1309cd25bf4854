"""A replay stores every reading once, however often it is interrupted."""

import asyncio
import io
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from bus.client import Bus, Message
from bus.community import Community
from bus.reading import parse
from bus.readings import Outgoing, ReadingsWriter
from bus.registry import apply, load_history
from bus.settings import NatsSettings
from meters.citylearn import load_citylearn
from meters.demo import simulated_community
from meters.errors import OptionError, RecordingError
from meters.replay import ReplayOptions, ReplayReport, run_replay
from tests.bus.stream import at_least, stored
from tests.meters.passing import Passing
from tests.meters.recording import held, write_folder

if TYPE_CHECKING:
    from tests.conftest import NatsServer

START = datetime(2021, 8, 1, 7, tzinfo=UTC)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def _quiet() -> Console:
    return Console(file=io.StringIO())


async def _run(bus: Bus, folder: Path, **options: object) -> ReplayReport:
    return await run_replay(bus, ReplayOptions(folder, **options), _quiet())  # type: ignore[arg-type]


async def _is_complete(bus: Bus, folder: Path, community: str = "citylearn") -> None:
    """The stream holds what the folder says, byte for byte: all meters of an hour, then of the next, each once."""
    recording = load_citylearn(folder)
    messages = iter(await stored(bus, "READINGS", [f"readings.{community}.*"]))
    for readings in recording.readings(START):
        for meter, reading in zip(recording.meters, readings, strict=True):
            message = next(messages)
            assert (message.subject, message.data) == (f"readings.{community}.{meter}", reading.to_bytes())
    assert next(messages, None) is None


async def test_every_reading_is_stored_and_the_community_registered(bus: Bus, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, hours=300)
    report = await _run(bus, folder)
    await _is_complete(bus, folder)
    assert (report.readings, report.stored, report.skipped, report.meters) == (4 * 301, 4 * 301, 0, 4)
    assert (report.first_at, report.last_at) == (START, START + timedelta(hours=300))
    history = await load_history(bus, "citylearn")
    assert history is not None
    assert history.latest.community == load_citylearn(folder).community("citylearn")


async def test_meters_take_turns_hour_by_hour(bus: Bus, tmp_path: Path) -> None:
    await _run(bus, write_folder(tmp_path, hours=200))
    messages = await stored(bus, "READINGS", ["readings.citylearn.*"])
    times = [parse(message.data).at for message in messages]
    assert times == sorted(times)
    assert [message.subject for message in messages[:4]] == [message.subject for message in messages[4:8]]


async def test_run_again_it_stores_nothing_and_says_so(bus: Bus, tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    await _run(bus, folder)
    report = await _run(bus, folder)
    assert (report.stored, report.skipped) == (0, report.readings)
    await _is_complete(bus, folder)


async def test_cancelled_in_the_middle_and_run_again_it_is_complete(bus: Bus, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, hours=3000)
    running = asyncio.create_task(_run(bus, folder))
    await at_least(bus, "READINGS", 3000)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)
    assert len(await stored(bus, "READINGS", ["readings.citylearn.*"])) < 4 * 3001
    report = await _run(bus, folder)
    assert 0 < report.stored < report.readings
    assert report.stored + report.skipped == report.readings
    await _is_complete(bus, folder)


async def test_interrupted_within_an_hour_it_adds_only_the_meters_that_lack_it(bus: Bus, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, hours=10)
    recording = load_citylearn(folder)
    hours = list(recording.readings(START))[:4]
    outgoing = [Outgoing("citylearn", m, r) for rs in hours for m, r in zip(recording.meters, rs, strict=True)]
    await ReadingsWriter(bus).write(outgoing[:-2])
    report = await _run(bus, folder)
    assert report.stored == report.readings - len(outgoing) + 2
    assert report.stored + report.skipped == report.readings
    await _is_complete(bus, folder)


_CHILD = """
import asyncio, sys
from pathlib import Path
from rich.console import Console
from bus.client import Bus
from bus.settings import NatsSettings
from meters.replay import ReplayOptions, run_replay

async def main(url, folder):
    bus = await Bus.connect(NatsSettings(url=url), name="replay", patience_s=10)
    await run_replay(bus, ReplayOptions(Path(folder)), Console(stderr=True))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
async def test_killed_by_sigkill_again_and_again_it_ends_complete(bus: Bus, nats_url: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, buildings=3, hours=6000)
    for target in (500, 9_000, 20_000):
        command = (sys.executable, "-c", _CHILD, nats_url, str(folder))
        child = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        async with asyncio.timeout(30):
            await at_least(bus, "READINGS", target)
        child.kill()
        assert await child.wait() == -signal.SIGKILL, "it was killed while it worked"
    report = await _run(bus, folder)
    assert 0 < report.stored < report.readings - 20_000
    await _is_complete(bus, folder)


@pytest.mark.slow
async def test_a_killed_nats_server_costs_no_reading_and_doubles_none(
    own_nats: "NatsServer", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path, buildings=3, hours=6000)
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="replay", patience_s=10)
    publish_batch, batches = bus.publish_batch, 0

    async def publish_and_kill(messages: Sequence[Message], *, timeout: float = 10.0) -> int:
        nonlocal batches
        batches += 1
        publishing = asyncio.create_task(publish_batch(messages, timeout=timeout))
        if batches % 15 == 0 and batches < 50:
            for _ in range(batches // 15):  # a little further on its way each time
                await asyncio.sleep(0)
            own_nats.kill()
            own_nats.start()
        return await publishing

    monkeypatch.setattr(bus, "publish_batch", publish_and_kill)
    report = await asyncio.wait_for(_run(bus, folder), 90)
    assert batches > 60
    assert (report.stored, report.skipped) == (report.readings, 0)
    await _is_complete(bus, folder)
    await bus.close()


@pytest.mark.slow
async def test_the_whole_year_is_replayed_in_half_a_minute(bus: Bus, citylearn: Path) -> None:
    report = await _run(bus, citylearn)
    assert (report.readings, report.stored) == (34 * 8761, 34 * 8761)
    assert report.seconds < 30
    await _is_complete(bus, citylearn)


@pytest.mark.parametrize(("speed", "seconds"), [(1, 10 * 3600), (3600, 10), (0, 0)])
async def test_it_takes_as_long_as_its_speed_says(bus: Bus, tmp_path: Path, speed: float, seconds: float) -> None:
    folder, passing = write_folder(tmp_path, hours=10), Passing()
    options = ReplayOptions(folder, speed=speed)
    await run_replay(bus, options, _quiet(), monotonic=passing.clock, sleep=passing.sleep, now=lambda: NOW)
    assert passing.now_s == pytest.approx(seconds, abs=0.1)
    await _is_complete(bus, folder)


async def test_resumed_at_a_speed_it_waits_only_for_what_is_left(bus: Bus, tmp_path: Path) -> None:
    folder, passing = write_folder(tmp_path, hours=10), Passing()

    async def stop_after_three_hours(seconds: float) -> None:
        await passing.sleep(seconds)
        if passing.now_s > 3.5:
            raise asyncio.CancelledError

    async def run(sleep: Callable[[float], Awaitable[None]]) -> None:
        options = ReplayOptions(folder, speed=3600)
        await run_replay(bus, options, _quiet(), monotonic=passing.clock, sleep=sleep, now=lambda: NOW)

    with pytest.raises(asyncio.CancelledError):
        await run(stop_after_three_hours)
    before = passing.now_s
    await run(passing.sleep)
    assert passing.now_s - before == pytest.approx(6, abs=0.1)
    await _is_complete(bus, folder)


async def test_a_start_without_an_offset_is_local_time(bus: Bus, tmp_path: Path) -> None:
    report = await _run(bus, write_folder(tmp_path), start=datetime(2026, 1, 1))
    assert report.first_at == datetime(2026, 1, 1, 8, tzinfo=UTC)


async def test_hours_follow_one_another_where_clocks_change(bus: Bus, tmp_path: Path) -> None:
    await _run(bus, write_folder(tmp_path), start=datetime(2026, 3, 7, 20), community="spring")
    for readings in (await held(bus, "spring")).values():
        assert {after.at - before.at for before, after in pairwise(readings)} == {timedelta(hours=1)}


@pytest.mark.parametrize("start", [datetime(2022, 1, 1), datetime(2020, 1, 1), datetime(2021, 8, 1, 3)])
async def test_another_start_than_it_was_begun_with_is_refused(bus: Bus, tmp_path: Path, start: datetime) -> None:
    folder = write_folder(tmp_path)
    await _run(bus, folder)
    with pytest.raises(OptionError, match="not this recording's: give the --start that it was begun with"):
        await _run(bus, folder, start=start)
    await _is_complete(bus, folder)


async def test_other_data_under_the_same_community_is_refused(bus: Bus, tmp_path: Path) -> None:
    await _run(bus, write_folder(tmp_path / "a", hours=20))
    with pytest.raises(OptionError, match="or name another --community"):
        await _run(bus, write_folder(tmp_path / "b", hours=30, buildings=2), start=datetime(2021, 8, 1, 1))
    report = await _run(bus, write_folder(tmp_path / "b", hours=30, buildings=2), community="other")
    assert report.stored == report.readings


async def test_a_community_without_its_meters_is_refused(bus: Bus, tmp_path: Path) -> None:
    await apply(bus, simulated_community(2, 1, "demo", event_clock=True), now=NOW)
    with pytest.raises(OptionError, match="'demo' is registered without the meter 'building-01-grid'"):
        await _run(bus, write_folder(tmp_path), community="demo")


async def test_a_community_of_the_wall_clock_is_refused(bus: Bus, tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    community = load_citylearn(folder).community("citylearn")
    await apply(bus, Community.model_validate({**community.model_dump(), "clock": "wall"}), now=NOW)
    with pytest.raises(OptionError, match="'citylearn' goes by the wall clock"):
        await _run(bus, folder)


async def test_a_malformed_folder_registers_and_stores_nothing(bus: Bus, tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "Building_2.csv").write_text("month,hour\n8,1\n", encoding="utf-8")
    with pytest.raises(RecordingError, match=r"Building_2\.csv, line 1"):
        await _run(bus, folder)
    assert await load_history(bus, "citylearn") is None
    assert await stored(bus, "READINGS") == []


async def test_without_a_terminal_progress_is_a_line_now_and_then(bus: Bus, tmp_path: Path) -> None:
    console = _quiet()
    await run_replay(bus, ReplayOptions(write_folder(tmp_path)), console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "196 of 196 readings (100 %)\n"


async def test_on_a_terminal_progress_is_a_bar(bus: Bus, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    await run_replay(bus, ReplayOptions(write_folder(tmp_path)), console)
    assert isinstance(console.file, io.StringIO)
    assert "━" in console.file.getvalue()
    assert "196/196" in console.file.getvalue()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": -1.0}, "speed is -1"),
        ({"speed": float("nan")}, "speed is nan"),
        ({"start": datetime(2021, 8, 1, 0, 30)}, "start is 2021-08-01T00:30:00; .* expected a full hour"),
        ({"community": "City Learn"}, "'City Learn' is not an identifier"),
        ({"format": "csv"}, "format is 'csv'; expected 'citylearn'"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReplayOptions(Path("anywhere"), **options)  # type: ignore[arg-type]  # one option at a time
