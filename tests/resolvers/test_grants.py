"""Grants: what a device is told before it is approved, and that one token comes of one approval."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bus.client import Bus
from bus.pairing import Pairings
from resolvers.errors import GrantError, NotReadyError
from resolvers.grants import INTERVAL_S, LIFE_S, MAX_TOKEN_LIFE_S, TOKEN_LIFE_S, Begun, Grants
from resolvers.user_code import find_key
from tests.bus.stream import stored
from tests.resolvers.pairings import Clock, Desk, Office, following, remove_buckets


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
async def desk(bus: Bus, clock: Clock, office: Office) -> AsyncIterator[Desk]:
    await remove_buckets(bus)
    async with following(bus) as directory:
        yield Desk(bus, directory, clock, office)


async def refusal(desk: Desk, begun: Begun, client: str = "watch") -> str:
    with pytest.raises(GrantError) as error:
        await desk.grants.redeem(begun.device_code, client)
    return error.value.code


async def approve(desk: Desk, begun: Begun, home: str = "demo.home-1") -> None:
    view, ada = desk.seen_by("ada")
    await desk.pairing.approve(view, ada, begun.user_code, home, None)


async def test_a_device_begins_with_a_code_to_show_and_a_secret_of_256_bits(desk: Desk) -> None:
    begun = await desk.grants.begin("watch")
    key, _, secret = begun.device_code.partition(".")
    assert find_key(begun.user_code) == find_key(key)
    assert len(secret) == 43
    assert (await desk.grants.begin("watch")).user_code != begun.user_code


async def test_the_secret_is_not_stored(bus: Bus, desk: Desk) -> None:
    begun = await desk.grants.begin("watch")
    (message,) = await stored(bus, "KV_pairing")
    assert begun.device_code.partition(".")[2].encode() not in message.data


async def test_polls_at_the_interval_are_told_to_wait(desk: Desk, clock: Clock) -> None:
    begun = await desk.grants.begin("watch")
    for _ in range(4):
        assert await refusal(desk, begun) == "authorization_pending"
        clock.pass_s(INTERVAL_S)


async def test_a_poll_before_its_time_adds_five_seconds_to_the_interval(desk: Desk, clock: Clock) -> None:
    begun = await desk.grants.begin("watch")
    assert await refusal(desk, begun) == "authorization_pending"
    clock.pass_s(4)
    assert await refusal(desk, begun) == "slow_down"
    clock.pass_s(9)  # ten are asked for now
    assert await refusal(desk, begun) == "slow_down"
    clock.pass_s(15)
    assert await refusal(desk, begun) == "authorization_pending"
    clock.pass_s(14)
    assert await refusal(desk, begun) == "slow_down"


async def test_who_polls_without_end_is_refused_without_being_written_down(bus: Bus, desk: Desk) -> None:
    begun = await desk.grants.begin("watch")
    answers = [await refusal(desk, begun) for _ in range(40)]
    assert answers == ["authorization_pending"] + ["slow_down"] * 39
    _, written = await bus.stream_bounds("KV_pairing")
    assert written == 13  # the request, a poll, and eleven steps from 5 to 60 s


async def test_whichever_process_is_polled_knows_of_the_polls_of_others(
    bus: Bus, desk: Desk, clock: Clock, office: Office
) -> None:
    begun = await desk.grants.begin("watch")
    assert await refusal(desk, begun) == "authorization_pending"
    assert await refusal(Desk(bus, desk.directory, clock, office), begun) == "slow_down"


async def test_an_approved_device_gets_a_token_for_its_home_and_for_who_approved_it(desk: Desk, office: Office) -> None:
    begun = await desk.grants.begin("watch")
    await approve(desk, begun)
    granted = await desk.grants.redeem(begun.device_code, "watch")
    assert granted == ("token-0", TOKEN_LIFE_S, "demo.home-1")
    claims = office.issued["token-0"]
    assert claims == {
        "subject": "ada",
        "role": "device",
        "community": "demo",
        "homes": ("home-1",),
        "ttl_s": 365 * 86_400,
        "token_id": claims["token_id"],
    }
    viewer = office.viewer("token-0")
    seen = desk.directory.seen_by(viewer)
    assert [home.id for home in seen.homes(seen.community("demo"))] == ["home-1"]


async def test_a_token_is_given_once(desk: Desk, office: Office) -> None:
    begun = await desk.grants.begin("watch")
    await approve(desk, begun)
    await desk.grants.redeem(begun.device_code, "watch")
    assert [await refusal(desk, begun), await refusal(desk, begun)] == ["invalid_grant"] * 2
    assert len(office.issued) == 1


async def test_of_polls_at_the_same_time_in_several_processes_one_gets_the_token(
    bus: Bus, desk: Desk, clock: Clock, office: Office
) -> None:
    begun = [await desk.grants.begin("watch") for _ in range(2)]
    for one in begun:
        await approve(desk, one)
    processes = [Desk(bus, desk.directory, clock, office) for _ in range(6)]
    answers = await asyncio.gather(
        *(process.grants.redeem(one.device_code, "watch") for process in processes for one in begun),
        return_exceptions=True,
    )
    assert len(office.issued) == 2
    assert len({claims["token_id"] for claims in office.issued.values()}) == 2
    refused = [answer for answer in answers if isinstance(answer, GrantError)]
    assert [error.code for error in refused] == ["invalid_grant"] * 10


async def test_a_refused_device_is_told_so(desk: Desk) -> None:
    begun = await desk.grants.begin("watch")
    view, ada = desk.seen_by("ada")
    await desk.pairing.deny(view, ada, begun.user_code)
    assert [await refusal(desk, begun), await refusal(desk, begun)] == ["access_denied"] * 2


async def test_a_device_that_was_removed_before_it_took_its_token_gets_none(desk: Desk, office: Office) -> None:
    begun = await desk.grants.begin("watch")
    view, ada = desk.seen_by("ada")
    device = await desk.pairing.approve(view, ada, begun.user_code, "demo.home-1", None)
    await desk.pairing.revoke(view, ada, device.key)
    assert await refusal(desk, begun) == "access_denied"
    assert office.issued == {}


@pytest.mark.parametrize("approved", [False, True])
async def test_a_request_expires_after_ten_minutes(desk: Desk, clock: Clock, approved: bool) -> None:
    begun = await desk.grants.begin("watch")
    clock.pass_s(LIFE_S - 1)
    if approved:
        await approve(desk, begun)
    else:
        assert await refusal(desk, begun) == "authorization_pending"
    clock.pass_s(1)
    assert await refusal(desk, begun) == "expired_token"


async def test_a_device_code_counts_for_its_client_alone_and_whole(desk: Desk) -> None:
    begun = await desk.grants.begin("watch")
    await approve(desk, begun)
    assert await refusal(desk, begun, "another") == "invalid_grant"
    key, _, secret = begun.device_code.partition(".")
    for wrong in ("", ".", key, secret, f"{key}.", f"{key}.{secret}x", f"{key}.{secret[:-1]}", f"*.{secret}"):
        assert await refusal(desk, Begun(wrong, "")) == "invalid_grant"
    assert (await desk.grants.redeem(begun.device_code, "watch")).home == "demo.home-1"


async def test_without_sign_in_there_are_no_tokens(bus: Bus, clock: Clock) -> None:
    grants = Grants(Pairings(bus), issue=None, now_ms=clock)
    with pytest.raises(GrantError, match="sign-in is off"):
        await grants.begin("watch")
    with pytest.raises(GrantError, match="sign-in is off"):
        await grants.redeem("BCDFGHJK.x", "watch")


def test_a_token_of_a_device_lives_for_400_days_at_most(bus: Bus, clock: Clock, office: Office) -> None:
    Grants(Pairings(bus), issue=office.issue, now_ms=clock, token_life_s=MAX_TOKEN_LIFE_S)
    for life_s in (0, -1, MAX_TOKEN_LIFE_S + 1):
        with pytest.raises(ValueError, match="at most 34560000 s"):
            Grants(Pairings(bus), issue=office.issue, now_ms=clock, token_life_s=life_s)


async def test_while_nats_is_away_the_answer_is_not_ready(bus: Bus, desk: Desk) -> None:
    begun = await desk.grants.begin("watch")
    await bus.close()
    for asking in (desk.grants.begin("watch"), desk.grants.redeem(begun.device_code, "watch")):
        with pytest.raises(NotReadyError, match="NATS does not answer"):
            await asking
