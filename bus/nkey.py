"""Nkeys: the Ed25519 keys with which our own processes sign in to NATS. The seed never leaves its file."""

import secrets
from pathlib import Path
from typing import Final

import nkeys  # type: ignore[import-untyped]  # it comes without types

from bus.errors import ConfigurationError

_SEED_BYTES: Final = 32


class NkeyError(ConfigurationError):
    """Raised when a file holds no nkey seed."""


def new_nkey() -> tuple[str, str]:
    """Return the seed and the public key of a new user."""
    seed = nkeys.encode_seed(secrets.token_bytes(_SEED_BYTES), nkeys.PREFIX_BYTE_USER).decode("ascii")
    return seed, _public(seed)


def public_nkey(path: Path) -> str:
    """Return the public key of the seed in a file; raise NkeyError, or OSError where it is not readable."""
    try:
        return _public(path.read_text("ascii").strip())
    except (ValueError, nkeys.NkeysError):
        raise NkeyError(
            f"{path} holds no nkey seed, which is one line that begins with SU: "
            "commonwatt nats keys makes one for each role"
        ) from None


def _public(seed: str) -> str:
    public: str = nkeys.from_seed(bytearray(seed, "ascii")).public_key.decode("ascii")
    return public
