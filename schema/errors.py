"""Errors at the edge: those meant for the client get a code, the unexpected is logged and masked.

`extensions.code` is one of

    NOT_FOUND             there is no such community or home
    UNAVAILABLE           the answer is not here yet: ask again in a moment
    OUT_OF_RANGE          a time range, number or cursor is not allowed: the message says which one is
    TOO_FEW_HOMES         a mean of so few homes that one of them could be told from it
    CURSOR_EXPIRED        alerts after the cursor are gone; `extensions.oldest` is the oldest cursor that works
    TOO_SLOW              alerts came faster than they were taken; resume after `extensions.cursor`
    PAIRING_REFUSED       whoever asks can have nothing to do with the pairing of devices
    PAIRING_CODE_UNKNOWN  no device waits with this code: it is wrong, expired, or was answered
    TOO_MANY_CODES        too many wrong codes: wait
    TOO_MANY_DEVICES      the home has as many devices as it may have: remove one
    DOCUMENT_TOO_DEEP     the document nests deeper than the server follows
    INTERNAL              anything else; `extensions.reference` is in the log too

GraphQL's own errors (syntax, validation, variables) pass as they are.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog
from graphql import GraphQLError
from strawberry.exceptions import StrawberryGraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from resolvers.errors import (
    CursorExpiredError,
    NotFoundError,
    NotReadyError,
    PairingError,
    TooManyCodesError,
    TooManyDevicesError,
    TooSlowError,
    UserCodeError,
)
from resolvers.history import OutOfRangeError, TooFewHomesError
from schema.scalars import show_cursor

log = structlog.get_logger(__name__)

_CODES: Final[dict[type[Exception], str]] = {
    NotFoundError: "NOT_FOUND",
    NotReadyError: "UNAVAILABLE",
    OutOfRangeError: "OUT_OF_RANGE",
    TooFewHomesError: "TOO_FEW_HOMES",
    PairingError: "PAIRING_REFUSED",
    UserCodeError: "PAIRING_CODE_UNKNOWN",
    TooManyCodesError: "TOO_MANY_CODES",
    TooManyDevicesError: "TOO_MANY_DEVICES",
}
_CLIENTS: Final = (GraphQLError, StrawberryGraphQLError, CannotGetOperationTypeError, InvalidOperationTypeError)


def translate(error: GraphQLError, make_reference: Callable[[], str]) -> GraphQLError:
    """Return the error as the client may see it; an error that was translated stays as it is."""
    cause = error.original_error
    if cause is None or isinstance(cause, _CLIENTS):
        return error
    if isinstance(cause, RecursionError):
        return _replace(error, "the document is nested too deeply", {"code": "DOCUMENT_TOO_DEEP"})
    if isinstance(cause, CursorExpiredError):
        return _replace(error, str(cause), {"code": "CURSOR_EXPIRED", "oldest": show_cursor(cause.oldest)})
    if isinstance(cause, TooSlowError):
        return _replace(error, str(cause), {"code": "TOO_SLOW", "cursor": show_cursor(cause.cursor)})
    code = _CODES.get(type(cause))
    if code is not None:
        return _replace(error, str(cause), {"code": code})
    reference = make_reference()
    log.error("internal error", reference=reference, path=error.path, exc_info=cause)
    message = f"internal error; quote the reference {reference}"
    return _replace(error, message, {"code": "INTERNAL", "reference": reference})


def _replace(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )
