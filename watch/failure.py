"""What a library raised, as an event: exceptions of gql, websockets and aiohttp come in, a Lost goes out.

It never retries and never logs; the reason is one printable line.
"""

from collections.abc import Iterator

import aiohttp
from gql.transport.exceptions import TransportProtocolError, TransportServerError

from watch.events import Lost
from watch.text import printable

NO_ANSWER = "no answer in time"


def lost(error: BaseException | None) -> Lost:
    """Return what `error`, raised while connected or connecting, says; None: the connection just ended."""
    if error is None:
        return Lost(reason="the connection ended")
    if isinstance(error, TransportProtocolError):
        return Lost(garbage=True, reason=printable(str(error)))
    if isinstance(error, TransportServerError):
        return Lost(reason=printable(str(error)))
    chain = list(_causes(error))
    for cause in chain:
        # The websockets library tells the close code in `rcvd` or `sent` and the HTTP status in `response`.
        closed = getattr(cause, "rcvd", None) or getattr(cause, "sent", None)
        if closed is not None:
            told = f"closed with {closed.code}" + (f": {printable(str(closed.reason))}" if closed.reason else "")
            return Lost(close=int(closed.code), reason=told)
        response = getattr(cause, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(status, int):
            after = getattr(response, "headers", {}).get("Retry-After", "")
            return lost_by_status(status, "no WebSocket there", retry_ms(after))
    for cause in reversed(chain):  # what happened first says it best
        if isinstance(cause, TimeoutError):
            return Lost(reason=NO_ANSWER)
        if isinstance(cause, ConnectionRefusedError):
            return Lost(reason="connection refused")
        if isinstance(cause, (OSError, EOFError)):
            return Lost(reason=printable(str(cause) or type(cause).__name__))
        if isinstance(cause, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)):
            return Lost(reason="the connection broke")
    if hasattr(chain[-1], "rcvd"):  # closed without a close frame from either side
        return Lost(close=1006, reason="the connection broke")
    return Lost(garbage=True, reason=printable(str(chain[-1]) or type(chain[-1]).__name__))


def lost_by_status(status: int, instead: str, retry: int = 0) -> Lost:
    """Return what an HTTP status says that nobody hoped for; `instead`: what is not there, where it is not."""
    missing = status not in (401, 403, 429) and status < 500
    return Lost(status=status, reason=f"HTTP status {status}" + (f", {instead}" if missing else ""), retry=retry)


def retry_ms(after: str) -> int:
    """Return how long the server wants to be left alone by its Retry-After, in ms, an hour at most."""
    return 1000 * min(3600, int(after[:9])) if after.isascii() and after.isdecimal() else 0


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
