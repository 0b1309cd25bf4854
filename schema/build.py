"""The schema, put together; errors are translated on their way out, whatever way they take."""

import secrets
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import strawberry
from graphql import ExecutionResult as CoreResult
from graphql import GraphQLError, GraphQLSchema
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StreamResult
from strawberry.types import ExecutionResult
from strawberry.types.execution import ExecutionContext, PreExecutionError
from strawberry.types.graphql import OperationType
from strawberry.utils.aio import aclosing

from schema.devices import DeviceQuery
from schema.errors import translate
from schema.mutation import Mutation
from schema.query import Query
from schema.scalars import scalar_map
from schema.subscription import Subscription

Result = TypeVar("Result")


def make_reference() -> str:
    """Return a fresh reference that ties a masked error to the log."""
    return secrets.token_hex(6)


@strawberry.type(name="Query", description="What is so at this moment.")
class _Query(Query, DeviceQuery):
    pass


class Schema(strawberry.Schema):
    """Strawberry's schema with translated errors. What executes once refuses subscriptions: they need `stream`."""

    def __init__(self, *, make_reference: Callable[[], str], config: StrawberryConfig) -> None:
        super().__init__(
            query=_Query,
            mutation=Mutation,
            subscription=Subscription,
            config=config,
            extensions=[ParserCache, ValidationCache],  # of the last 128 documents each
        )
        self._make_reference = make_reference

    @property
    def core(self) -> GraphQLSchema:
        """The schema as graphql-core knows it."""
        return self._schema

    async def execute(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any | None = None,
        root_value: Any | None = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        """Execute a query or mutation and return its result."""
        allowed = set(OperationType if allowed_operation_types is None else allowed_operation_types)
        result = await super().execute(
            query,
            variable_values,
            context_value,
            root_value,
            operation_name,
            allowed - {OperationType.SUBSCRIPTION},
            operation_extensions,
        )
        return self._translated(result)

    async def stream(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any | None = None,
        root_value: Any | None = None,
        operation_name: str | None = None,
        operation_extensions: dict[str, Any] | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
    ) -> StreamResult:
        """Execute any operation and return the stream of its results."""
        results = await super().stream(
            query,
            variable_values,
            context_value,
            root_value,
            operation_name,
            operation_extensions,
            allowed_operation_types,
        )
        return self._translated_stream(results)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Leave the log alone: what is unexpected is logged when it is translated."""

    async def _translated_stream(self, results: StreamResult) -> StreamResult:
        try:
            async with aclosing(results):
                async for result in results:
                    yield self._translated(result)
        except Exception as error:
            yield self._translated(PreExecutionError(None, [GraphQLError(str(error), original_error=error)]))

    def _translated(self, result: Result) -> Result:
        if isinstance(result, (CoreResult, ExecutionResult)) and result.errors:
            result.errors = [translate(error, self._make_reference) for error in result.errors]
        return result


def build_schema(*, make_reference: Callable[[], str] = make_reference) -> Schema:
    """Return the schema; its operations need a `Context`."""
    return Schema(make_reference=make_reference, config=StrawberryConfig(scalar_map=scalar_map()))
