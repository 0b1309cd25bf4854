"""The keys of an issuer as they change: in a file, and behind a real HTTP server."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bus.broker import free_port
from server.keys import MAX_SET_BYTES, KeysError
from server.keysets import KeyAddress, KeyFile, KeySet
from server.tokens import TokenError
from tests.resolvers.frames import eventually
from tests.server.issuing import Clock, ed25519, jwk, key_set, rsa, signed, theirs, tokens
from tests.server.site import Site

FIRST, SECOND = ed25519(), rsa()
FIRST_SET, SECOND_SET = key_set(jwk(FIRST, "first")), key_set(jwk(SECOND, "second"))
BY_FIRST = signed(FIRST, {"alg": "EdDSA", "kid": "first"}, theirs())
BY_SECOND = signed(SECOND, {"alg": "RS256", "kid": "second"}, theirs())


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


def counts(keys: KeySet, token: str) -> bool:
    """Say whether a token counts with these keys."""
    try:
        tokens(ed25519(), Clock(), keys).verify(token)
    except TokenError:
        return False
    return True


def replace(path: Path, data: bytes) -> None:
    draft = path.with_suffix(".new")
    draft.write_bytes(data)
    draft.replace(path)


# --- a file ---


def test_a_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(FIRST_SET)
    keys = KeyFile(path)
    before = keys.version
    assert (counts(keys, BY_FIRST), counts(keys, BY_SECOND)) == (True, False)
    assert keys.version == before
    replace(path, SECOND_SET)
    assert (counts(keys, BY_FIRST), counts(keys, BY_SECOND)) == (False, True)
    assert keys.version > before


def test_a_token_that_is_remembered_counts_no_more_once_its_key_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(jwk(FIRST, "first"), jwk(SECOND, "second")))
    verifying = tokens(ed25519(), Clock(), KeyFile(path))
    assert verifying.verify(BY_FIRST) == verifying.verify(BY_FIRST)
    replace(path, SECOND_SET)
    with pytest.raises(TokenError, match="its signature fits no key"):
        verifying.verify(BY_FIRST)
    assert verifying.verify(BY_SECOND).subject == "anna"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"x" * (MAX_SET_BYTES + 1), None], ids=["empty", "no set", "large", "gone"]
)
def test_of_a_file_that_cannot_be_used_any_more_the_last_good_keys_stay(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(FIRST_SET)
    keys = KeyFile(path)
    if data is None:
        path.unlink()
    else:
        replace(path, data)
    with capture_logs() as logs:
        assert counts(keys, BY_FIRST)
        assert counts(keys, BY_FIRST)
    assert [line["event"] for line in logs] == ["keys of the issuer not usable, those before stay"]
    assert logs[0]["where"] == str(path)
    replace(path, SECOND_SET)
    assert counts(keys, BY_SECOND)


def test_a_file_that_cannot_be_used_at_the_start_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(KeysError, match=r"the keys of the issuer, .*keys\.json: not readable: No such file"):
        KeyFile(path)
    path.write_bytes(b"[]")
    with pytest.raises(KeysError, match=r"the keys of the issuer, .*keys\.json: it is no JSON Web Key Set"):
        KeyFile(path)


def test_a_file_that_is_written_to_in_place_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(FIRST_SET)
    os.utime(path, (1, 1))
    keys = KeyFile(path)
    path.write_bytes(key_set(jwk(ed25519(), "first")))
    assert not counts(keys, BY_FIRST)


# --- an address ---


async def test_an_address_is_asked_at_the_start_and_for_keys_that_are_not_known(site: Site) -> None:
    site.data = FIRST_SET
    keys = KeyAddress(site.url, pause_s=0.01)
    assert not counts(keys, BY_FIRST)
    following = asyncio.create_task(keys.follow())
    try:
        await _until(lambda: counts(keys, BY_FIRST))
        site.data = SECOND_SET
        assert counts(keys, BY_FIRST)
        await _until(lambda: counts(keys, BY_SECOND))
        assert not counts(keys, BY_FIRST)
    finally:
        following.cancel()


async def test_an_address_is_asked_now_and_then_anyway(site: Site) -> None:
    site.data = FIRST_SET
    keys = KeyAddress(site.url, every_s=0.01, pause_s=0.01)
    following = asyncio.create_task(keys.follow())
    try:
        await _until(lambda: len(site.asked) >= 3)
        assert keys.version == 1
    finally:
        following.cancel()


async def test_however_many_unknown_keys_are_named_the_address_is_asked_but_now_and_then(site: Site) -> None:
    site.data = FIRST_SET
    keys = KeyAddress(site.url, pause_s=0.3)
    following = asyncio.create_task(keys.follow())

    def storm() -> bool:
        for number in range(200):
            assert keys.find(f"unknown-{number}") is None
        return len(site.asked) >= 3

    try:
        await _until(storm)
    finally:
        following.cancel()
    first, second, third = site.asked[:3]
    assert min(second - first, third - second) > 0.25


@pytest.mark.parametrize(
    ("status", "headers", "data", "reason"),
    [
        (500, {}, FIRST_SET, "the answer has status 500"),
        (302, {"Location": "/elsewhere"}, b"", "the answer has status 302; expected 200, without a redirect"),
        (200, {}, b"<html>", "it is no JSON Web Key Set"),
        (200, {}, b"{" * (MAX_SET_BYTES * 40), "it is larger than 65536 bytes"),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b", "it is no JSON Web Key Set"),
    ],
    ids=["an error", "a redirect", "a page", "too large", "compressed"],
)
async def test_of_an_address_that_gives_no_keys_the_last_good_ones_stay(
    site: Site, status: int, headers: dict[str, str], data: bytes, reason: str
) -> None:
    site.data = FIRST_SET
    keys = KeyAddress(site.url)
    assert await keys.fetch()
    site.status, site.headers, site.data = status, headers, data
    with capture_logs() as logs:
        assert not await keys.fetch()
    (line,) = logs
    assert line["event"] == "keys of the issuer not usable, those before stay"
    assert reason in line["reason"]
    assert counts(keys, BY_FIRST)


async def test_an_address_that_does_not_answer_is_waited_for_but_a_while(site: Site) -> None:
    site.hold.clear()
    keys = KeyAddress(site.url, patience_s=0.2)
    began = time.monotonic()
    with capture_logs() as logs:
        assert not await keys.fetch()
    assert time.monotonic() - began < 3
    assert logs[0]["log_level"] == "warning"


async def test_an_address_where_nobody_listens_is_asked_again(site: Site) -> None:
    keys = KeyAddress(f"http://127.0.0.1:{free_port()}/keys", pause_s=0.01)
    with capture_logs() as logs:
        following = asyncio.create_task(keys.follow())
        try:
            await _until(lambda: len(logs) >= 2)
        finally:
            following.cancel()
    assert not counts(keys, BY_FIRST)


async def _until(holds: Callable[[], bool]) -> None:
    async def check() -> bool:

        return holds()

    await eventually(check, timeout=20)
