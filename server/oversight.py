"""The operator's page at /community: its files, and where they are served.

What it shows it asks of /graphql, like every client; the charts are drawn by a library that the
build of the front end puts beside GraphiQL.
"""

from pathlib import Path
from typing import Final

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Mount, Route

from server.files import Files
from server.headers import POLICY_NOTHING

COMMUNITY: Final = Path(__file__).parent / "community"
"""The page's files, and its trusted documents."""

_POLICY: Final = f"{POLICY_NOTHING}; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"
_PACKED: Final = [Middleware(GZipMiddleware, minimum_size=512)]


def community_routes() -> list[BaseRoute]:
    """Return the routes of the page."""
    return [
        Route("/community", lambda _: RedirectResponse("/community/")),
        Mount("/community", Files(COMMUNITY, policy=_POLICY, html=True), middleware=_PACKED),
    ]
