"""/graphql: GraphQL over HTTP, graphql-transport-ws, and GraphiQL for browsers.

Strawberry does the work; here is what it leaves open: messages and bodies of a wrong form are
answered by the protocol and never raise, errors of HTTP are JSON, and what is open is counted.
"""

from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec
import strawberry
from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.http.exceptions import NonJsonMessageReceived
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message

from schema.context import Context
from server.headers import POLICY_GRAPHIQL
from server.metrics import Metrics
from server.options import ServerOptions
from server.pages import message_page, prefers_html

_ENCODE: Final = msgspec.json.encode


class _Socket(ASGIWebSocketAdapter):
    """Counts messages, and lets in JSON objects only."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        try:
            async for message in super().iter_json(ignore_parsing_errors=ignore_parsing_errors):
                if not isinstance(message, dict):
                    raise NonJsonMessageReceived
                yield message
        except (ValueError, RecursionError) as error:
            raise NonJsonMessageReceived from error

    async def send_json(self, message: Mapping[str, object]) -> None:
        await super().send_json(message)
        view: Endpoint = self.view  # type: ignore[assignment]  # the adapter is generic, its view is ours
        view.metrics.messages_sent.inc()


class _Protocol(BaseGraphQLTransportWSHandler[Context, None]):
    """One socket's graphql-transport-ws."""

    view: "Endpoint"

    async def handle(self) -> None:
        with self.view.metrics.websockets.track_inprogress():
            await super().handle()

    async def handle_message(self, message: Message) -> None:
        fault = _fault(message)
        if fault is not None:
            await self.handle_invalid_message(fault)
        elif message["type"] == "connection_init" and message.get("payload") is None:
            await super().handle_message({"type": "connection_init"})
        else:
            await super().handle_message(message)

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        with self.view.metrics.subscriptions.track_inprogress():
            await super().run_operation(operation)


def _fault(message: Mapping[str, Any]) -> str | None:
    """Say what is wrong with the form of a message, or None."""
    kind, payload = message.get("type"), message.get("payload")
    if not isinstance(kind, str):
        return "Message needs a type"
    if kind in ("subscribe", "complete") and not (isinstance(message.get("id"), str) and message["id"]):
        return f"Message {kind} needs an id, a string that is not empty"
    if kind != "subscribe":
        return None
    if not isinstance(payload, dict) or not isinstance(payload.get("query"), str):
        return "Message subscribe needs a payload with a query, a string"
    if not isinstance(payload.get("variables"), dict | None):
        return "The variables of subscribe must be an object"
    if not isinstance(payload.get("operationName"), str | None):
        return "The operationName of subscribe must be a string"
    return None


class Endpoint(GraphQL[Context, None]):
    """The ASGI app at /graphql."""

    websocket_adapter_class = _Socket
    graphql_transport_ws_handler_class = _Protocol

    def __init__(self, schema: strawberry.Schema, context: Context, options: ServerOptions, metrics: Metrics) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=options.init_timeout_s),
            max_subscriptions_per_connection=options.max_operations,
            allowed_origins=options.allowed_origins,
        )
        self.metrics = metrics
        self._context = context
        self._options = options
        self._graphiql = options.static_directory / "graphiql" / "index.html"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
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
