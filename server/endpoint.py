"""/graphql: GraphQL over HTTP, event streams, WebSockets, and GraphiQL for browsers."""

from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from schema.context import Context
from server.census import Census, FullError
from server.drain import Drain
from server.gate import counted_token, visiting
from server.headers import POLICY_GRAPHIQL
from server.http import Answers, RequestError, read_parameters
from server.negotiation import EVENTS
from server.options import ServerOptions
from server.pages import message_page, prefers_html
from server.signin import RefusedError, SignIn, bearer
from server.sockets import Sockets
from server.sse import Streams

_ENDING: Final = "the server is ending: come back in a moment"
_DOCUMENTS = ("query", "documentId", "extensions")


class Endpoint:
    """The ASGI app at /graphql."""

    def __init__(
        self,
        sign_in: SignIn,
        answers: Answers,
        streams: Streams,
        sockets: Sockets,
        options: ServerOptions,
        drain: Drain,
        census: Census,
    ) -> None:
        self._sign_in = sign_in
        self._drain = drain
        self._census = census
        self._answers = answers
        self._streams = streams
        self._sockets = sockets
        self._options = options
        self._graphiql = options.static_directory / "graphiql" / "index.html"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or one WebSocket."""
        if scope["type"] != "http":
            if self._drain.began:
                await receive()
                await _decline(send)
                return
            await self._sockets(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            if _is_for_people(request):
                response = self._page()
                response.headers.setdefault("Vary", "Accept")
            else:
                self._enter(request)  # before anything is read of what a stranger sends
                parameters = await read_parameters(request)
                context = self._enter(request)  # a token can end while a body comes in
                kind, opened = self._answers.open(request, parameters, context)
                if kind == EVENTS:
                    if self._drain.began:
                        raise RequestError(503, _ENDING)
                    with visiting(self._census, scope, counted_token(context)):
                        await self._streams.run(opened, context, request.headers.get("last-event-id"), receive, send)
                    return
                response = await self._answers.answer(request, kind, opened, context)
        except RequestError as error:
            response = error.response
        except FullError as error:
            await error.refusal.send(send)
            return
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _enter(self, request: Request) -> Context:
        try:
            return self._sign_in.enter(bearer(request.headers.get("authorization")))
        except RefusedError as error:
            raise RequestError(401, str(error), "UNAUTHENTICATED") from None

    def _page(self) -> Response:
        if not self._options.development:
            return message_page(
                "GraphQL", "This address speaks GraphQL. GraphiQL is shown by a server in development mode only.", 404
            )
        if not self._graphiql.is_file():
            return message_page("GraphiQL is not built", "Run `make setup` in the project's folder, then reload.", 503)
        headers = {"Content-Security-Policy": POLICY_GRAPHIQL, "Cache-Control": "no-cache"}
        return FileResponse(self._graphiql, headers=headers)


async def _decline(send: Send) -> None:
    """Answer the request for a WebSocket: not here, not now."""
    headers = [(b"retry-after", b"1"), (b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "websocket.http.response.start", "status": 503, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": _ENDING.encode()})


def _is_for_people(request: Request) -> bool:
    """Say whether a browser shows what comes: GET, no document, and HTML preferred."""
    asks = any(name in request.query_params for name in _DOCUMENTS)
    return request.method in ("GET", "HEAD") and not asks and prefers_html(request.headers)
