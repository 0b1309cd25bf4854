"""GraphQL over HTTP, by its specification (https://graphql.github.io/graphql-over-http/draft/).

Requests come in, with one operation each, and answers go out; event streams are left to
`server.sse`. Nothing is known here of WebSockets and pages.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from graphql import GraphQLSchema, OperationType
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from schema.context import Context
from schema.operations import OperationError
from server import documents
from server.documents import Documents, Request
from server.etag import matches, max_age_s, weak_etag
from server.execution import Executor, Result, refusal
from server.negotiation import EVENTS, JSON, RESPONSE, compress, media_type

METHODS: Final = "GET, HEAD, POST"
VARY: Final = "Accept, Accept-Encoding, Authorization"

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.encode


class RequestError(Exception):
    """Raised when a request is not one of GraphQL over HTTP; the text says what it should be."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self._code = code

    @property
    def response(self) -> Response:
        """The answer that says so."""
        headers = {
            401: {"WWW-Authenticate": "Bearer"},
            405: {"Allow": METHODS},
            503: {"Retry-After": "1"},
        }.get(self.status)
        error: dict[str, Any] = {"message": str(self)}
        if self._code is not None:
            error["extensions"] = {"code": self._code}
        body = _encode({"errors": [error]})
        return Response(body, self.status, headers, f"{JSON}; charset=utf-8")


async def read_parameters(request: HttpRequest) -> Mapping[str, Any]:
    """Return the parameters of a request, of the right form; raise RequestError."""
    if request.method in ("GET", "HEAD"):
        parameters = _query_parameters(request)
    elif request.method == "POST":
        parameters = await _body_parameters(request)
    else:
        raise RequestError(405, f"{request.method} is not allowed; use one of {METHODS}")
    fault = documents.fault(parameters)
    if fault is not None:
        raise RequestError(400, fault)
    return parameters


class Answers:
    """Answers requests with one result."""

    def __init__(self, schema: GraphQLSchema, documents: Documents, executor: Executor) -> None:
        self._schema = schema
        self._documents = documents
        self._executor = executor

    def open(
        self, request: HttpRequest, parameters: Mapping[str, Any], context: Context
    ) -> tuple[str, Request | Result]:
        """Return the media type of the answer, and the operation or what is to be said instead; raise RequestError."""
        accept = ",".join(request.headers.getlist("accept")) if "accept" in request.headers else None
        kind = media_type(accept, (JSON, RESPONSE, EVENTS))
        if kind is None:
            raise RequestError(406, f"accept one of {RESPONSE}, {JSON} and, for subscriptions, {EVENTS}")
        try:
            opened = self._documents.open(parameters, operator=documents.is_operator(context))
        except OperationError as error:
            return kind, refusal(error.errors)
        asked = opened.operation.node.operation
        if asked is OperationType.SUBSCRIPTION and kind != EVENTS:
            kind = media_type(accept, (EVENTS,)) or kind
        streamed = asked is OperationType.SUBSCRIPTION and kind == EVENTS
        if request.method != "POST" and asked is not OperationType.QUERY and not streamed:
            raise RequestError(405, f"GET is for queries; use POST for a {asked.value}")
        if asked is OperationType.SUBSCRIPTION and not streamed:
            raise RequestError(406, f"a subscription is answered as {EVENTS}, or over a WebSocket: accept it")
        return kind, opened

    async def answer(self, request: HttpRequest, kind: str, opened: Request | Result, context: Context) -> Response:
        """Return the response in a JSON media type."""
        if isinstance(opened, Result):
            return self._response(request, kind, opened, {})
        result = await self._executor.run(opened.query, opened.name, opened.variables, context)
        headers: dict[str, str] = {}
        if request.method != "POST" and not result.errors:
            tag = weak_etag(self._schema, opened.operation, result.data)
            headers = {"ETag": tag, "Cache-Control": f"private, max-age={max_age_s(opened.operation)}"}
            if matches(request.headers.get("if-none-match"), tag):
                return Response(None, 304, headers | {"Vary": VARY})
        return self._response(request, kind, result, headers)

    def _response(self, request: HttpRequest, kind: str, result: Result, headers: dict[str, str]) -> Response:
        status = 200
        if not result.executed and kind == RESPONSE:
            codes = {(error.extensions or {}).get("code") for error in result.errors}
            status = 500 if "INTERNAL" in codes else 403 if "DOCUMENT_NOT_TRUSTED" in codes else 400
        body = result.json
        headers["Vary"] = VARY
        packed = compress(body, request.headers.get("accept-encoding"))
        if packed is not None:
            headers["Content-Encoding"], body = packed
        return Response(body, status, headers, f"{kind}; charset=utf-8")


def _query_parameters(request: HttpRequest) -> dict[str, Any]:
    given = request.query_params
    parameters: dict[str, Any] = {}
    for name, value in given.multi_items():
        if name in parameters:
            raise RequestError(400, f"the parameter {name!r:.40} is given twice")
        parameters[name] = value
    for name in ("variables", "extensions"):
        if name in parameters:
            try:
                parameters[name] = _decode(parameters[name])
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                raise RequestError(400, f"the parameter {name} must be JSON") from None
    return parameters


async def _body_parameters(request: HttpRequest) -> dict[str, Any]:
    kind, *options = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charsets = [option.removeprefix("charset=").strip('"') for option in options if option.startswith("charset=")]
    if kind != JSON or any(charset not in ("utf-8", "utf8") for charset in charsets):
        raise RequestError(415, f"the content type must be {JSON}, in UTF-8")
    try:
        body = _decode(await request.body())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise RequestError(400, "the body must be JSON") from None
    if isinstance(body, list):
        raise RequestError(400, "the body must be one JSON object: batches are not answered")
    if not isinstance(body, dict):
        raise RequestError(400, "the body must be a JSON object")
    return body
