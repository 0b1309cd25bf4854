"""Signing in: who asks becomes what they may reach; nobody is let in who does not say who they are.

The guard keeps an eye on connections that stay open: their tokens end or are revoked, and what
the registry lets them see changes.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Protocol

import structlog

from bus.community import Community
from resolvers.access import Viewer
from resolvers.directory import Directory
from resolvers.errors import NotReadyError
from resolvers.seen_alerts import SeenAlerts
from schema.build import make_reference
from schema.context import Context
from server.tokens import TokenError, Tokens

log = structlog.get_logger(__name__)

JITTER_S: Final = 4
"""Connections whose tokens end in the same second are closed spread over so many, not all at once."""
_LOOK_S: Final = 1.0
_BEARER: Final = "bearer "


class RefusedError(Exception):
    """Raised when somebody is not let in; it says nothing about why."""

    def __init__(self) -> None:
        super().__init__("sign in: send a valid token (Authorization: Bearer ...)")


class SignIn:
    """Lets people in. `tokens` None: sign-in is off, everybody sees everything. `everything` is what there is."""

    def __init__(self, tokens: Tokens | None, everything: Context, directory: Directory) -> None:
        self._tokens = tokens
        self._everything = everything
        self._directory = directory

    def enter(self, token: str | None) -> Context:
        """Return what the bearer of a token may reach; raise RefusedError."""
        if self._tokens is None:
            return self._everything
        if not token:
            raise RefusedError
        try:
            viewer = self._tokens.verify(token)
        except TokenError as error:
            log.info("token refused", reason=str(error))
            raise RefusedError from None
        view = self._directory.seen_by(viewer)
        alerts = SeenAlerts(self._everything.alerts, view)
        return replace(self._everything, directory=view, alerts=alerts, viewer=viewer)

    def is_revoked(self, viewer: Viewer) -> bool:
        """Say whether the token that a viewer came with was revoked."""
        return self._tokens is not None and self._tokens.is_revoked(viewer)

    def renew(self, context: Context, token: str) -> Context:
        """Return what the bearer of a newer token of the same viewer may reach; raise RefusedError."""
        renewed = self.enter(token)
        before, after = context.viewer, renewed.viewer
        if before is not None and after is not None and _identity(before) != _identity(after):
            log.info("token refused", reason="it renews a connection of somebody else")
            raise RefusedError
        return renewed


def bearer(authorization: str | None) -> str | None:
    """Return the token of an Authorization header; None if it carries none."""
    if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
        return None
    return authorization[len(_BEARER) :].strip() or None


def token_of(payload: dict[str, Any] | None, header: str | None) -> str | None:
    """Return the token of a connection_init: `token` or `Authorization` of its payload, else the request's header."""
    given = payload or {}
    token = given.get("token")
    if isinstance(token, str):
        return token
    for name in ("Authorization", "authorization"):
        if isinstance(value := given.get(name), str):
            return bearer(value)
    return bearer(header)


def _identity(viewer: Viewer) -> Viewer:
    return replace(viewer, token="", expires_ms=0)


class Guest(Protocol):
    """A connection that stays open."""

    @property
    def viewer(self) -> Viewer | None:
        """Who it belongs to; None: sign-in is off."""

    def recheck(self) -> None:
        """End what its viewer may not see any more."""

    def expire(self) -> None:
        """End it: its token has ended or was revoked."""


class Guard:
    """The connections that are open, by the second in which their tokens end; `run` must run beside it.

    `is_revoked` says whether the token that a viewer came with counts no more.
    """

    def __init__(
        self, directory: Directory, *, now_ms: Callable[[], int], is_revoked: Callable[[Viewer], bool] = lambda _: False
    ) -> None:
        self._directory = directory
        self._now_ms = now_ms
        self._is_revoked = is_revoked
        self._guests: dict[Guest, int] = {}
        self._ends: dict[int, dict[Guest, None]] = {}
        self._known: dict[str, Community] = {}

    def enter(self, guest: Guest) -> None:
        """Look after a connection, or look at its token anew; end it at once if that was revoked meanwhile."""
        self.leave(guest)
        if guest.viewer is None:
            return
        if self._is_revoked(guest.viewer):
            self._end(guest)
            return
        end = 0
        if guest.viewer.expires_ms:
            jitter = random.randrange(JITTER_S)  # noqa: S311 - spreads load, guards nothing
            end = guest.viewer.expires_ms // 1000 + 1 + jitter
            self._ends.setdefault(end, {})[guest] = None
        self._guests[guest] = end

    def leave(self, guest: Guest) -> None:
        """Forget a connection."""
        end = self._guests.pop(guest, None)
        if end and (due := self._ends.get(end)) is not None:
            due.pop(guest, None)
            if not due:
                del self._ends[end]

    def revoked(self, token: str) -> None:
        """End the connections of a token, by its id."""
        for guest in [one for one in self._guests if one.viewer is not None and one.viewer.token == token]:
            self._end(guest)

    async def run(self) -> None:
        """Look at the time and at the registry every second, for ever."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_S)

    def look(self) -> None:
        """End the connections whose tokens have ended; recheck those whose communities have changed."""
        now_s = self._now_ms() // 1000
        for end in [end for end in self._ends if end <= now_s]:
            for guest in list(self._ends.get(end, ())):
                self._end(guest)
        try:
            known = {community.id: community for community in self._directory.communities()}
        except NotReadyError:
            return
        before, self._known = self._known, known
        changed = {id for id in before.keys() | known.keys() if before.get(id) is not known.get(id)}
        if changed:
            for guest in list(self._guests):
                if guest.viewer is None or guest.viewer.community not in (None, *changed):
                    continue
                if not _is_done(guest.recheck):
                    self._end(guest)

    def _end(self, guest: Guest) -> None:
        self.leave(guest)
        _is_done(guest.expire)


def _is_done(work: Callable[[], None]) -> bool:
    """Do it, and say whether it was done: one connection that cannot be looked at keeps no other one in."""
    try:
        work()
    except Exception as error:
        log.error("internal error", reference=make_reference(), exc_info=error)
        return False
    return True
