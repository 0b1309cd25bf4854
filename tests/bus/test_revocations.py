"""Revocations: final, known to every follower at once, and to nobody for longer than tokens last."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from bus.client import Bus, Message, connection_of
from bus.errors import UnavailableError
from bus.revocations import Revocations, revoke
from bus.settings import NatsSettings
from bus.stored import Stored
from bus.streams import REVOKED, REVOKED_DAYS, Retention, configurations, ensure_streams
from tests.bus.stream import stored
from tests.conftest import NatsServer

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


class Known:
    """Revocations, and a wait for the next ones."""

    def __init__(self, look_s: float = 30.0) -> None:
        self.now_ms = NOW_MS
        self.tokens = Revocations(now_ms=lambda: self.now_ms, look_s=look_s)
        self.told: list[str] = []
        self.tokens.on_change(self._tell)
        self._woken = asyncio.Event()

    def _tell(self, token_id: str) -> None:
        self.told.append(token_id)
        self._woken.set()

    async def until(self, holds: Callable[[], bool], timeout: float = 60.0) -> None:
        async with asyncio.timeout(timeout):
            while not holds():
                await self._woken.wait()
                self._woken.clear()


@asynccontextmanager
async def followed(bus: Bus, known: Known) -> AsyncIterator[Known]:
    task = asyncio.create_task(known.tokens.follow(bus))
    try:
        yield known
    finally:
        task.cancel()
        await asyncio.wait([task])


def message(token_id: str, ends_ms: int, sequence: int = 1) -> Stored:
    value = json.dumps({"id": token_id, "expires_ms": ends_ms}).encode()
    return Stored(f"$KV.revoked.{token_id}", sequence, NOW_MS, value)


async def test_what_was_revoked_before_and_what_is_revoked_now_is_known(bus: Bus) -> None:
    await revoke(bus, "before", NOW_MS + HOUR_MS)
    async with followed(bus, Known()) as known:
        await known.until(lambda: "before" in known.tokens)
        assert "now" not in known.tokens
        async with asyncio.timeout(2):
            await revoke(bus, "now", NOW_MS + HOUR_MS)
            await known.until(lambda: "now" in known.tokens)
        assert known.told == ["before", "now"]
        assert known.tokens.loaded


async def test_an_empty_bucket_is_read_too(bus: Bus) -> None:
    async with followed(bus, Known()) as known, asyncio.timeout(10):
        await known.tokens.wait_loaded()
    assert known.tokens.loaded
    assert len(known.tokens) == 0


async def test_a_token_is_revoked_once_however_often_that_is_said(bus: Bus) -> None:
    async with followed(bus, Known()) as known:
        for _ in range(3):
            await revoke(bus, "one", NOW_MS + HOUR_MS)
        await revoke(bus, "two", NOW_MS + HOUR_MS)
        await known.until(lambda: "two" in known.tokens)
        assert known.told == ["one", "two"]
    assert len(await stored(bus, "KV_revoked")) == 2


@pytest.mark.parametrize("token_id", ["a.b", "a b", "*", ">", "é", "x" * 255, "$SYS", "\ud800", "a\r\nb"], ids=ascii)
async def test_an_id_of_any_form_is_revoked_and_no_other(bus: Bus, token_id: str) -> None:
    async with followed(bus, Known()) as known:
        await revoke(bus, token_id, NOW_MS + HOUR_MS)
        await known.until(lambda: len(known.tokens) == 1)
        assert token_id in known.tokens
        assert known.told == [token_id]


async def test_it_is_known_again_after_nats_was_killed(own_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    try:
        await revoke(bus, "before", NOW_MS + HOUR_MS)
        async with followed(bus, Known()) as known:
            await known.until(lambda: "before" in known.tokens)
            own_nats.kill()
            own_nats.start()
            while True:
                try:
                    await revoke(bus, "after", NOW_MS + HOUR_MS)
                    break
                except UnavailableError:
                    await bus.pause()
            await known.until(lambda: "after" in known.tokens)
        async with followed(bus, Known()) as anew:
            await anew.until(lambda: len(anew.tokens) == 2)
    finally:
        await bus.close()


async def test_a_bucket_that_was_made_anew_is_read_from_its_beginning(bus: Bus) -> None:
    async with followed(bus, Known(look_s=0.05)) as known:
        for number in range(5):
            await revoke(bus, f"old-{number}", NOW_MS + HOUR_MS)
        await known.until(lambda: len(known.tokens) == 5)
        jetstream = connection_of(bus).jetstream()
        await jetstream.delete_stream(f"KV_{REVOKED}")
        await ensure_streams(jetstream, Retention())
        await revoke(bus, "new", NOW_MS + HOUR_MS)
        await known.until(lambda: "new" in known.tokens)
        assert len(known.tokens) == 6  # final


async def test_what_is_not_readable_revokes_the_token_of_its_key(bus: Bus) -> None:
    async with followed(bus, Known()) as known:
        known.now_ms = 0
        with capture_logs() as logs:
            await bus.publish(Message("$KV.revoked.strange", b"{}"))
            await bus.publish(Message("$KV.revoked.deleted", b""))
            await revoke(bus, "last", HOUR_MS)
            await known.until(lambda: "last" in known.tokens)
    assert set(known.told) == {"strange", "last"}
    assert [(line["event"], line["key"]) for line in logs] == [("revocation not readable", "strange")]


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"[]", b"7", b'{"id": "x"}', b'{"id": "x", "expires_ms": "soon"}', b'{"id": "x", "expires_ms": 1e999}'],
)
def test_nothing_in_the_bucket_does_more_than_revoke(data: bytes) -> None:
    known = Revocations(now_ms=lambda: NOW_MS)
    known.take(Stored("$KV.revoked.strange", 1, NOW_MS, data))
    assert "strange" in known


def test_tokens_that_have_ended_are_forgotten_and_the_others_are_not() -> None:
    now_ms = NOW_MS
    known = Revocations(now_ms=lambda: now_ms)
    known.take(message("ended", NOW_MS))
    assert "ended" not in known
    known.take(message("long", NOW_MS + 1000 * HOUR_MS))
    most = 0
    for number in range(20_000):
        now_ms += 60_000
        known.take(message(f"short-{number}", now_ms + HOUR_MS))
        most = max(most, len(known))
    assert most <= 1025  # of which 61 have not ended
    assert "short-19999" in known
    known.take(message("long", now_ms + 1))  # a revocation is never shortened
    now_ms += HOUR_MS
    known.take(message("short-20000", now_ms + HOUR_MS))
    assert "long" in known


def test_the_bucket_remembers_for_longer_than_tokens_last_and_is_bounded() -> None:
    (config,) = [config for config in configurations(Retention()) if config.name == f"KV_{REVOKED}"]
    assert config.max_age == REVOKED_DAYS * 86_400 > 400 * 86_400
    assert config.max_msgs == 250_000
    assert config.max_msgs_per_subject == 1
