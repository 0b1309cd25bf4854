"""Tokens: who asks, as a signed JSON Web Token says it (RFC 7519, RFC 8725).

A token's text becomes a viewer, or is refused. Two kinds count: those that this deployment signed
itself, and those of the one other issuer that the settings name. Which algorithm a signature must
have is the key's to say, never the token's. Nothing here writes a token, or a key, to the log.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from bus.identifiers import check_id, is_id, split_home_key
from bus.revocations import Revocations
from resolvers.access import Role, Viewer
from server.keys import Key, SigningKey
from server.keysets import KeySet

ISSUER: Final = "commonwatt"
"""The issuer and the audience of tokens of our own."""
MAX_TOKEN_BYTES: Final = 8 * 1024
MAX_LIFE_S: Final = 400 * 86_400
"""The longest that a token may last from now on; what was revoked is remembered for longer."""
LEEWAY_S: Final = 60
"""How much the clock of an issuer may be ahead of ours."""
_CACHED: Final = 10_000
_SHOWN: Final = 100
_LATEST_S: Final = 253_402_300_799  # the end of the year 9999
_FORM: Final = re.compile(r"[\w-]+={0,2}\.[\w-]+={0,2}\.[\w-]+={0,2}", re.ASCII)


class TokenError(Exception):
    """Raised when a token is refused; the reason is for the log, never for the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens count beside our own, for which audience, and the keys that verify them."""

    name: str
    audience: str
    keys: KeySet


class Claims(msgspec.Struct, frozen=True):
    """What a token says. Times in s since 1970 UTC."""

    iss: str
    aud: str | tuple[str, ...]
    sub: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    exp: Annotated[float, msgspec.Meta(ge=0, le=_LATEST_S)]
    nbf: Annotated[float, msgspec.Meta(ge=0, le=_LATEST_S)] = 0
    iat: Annotated[float, msgspec.Meta(ge=0, le=_LATEST_S)] = 0
    jti: Annotated[str, msgspec.Meta(max_length=255)] = ""
    role: Role | None = None
    community: str | None = None
    homes: tuple[str, ...] | None = None


class Tokens:
    """Issues and verifies tokens. `own` signs ours; `secret` verifies ours too, for development.

    `revocations` must be followed by whoever has a connection to NATS. `now_ms` tells the time in ms since
    1970 UTC. The latest `cached` tokens that were verified are remembered by their hash.
    """

    def __init__(
        self,
        own: SigningKey,
        revocations: Revocations,
        *,
        now_ms: Callable[[], int],
        issuer: Issuer | None = None,
        secret: Key | None = None,
        cached: int = _CACHED,
    ) -> None:
        self._own = own
        self.revocations = revocations
        self._now_ms = now_ms
        self._issuer = issuer
        self._secret = secret
        self._cached = cached
        self._verified: dict[bytes, tuple[Viewer, int]] = {}
        self._verifier = PyJWS(["EdDSA", "RS256", "HS256"])

    @property
    def own(self) -> SigningKey:
        """The deployment's own key."""
        return self._own

    def verify(self, token: str) -> Viewer:
        """Return who the bearer of a token is; raise TokenError where it does not count, now."""
        _check_form(token)
        digest = hashlib.sha256(token.encode()).digest()
        version = self._issuer.keys.version if self._issuer else 0
        viewer, verified_with = self._verified.pop(digest, (None, 0))
        if viewer is None or not (viewer.own or verified_with == version):
            viewer = self._viewer(token)
        if viewer.expires_ms <= self._now_ms():
            raise TokenError("it has ended")
        if self.is_revoked(viewer):
            raise TokenError("it was revoked")
        self._verified[digest] = viewer, version
        if len(self._verified) > self._cached:
            del self._verified[next(iter(self._verified))]
        return viewer

    def is_revoked(self, viewer: Viewer) -> bool:
        """Say whether the token that a viewer came with was revoked."""
        return bool(viewer.token) and viewer.token in self.revocations

    def issue(
        self,
        *,
        subject: str,
        role: Role,
        community: str,
        homes: tuple[str, ...] = (),
        ttl_s: int,
        token_id: str | None = None,
    ) -> str:
        """Return a token of our own that lasts `ttl_s` seconds; raise InvalidIdError or ValueError.

        `homes`, where there are any, narrow it: ids within the community, or as clients see them.
        """
        if not 1 <= ttl_s <= MAX_LIFE_S:
            raise ValueError(f"{ttl_s} s is no time for a token to last: 1 s to {MAX_LIFE_S // 86_400} days")
        now_s = self._now_ms() // 1000
        claims = {
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": subject,
            "role": role,
            "community": check_id(community),
            "iat": now_s,
            "exp": now_s + ttl_s,
            "jti": token_id or secrets.token_hex(16),
        }
        if homes:
            claims["homes"] = sorted(home_of(community, home) for home in homes)
        return self._own.sign(claims)

    async def fetch_keys(self) -> None:
        """Get the issuer's keys once, where they are to be fetched; never raises."""
        if self._issuer is not None:
            await self._issuer.keys.fetch()

    async def follow_keys(self) -> None:
        """Keep the issuer's keys current for as long as that takes work; never raises."""
        if self._issuer is not None:
            await self._issuer.keys.follow()

    def _viewer(self, token: str) -> Viewer:
        """Return the viewer of a token whose signature and claims hold; not looked at is whether it ended."""
        try:
            header = self._verifier.get_unverified_header(token)
        except (PyJWTError, ValueError) as error:
            raise TokenError(f"it is not readable: {str(error)[:_SHOWN]}") from None
        if "crit" in header or "b64" in header:
            raise TokenError("its header asks for an extension")
        for key, own in self._keys(header.get("kid")):
            # The header may agree with the key, and chooses nothing.
            if header.get("alg") == key.algorithm:
                try:
                    data = self._verifier.decode_complete(token, key.material, [key.algorithm])["payload"]
                except (PyJWTError, ValueError):
                    continue
                return self._read(data, own=own)
        raise TokenError("its signature fits no key")

    def _keys(self, id: str | None) -> Iterator[tuple[Key, bool]]:
        """Yield the keys that may have signed a token that names this one, and whether they are our own."""
        if id in (None, self._own.public.id):
            yield self._own.public, True
        if self._secret is not None:
            yield self._secret, True
        if self._issuer is not None and id != self._own.public.id:
            key = self._issuer.keys.find(id)
            if key is not None:
                yield key, False

    def _read(self, data: bytes, *, own: bool) -> Viewer:
        """Return the viewer that verified claims name; `own` is the key's to say, whatever the issuer's name."""
        try:
            claims = msgspec.json.decode(data, type=Claims)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise TokenError(f"its claims are not usable: {str(error)[:_SHOWN]}") from None
        name, audience = ISSUER, ISSUER
        if not own:
            assert self._issuer is not None
            name, audience = self._issuer.name, self._issuer.audience
        if claims.iss != name:
            raise TokenError("it is of another issuer")
        if audience not in ((claims.aud,) if isinstance(claims.aud, str) else claims.aud):
            raise TokenError("it is for another audience")
        now_s = self._now_ms() / 1000
        if max(claims.nbf, claims.iat) > now_s + LEEWAY_S:
            raise TokenError("it does not hold yet")
        if claims.exp > now_s + MAX_LIFE_S + LEEWAY_S:
            raise TokenError(f"it lasts longer than {MAX_LIFE_S // 86_400} days")
        community, homes = _place(claims)
        return Viewer(
            subject=claims.sub,
            role=claims.role,
            community=community,
            homes=homes,
            own=own,
            token=claims.jti,
            expires_ms=int(claims.exp * 1000),
        )


