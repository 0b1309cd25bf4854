"""Plans: what a subscription asks for, compiled; equal plans are one group.

The key of a plan is the normalised document, the canonical variables and the scope: what the
selected fields consult about the viewer, never who the viewer is.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec
import structlog
from graphql import GraphQLError, GraphQLSchema, execute
from graphql.execution.collect_fields import FragmentDetails, collect_fields
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values

from resolvers.directory import Directory
from resolvers.errors import ResolverError
from schema.context import Context
from schema.errors import translate
from schema.operations import CACHED, Operation, OperationError
from schema.projection import NotCompilableError, Projection, compile_projection

log = structlog.get_logger(__name__)

MIN_EVERY: Final = timedelta(milliseconds=100)
MAX_EVERY: Final = timedelta(hours=1)
MIN_SILENCE: Final = timedelta(seconds=1)
MAX_SILENCE: Final = timedelta(hours=24)

Key = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A subscription ready to run. `home` None: it is of the community."""

    key: Key
    community: str
    home: str | None
    community_fields: frozenset[str] | None
    """What of the community's state it shows; None: anything may matter."""
    every_ms: int
    max_silence_ms: int
    projection: Projection | None
    """None: the selection is executed by graphql-core."""
    execute: Callable[[Any], bytes]
    """Return the execution result for a root object as graphql-core gives it, errors included; never raises."""


class Planner:
    """Makes plans. `reference`: makes the reference of a masked error."""

    def __init__(
        self, schema: GraphQLSchema, context: Context, directory: Directory, reference: Callable[[], str]
    ) -> None:
        self._schema = schema
        self._context = context
        self._directory = directory
        self._reference = reference
        self._projections: OrderedDict[tuple[str, str], Projection | None] = OrderedDict()

    def key(self, operation: Operation, variables: dict[str, Any] | None) -> Key:
        """Return what makes a subscription the same as another: document, canonical variables, scope."""
        return _key(operation, _given(operation, variables))

    def plan(self, operation: Operation, variables: dict[str, Any] | None) -> Plan:
        """Return the plan of a subscription; raise OperationError for what must not start."""
        given = _given(operation, variables)
        key = _key(operation, given)
        coerced = get_variable_values(self._schema, operation.node.variable_definitions or (), given)
        if isinstance(coerced, list):
            raise OperationError(coerced)
        try:
            return self._plan(operation, key, given, coerced)
        except GraphQLError as error:
            raise OperationError([error]) from None
        except RecursionError:
            deep = {"code": "DOCUMENT_TOO_DEEP"}
            raise OperationError([GraphQLError("the document is nested too deeply", extensions=deep)]) from None
        except ResolverError as error:
            path = [self._root(operation, coerced)[0]]
            wrapped = GraphQLError(str(error), path=path, original_error=error)
            raise OperationError([translate(wrapped, self._reference)]) from None

    def _plan(self, operation: Operation, key: Key, given: dict[str, Any], coerced: VariableValues) -> Plan:
        _, name, arguments = self._root(operation, coerced)
        every = _within("every", arguments.get("every"), MIN_EVERY, MAX_EVERY)
        silence = _within("maxSilence", arguments.get("maxSilence"), MIN_SILENCE, MAX_SILENCE)
        if name == "home":
            household = self._directory.household(arguments["id"])
            community, home = household.community.id, household.home.id
        else:
            community, home = self._directory.community(arguments["id"]).id, None
        projection = self._projection(operation, given, coerced)
        return Plan(
            key=key,
            community=community,
            home=home,
            community_fields=None if projection is None else _of_community(projection.sources, home),
            every_ms=every // timedelta(milliseconds=1),
            max_silence_ms=silence // timedelta(milliseconds=1),
            projection=projection,
            execute=lambda root: self._execute(operation, given, root),
        )

    def _projection(self, operation: Operation, given: dict[str, Any], coerced: VariableValues) -> Projection | None:
        """Return the compiled selection, the same one for all homes; None if it does not compile."""
        used = {name: given[name] for name in operation.selected_variables if name in given}
        key = (operation.normal, _canonical(used))
        if key not in self._projections:
            try:
                made = compile_projection(self._schema, operation.node, operation.fragments, coerced)
            except NotCompilableError as reason:
                log.info("selection executed by graphql-core", reason=str(reason))
                made = None
            self._projections[key] = made
            if len(self._projections) > CACHED:
                self._projections.popitem(last=False)
        return self._projections[key]

    def _root(self, operation: Operation, coerced: VariableValues) -> tuple[str, str, dict[str, Any]]:
        """Return the root field's response key, name and arguments."""
        root = self._schema.subscription_type
        assert root is not None
        details = {name: FragmentDetails(node, None) for name, node in operation.fragments.items()}
        collected = collect_fields(self._schema, details, coerced, root, operation.node).grouped_field_set
        if len(collected) != 1:
            raise GraphQLError("a subscription needs exactly one root field", operation.node)
        ((key, fields),) = collected.items()
        node = fields[0].node
        arguments = get_argument_values(root.fields[node.name.value], node, coerced, fields[0].fragment_variable_values)
        return key, node.name.value, arguments

    def _execute(self, operation: Operation, variables: dict[str, Any], root: Any) -> bytes:
        try:
            result: Any = execute(self._schema, operation.document, root, self._context, variables)
            answer: dict[str, Any] = {"data": result.data}
            if result.errors:
                answer["errors"] = [translate(error, self._reference).formatted for error in result.errors]
            return msgspec.json.encode(answer)
        except Exception as error:
            wrapped = translate(GraphQLError(str(error), original_error=error), self._reference)
            return msgspec.json.encode({"data": None, "errors": [wrapped.formatted]})


def _given(operation: Operation, variables: dict[str, Any] | None) -> dict[str, Any]:
    declared = operation.node.variable_definitions or ()
    return {name: variables[name] for node in declared if variables and (name := node.variable.name.value) in variables}


def _key(operation: Operation, given: dict[str, Any]) -> Key:
    try:
        return operation.normal, _canonical(given), ()
    except (RecursionError, ValueError):  # nested deeply, or an integer of thousands of digits
        raise OperationError([GraphQLError("a variable is nested too deeply or too large")]) from None


def _canonical(variables: dict[str, Any]) -> str:
    return json.dumps(variables, sort_keys=True)


def _of_community(sources: frozenset[str], home: str | None) -> frozenset[str]:
    """Return the attributes of the community's state among a projection's sources."""
    if home is None:
        return frozenset(source.partition(".")[0] for source in sources)
    return frozenset(source.split(".")[1] for source in sources if source.startswith("community."))


def _within(name: str, value: timedelta | None, least: timedelta, most: timedelta) -> timedelta:
    if value is None:
        return timedelta(0)
    if not least <= value <= most:
        seconds = value.total_seconds()
        raise GraphQLError(
            f"{name} is {seconds:g} s; it must be {least.total_seconds():g} s to {most.total_seconds():g} s"
        )
    return value
