"""Pairing: a member approves a device by the short code that it shows, or refuses it, or removes it later.

A device acts for the member who approved it, on one home: what the registry takes from the member,
it takes from the device. What the device does meanwhile is known elsewhere (`resolvers.grants`).
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog
from msgspec.structs import replace

from bus.pairing import Devices, PairedDevice, PairingRequest, Pairings
from resolvers.access import Viewer
from resolvers.allowance import Allowance
from resolvers.directory import Household, View
from resolvers.errors import NotFoundError, PairingError, TooManyCodesError, TooManyDevicesError, UserCodeError
from resolvers.grants import LIFE_S, TOKEN_LIFE_S, asking
from resolvers.user_code import find_key, show

log = structlog.get_logger(__name__)

MAX_DEVICES: Final = 100
"""Devices of one home."""
MAX_WRONG_CODES: Final = 10
"""Wrong codes that a member may give in an hour, for each process."""

_MEMBERS: Final = 10_000  # whose wrong codes are remembered


class Waiting(NamedTuple):
    """A device that waits for a member: its code, what it calls itself, and times in ms since 1970 UTC."""

    code: str
    client: str
    begun_ms: int
    expires_ms: int


class Device(NamedTuple):
    """A device of a home."""

    household: Household
    entry: PairedDevice

    @property
    def key(self) -> str:
        """The id of the device as clients see it."""
        return f"{self.household.key}.{self.entry.id}"


class Pairing:
    """Pairs devices with homes.

    `revoke` ends a token by its id, and is told until when (ms since 1970 UTC) to remember it;
    `token_life_s` is how long tokens live at most. Everything raises NotReadyError while NATS does
    not answer.
    """

    def __init__(
        self,
        pairings: Pairings,
        *,
        revoke: Callable[[str, int], Awaitable[None]],
        now_ms: Callable[[], int],
        token_life_s: int = TOKEN_LIFE_S,
    ) -> None:
        self._pairings = pairings
        self._revoke = revoke
        self._now_ms = now_ms
        self._token_life_s = token_life_s
        self._guesses = Allowance(MAX_WRONG_CODES, refill_s=3600 / MAX_WRONG_CODES, keys=_MEMBERS, now_ms=now_ms)

    async def request(self, view: View, viewer: Viewer, code: str) -> Waiting:
        """Return the device that waits with a code; raise PairingError, UserCodeError, TooManyCodesError."""
        viewer = _member_with_home(view, viewer)
        async with asking():
            key, request = await self._waiting(viewer, code)
        return Waiting(show(key), request.client, request.begun_ms, request.expires_ms)

    async def approve(self, view: View, viewer: Viewer, code: str, home: str, name: str | None) -> Device:
        """Pair the device that waits with a code with a home; raise as `request`, TooManyDevicesError, NotFoundError.

        Without a name it has the one that it gave itself.
        """
        viewer = _member(viewer)
        household = view.household(home)
        community, home = household.community.id, household.home.id
        async with asking():
            key, request = await self._waiting(viewer, code)
            now = self._now_ms()
            entry = PairedDevice(
                id=secrets.token_hex(16),
                name=name or request.client,
                member=viewer.subject,
                approved_ms=now,
                expires_ms=now + self._token_life_s * 1000,
            )

            def add(devices: Devices) -> Devices:
                current = self._current(devices)
                if len(current) >= MAX_DEVICES:
                    raise TooManyDevicesError(household.key, MAX_DEVICES)
                return (*current, entry)

            def answer(found: PairingRequest | None) -> PairingRequest:
                waiting = self._check_waiting(found, code)
                return replace(waiting, state="approved", community=community, home=home, device=entry.id)

            # In this order, since a request that is approved may be redeemed at once.
            await self._pairings.change_devices(community, home, add)
            try:
                await self._pairings.change_request(key, answer)
            except UserCodeError:  # somebody else answered
                await self._forget(household, entry.id)
                raise
        log.info("device approved", home=household.key, device=entry.id, client=request.client)
        return Device(household, entry)

    async def deny(self, view: View, viewer: Viewer, code: str) -> None:
        """Refuse the device that waits with a code; raise as `request`."""
        viewer = _member_with_home(view, viewer)
        async with asking():
            key, _ = await self._waiting(viewer, code)
            await self._pairings.change_request(
                key, lambda found: replace(self._check_waiting(found, code), state="denied")
            )

    async def devices(self, view: View, viewer: Viewer, home: str) -> list[Device]:
        """Return the devices of a home, in the order of their approval; raise PairingError, NotFoundError."""
        _member(viewer)
        household = view.household(home)
        async with asking():
            devices = await self._pairings.devices(household.community.id, household.home.id)
        return [Device(household, entry) for entry in self._current(devices)]

    async def revoke(self, view: View, viewer: Viewer, key: str) -> None:
        """End a device's token and forget the device; raise PairingError, NotFoundError."""
        _member(viewer)
        home, _, id = key.rpartition(".")
        try:
            household = view.household(home)
        except NotFoundError:
            raise NotFoundError("device", key) from None
        async with asking():
            devices = await self._pairings.devices(household.community.id, household.home.id)
            ends = [entry.expires_ms for entry in devices if entry.id == id]
            if not ends:
                raise NotFoundError("device", key)
            # The token first, and for long enough if the device takes it at this moment.
            latest_ms = self._now_ms() + (self._token_life_s + LIFE_S) * 1000
            await self._revoke(id, max(*ends, latest_ms))
            await self._forget(household, id)
        log.info("device removed", home=household.key, device=id)

    # --- inside ---

    async def _waiting(self, viewer: Viewer, code: str) -> tuple[str, PairingRequest]:
        """Return the key and the request that waits with a code; raise UserCodeError, TooManyCodesError."""
        key = find_key(code)
        if key is None:
            raise UserCodeError(code)
        # Taken before the answer is known, so that guesses at the same time count; given back if it was none.
        member = f"{viewer.community} {viewer.subject}"
        retry_s = self._guesses.take(member)
        if retry_s:
            raise TooManyCodesError(MAX_WRONG_CODES, retry_s)
        wrong = False
        try:
            return key, self._check_waiting(await self._pairings.request(key), code)
        except UserCodeError:
            wrong = True
            raise
        finally:
            if not wrong:
                self._guesses.give_back(member)

    def _check_waiting(self, request: PairingRequest | None, code: str) -> PairingRequest:
        if request is None or request.state != "pending" or request.expires_ms <= self._now_ms():
            raise UserCodeError(code)
        return request

    async def _forget(self, household: Household, id: str) -> None:
        await self._pairings.change_devices(
            household.community.id,
            household.home.id,
            lambda devices: tuple(one for one in self._current(devices) if one.id != id),
        )

    def _current(self, devices: Devices) -> Devices:
        """Return the devices whose tokens have not ended, and those that may still take theirs."""
        now = self._now_ms()
        return tuple(
            one for one in devices if one.expires_ms > now and (one.paired_ms or one.approved_ms + LIFE_S * 1000 > now)
        )


def _member(viewer: Viewer) -> Viewer:
    if viewer.role == "device":
        raise PairingError("a device cannot pair, list or remove devices; sign in as a member")
    return viewer


def _member_with_home(view: View, viewer: Viewer) -> Viewer:
    viewer = _member(viewer)
    if not any(view.homes(community) for community in view.communities()):
        raise PairingError("pairing is for those who have a home, and you see none")
    return viewer
