"""Refusals: what a client is told that is over a limit of the server, in GraphQL's form of an error.

Each names the limit and says what to do. Only values are here; who counts, and who answers, is not.
"""

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.types import Send

from server.handshake import Headers


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer to what is not taken."""

    status: int
    code: str
    message: str
    limit: str
    """The setting's name."""
    most: float
    retry_s: int = 0
    """After how many seconds to come back; 0: coming back does not help."""

    @property
    def body(self) -> bytes:
        """The answer as JSON."""
        extensions: dict[str, Any] = {"code": self.code, "limit": self.limit, "most": self.most}
        if self.retry_s:
            extensions["retryAfter"] = self.retry_s
        message = f"{self.message} ({self.limit})"
        return msgspec.json.encode({"errors": [{"message": message, "extensions": extensions}]})

    @property
    def headers(self) -> Headers:
        """The headers of the answer."""
        body = self.body
        headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        if self.retry_s:
            headers.append((b"retry-after", b"%d" % self.retry_s))
        return headers

    async def send(self, send: Send, kind: str = "http") -> None:
        """Send the answer to a request, or in place of a WebSocket (`kind` websocket.http)."""
        await send({"type": f"{kind}.response.start", "status": self.status, "headers": self.headers})
        await send({"type": f"{kind}.response.body", "body": self.body})


def too_many_connections(limit: str, most: int, where: str, way_out: str, retry_s: int) -> Refusal:
    """Return the refusal of one connection more."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if limit == "max_connections" else HTTPStatus.TOO_MANY_REQUESTS
    message = f"{most:,} connections are open {where}, as many as are allowed: {way_out}"
    return Refusal(status, "TOO_MANY_CONNECTIONS", message, limit, most, retry_s)


def too_many_requests(most: int, wait_s: float) -> Refusal:
    """Return the refusal of one request more from an address, which may come again after `wait_s`."""
    message = f"at most {most:,} requests a second are taken from one address: send fewer"
    retry_s = max(1, math.ceil(wait_s - 0.001))
    limit = "max_requests_per_second"
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", message, limit, most, retry_s)


def body_too_large(most: int) -> Refusal:
    """Return the refusal of a body."""
    message = f"the body of a request has at most {most:,} bytes: send less, or a document's id"
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "REQUEST_TOO_LARGE", message, "max_body_bytes", most)


def head_too_large(most: int) -> Refusal:
    """Return the refusal of a request's target and headers."""
    message = f"the target and the headers of a request have at most {most:,} bytes: send less, or POST"
    limit = "max_header_bytes"
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "REQUEST_TOO_LARGE", message, limit, most)


def too_slow(most_s: float) -> Refusal:
    """Return the refusal of a request that does not arrive."""
    message = f"a request must arrive within {most_s:g} s, its head and then its body: send it faster"
    return Refusal(HTTPStatus.REQUEST_TIMEOUT, "REQUEST_TIMEOUT", message, "request_timeout", most_s)


def too_many_waiting(most: int) -> Refusal:
    """Return the refusal of requests sent ahead of the answers to those before."""
    message = f"{most} requests wait for their answers on this connection already: wait for some"
    return Refusal(HTTPStatus.BAD_REQUEST, "TOO_MANY_REQUESTS", message, "pipelined requests", most)
