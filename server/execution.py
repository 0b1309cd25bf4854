"""Executing operations once they are open: results as JSON, ready for any transport."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec
from graphql import GraphQLError
from strawberry.types.execution import PreExecutionError

from schema.build import Schema
from schema.context import Context


class Result(NamedTuple):
    """A GraphQL response."""

    json: bytes
    data: Any
    errors: list[GraphQLError]
    executed: bool
    """False for an error of the request, which by the specification leaves `data` out."""


class Executor:
    """Executes operations with what whoever asks may reach."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    async def run(self, query: str, name: str | None, variables: dict[str, Any] | None, context: Context) -> Result:
        """Execute a query or mutation."""
        result = await self._schema.execute(query, variables, context, operation_name=name)
        errors = list(result.errors or ())
        # An error of a field has a path; where only others are, nothing was executed.
        if result.data is None and errors and not any(error.path for error in errors):
            return refusal(errors)
        answer: dict[str, Any] = {"data": result.data}
        if errors:
            answer["errors"] = [error.formatted for error in errors]
        return Result(msgspec.json.encode(answer), result.data, errors, True)

    async def execute(self, query: str, name: str | None, variables: dict[str, Any] | None, context: Context) -> bytes:
        """Execute a query or mutation and return its result as JSON."""
        return (await self.run(query, name, variables, context)).json

    async def stream(
        self, query: str, name: str | None, variables: dict[str, Any] | None, context: Context
    ) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Execute a subscription and yield its results as JSON, errors that end it last, as a JSON list (True)."""
        results = await self._schema.stream(query, variables, context, operation_name=name)
        async with aclosing(results):
            async for result in results:
                errors = [error.formatted for error in getattr(result, "errors", None) or ()]
                if isinstance(result, PreExecutionError):
                    yield msgspec.json.encode(errors), True
                    return
                answer: dict[str, Any] = {"data": getattr(result, "data", None)}
                yield msgspec.json.encode(answer | {"errors": errors} if errors else answer), False


def refusal(errors: list[GraphQLError]) -> Result:
    """Return the response to what is not executed."""
    return Result(msgspec.json.encode({"errors": [error.formatted for error in errors]}), None, errors, False)
