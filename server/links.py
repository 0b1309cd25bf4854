"""Links: addresses of statements that open without a token, for a few minutes, and nothing else.

A browser that follows a link sends no header, and a token of the viewer does not belong into an address. So
the address carries a ticket: signed with the deployment's key, for the one statement, named as no
token is, so that it signs nobody in.
"""

from collections.abc import Callable
from typing import Final, Literal
from urllib.parse import quote

import msgspec
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from resolvers.access import Viewer
from resolvers.statements import StatementLinks
from server.tokens import Tokens

LIFE_S: Final = 300
"""How long a link opens, at the least."""
TICKET: Final = "ticket"
"""The parameter of an address that holds it."""
_MINUTE_S: Final = 60
_MAX_TICKET: Final = 2048
_AUDIENCE: Final = "commonwatt statement"


class LinkError(Exception):
    """Raised when a link does not open, or not any more; the text may be shown to whoever followed it."""


class _Ticket(msgspec.Struct, frozen=True):
    aud: Literal["commonwatt statement"]
    home: str
    month: str
    exp: int
    jti: str


class Links:
    """Makes links and checks them. `tokens` None: sign-in is off, every link opens.

    `public_url` is where people reach the server; None: links are paths.
    """

    def __init__(self, tokens: Tokens | None, *, now_ms: Callable[[], int], public_url: str | None = None) -> None:
        self._tokens = tokens
        self._now_ms = now_ms
        self._public_url = (public_url or "").rstrip("/")
        self._verifier = PyJWS(["EdDSA"])

    def make(self, home: str, month: str, viewer: Viewer | None) -> StatementLinks:
        """Return links to the statement of a home, by the id that clients use, for somebody who may see it.

        They end with the viewer's token, and are the same for a minute, so that an answer with them is.
        """
        query, until = "", None
        if self._tokens is not None and viewer is not None:
            end_s = (self._now_ms() // 1000 // _MINUTE_S + 1) * _MINUTE_S + LIFE_S
            if viewer.expires_ms:
                end_s = min(end_s, viewer.expires_ms // 1000)
            claims = {"aud": _AUDIENCE, "home": home, "month": month, "exp": end_s, "jti": viewer.token}
            query, until = f"?{TICKET}={self._tokens.own.sign(claims)}", end_s * 1000
        place = f"{self._public_url}/statements/{quote(home)}/{quote(month)}"
        return StatementLinks(f"{place}.csv{query}", f"{place}.html{query}", until)

    def check(self, ticket: str, home: str, month: str) -> None:
        """Raise LinkError unless a ticket opens this statement, now."""
        if self._tokens is None:
            return
        own = self._tokens.own.public
        try:
            if len(ticket) > _MAX_TICKET:
                raise ValueError
            payload = self._verifier.decode_complete(ticket, own.material, [own.algorithm])["payload"]
            found = msgspec.json.decode(payload, type=_Ticket)
        except (PyJWTError, msgspec.MsgspecError, ValueError, RecursionError):
            raise LinkError("This link is not whole: open the statement from where you found it.") from None
        if (found.home, found.month) != (home, month):
            raise LinkError("This link is for another statement: open this one from where you found it.")
        if found.exp * 1000 <= self._now_ms():
            minutes = LIFE_S // 60
            raise LinkError(f"This link has ended: it opens for {minutes} minutes. Open the statement once more.")
        if found.jti and found.jti in self._tokens.revocations:
            raise LinkError("This link was revoked, with the token that it was made for.")
