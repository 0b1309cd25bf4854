"""The history at work on a real nats-server: from the stream into the file, and to whoever asks."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus.client import Bus, connection_of
from bus.registry import apply
from bus.settings import NatsSettings
from bus.streams import Retention, ensure_streams
from resolvers.errors import NotReadyError
from resolvers.history import History as Asking
from resolvers.history import OutOfRangeError, TooFewHomesError
from tests.conftest import NatsServer
from tests.history.ledger import DAY, QUARTER, interval, ms, row
from tests.history.running import BEGIN, HOMES, asides, becomes, count, publish, running, some, summary
from tests.resolvers.frames import community, eventually


async def remake_stream(bus: Bus) -> None:
    """Delete INTERVALS and make it anew, as after the loss of a disk."""
    jetstream = connection_of(bus).jetstream()
    await jetstream.delete_stream("INTERVALS")
    await ensure_streams(jetstream, Retention(), ["INTERVALS"])


# --- stream to answer ---


async def test_what_is_settled_can_be_asked_for(bus: Bus, asking: Asking, path: Path) -> None:
    sent = some(300)
    await publish(bus, *sent)
    async with running(bus, path) as metrics:
        for home in (None, "home-2"):
            await becomes(asking, sent, home)
        more = some(100, 250, revision=1)
        await publish(bus, *more)
        await becomes(asking, sent + more)
        assert (count(metrics, "position"), count(metrics, "behind"), count(metrics, "ready")) == (400, 0, 1)
        assert count(metrics, "rows_total") == 400 * 6
        page = await asking.intervals("demo", "home-1", BEGIN, BEGIN + DAY, "QUARTER_HOUR", first=96)
        assert (len(page.periods), page.has_next) == (96, False)


async def test_an_empty_stream_is_an_empty_history(bus: Bus, asking: Asking, path: Path) -> None:
    async with running(bus, path):
        await becomes(asking, [])


async def test_refusals_reach_whoever_asked(bus: Bus, asking: Asking, path: Path) -> None:
    await apply(bus, community("demo", homes=tuple(HOMES[:4]), clock="event"), now=datetime.now(UTC))
    sent = some(10, homes=4)
    await publish(bus, *sent)
    async with running(bus, path):
        await becomes(asking, sent)
        with pytest.raises(OutOfRangeError, match="first is 1001; 1 to 1000 are allowed"):
            await asking.intervals("demo", None, BEGIN, BEGIN + DAY, "DAY", first=1001)
        with pytest.raises(TooFewHomesError, match="fewer than 4 other homes"):
            await asking.compare("demo", "home-0", BEGIN, BEGIN + DAY, "COMMUNITY_AVERAGE")
        assert (await asking.best_hours("demo", 3_600_000)).reason == "less than 19 comparable days are settled"


async def test_it_is_found_with_its_endpoints(bus: Bus, asking: Asking, path: Path) -> None:
    async with running(bus, path):
        await becomes(asking, [])
        reply = await connection_of(bus).request("$SRV.INFO.history", b"", timeout=5)
    info = json.loads(reply.data)
    assert info["version"] == "1.0.0"
    assert [one["subject"] for one in info["endpoints"]] == [
        "history.intervals",
        "history.summary",
        "history.homes",
        "history.compare",
        "history.best_hours",
    ]


async def test_while_it_is_away_questions_have_an_error_that_says_so(bus: Bus, asking: Asking, path: Path) -> None:
    with pytest.raises(NotReadyError, match=r"settled data is not to be had just now .*nobody answers"):
        await summary(asking)
    async with running(bus, path):
        await becomes(asking, [])
    with pytest.raises(NotReadyError):
        await summary(asking)


async def test_questions_wait_until_what_is_stored_was_read(bus: Bus, asking: Asking, path: Path) -> None:
    sent = some(1500)
    await publish(bus, *sent)
    answers: set[object] = set()
    async with running(bus, path):
        while None not in answers:
            try:
                found = await summary(asking)
            except NotReadyError:
                continue
            assert found is not None
            answers |= {found.intervals, None}
    assert answers == {1500, None}


# --- starts, and starts again ---


async def test_it_goes_on_where_it_was(bus: Bus, asking: Asking, path: Path) -> None:
    sent = some(200)
    await publish(bus, *sent)
    async with running(bus, path) as metrics:
        await becomes(asking, sent)
        assert count(metrics, "rows_total") == 1200
    more = some(50, 180, revision=1)
    await publish(bus, *more)
    async with running(bus, path) as metrics:
        await becomes(asking, sent + more)
        assert count(metrics, "rows_total") == 300
    assert asides(path) == []


async def test_a_lost_file_is_made_again_from_the_stream(bus: Bus, asking: Asking, path: Path) -> None:
    sent = some(200)
    await publish(bus, *sent)
    for _ in range(2):
        async with running(bus, path):
            await becomes(asking, sent)
        await asyncio.to_thread(path.unlink)


@pytest.mark.parametrize("longer", [False, True], ids=["shorter", "longer"])
async def test_a_stream_that_was_made_anew_is_noticed_at_the_start(
    bus: Bus, asking: Asking, path: Path, longer: bool
) -> None:
    sent = some(200)
    await publish(bus, *sent)
    async with running(bus, path):
        await becomes(asking, sent)
    await remake_stream(bus)
    anew = some(300 if longer else 100, 50, seed=9)
    await publish(bus, *anew)
    async with running(bus, path):
        await becomes(asking, anew)
    assert len(asides(path)) == 1


async def test_a_stream_that_is_made_anew_is_noticed_while_it_runs(
    bus: Bus, asking: Asking, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history.service._LOOK_S", 0.2)
    sent = some(200)
    await publish(bus, *sent)
    async with running(bus, path):
        await becomes(asking, sent)
        await remake_stream(bus)
        anew = some(100, 50, seed=9)
        await publish(bus, *anew)
        await becomes(asking, anew)
        more = some(10, 150, seed=9)
        await publish(bus, *more)
        await becomes(asking, anew + more)
    assert len(asides(path)) == 1


async def test_a_stream_that_was_purged_is_the_same(bus: Bus, asking: Asking, path: Path) -> None:
    sent = some(200)
    await publish(bus, *sent)
    async with running(bus, path):
        await becomes(asking, sent)
    await connection_of(bus).jetstream().purge_stream("INTERVALS")
    more = some(10, 200)
    async with running(bus, path):
        await becomes(asking, sent)
        await publish(bus, *more)
        await becomes(asking, sent + more)
    assert asides(path) == []


# --- time zones, NATS, bounds ---


async def test_days_follow_the_time_zone_of_the_registry(bus: Bus, asking: Asking, path: Path) -> None:
    midnight = ms("2026-06-01T00:00", "Asia/Tokyo")
    sent = [interval(at, [row("home-1", at)]) for at in range(midnight, midnight + 3 * DAY, QUARTER)]

    async def days() -> list[tuple[int, int]]:
        page = await asking.intervals("demo", "home-1", midnight - DAY, midnight + 4 * DAY, "DAY")
        return [(one.start, one.intervals) for one in page.periods]

    async def by_tokyo() -> bool:
        return await days() == [(midnight + day * DAY, 96) for day in range(3)]

    await publish(bus, *sent)
    async with running(bus, path):
        await becomes(asking, sent)
        assert [count for _, count in await days()] == [36, 96, 96, 60]  # by UTC: nobody has registered it
        await apply(bus, community("demo", homes=("home-1",), timezone="Asia/Tokyo"), now=datetime.now(UTC))
        await eventually(by_tokyo, timeout=20)
    async with running(bus, path):
        await becomes(asking, sent)
        assert await by_tokyo()


async def test_it_goes_on_when_nats_was_away(own_nats: NatsServer, path: Path) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    try:
        asking = Asking(bus, patience_s=2)
        sent = some(50)
        await publish(bus, *sent)
        async with running(bus, path):
            await becomes(asking, sent)
            own_nats.kill()
            with pytest.raises(NotReadyError):
                await summary(asking)
            own_nats.start()
            await becomes(asking, sent)
            more = some(50, 40, revision=1)
            await publish(bus, *more)
            await becomes(asking, sent + more)
        assert asides(path) == []
    finally:
        await bus.close()


async def test_an_answer_that_takes_too_long_is_given_up_and_the_next_is_not(
    bus: Bus, asking: Asking, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = some(50)
    await publish(bus, *sent)
    async with running(bus, path, timeout_s=0.3):
        await becomes(asking, sent)
        monkeypatch.setattr(
            "history.totals.AGGREGATES", "(SELECT count(*) FROM range(100000) a, range(100000) b, range(9) c)"
        )
        with pytest.raises(NotReadyError, match=r"no answer within 0\.3 s; ask for a shorter time"):
            await summary(asking)
        monkeypatch.undo()
        await becomes(asking, sent)


async def test_many_questions_at_once_are_answered_while_more_is_stored(bus: Bus, asking: Asking, path: Path) -> None:
    sent = some(96)
    await publish(bus, *sent)
    async with running(bus, path):
        await becomes(asking, sent)
        more = some(400, 96)
        publishing = asyncio.create_task(publish(bus, *more))
        for _ in range(10):
            found = await asyncio.gather(*(summary(asking, home) for home in (None, *HOMES)))
            counts = [one.intervals for one in found if one]
            assert len(counts) == 7
            assert min(counts) >= 96
        await publishing
        await becomes(asking, sent + more)
