"""What the settings say about signing in, as the server's tokens. No NATS here: revocations come later."""

import time
from pathlib import Path
from typing import Final

from bus.revocations import Revocations
from commonwatt.settings import Settings
from server.keys import SigningKey, ensure_signing_key, read_signing_key, secret_key
from server.keysets import KeyAddress, KeyFile
from server.tokens import Issuer, Tokens

KEY_FILE: Final = "token-key.pem"


def signing_key(settings: Settings) -> SigningKey:
    """Return the deployment's own key, made in the data directory if no other is named; raise KeysError."""
    if settings.token_key is not None:
        return read_signing_key(settings.token_key)
    return ensure_signing_key(settings.data_dir / KEY_FILE)


def tokens_of(settings: Settings) -> Tokens:
    """Return what issues and verifies tokens, its revocations not followed yet; raise KeysError."""
    issuer = None
    if settings.token_jwks:
        assert settings.token_issuer is not None
        assert settings.token_audience is not None
        jwks = settings.token_jwks
        keys = KeyAddress(jwks) if "://" in jwks else KeyFile(Path(jwks))
        issuer = Issuer(settings.token_issuer, settings.token_audience, keys)
    secret = None
    if settings.token_secret:
        secret = secret_key(settings.token_secret)
    return Tokens(signing_key(settings), Revocations(now_ms=now_ms), now_ms=now_ms, issuer=issuer, secret=secret)


def now_ms() -> int:
    """Return the time in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000
