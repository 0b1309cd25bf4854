"""The contract with clients: what a change of the SDL means for them. graphql-core finds the changes."""

from dataclasses import dataclass

from graphql import GraphQLError, GraphQLSchema, build_schema
from graphql.utilities.find_schema_changes import (
    BreakingChangeType,
    DangerousChangeType,
    find_schema_changes,
)


class ContractError(ValueError):
    """Raised when a text is no SDL; the message says which one, and where."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed, one line each: `breaking` breaks clients, `dangerous` may surprise them, `safe` does neither."""

    breaking: tuple[str, ...]
    dangerous: tuple[str, ...]
    safe: tuple[str, ...]


def compare(old_sdl: str, new_sdl: str) -> Changes:
    """Return the changes from the old SDL to the new one; raise ContractError where a text is no SDL."""
    breaking, dangerous, safe = [], [], []
    for change in find_schema_changes(_parse(old_sdl, "old"), _parse(new_sdl, "new")):
        line = " ".join(change.description.split())
        if isinstance(change.type, BreakingChangeType):
            breaking.append(line)
        elif isinstance(change.type, DangerousChangeType):
            dangerous.append(line)
        else:
            safe.append(line)
    return Changes(tuple(breaking), tuple(dangerous), tuple(safe))


def _parse(sdl: str, which: str) -> GraphQLSchema:
    try:
        schema = build_schema(sdl)
    except (GraphQLError, TypeError) as error:
        raise ContractError(f"the {which} schema is no SDL: {error}") from None
    if schema.query_type is None:
        raise ContractError(f"the {which} schema is no SDL of a server: it has no type Query")
    return schema
