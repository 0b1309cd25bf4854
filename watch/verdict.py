"""What went wrong, in the words that a face knows.

Exceptions of gql and of the WebSocket below it come in, a Link goes out. It never retries and never logs; the
reason is one printable line.
"""

from collections.abc import Iterator
from typing import Any

from gql.transport.exceptions import TransportProtocolError, TransportQueryError, TransportServerError

from watch.news import Link, Standing, printable

_REFUSING_CODES = ("UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN")  # a tuple: what came may not be hashable
_UNAUTHORISED, _FORBIDDEN = 401, 403
_CLOSED_AS_REFUSED = frozenset({4401, 4403})  # graphql-transport-ws: Unauthorized, Forbidden
_CLOSED_OVER_NONSENSE = frozenset({1002, 1003, 1007, 1009})  # RFC 6455, 7.4.1
_PROTOCOL_CLOSES = range(4400, 4500)


def judge(error: BaseException) -> Link:
    """Return what `error`, raised by a gql transport, says about the link."""
    if isinstance(error, TransportQueryError):
        return judge_errors(error.errors or [], str(error))
    if isinstance(error, TransportProtocolError):
        return Link(Standing.GARBAGE, printable(str(error)))
    if isinstance(error, TransportServerError):
        return Link(Standing.GONE, printable(str(error)))
    return _judge_connection(error)


def judge_errors(errors: list[Any], fallback: str = "") -> Link:
    """Return what GraphQL errors without data say; the first that names a cause decides."""
    first = errors[0] if errors else {}
    message = first.get("message") if isinstance(first, dict) else None
    reason = printable(message if isinstance(message, str) else fallback)
    for error in errors:
        extensions = error.get("extensions") if isinstance(error, dict) else None
        code = extensions.get("code") if isinstance(extensions, dict) else None
        if code == "NOT_FOUND":
            return Link(Standing.UNKNOWN, reason)
        if code in _REFUSING_CODES:
            return Link(Standing.REFUSED, reason)
    return Link(Standing.FAULT, reason)


def _judge_connection(error: BaseException) -> Link:
    chain = list(_causes(error))
    for cause in chain:
        # The websockets library tells the close code in `rcvd` or `sent` and the HTTP status in `response`.
        closed = getattr(cause, "rcvd", None) or getattr(cause, "sent", None)
        if closed is not None:
            return _judge_close(int(closed.code), printable(str(closed.reason)))
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            return _judge_status(status)
    for cause in chain:
        if isinstance(cause, TimeoutError):
            return Link(Standing.GONE, "no answer in time")
        if isinstance(cause, ConnectionRefusedError):
            return Link(Standing.GONE, "connection refused")
        if isinstance(cause, (OSError, EOFError)):
            return Link(Standing.GONE, printable(str(cause) or type(cause).__name__))
    if hasattr(chain[-1], "rcvd"):  # closed without a close frame from either side
        return Link(Standing.GONE, "the connection broke")
    return Link(Standing.GARBAGE, printable(str(chain[-1]) or type(chain[-1]).__name__))


def _judge_close(code: int, reason: str) -> Link:
    told = f"closed with {code}" + (f": {reason}" if reason else "")
    if code in _CLOSED_AS_REFUSED:
        return Link(Standing.REFUSED, told)
    if code in _CLOSED_OVER_NONSENSE:
        return Link(Standing.GARBAGE, told)
    return Link(Standing.FAULT if code in _PROTOCOL_CLOSES else Standing.GONE, told)


def _judge_status(status: int) -> Link:
    told = f"HTTP status {status}"
    if status in (_UNAUTHORISED, _FORBIDDEN):
        return Link(Standing.REFUSED, told)
    if status == 429 or status >= 500:
        return Link(Standing.GONE, told)
    return Link(Standing.GARBAGE, f"{told}, no WebSocket there")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
