"""Sources by their names, and readings that come over real lines."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from meters.errors import OptionError
from meters.gateways.source import Given, SourceLostError
from meters.gateways.sources import source
from tests.meters.gateways.frames import REAL
from tests.meters.gateways.scripted import Scripted
from tests.meters.gateways.telegrams import changed, telegram, written

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


async def read(path: Path, kind: str = "p1", zone: ZoneInfo | None = None) -> list[Given]:
    """Return what a file gives, all of it at one moment."""
    over = source(f"{kind}:file:{path}", zone=zone, now=lambda: NOW, as_of_now=True)
    return [one async for one in over.read()]


async def test_a_file_of_telegrams_is_read_to_its_end(tmp_path: Path) -> None:
    path = written(tmp_path, telegram("v5"), telegram("v4_2")[:300], telegram("fluvius_v171"))

    given = await read(path)

    assert [one.reading.import_wh if one.reading else one.refusal for one in given] == [6825, given[1].refusal, 15_792]
    assert given[1].refusal is not None
    assert given[1].refusal.reason == "cut"


async def test_a_file_of_frames_is_read_to_its_end(tmp_path: Path) -> None:
    given = await read(written(tmp_path, REAL, REAL), "sml")

    assert [one.reading.import_wh for one in given if one.reading] == [22_462_413] * 2


async def test_a_zone_is_that_of_all_telegrams(tmp_path: Path) -> None:
    (one,) = await read(written(tmp_path, telegram("v5")), zone=ZoneInfo("Europe/Lisbon"))

    assert one.reading is not None
    assert one.reading.at == datetime(2017, 1, 2, 19, 20, 2, tzinfo=UTC)


async def test_no_two_readings_of_a_meter_without_clock_are_of_one_moment(tmp_path: Path) -> None:
    given = await read(written(tmp_path, telegram("v3") * 3))

    assert [one.reading.at - NOW for one in given if one.reading] == [timedelta(milliseconds=n) for n in range(3)]


@pytest.mark.parametrize("name", ["v3", "esy5q3da1004_v304"])
async def test_what_was_recorded_without_its_time_is_refused_unless_it_is_only_looked_at(
    tmp_path: Path, name: str
) -> None:
    path = written(tmp_path, telegram(name))

    (one,) = [one async for one in source(f"p1:file:{path}").read()]

    assert one.reading is None
    assert one.refusal is not None
    assert one.refusal.reason == "no_time"
    assert "says no time of day" in one.refusal.detail
    assert (await read(path))[0].reading is not None


async def test_recorded_frames_never_have_their_time_and_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, REAL)
    with pytest.raises(OptionError, match="says no time of day"):
        source(f"sml:file:{path}")
    with path.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(OptionError, match="says no time of day"):
            source("sml:file:-")
    assert (await read(path, "sml"))[0].reading is not None


async def test_a_clock_that_was_set_back_is_followed(tmp_path: Path) -> None:
    times = iter([NOW, NOW - timedelta(days=9), NOW - timedelta(days=9), NOW + timedelta(seconds=1)])
    path = written(tmp_path, telegram("v3") * 4)

    given = [one async for one in source(f"p1:file:{path}", now=lambda: next(times), as_of_now=True).read()]

    set_back = timedelta(days=-9)
    assert [one.reading.at - NOW for one in given if one.reading] == [
        timedelta(0),
        set_back,
        set_back + timedelta(milliseconds=1),
        timedelta(seconds=1),
    ]


async def test_another_serial_number_without_a_checksum_counts_when_it_is_said_twice(tmp_path: Path) -> None:
    ours, flipped = (
        telegram("v3"),
        changed("v3", (b"(4B384547303034303436333935353037)", b"(4B384547303034303436333935353036)")),
    )

    given = await read(written(tmp_path, ours, flipped, ours, flipped, flipped, flipped))

    epochs = [one.reading.epoch[-1] if one.reading else one.refusal.reason if one.refusal else "" for one in given]
    assert epochs == ["7", "unconfirmed", "7", "unconfirmed", "6", "6"]


async def test_another_serial_number_under_a_checksum_counts_at_once(tmp_path: Path) -> None:
    other = changed(
        "v5", (b"0-0:96.1.1(4B384547303034303436333935353037)", b"0-0:96.1.1(4B384547303034303436333935353038)")
    )

    given = await read(written(tmp_path, telegram("v5"), other))

    assert [one.reading.epoch[-1] for one in given if one.reading] == ["7", "8"]


async def test_a_socket_that_dies_in_a_telegram_is_a_source_that_is_lost_and_can_be_read_again() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(telegram("v5") + telegram("v5")[:200])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    dongle = source(f"p1:tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}")
    for _ in range(2):
        given = dongle.read()
        first = await anext(given)
        assert first.reading is not None
        assert first.reading.import_wh == 6825
        cut = await anext(given)
        assert cut.refusal is not None
        assert cut.refusal.reason == "cut"
        with pytest.raises(SourceLostError, match="the other side closed the connection"):
            await anext(given)
    server.close()


def test_other_kinds_are_expected_where_they_are_known() -> None:
    with pytest.raises(OptionError, match=r"sml in place of p1, or mqtt:TOPIC$"):
        source("nonsense", others={"mqtt": lambda topic: Scripted()})
    with pytest.raises(OptionError, match=r"sml in place of p1$"):
        source("mqtt:topic")


def test_a_kind_that_is_no_line_is_made_by_whoever_knows_it() -> None:
    made = source("mqtt:shellies/em:0", others={"mqtt": lambda topic: Scripted(name=f"mqtt:{topic}")})

    assert made.name == "mqtt:shellies/em:0"


@pytest.mark.parametrize("spec", ["", "p1", "p2:tcp:10.0.0.5:1", "mqtt:topic", "tcp:10.0.0.5:2001"])
def test_what_names_no_source_is_refused_with_what_is_expected(spec: str) -> None:
    with pytest.raises(OptionError, match="expected"):
        source(spec)
