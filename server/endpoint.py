"""/graphql: GraphQL over HTTP, WebSockets, and GraphiQL for browsers.

Strawberry answers over HTTP; here is what it leaves open: bodies of a wrong form are answered
and never raise, and errors of HTTP are JSON.
"""

from typing import Any, Final

import msgspec
from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL

from schema.build import Schema
from schema.context import Context
from server.headers import POLICY_GRAPHIQL
from server.options import ServerOptions
from server.pages import message_page, prefers_html
from server.sockets import Sockets

_ENCODE: Final = msgspec.json.encode


class Endpoint(GraphQL[Context, None]):
    """The ASGI app at /graphql."""

    def __init__(self, schema: Schema, context: Context, options: ServerOptions, sockets: Sockets) -> None:
        super().__init__(schema, graphql_ide=None, subscription_protocols=())
        self._context = context
        self._options = options
        self._sockets = sockets
        self._graphiql = options.static_directory / "graphiql" / "index.html"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._sockets(scope, receive, send)
            return
        request = Request(scope, receive)
        if request.method == "GET" and "query" not in request.query_params and prefers_html(request.headers):
            response: Response = self._page()
        else:
            try:
                response = await self.run(request)
            except HTTPException as error:
                response = JSONResponse({"errors": [{"message": error.reason}]}, error.status_code)
        response.headers.setdefault("Vary", "Accept")
        await response(scope, receive, send)

    def should_render_graphql_ide(self, request: object) -> bool:
        """Never: the page is ours."""
        return False

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """Return what stands behind the fields."""
        return self._context

    def parse_json(self, data: str | bytes) -> Any:
        """Return the JSON object in a body or a parameter; null counts as an empty one."""
        try:
            value = self.decode_json(data)
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, "Unable to parse request body as JSON") from error
        if not isinstance(value, dict | list | None):
            raise HTTPException(400, "Expected a JSON object")
        return {} if value is None else value

    def encode_json(self, data: object) -> str:
        """Return JSON as text: binary messages are no part of graphql-transport-ws."""
        return _ENCODE(data).decode()

    def _page(self) -> Response:
        if not self._options.development:
            return message_page(
                "GraphQL", "This address speaks GraphQL. GraphiQL is shown by a server in development mode only.", 404
            )
        if not self._graphiql.is_file():
            return message_page("GraphiQL is not built", "Run `make setup` in the project's folder, then reload.", 503)
        headers = {"Content-Security-Policy": POLICY_GRAPHIQL, "Cache-Control": "no-cache"}
        return FileResponse(self._graphiql, headers=headers)
