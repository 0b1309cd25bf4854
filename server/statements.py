"""/statements/<home>/<month>.csv and .html: a month of a home, for whoever may see it.

Whoever asks has a token in the header Authorization, or came by a link (`server.links`).
"""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from resolvers.directory import Directory, Household, View
from resolvers.errors import NotFoundError, NotReadyError, ResolverError
from resolvers.history import OutOfRangeError
from resolvers.statement import Statement
from resolvers.statements import Statements
from resolvers.turns import Turns
from server.links import TICKET, LinkError, Links
from server.pages import message_page
from server.signin import RefusedError, SignIn, bearer
from server.statement_page import policy, show_page
from server.statement_table import show_csv

Form = Literal["csv", "html"]

_STATUS: Final[dict[type[ResolverError], int]] = {NotFoundError: 404, OutOfRangeError: 400, NotReadyError: 503}


class StatementEndpoint:
    """Answers requests for statements. `directory` knows all homes, `sign_in` who may see which of them."""

    def __init__(
        self,
        statements: Statements,
        links: Links,
        sign_in: SignIn,
        directory: Directory,
        turns: Turns,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._statements = statements
        self._links = links
        self._sign_in = sign_in
        self._directory = directory
        self._turns = turns
        self._now_ms = now_ms

    @property
    def routes(self) -> list[BaseRoute]:
        """Where it answers."""
        return [
            Route("/statements/{home}/{month}.csv", self.show_csv),
            Route("/statements/{home}/{month}.html", self.show_page),
        ]

    async def show_csv(self, request: Request) -> Response:
        """Answer with CSV, to be kept as a file."""
        found = await self._find(request, "csv")
        if isinstance(found, Response):
            return found
        body = await asyncio.to_thread(show_csv, found)
        name = f"{found.key}-{found.month}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(body, headers=headers, media_type="text/csv; charset=utf-8; header=present")

    async def show_page(self, request: Request) -> Response:
        """Answer with the page."""
        found = await self._find(request, "html")
        if isinstance(found, Response):
            return found
        link = f"{found.month}.csv" + (f"?{request.url.query}" if request.url.query else "")
        body = await asyncio.to_thread(show_page, found, made_ms=self._now_ms(), csv_link=link)
        return Response(body, headers={"Content-Security-Policy": policy()}, media_type="text/html; charset=utf-8")

    async def _find(self, request: Request, form: Form) -> Statement | Response:
        """Return the statement that is asked for, or the answer that says why there is none."""
        home, month = request.path_params["home"], request.path_params["month"]
        try:
            view, who = self._enter(request, home, month)
            household: Household = view.household(home)
            async with self._turns.turn(who):
                found = await self._statements.statement(household, month)
        except RefusedError:
            return _refusal(form, 401, "Sign in", "Send a token in the header Authorization, or follow a fresh link.")
        except LinkError as error:
            return _refusal(form, 403, "This link does not open", str(error))
        except (NotFoundError, OutOfRangeError, NotReadyError) as error:
            return _refusal(form, _STATUS[type(error)], "No statement", f"{str(error)[:1].upper()}{str(error)[1:]}.")
        if found is None:
            return _refusal(form, 404, "No statement", f"Nothing is settled of {month} yet.")
        return found

    def _enter(self, request: Request, home: str, month: str) -> tuple[View, str]:
        """Return what whoever asks may see, and who it is; raise RefusedError or LinkError."""
        ticket = request.query_params.get(TICKET)
        if ticket is not None and "authorization" not in request.headers:
            self._links.check(ticket, home, month)
            return self._directory, f"link to {home}"
        context = self._sign_in.enter(bearer(request.headers.get("authorization")))
        return context.directory, context.viewer.subject if context.viewer else ""


def _refusal(form: Form, status: int, title: str, text: str) -> Response:
    response = message_page(title, text, status) if form == "html" else PlainTextResponse(f"{text}\n", status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    elif status == 503:
        response.headers["Retry-After"] = "1"
    return response
