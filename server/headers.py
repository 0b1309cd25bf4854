"""Security headers: on every response, a content security policy for each kind of page, and who may read it elsewhere.

Nothing of ours runs inline or comes from another host, so each policy begins with `'none'`.
"""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from strawberry.http.websocket_origin import normalize_allowed_origins

_CLOSED: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

POLICY_NOTHING: Final = _CLOSED
"""For what is no page."""

POLICY_GRAPHIQL: Final = (
    f"{_CLOSED}; script-src 'self'; worker-src 'self'; connect-src 'self'; "
    # Monaco positions each line by a style attribute.
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'"
)
"""For GraphiQL, and for its workers, which take their policy from their own response."""

POLICY_WATCH: Final = (
    f"{_CLOSED}; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; manifest-src 'self'"
)
"""For the watch page."""

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_UNLESS_SAID: Final = {"Content-Security-Policy": POLICY_NOTHING, "Cache-Control": "no-store"}
_OVER_TLS: Final = "max-age=31536000"
"""For the host alone: what else its domain serves is not known here."""
_CORS_S: Final = 7200


def raw_security_headers() -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer that no application gives."""
    return [(name.lower().encode(), value.encode()) for name, value in (_ALWAYS | _UNLESS_SAID).items()]


def cross_origin(origins: tuple[str, ...]) -> list[Middleware]:
    """Return what lets pages of these origins ask and read answers; nothing for none.

    Never with credentials: who asks says so by a header, so a browser has nothing to add by itself.
    """
    if not origins:
        return []
    allowed = sorted(normalize_allowed_origins(origins))
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=allowed,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("Authorization", "Content-Type", "If-None-Match", "Last-Event-ID"),
            expose_headers=("ETag", "Retry-After"),
            max_age=_CORS_S,
        )
    ]


class SecurityHeaders:
    """Adds the headers to each HTTP response; policy and caching only where the response says nothing.

    Over TLS, be it ended by a proxy that says so, browsers are told to come over TLS from then on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_ALWAYS)
                for name, value in _UNLESS_SAID.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers["Strict-Transport-Security"] = _OVER_TLS
            await send(message)

        await self._app(scope, receive, add if scope["type"] == "http" else send)
