"""Who signs in: a deployment's key, and tokens of its own."""

import time
from pathlib import Path

from bus.revocations import Revocations
from server.keys import ensure_signing_key
from server.tokens import Tokens, read_unverified

_HOUR_S = 3600


class Signing:
    """The key in a folder, named as `--data-dir` has it, and what it signs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ensure_signing_key(folder / "token-key.pem")
        self._tokens = self.tokens()

    def tokens(self) -> Tokens:
        """Return what one server verifies tokens with."""
        return Tokens(self._key, Revocations(now_ms=_now_ms), now_ms=_now_ms)

    def operator(self, community: str) -> str:
        """Return a token of the operator of a community."""
        return self._tokens.issue(subject="operator:", role="operator", community=community, ttl_s=_HOUR_S)

    def household(self, community: str) -> str:
        """Return a token of whoever lives in home-1 of a community."""
        return self._tokens.issue(subject="home:home-1", role="member", community=community, ttl_s=_HOUR_S)


def identify(token: str) -> tuple[str, int]:
    """Return the id of a token and when it ends, in ms since 1970 UTC."""
    _, claims = read_unverified(token)
    return claims["jti"], claims["exp"] * 1000


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