def read_unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token, which anybody may have written; raise TokenError."""
    _check_form(token)
    try:
        read = PyJWS([]).decode_complete(
            token, options={"verify_signature": False, "enforce_minimum_key_length": False}
        )
        claims = json.loads(read["payload"])
    except (PyJWTError, ValueError, RecursionError) as error:
        raise TokenError(f"it is not readable: {str(error)[:_SHOWN]}") from None
    if not isinstance(claims, dict):
        raise TokenError("its claims are no JSON object")
    return read["header"], claims


def home_of(community: str, home: str) -> str:
    """Return a home's id within its community, given so or as clients see it; raise ValueError."""
    parts = split_home_key(home)
    if parts is None:
        return check_id(home)
    if parts[0] != community:
        raise ValueError(f"home {home!r} is not of the community {community!r}")
    return parts[1]


def _check_form(token: str) -> None:
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenError(f"it has {len(token)} characters; {MAX_TOKEN_BYTES} are allowed")
    if _FORM.fullmatch(token) is None:
        raise TokenError("it is no signed JSON Web Token")


def _place(claims: Claims) -> tuple[str | None, frozenset[str] | None]:
    """Return the community and the homes that a token narrows to."""
    community, homes = claims.community, claims.homes
    if community is not None and not is_id(community):
        raise TokenError("its community is no identifier")
    if homes is None:
        return community, None
    if community is None:
        named = {parts[0] for home in homes if (parts := split_home_key(home)) is not None}
        if len(named) > 1:
            raise TokenError("its homes are of several communities")
        community = next(iter(named), None)
    try:
        return community, frozenset(home_of(community or "", home) for home in homes)
    except ValueError as error:
        raise TokenError(f"its homes are not usable: {str(error)[:_SHOWN]}") from None
