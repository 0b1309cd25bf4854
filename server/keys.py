"""Keys: what verifies a token's signature, each for one algorithm, and the deployment's own, which signs.

Key files and JSON Web Key Sets come in. Private keys never leave this module, and no text of an
error holds any of one.
"""

import base64
import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jwt.api_jws import PyJWS
from jwt.exceptions import InvalidKeyError

from bus.errors import ConfigurationError

log = structlog.get_logger(__name__)

Algorithm: TypeAlias = Literal["EdDSA", "RS256", "HS256"]

MAX_SET_BYTES: Final = 64 * 1024
"""Of a JSON Web Key Set."""
MIN_SECRET_BYTES: Final = 32
_RSA_BITS: Final = range(2048, 8193)
_MAX_PEM_BYTES: Final = 16 * 1024


class KeysError(ConfigurationError):
    """Raised when a file or a set holds no usable key; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Key:
    """What verifies a signature, and the one algorithm that it is for, whatever a token says."""

    id: str
    """The `kid` that tokens name it by; empty: it has none."""
    algorithm: Algorithm
    material: Ed25519PublicKey | RSAPublicKey | bytes = field(repr=False)


class SigningKey:
    """The deployment's own key: Ed25519. `public` verifies what it signs; its id is its thumbprint (RFC 7638)."""

    __slots__ = ("_private", "_signer", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._signer = PyJWS(["EdDSA"])
        public = private.public_key()
        self.public = Key(_thumbprint(public), "EdDSA", public)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token with these claims."""
        return self._signer.encode(msgspec.json.encode(claims), self._private, "EdDSA", {"kid": self.public.id})


def read_signing_key(path: Path) -> SigningKey:
    """Return the key in a PEM file; raise KeysError where it cannot be used or others may read it."""
    way_out = "name another with COMMONWATT_TOKEN_KEY, or make one: openssl genpkey -algorithm ed25519"
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(_MAX_PEM_BYTES)
    except OSError as error:
        raise KeysError(f"the key for tokens, {path}, is not readable ({error.strerror}): {way_out}") from None
    if os.name == "posix" and mode & 0o007:
        raise KeysError(
            f"the key for tokens, {path}, is open to every user of this machine (mode {mode & 0o777:04o}): "
            f"whoever read it can sign tokens; chmod 600 it, or better make a new one, which ends all tokens"
        )
    try:
        private = load_pem_private_key(pem, None)
    except TypeError:
        raise KeysError(f"the key for tokens, {path}, is encrypted with a password: {way_out}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeysError(f"the key for tokens, {path}, is no private key in PEM: {way_out}") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise KeysError(f"the key for tokens, {path}, is of another kind than Ed25519: {way_out}")
    return SigningKey(private)


def ensure_signing_key(path: Path) -> SigningKey:
    """Return the key in a PEM file, made if there is none; of several processes at once all get the same.

    Raises KeysError.
    """
    if not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise KeysError(
                f"the key for tokens, {path}, cannot be made ({error.strerror}): choose another folder with "
                "--data-dir, or name a key with COMMONWATT_TOKEN_KEY"
            ) from None
    return read_signing_key(path)


def secret_key(secret: str) -> Key:
    """Return the key that a secret is, for HS256; raise KeysError, which never shows it."""
    material = secret.encode()
    if len(material) < MIN_SECRET_BYTES:
        raise KeysError(f"the secret for tokens has {len(material)} bytes; it must have {MIN_SECRET_BYTES} at least")
    try:
        PyJWS(["HS256"]).get_algorithm_by_name("HS256").prepare_key(material)
    except InvalidKeyError:
        raise KeysError("the secret for tokens is a public key or a certificate, which is no secret") from None
    return Key("", "HS256", material)


def parse_key_set(data: bytes) -> dict[str, Key]:
    """Return the keys of a JSON Web Key Set (RFC 7517) by their ids, of those with the same id the first.

    Ed25519 is for EdDSA, RSA of 2048 to 8192 bits for RS256. Keys of other kinds, or for another
    use, are left out, and symmetric ones always. Raises KeysError where none is left.
    """
    if len(data) > MAX_SET_BYTES:
        raise KeysError(f"it is larger than {MAX_SET_BYTES} bytes")
    try:
        members = msgspec.json.decode(data, type=_Set).keys
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise KeysError('it is no JSON Web Key Set; expected {"keys": [...]}') from None
    keys: dict[str, Key] = {}
    for member in members:
        key = _key(member)
        if key is not None:
            keys.setdefault(key.id, key)
    if not keys:
        raise KeysError("it holds no key that could be used: Ed25519, or RSA of 2048 to 8192 bits")
    return keys


class _Set(msgspec.Struct):
    keys: list[Any]


class _Member(msgspec.Struct):
    kty: str
    kid: Annotated[str, msgspec.Meta(max_length=256)] = ""
    use: str = "sig"
    key_ops: tuple[str, ...] = ("verify",)
    alg: str = ""
    crv: str = ""
    x: str = ""
    n: str = ""
    e: str = ""


def _key(found: Any) -> Key | None:
    try:
        member = msgspec.convert(found, _Member)
        if member.use != "sig" or "verify" not in member.key_ops:
            return None
        if (member.kty, member.crv) == ("OKP", "Ed25519") and member.alg in ("", "EdDSA", "Ed25519"):
            return Key(member.kid, "EdDSA", Ed25519PublicKey.from_public_bytes(_bytes(member.x)))
        if member.kty == "RSA" and member.alg in ("", "RS256"):
            modulus, exponent = (int.from_bytes(_bytes(text), "big") for text in (member.n, member.e))
            if modulus.bit_length() in _RSA_BITS:
                return Key(member.kid, "RS256", RSAPublicNumbers(exponent, modulus).public_key())
    except (msgspec.MsgspecError, ValueError, UnsupportedAlgorithm):
        pass
    return None


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _thumbprint(key: Ed25519PublicKey) -> str:
    x = _text(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    return _text(hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _make(path: Path) -> None:
    """Write a new key to a path where there is none, whole or not at all; leave one that another process made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # in one step, and never over another
            log.info("made a key for tokens", path=str(path))
    finally:
        draft.unlink()
