"""Errors at the edge: those meant for the client get a code, the unexpected is logged and masked.

`extensions.code` is NOT_FOUND (no such community or home), UNAVAILABLE (ask again in a moment) or
INTERNAL (with `extensions.reference`, which the log has too). GraphQL's own errors pass as they are.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import structlog
from graphql import ExecutionResult as CoreResult
from graphql import GraphQLError
from strawberry.exceptions import StrawberryGraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult

from resolvers.errors import NotFoundError, NotReadyError

log = structlog.get_logger(__name__)

_CODES: Final[dict[type[Exception], str]] = {NotFoundError: "NOT_FOUND", NotReadyError: "UNAVAILABLE"}
_CLIENTS: Final = (GraphQLError, StrawberryGraphQLError, CannotGetOperationTypeError, InvalidOperationTypeError)


def translate(error: GraphQLError, make_reference: Callable[[], str]) -> GraphQLError:
    """Return the error as the client may see it."""
    cause = error.original_error
    if cause is None or isinstance(cause, _CLIENTS):
        return error
    code = _CODES.get(type(cause))
    if code is not None:
        return _replace(error, str(cause), {"code": code})
    reference = make_reference()
    log.error("internal error", reference=reference, path=error.path, exc_info=cause)
    return _replace(
        error, f"internal error; quote the reference {reference}", {"code": "INTERNAL", "reference": reference}
    )


def _replace(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )


class Translation(SchemaExtension):
    """Translates the errors of each result, streamed or not, before it leaves."""

    def __init__(self, make_reference: Callable[[], str]) -> None:
        self._make_reference = make_reference
        self._streams = False

    def on_operation(self) -> Iterator[None]:
        """Translate the errors of a result that is not streamed."""
        yield
        if not self._streams:
            self._translate(self.execution_context.result)

    def on_stream_result(self, result: object) -> Iterator[None]:
        """Translate the errors of one result of a stream."""
        self._streams = True
        self._translate(result)
        yield

    def _translate(self, result: object) -> None:
        if isinstance(result, (CoreResult, ExecutionResult)) and result.errors:
            result.errors = [translate(error, self._make_reference) for error in result.errors]
