"""The schema, put together."""

import secrets
from collections.abc import Callable

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionContext

from schema.errors import Translation
from schema.query import Query
from schema.scalars import scalar_map
from schema.subscription import Subscription


class Schema(strawberry.Schema):
    """Strawberry's schema, less its logging: Translation logs what is unexpected, with its reference."""

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
