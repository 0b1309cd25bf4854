"""Grants: what a device goes through to get a token of its own (RFC 8628), from a code that it shows to the token.

What a member does about it is known elsewhere (`resolvers.pairing`). Requests and devices are kept in
NATS, so any process may answer any poll, and of all polls at the same time one gets the token.
"""

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, Protocol

from msgspec.structs import replace

from bus.errors import ConflictError, UnavailableError
from bus.pairing import Devices, FullError, PairingRequest, Pairings
from resolvers.access import Role
from resolvers.errors import GrantError, NotReadyError
from resolvers.user_code import find_key, make_key, show

LIFE_S: Final = 600
"""How long a request, and its code, lives."""
INTERVAL_S: Final = 5
"""The least time between two polls; each poll before its time adds as much."""
TOKEN_LIFE_S: Final = 365 * 86_400
MAX_TOKEN_LIFE_S: Final = 400 * 86_400

_SLACK_MS: Final = 500  # polls keep their distance where they begin, not where they arrive
_MAX_INTERVAL_S: Final = 60  # from here on a poll before its time is refused without being written down


class Issue(Protocol):
    """Makes a token."""

    def __call__(
        self, *, subject: str, role: Role, community: str, homes: tuple[str, ...], ttl_s: int, token_id: str
    ) -> str: ...


class Begun(NamedTuple):
    """What a device gets to begin with: what it polls with, and what it shows."""

    device_code: str
    user_code: str


class Granted(NamedTuple):
    """What a device gets in the end: a token, and the id of the home that it is for, as clients see it."""

    token: str
    expires_in_s: int
    home: str


class Grants:
    """Gives tokens to devices. `issue` None: sign-in is off, there are no tokens.

    Everything raises NotReadyError while NATS does not answer.
    """

    def __init__(
        self,
        pairings: Pairings,
        *,
        issue: Issue | None,
        now_ms: Callable[[], int],
        token_life_s: int = TOKEN_LIFE_S,
    ) -> None:
        if not 0 < token_life_s <= MAX_TOKEN_LIFE_S:
            raise ValueError(f"tokens of devices would live {token_life_s} s; at most {MAX_TOKEN_LIFE_S} s are allowed")
        self._pairings = pairings
        self._issue = issue
        self._now_ms = now_ms
        self._token_life_s = token_life_s

    async def begin(self, client: str) -> Begun:
        """Keep the request of a device that calls itself `client`; raise GrantError while sign-in is off."""
        self._issuer()
        secret, now = secrets.token_urlsafe(32), self._now_ms()
        async with asking():
            key = make_key()
            request = PairingRequest(
                secret=_digest(secret),
                client=client,
                begun_ms=now,
                expires_ms=now + LIFE_S * 1000,
                interval_s=INTERVAL_S,
            )
            # One code in 2.56e10 is taken by one of at most 10,000: who meets it asks again.
            await self._pairings.add_request(key, request)
        return Begun(f"{key.upper()}.{secret}", show(key))

    async def redeem(self, device_code: str, client: str) -> Granted:
        """Return the token of a device that was approved, once; raise GrantError with what else is so."""
        issue = self._issuer()
        typed, _, secret = device_code.partition(".")
        digest, key = _digest(secret), find_key(typed)
        refusal = GrantError("invalid_grant", "there is no such device_code for this client_id, or not any more")
        if key is None:
            raise refusal
        now, early = self._now_ms(), False

        def poll(request: PairingRequest | None) -> PairingRequest:
            nonlocal early
            if request is None or not hmac.compare_digest(digest, request.secret) or request.client != client:
                raise refusal
            if request.state == "denied":
                raise GrantError("access_denied", "a member refused the device")
            if request.expires_ms <= now:
                raise GrantError("expired_token", f"the code expired after {LIFE_S} s; begin anew")
            if request.state == "approved":
                return request
            early = now - request.polled_ms < request.interval_s * 1000 - _SLACK_MS
            interval_s = request.interval_s + (INTERVAL_S if early else 0)
            if interval_s > _MAX_INTERVAL_S:
                return request
            return replace(request, polled_ms=now, interval_s=interval_s)

        async with asking():
            request = await self._pairings.change_request(key, poll)
            if request.state == "approved":
                return await self._grant(request, issue)
        if early:
            raise GrantError("slow_down", f"the device polls too fast; add {INTERVAL_S} s to its interval")
        raise GrantError("authorization_pending", "no member has answered yet; ask again")

    def _issuer(self) -> Issue:
        if self._issue is None:
            raise GrantError("unsupported_grant_type", "sign-in is off on this server: no token is needed")
        return self._issue

    async def _grant(self, request: PairingRequest, issue: Issue) -> Granted:
        """Issue the token of a device that was approved; raise GrantError if that was done, or it was removed."""
        now, mine = self._now_ms(), ""

        def pair(devices: Devices) -> Devices:
            nonlocal mine
            entry = next((one for one in devices if one.id == request.device), None)
            if entry is None:
                raise GrantError("access_denied", "a member removed the device")
            if entry.paired_ms:
                raise GrantError("invalid_grant", "the token was given already, and only once; begin anew")
            mine = entry.member
            paired = replace(entry, paired_ms=now, expires_ms=now + self._token_life_s * 1000)
            return tuple(paired if one is entry else one for one in devices)

        # Whoever writes this issues the token, and nobody else does.
        await self._pairings.change_devices(request.community, request.home, pair)
        token = issue(
            subject=mine,
            role="device",
            community=request.community,
            homes=(request.home,),
            ttl_s=self._token_life_s,
            token_id=request.device,
        )
        return Granted(token, self._token_life_s, f"{request.community}.{request.home}")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@asynccontextmanager
async def asking() -> AsyncIterator[None]:
    """Say that an answer is not there where NATS gives none, or not the one that was asked for."""
    try:
        yield
    except FullError as error:
        raise NotReadyError(str(error)) from None
    except UnavailableError:
        raise NotReadyError("NATS does not answer; ask again in a moment") from None
    except ConflictError:
        raise NotReadyError("others change the same at this moment; ask again") from None
