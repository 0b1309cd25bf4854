"""The schema, put together."""

import secrets
from collections.abc import Callable, Iterable
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionResult
from strawberry.types.execution import ExecutionContext
from strawberry.types.graphql import OperationType

from schema.errors import Translation
from schema.query import Query
from schema.scalars import scalar_map
from schema.subscription import Subscription


class Schema(strawberry.Schema):
    """Strawberry's schema, less its logging: Translation logs what is unexpected, with its reference.

    What executes once refuses subscriptions: they need `stream`.
    """

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
        """Execute a query, as Strawberry does."""
        allowed = set(OperationType if allowed_operation_types is None else allowed_operation_types)
        return await super().execute(
            query,
            variable_values,
            context_value,
            root_value,
            operation_name,
            allowed - {OperationType.SUBSCRIPTION},
            operation_extensions,
        )

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Leave the log alone."""


def make_reference() -> str:
    """Return a fresh reference that ties a masked error to the log."""
    return secrets.token_hex(6)


def build_schema(*, make_reference: Callable[[], str] = make_reference) -> strawberry.Schema:
    """Return the schema; its operations need a `Context`."""
    return Schema(
        query=Query,
        subscription=Subscription,
        extensions=[lambda: Translation(make_reference)],
        config=StrawberryConfig(scalar_map=scalar_map()),
    )
