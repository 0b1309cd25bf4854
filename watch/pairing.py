"""Pairing as the machine sees it (RFC 8628): the phases, and what each answer makes of them.

Values cross this module; it asks nobody. Times are steady ms.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from watch.events import Code

FIRST_INTERVAL_MS: Final = 5_000
SLOWER_MS: Final = 5_000
SLOWEST_MS: Final = 60_000
_WAITING: Final = frozenset({"authorization_pending", "temporarily_unavailable"})
_OVER: Final = frozenset({"expired_token", "invalid_grant"})


class Phase(StrEnum):
    """How far pairing is."""

    ASKING = "asking"  # for a code
    SHOWING = "showing"  # the code
    DENIED = "denied"  # by a member
    EXPIRED = "expired"
    FAILED = "failed"  # this server pairs no watches


@dataclass(frozen=True, slots=True)
class Pairing:
    """What is shown, and what is polled with. `interval` in ms."""

    phase: Phase = Phase.ASKING
    code: str = ""
    uri: str = ""
    uri_complete: str | None = None
    device_code: str = ""
    interval: int = FIRST_INTERVAL_MS
    ends: int = 0
    reason: str = ""

    def showing(self, event: Code, steady: int) -> "Pairing":
        """Return it with a code to show."""
        return Pairing(
            phase=Phase.SHOWING,
            code=event.user_code,
            uri=event.verification_uri,
            uri_complete=event.verification_uri_complete,
            device_code=event.device_code,
            interval=event.interval * 1000,
            ends=steady + event.expires_in * 1000,
        )

    def denied(self, error: str) -> "Pairing":
        """Return it after an error of the server; the phase stays where polling goes on."""
        if error in _WAITING:
            return self
        if error == "slow_down":
            return replace(self, interval=min(SLOWEST_MS, self.interval + SLOWER_MS))
        if error == "access_denied":
            return Pairing(Phase.DENIED)
        if error in _OVER:
            return Pairing(Phase.EXPIRED)
        return Pairing(Phase.FAILED, reason=error)
