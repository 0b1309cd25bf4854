"""What NATS refuses: told to whoever waits for it, else said in the log, with who may not do what.

NATS does not answer a request that it refuses; it sends an error beside it, which names the subject.
"""

import asyncio
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from nats.errors import AuthorizationError

from bus.connection import user_of
from bus.errors import ConfigurationError, RefusedError
from bus.settings import NatsSettings

log = structlog.get_logger(__name__)

Refused = asyncio.Future[RefusedError]

_SAY_EVERY_S: Final = 30.0
_MOST_SAID: Final = 100
_INBOX: Final = "_inbox"
_PERMISSION: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
_WHAT_TO_DO: Final = "give this process the key of a role that may (docs/nats.md)"


class Refusals:
    """What is refused on one connection."""

    def __init__(self, settings: NatsSettings) -> None:
        self._settings = settings
        self._watched: dict[str, list[tuple[str, Refused]]] = {}
        self._said: dict[str, float] = {}

    @contextmanager
    def watch(self, subjects: Iterable[str]) -> Iterator[Refused]:
        """Hand out a future that gets an error when NATS refuses one of these subjects, or to listen for answers."""
        refused: Refused = asyncio.get_running_loop().create_future()
        keys = {subject.lower(): subject for subject in subjects}
        for key, subject in keys.items():
            self._watched.setdefault(key, []).append((subject, refused))
        try:
            yield refused
        finally:
            for key, subject in keys.items():
                left = self._watched[key]
                left.remove((subject, refused))
                if not left:
                    del self._watched[key]

    def take(self, error: Exception) -> bool:
        """Take an error of the connection; return False where it is none of these."""
        text = str(error)
        if isinstance(error, AuthorizationError) or "authorization violation" in text.lower():
            if self._is_new("credentials"):
                log.error("NATS refuses the credentials", user=self._user(), what_to_do=_WHAT_TO_DO)
            return True
        found = _PERMISSION.search(text)
        if found is None:
            return False
        action, subject = found[1].lower(), found[2]
        if action == "publish":
            waiting = self._watched.get(subject.lower(), [])
        elif subject.lower().startswith(_INBOX):
            waiting = [one for watched in self._watched.values() for one in watched]
        else:
            waiting = []
        for asked, refused in waiting:
            if not refused.done():
                refused.set_result(self._error(asked if action == "publish" else subject, action))
        if not waiting and self._is_new(f"{action} {subject}"):
            # nats-py hands the subject out in lower case.
            log.error(
                "NATS refuses a subject", subject=subject, action=action, user=self._user(), what_to_do=_WHAT_TO_DO
            )
        return True

    def _error(self, subject: str, action: str) -> RefusedError:
        if action == "publish":
            return RefusedError(f"{self._user()} may not publish to {subject}: {_WHAT_TO_DO}", subject)
        return RefusedError(
            f"{self._user()} may not listen for answers on {subject}: set COMMONWATT_NATS_INBOX_PREFIX to an inbox "
            "that it may subscribe to (docs/nats.md)",
            subject,
        )

    def _user(self) -> str:
        try:
            return user_of(self._settings)
        except (ConfigurationError, OSError):  # the file of its key is gone meanwhile
            return f"the key of {self._settings.nkey_seed}"

    def _is_new(self, what: str) -> bool:
        now = time.monotonic()
        if now - self._said.get(what, -_SAY_EVERY_S) < _SAY_EVERY_S:
            return False
        if len(self._said) >= _MOST_SAID:
            self._said.clear()
        self._said[what] = now
        return True
