"""Each way to fail has its standing, and one printable line that says why."""

import pytest
from gql.transport.exceptions import (
    TransportConnectionFailed,
    TransportProtocolError,
    TransportQueryError,
    TransportServerError,
)
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidMessage, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from watch.news import Link, Standing, printable
from watch.verdict import judge, judge_errors


def failed(cause: Exception) -> TransportConnectionFailed:
    error = TransportConnectionFailed("failed")
    error.__cause__ = cause
    return error


def closed(code: int, reason: str = "") -> TransportConnectionFailed:
    return failed(ConnectionClosedError(Close(code, reason), None))


def status(code: int) -> TransportConnectionFailed:
    return failed(InvalidStatus(Response(code, "", Headers())))


def cut_off() -> TransportConnectionFailed:
    error = InvalidMessage("did not receive a valid HTTP response")
    error.__cause__ = EOFError("stream ends after 0 bytes")
    return failed(error)


@pytest.mark.parametrize(
    ("error", "link"),
    [
        (failed(ConnectionRefusedError(111, "Connect call failed")), Link(Standing.GONE, "connection refused")),
        (failed(OSError("no such host")), Link(Standing.GONE, "no such host")),
        (failed(TimeoutError()), Link(Standing.GONE, "no answer in time")),
        (TimeoutError(), Link(Standing.GONE, "no answer in time")),
        (failed(ConnectionClosedError(None, None)), Link(Standing.GONE, "the connection broke")),
        (cut_off(), Link(Standing.GONE, "stream ends after 0 bytes")),
        (TransportServerError("no keep-alive"), Link(Standing.GONE, "no keep-alive")),
        (closed(1012), Link(Standing.GONE, "closed with 1012")),
        (closed(4403, "Forbidden"), Link(Standing.REFUSED, "closed with 4403: Forbidden")),
        (closed(4401), Link(Standing.REFUSED, "closed with 4401")),
        (closed(4400, "bad"), Link(Standing.FAULT, "closed with 4400: bad")),
        (closed(1009), Link(Standing.GARBAGE, "closed with 1009")),
        (status(401), Link(Standing.REFUSED, "HTTP status 401")),
        (status(503), Link(Standing.GONE, "HTTP status 503")),
        (status(429), Link(Standing.GONE, "HTTP status 429")),
        (status(404), Link(Standing.GARBAGE, "HTTP status 404, no WebSocket there")),
        (failed(InvalidMessage("not HTTP")), Link(Standing.GARBAGE, "not HTTP")),
        (TransportProtocolError("nonsense"), Link(Standing.GARBAGE, "nonsense")),
        (TransportQueryError("no", errors=None), Link(Standing.FAULT, "no")),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, Link) else "",
)
def test_a_failure_has_its_standing_and_reason(error: Exception, link: Link) -> None:
    assert judge(error) == link


@pytest.mark.parametrize(
    ("code", "standing"),
    [
        ("NOT_FOUND", Standing.UNKNOWN),
        ("UNAUTHENTICATED", Standing.REFUSED),
        ("FORBIDDEN", Standing.REFUSED),
        ("INTERNAL", Standing.FAULT),
        (["NOT_FOUND"], Standing.FAULT),
        (None, Standing.FAULT),
    ],
)
def test_the_code_of_an_error_decides(code: object, standing: Standing) -> None:
    errors = [{"message": "first"}, {"message": "second", "extensions": {"code": code}}]
    assert judge_errors(errors) == Link(standing, "first")


@pytest.mark.parametrize("errors", [[], [3], [{}], [{"message": 3}], [{"message": "x", "extensions": []}]])
def test_errors_of_no_form_are_a_fault(errors: list[object]) -> None:
    assert judge_errors(errors).standing is Standing.FAULT


def test_a_reason_is_one_printable_line() -> None:
    assert printable("a\x1b[31m\n\tb\u202ec") == "a [31m b c"
    assert printable("x" * 500) == "x" * 159 + "…"
