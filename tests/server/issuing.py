"""Keys, key sets and tokens of the tests' own: good ones, and whatever else somebody may send."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bus.revocations import Revocations
from server.keys import SigningKey
from server.keysets import KeySet
from server.tokens import Issuer, Tokens

NOW: Final = 1_800_000_000
"""The tests' time, in s since 1970 UTC."""
FOREIGN: Final = "https://issuer.example"
AUDIENCE: Final = "watches"

Private = Ed25519PrivateKey | RSAPrivateKey


def ed25519() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def rsa(bits: int = 2048) -> RSAPrivateKey:
    return generate_private_key(65537, bits)


def text(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def integer(value: int) -> str:
    return text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwk(key: Private, kid: str = "", **changes: Any) -> dict[str, Any]:
    """Return a public key as a member of a key set."""
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        member: dict[str, Any] = {"kty": "OKP", "crv": "Ed25519", "x": text(raw)}
    else:
        numbers = key.public_key().public_numbers()
        member = {"kty": "RSA", "n": integer(numbers.n), "e": integer(numbers.e)}
    return member | ({"kid": kid} if kid else {}) | changes


def key_set(*members: Any) -> bytes:
    return json.dumps({"keys": members}).encode()


def pem(key: Private) -> bytes:
    """Return the public key as PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def encoded(value: Any) -> str:
    return text(value if isinstance(value, bytes) else json.dumps(value).encode())


def signed(key: Private | bytes, header: Any, claims: Any) -> str:
    """Return a token with any header and claims, signed as the key does: bytes by HMAC and SHA-256."""
    message = f"{encoded(header)}.{encoded(claims)}"
    data = message.encode()
    if isinstance(key, bytes):
        signature = hmac.new(key, data, hashlib.sha256).digest()
    elif isinstance(key, Ed25519PrivateKey):
        signature = key.sign(data)
    else:
        signature = key.sign(data, padding.PKCS1v15(), SHA256())
    return f"{message}.{text(signature)}"


def ours(**changes: Any) -> dict[str, Any]:
    """Return the claims of a token of our own; None takes one away."""
    claims = {"iss": "commonwatt", "aud": "commonwatt", "sub": "home:home-1", "community": "demo", "jti": "one"}
    return _with({**claims, "iat": NOW, "exp": NOW + 60}, changes)


def theirs(**changes: Any) -> dict[str, Any]:
    """Return the claims of a token of the other issuer; None takes one away."""
    return _with({"iss": FOREIGN, "aud": AUDIENCE, "sub": "anna", "exp": NOW + 60}, changes)


def _with(claims: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now_ms = NOW * 1000

    def __call__(self) -> int:
        return self.now_ms


def tokens(own: Ed25519PrivateKey, clock: Clock, keys: KeySet | None = None, **options: Any) -> Tokens:
    """Return tokens with this key of our own, and the other issuer if it has keys."""
    issuer = Issuer(FOREIGN, AUDIENCE, keys) if keys is not None else None
    return Tokens(SigningKey(own), Revocations(now_ms=clock), now_ms=clock, issuer=issuer, **options)
