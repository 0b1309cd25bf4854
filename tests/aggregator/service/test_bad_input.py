"""What is no reading: refused once, whole, with its reason; and the aggregator goes on."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bus.client import Bus, Message
from bus.messages import Frame
from bus.streams import REGISTRY
from tests.aggregator.service.conftest import Start
from tests.aggregator.service.process import eventually
from tests.aggregator.service.village import folded_to, frame, publish, reading, register, rejected, village
from tests.bus.stream import at_least


def good(now: datetime) -> bytes:
    return reading(now, 1000, power_import_w=100)


def bad(now: datetime) -> list[tuple[str, str, bytes]]:
    """Return reasons, subjects and payloads; what is in the future is so from `now`, the time of the test."""
    return [
        ("malformed_json", "readings.demo.h1-grid", b'{"at": "2026-'),
        ("malformed_json", "readings.demo.h1-grid", b""),
        ("malformed_json", "readings.demo.h1-grid", b"\xff\xfe\x00"),
        ("malformed_json", "readings.demo.h1-grid", b"[" * 4000),
        ("malformed_json", "readings.demo.h1-grid", b"[1, 2]"),
        ("missing_field", "readings.demo.h1-grid", b'{"at": "2026-01-01T00:00:00Z", "import_wh": 1}'),
        ("wrong_type", "readings.demo.h1-grid", reading(now, 0).replace(b'"import_wh": 0', b'"import_wh": "12"')),
        ("wrong_type", "readings.demo.h1-grid", reading(now, 0).replace(b'"import_wh": 0', b'"import_wh": null')),
        ("wrong_type", "readings.demo.h1-grid", reading(now, 0, power_import_w=True)),
        ("not_finite", "readings.demo.h1-grid", reading(now, 0, power_import_w=float("nan"))),
        ("not_finite", "readings.demo.h1-grid", reading(now, 0, power_import_w=float("inf"))),
        ("not_finite", "readings.demo.h1-grid", reading(now, 0).replace(b'"import_wh": 0', b'"import_wh": NaN')),
        ("negative", "readings.demo.h1-grid", reading(now, -1)),
        ("negative", "readings.demo.h1-grid", reading(now, 0, power_export_w=-0.5)),
        ("out_of_range", "readings.demo.h1-grid", reading(now, 10**12)),
        ("out_of_range", "readings.demo.h1-grid", reading(now, 0, state_of_charge=1.5)),
        ("invalid_time", "readings.demo.h1-grid", reading(now.replace(tzinfo=None), 0)),
        ("invalid_time", "readings.demo.h1-grid", b'{"at": 1767225600, "import_wh": 0, "export_wh": 0}'),
        ("future", "readings.demo.h1-grid", reading(now + timedelta(minutes=8), 0)),
        ("meter_mismatch", "readings.demo.h1-grid", reading(now, 0, meter="h2-grid")),
        ("invalid_id", "readings.demo.h1-grid", reading(now, 0, meter="H1")),
        ("too_large", "readings.demo.h1-grid", reading(now, 0, note="x" * 4096)),
        ("too_large", "readings.demo.h1-grid", b"\x00" * 300_000),
        ("unknown_meter", "readings.demo.h9-grid", good(now)),
        ("unknown_community", "readings.elsewhere.h1-grid", good(now)),
        ("unknown_community", "readings.elsewhere.h1-grid", b"no JSON"),
        ("invalid_id", "readings.Demo.m1", good(now)),
        ("invalid_id", "readings.demo.M1", good(now)),
        ("invalid_id", "readings.demo.\xfcber", good(now)),
        ("invalid_id", "readings.demo", good(now)),
        ("invalid_id", "readings.elsewhere", good(now)),
        ("invalid_id", "readings.a.b.c", good(now)),
        ("invalid_id", "readings.demo.h1-grid.c", good(now)),
        ("invalid_id", f"readings.demo.{'x' * 65}", good(now)),
    ]


def text(payload: bytes) -> str:
    return payload.decode("utf-8", "backslashreplace")


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
async def published(bus: Bus, now: datetime) -> list[int]:
    """A wall-clock community, and all that is bad stored: the sequences of it."""
    await register(bus, village(clock="wall"))
    return [await bus.publish(Message(subject, data)) for _, subject, data in bad(now)]


async def test_what_is_no_reading_is_refused_whole_and_once_and_the_next_good_one_is_shown(
    bus: Bus, nats_url: str, published: list[int], start: Start, now: datetime
) -> None:
    wrong_ones = bad(now)
    aggregator = start(nats_url)
    await bus.publish(Message("readings.demo.h1-grid", good(now)))

    await asyncio.wait_for(at_least(bus, "REJECTED", len(wrong_ones)), 20)
    found = {one.sequence: one for one in await rejected(bus)}
    wrong = [
        (reason, subject, data[:60], found.get(sequence) and found[sequence].reason)
        for (reason, subject, data), sequence in zip(wrong_ones, published, strict=True)
        if sequence not in found or found[sequence].reason != reason
    ]
    assert wrong == []
    for (_, subject, data), sequence in zip(wrong_ones, published, strict=True):
        one = found[sequence]
        assert (one.subject, one.detail != "") == (subject, True)
        assert one.payload == text(data) or len(data) > 100_000
    await shown(bus, 100)
    for reason in {reason for reason, _, _ in wrong_ones}:
        count = sum(1 for one, _, _ in wrong_ones if one == reason)
        assert aggregator.metric(f'commonwatt_rejected_total{{reason="{reason}"}}') == count, reason

    aggregator.kill()  # and goes on from the checkpoint of its start
    start(nats_url)
    at = now + timedelta(seconds=2)
    await bus.publish(Message("readings.demo.h2-grid", reading(at, 1000, power_import_w=100)))
    await shown(bus, 200)
    assert len(await rejected(bus)) == len(wrong_ones)


@pytest.mark.slow
async def test_a_restart_after_a_checkpoint_refuses_nothing_twice(
    bus: Bus, nats_url: str, published: list[int], start: Start, now: datetime
) -> None:
    wrong_ones = bad(now)
    aggregator = start(nats_url)
    last = await bus.publish(Message("readings.demo.h1-grid", good(now)))
    await eventually(lambda: folded_to(bus, last), "a checkpoint with all of it")
    aggregator.kill()
    start(nats_url)
    await bus.publish(Message("readings.demo.h2-grid", reading(now, 1000, power_import_w=100)))
    await shown(bus, 200)
    assert len(await rejected(bus)) == len(wrong_ones) == len(published)


async def test_a_payload_of_nearly_a_mebibyte_is_refused_cut_with_the_place_where_it_is_whole(
    bus: Bus, nats_url: str, start: Start
) -> None:
    await register(bus, village(clock="wall"))
    sequence = await bus.publish(Message("readings.demo.h1-grid", b"\xff" * 1_000_000))
    other = await bus.publish(Message("readings.elsewhere.h1-grid", b'"' * 1_000_000))
    start(nats_url)
    await asyncio.wait_for(at_least(bus, "REJECTED", 2), 20)
    found = {one.sequence: one for one in await rejected(bus)}
    assert (found[sequence].reason, found[other].reason) == ("too_large", "unknown_community")
    for one in found.values():
        assert f"whole in READINGS at sequence {one.sequence}" in one.detail
        assert len(one.payload) == 64 * 1024


async def test_a_tick_that_says_nonsense_changes_nothing(bus: Bus, nats_url: str, start: Start, now: datetime) -> None:
    await register(bus, village(clock="wall"))
    numbers = [b'{"registry": %s}' % number for number in (b"1e400", b"99999999", b'"x"', b"null", b"-1")]
    nonsense = [b"", b"[", b"[" * 100_000, b"\xff", *numbers]
    await publish(bus, [*(("readings.tick", one) for one in nonsense), ("readings.demo.h1-grid", good(now))])
    start(nats_url)
    await shown(bus, 100)


async def test_a_version_in_the_registry_that_is_not_readable_stops_nothing(
    bus: Bus, nats_url: str, start: Start, now: datetime
) -> None:
    await bus.publish(Message(f"$KV.{REGISTRY}.broken", b"{"))
    await register(bus, village(clock="wall"))
    await publish(bus, [("readings.broken.m", good(now)), ("readings.demo.h1-grid", good(now))])
    start(nats_url)
    await shown(bus, 100)
    assert [one.reason for one in await rejected(bus)] == ["unknown_community"]


async def shown(bus: Bus, power_w: float) -> Frame:
    """Wait for a frame in which the community draws as much power."""

    async def is_shown() -> Frame | None:
        now = await frame(bus)
        return now if now is not None and now.state.power_import_w == power_w else None

    found = await eventually(is_shown, f"a frame with {power_w} W")
    assert found is not None
    return found
