"""Pairing: who may approve, refuse, list and remove devices, and how often somebody may guess."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bus.client import Bus
from resolvers.access import HOUSEHOLD, OPERATOR, Role, Viewer
from resolvers.errors import (
    GrantError,
    NotFoundError,
    NotReadyError,
    PairingError,
    TooManyCodesError,
    TooManyDevicesError,
    UserCodeError,
)
from resolvers.grants import LIFE_S, TOKEN_LIFE_S
from resolvers.pairing import MAX_DEVICES, Device, Pairing
from tests.resolvers.frames import eventually, register
from tests.resolvers.pairings import COMMUNITY, MEMBERS, Clock, Desk, Office, following, remove_buckets

NOBODY = "ZZZZ-ZZZZ"


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


async def paired(desk: Desk, home: str = "demo.home-1", name: str | None = None) -> tuple[Device, str]:
    """Return a device that took its token, and the token."""
    begun = await desk.grants.begin("watch")
    view, ada = desk.seen_by("ada")
    device = await desk.pairing.approve(view, ada, begun.user_code, home, name)
    return device, (await desk.grants.redeem(begun.device_code, "watch")).token


# --- approving and refusing ---


async def test_a_member_sees_what_waits_before_anything_is_answered(desk: Desk, clock: Clock) -> None:
    begun = await desk.grants.begin("Ada's watch")
    view, ada = desk.seen_by("ada")
    waiting = await desk.pairing.request(view, ada, begun.user_code.lower())
    assert waiting == (begun.user_code, "Ada's watch", clock.now_ms, clock.now_ms + LIFE_S * 1000)


async def test_a_device_has_the_name_that_it_gets_or_gave_itself(desk: Desk) -> None:
    assert (await paired(desk))[0].entry.name == "watch"
    assert (await paired(desk, name="On my wrist"))[0].entry.name == "On my wrist"


async def test_an_operator_approves_for_any_home_of_theirs(desk: Desk, office: Office) -> None:
    for subject, own in (("olga", False), (OPERATOR, True)):
        begun = await desk.grants.begin("watch")
        view, viewer = desk.seen_by(subject, role="operator", community="demo", own=own)
        await desk.pairing.approve(view, viewer, begun.user_code, "demo.home-2", None)
        token = (await desk.grants.redeem(begun.device_code, "watch")).token
        seen = desk.directory.seen_by(office.viewer(token))
        assert [home.id for home in seen.homes(seen.community("demo"))] == ["home-2"]
        assert not seen.operator


async def test_whoever_lives_in_a_home_approves_with_a_token_of_our_own(desk: Desk, office: Office) -> None:
    begun = await desk.grants.begin("watch")
    view, viewer = desk.seen_by(HOUSEHOLD + "home-1", community="demo", own=True)
    await desk.pairing.approve(view, viewer, begun.user_code, "demo.home-1", None)
    token = (await desk.grants.redeem(begun.device_code, "watch")).token
    assert desk.directory.seen_by(office.viewer(token)).household("demo.home-1").home.id == "home-1"


@pytest.mark.parametrize("home", ["demo.home-1", "demo.home-9", "x.home-1", "demo", ""])
async def test_a_home_that_a_member_does_not_see_is_not_there(desk: Desk, home: str) -> None:
    begun = await desk.grants.begin("watch")
    view, bob = desk.seen_by("bob")
    with pytest.raises(NotFoundError, match="there is no home"):
        await desk.pairing.approve(view, bob, begun.user_code, home, None)
    with pytest.raises(NotFoundError, match="there is no home"):
        await desk.pairing.devices(view, bob, home)
    with pytest.raises(GrantError, match="no member has answered"):
        await desk.grants.redeem(begun.device_code, "watch")


async def test_a_token_that_was_narrowed_approves_only_what_it_may_see(desk: Desk) -> None:
    begun = await desk.grants.begin("watch")
    view, ada = desk.seen_by("ada", homes=frozenset({"home-2"}))
    with pytest.raises(NotFoundError):
        await desk.pairing.approve(view, ada, begun.user_code, "demo.home-1", None)
    await desk.pairing.approve(view, ada, begun.user_code, "demo.home-2", None)


async def test_a_device_can_do_nothing_about_devices(desk: Desk, office: Office) -> None:
    device, token = await paired(desk)
    viewer = office.viewer(token)
    view, begun = desk.directory.seen_by(viewer), await desk.grants.begin("watch")
    for doing in (
        desk.pairing.request(view, viewer, begun.user_code),
        desk.pairing.approve(view, viewer, begun.user_code, "demo.home-1", None),
        desk.pairing.deny(view, viewer, begun.user_code),
        desk.pairing.devices(view, viewer, "demo.home-1"),
        desk.pairing.revoke(view, viewer, device.key),
    ):
        with pytest.raises(PairingError, match="a device cannot"):
            await doing
    assert office.revoked == {}


@pytest.mark.parametrize("subject", ["eve", "stranger"])
async def test_who_sees_no_home_cannot_even_look_or_refuse(desk: Desk, subject: str) -> None:
    begun = await desk.grants.begin("watch")
    view, viewer = desk.seen_by(subject)
    with pytest.raises(PairingError, match="you see none"):
        await desk.pairing.request(view, viewer, begun.user_code)
    with pytest.raises(PairingError, match="you see none"):
        await desk.pairing.deny(view, viewer, begun.user_code)


@pytest.mark.parametrize("answer", ["approved", "denied", "expired", "never begun", "no code"])
async def test_a_code_that_nobody_waits_with_is_unknown_whatever_became_of_it(
    desk: Desk, clock: Clock, answer: str
) -> None:
    code = (await desk.grants.begin("watch")).user_code
    view, ada = desk.seen_by("ada")
    if answer == "approved":
        await desk.pairing.approve(view, ada, code, "demo.home-1", None)
    elif answer == "denied":
        await desk.pairing.deny(view, ada, code)
    elif answer == "expired":
        clock.pass_s(LIFE_S)
    else:
        code = NOBODY if answer == "never begun" else "not a code at all, and long"
    before = await desk.pairing.devices(view, ada, "demo.home-1")
    for doing in (
        desk.pairing.request(view, ada, code),
        desk.pairing.approve(view, ada, code, "demo.home-1", None),
        desk.pairing.deny(view, ada, code),
    ):
        with pytest.raises(UserCodeError, match="compare it with what the device shows"):
            await doing
    assert await desk.pairing.devices(view, ada, "demo.home-1") == before


async def test_of_two_who_answer_at_the_same_time_one_does(bus: Bus, desk: Desk, clock: Clock, office: Office) -> None:
    (view, ada), (other, bob) = desk.seen_by("ada"), desk.seen_by("bob")
    elsewhere = Desk(bus, desk.directory, clock, office)
    for _ in range(5):
        begun = await desk.grants.begin("watch")
        answers = await asyncio.gather(
            desk.pairing.approve(view, ada, begun.user_code, "demo.home-1", None),
            elsewhere.pairing.approve(other, bob, begun.user_code, "demo.home-2", None),
            return_exceptions=True,
        )
        (won,) = [answer for answer in answers if isinstance(answer, Device)]
        assert [type(answer) for answer in answers if answer is not won] == [UserCodeError]
        assert (await desk.grants.redeem(begun.device_code, "watch")).home == won.household.key
    of_both = [
        device for home in ("demo.home-1", "demo.home-2") for device in await desk.pairing.devices(view, ada, home)
    ]
    assert len(of_both) == 5
    assert all(device.entry.paired_ms for device in of_both)


# --- guessing ---


async def test_ten_wrong_codes_an_hour_are_allowed(desk: Desk, clock: Clock) -> None:
    begun = await desk.grants.begin("watch")
    view, ada = desk.seen_by("ada")
    for _ in range(10):
        with pytest.raises(UserCodeError):
            await desk.pairing.deny(view, ada, NOBODY)
    for doing in (
        desk.pairing.request(view, ada, begun.user_code),
        desk.pairing.approve(view, ada, begun.user_code, "demo.home-1", None),
        desk.pairing.deny(view, ada, begun.user_code),
    ):
        with pytest.raises(TooManyCodesError, match="10 wrong codes an hour are allowed; try again in 6 min"):
            await doing
    other, bob = desk.seen_by("bob")
    await desk.pairing.request(other, bob, begun.user_code)
    clock.pass_s(361)
    await desk.pairing.approve(view, ada, begun.user_code, "demo.home-1", None)


async def test_guesses_at_the_same_time_count_too(desk: Desk) -> None:
    view, ada = desk.seen_by("ada")
    guesses = await asyncio.gather(
        *(desk.pairing.request(view, ada, NOBODY) for _ in range(30)), return_exceptions=True
    )
    kinds = [type(guess).__name__ for guess in guesses]
    assert (kinds.count("UserCodeError"), kinds.count("TooManyCodesError")) == (10, 20)


async def test_right_codes_and_those_that_can_be_none_do_not_count(desk: Desk) -> None:
    begun = await desk.grants.begin("watch")
    view, ada = desk.seen_by("ada")
    for _ in range(15):
        await desk.pairing.request(view, ada, begun.user_code)
        with pytest.raises(UserCodeError):
            await desk.pairing.request(view, ada, "12")


# --- the devices of a home ---


async def test_devices_are_listed_with_when_they_were_approved_took_their_token_and_end(
    desk: Desk, clock: Clock
) -> None:
    view, ada = desk.seen_by("ada")
    begun = await desk.grants.begin("watch")
    device = await desk.pairing.approve(view, ada, begun.user_code, "demo.home-1", "Wrist")
    (waiting,) = await desk.pairing.devices(view, ada, "demo.home-1")
    assert waiting == device
    assert (waiting.entry.approved_ms, waiting.entry.paired_ms) == (clock.now_ms, 0)
    clock.pass_s(60)
    await desk.grants.redeem(begun.device_code, "watch")
    (entry,) = [device.entry for device in await desk.pairing.devices(view, ada, "demo.home-1")]
    assert (entry.paired_ms, entry.expires_ms) == (clock.now_ms, clock.now_ms + TOKEN_LIFE_S * 1000)


async def test_a_device_that_never_took_its_token_or_whose_token_ended_is_gone(desk: Desk, clock: Clock) -> None:
    view, ada = desk.seen_by("ada")
    await paired(desk)
    begun = await desk.grants.begin("watch")
    await desk.pairing.approve(view, ada, begun.user_code, "demo.home-1", None)
    assert len(await desk.pairing.devices(view, ada, "demo.home-1")) == 2
    clock.pass_s(LIFE_S)
    assert len(await desk.pairing.devices(view, ada, "demo.home-1")) == 1
    clock.pass_s(TOKEN_LIFE_S)
    assert await desk.pairing.devices(view, ada, "demo.home-1") == []


async def test_all_who_see_a_home_see_its_devices(desk: Desk) -> None:
    await paired(desk, "demo.home-2")
    for subject in ("ada", "bob", "olga"):
        view, viewer = desk.seen_by(subject)
        assert len(await desk.pairing.devices(view, viewer, "demo.home-2")) == 1


async def test_a_home_has_100_devices_at_most_however_many_are_approved_at_once(
    bus: Bus, desk: Desk, clock: Clock, office: Office
) -> None:
    view, ada = desk.seen_by("ada")
    for _ in range(MAX_DEVICES - 1):
        await paired(desk)
    begun = [await desk.grants.begin("watch") for _ in range(3)]
    processes = [Desk(bus, desk.directory, clock, office) for _ in begun]
    answers = await asyncio.gather(
        *(
            process.pairing.approve(view, ada, one.user_code, "demo.home-1", None)
            for process, one in zip(processes, begun, strict=True)
        ),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, TooManyDevicesError)]
    assert len(refused) == 2
    assert str(refused[0]) == "home 'demo.home-1' has 100 devices, the most that it may have; remove one first"
    devices = await desk.pairing.devices(view, ada, "demo.home-1")
    assert len(devices) == MAX_DEVICES
    await desk.pairing.revoke(view, ada, devices[0].key)
    left = next(
        one.user_code for one, answer in zip(begun, answers, strict=True) if isinstance(answer, TooManyDevicesError)
    )
    await desk.pairing.approve(view, ada, left, "demo.home-1", None)


async def test_a_device_that_is_removed_is_gone_and_its_token_ends(desk: Desk, clock: Clock, office: Office) -> None:
    device, token = await paired(desk)
    other, _ = await paired(desk)
    view, ada = desk.seen_by("ada")
    await desk.pairing.revoke(view, ada, device.key)
    assert [one.key for one in await desk.pairing.devices(view, ada, "demo.home-1")] == [other.key]
    token_id = office.issued[token]["token_id"]
    assert office.revoked == {token_id: clock.now_ms + (TOKEN_LIFE_S + LIFE_S) * 1000}
    with pytest.raises(NotFoundError, match="there is no device"):
        await desk.pairing.revoke(view, ada, device.key)


async def test_the_device_of_another_home_cannot_be_removed_and_is_not_there(desk: Desk, office: Office) -> None:
    device, _ = await paired(desk)
    view, bob = desk.seen_by("bob")
    unknown = device.key.replace("home-1", "home-9")
    elsewhere = device.key.replace("home-1", "home-2")
    for key in (device.key, unknown, elsewhere, "demo.home-2.", "demo.home-2", "demo", ""):
        with pytest.raises(NotFoundError) as error:
            await desk.pairing.revoke(view, bob, key)
        assert str(error.value) == f"there is no device {key!r}"
    assert office.revoked == {}


async def test_a_device_loses_the_home_with_the_member_who_approved_it(bus: Bus, desk: Desk, office: Office) -> None:
    _, token = await paired(desk)
    seen = desk.directory.seen_by(office.viewer(token))
    assert seen.household("demo.home-1").home.id == "home-1"
    changed = tuple(member.model_copy(update={"homes": ("home-2",)}) for member in MEMBERS)
    await register(bus, COMMUNITY.model_copy(update={"members": changed}))

    async def is_lost() -> bool:
        try:
            seen.household("demo.home-1")
        except NotFoundError:
            return True
        return False

    await eventually(is_lost)


@pytest.mark.parametrize("role", [None, "member", "operator"])
async def test_every_role_but_a_devices_may_pair(desk: Desk, role: Role | None) -> None:
    begun = await desk.grants.begin("watch")
    viewer = Viewer("olga" if role == "operator" else "ada", role)
    await desk.pairing.approve(desk.directory.seen_by(viewer), viewer, begun.user_code, "demo.home-1", None)


async def test_while_nats_is_away_the_answer_is_not_ready_and_no_guess_is_lost(bus: Bus, desk: Desk) -> None:
    view, ada = desk.seen_by("ada")
    pairing: Pairing = desk.pairing
    await bus.close()
    for _ in range(12):
        with pytest.raises(NotReadyError, match="NATS does not answer"):
            await pairing.request(view, ada, NOBODY)
    for doing in (
        pairing.approve(view, ada, NOBODY, "demo.home-1", None),
        pairing.deny(view, ada, NOBODY),
        pairing.devices(view, ada, "demo.home-1"),
        pairing.revoke(view, ada, "demo.home-1.x"),
    ):
        with pytest.raises(NotReadyError, match="NATS does not answer"):
            await doing
