"""Plans: what a subscription asks for, compiled; equal plans are one group.

The key of a plan is the normalised document, the canonical variables and the scope: what the
selected fields consult about the viewer, never who the viewer is. They consult the registry
alone: may this viewer see the home, the community, its totals? Who may not joins no group, so
that a plan and its payloads are for all of its members alike.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from graphql import GraphQLError, GraphQLSchema, Visitor, execute, visit
from graphql.execution.collect_fields import FragmentDetails, collect_fields
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from graphql.language import FieldNode

from bus.community import Community
from resolvers.directory import Household, View
from resolvers.errors import ResolverError
from schema.context import Context
from schema.errors import translate
from schema.operations import CACHED, Operation, OperationError
from schema.projection import NotCompilableError, Projection, compile_projection
from schema.scalars import MAX_HYSTERESIS

log = structlog.get_logger(__name__)

MIN_EVERY: Final = timedelta(milliseconds=100)
MAX_EVERY: Final = timedelta(hours=1)
MIN_SILENCE: Final = timedelta(seconds=1)
MAX_SILENCE: Final = timedelta(hours=24)

Key = tuple[str, str, tuple[str, ...]]


class Scope(NamedTuple):
    """What a subscription shows that not everybody may see."""

    home: str | None
    """A home, by the id that clients use; None: it is of a community."""
    community: str
    """A community; empty where it is that of the home."""
    totals: bool
    """It shows the community's totals."""

    def check(self, view: View) -> Household | Community:
        """Return what it is of; raise NotFoundError if not all of it may be seen, or NotReadyError."""
        seen = view.community(self.community) if self.home is None else view.household(self.home)
        if self.totals:
            view.check_totals(seen.community.id if isinstance(seen, Household) else seen.id)
        return seen


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A subscription ready to run. `home` None: it is of the community."""

    key: Key
    scope: Scope
    root: str
    """The response key of its root field."""
    community: str
    home: str | None
    community_fields: frozenset[str] | None
    """What of the community's state it shows; None: anything may matter."""
    every_ms: int
    max_silence_ms: int
    hysteresis: float
    """Of fields with a step: how far beyond its step a value must be to leave it, in steps."""
    projection: Projection | None
    """None: the selection is executed by graphql-core."""
    execute: Callable[[Any], bytes]
    """Return the execution result for a root object as graphql-core gives it, errors included; never raises."""


class Planner:
    """Makes plans. `context` reaches everything: who joins a plan's group may see all of it.

    `reference` makes the reference of a masked error.
    """

    def __init__(self, schema: GraphQLSchema, context: Context, reference: Callable[[], str]) -> None:
        self._schema = schema
        self._context = context
        self._reference = reference
        self._projections: OrderedDict[tuple[str, str], Projection | None] = OrderedDict()
        self._consulted: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._prepared: dict[str, tuple[Projection | None, tuple[str, ...]]] = {}

    def prepare(self, operation: Operation) -> None:
        """Compile the selection of a subscription to a state, with the defaults of its variables, and never forget it.

        Nothing is done for other operations, and for a selection that needs a variable without a default.
        """
        if not operation.is_subscription or operation.events:
            return
        declared = operation.node.variable_definitions or ()
        needed = [node for node in declared if node.variable.name.value in operation.selected_variables]
        coerced = get_variable_values(self._schema, needed, {})
        if not isinstance(coerced, list):
            self._prepared[operation.normal] = self._compiled(operation, coerced), self._consults(operation)

    def key(self, operation: Operation, variables: dict[str, Any] | None) -> Key:
        """Return what makes a subscription the same as another: document, canonical variables, scope."""
        return self._key(operation, _given(operation, variables))

    def plan(self, operation: Operation, variables: dict[str, Any] | None, view: View) -> Plan:
        """Return the plan of a subscription to a state; raise OperationError for what must not start."""
        given = _given(operation, variables)
        key = self._key(operation, given)
        coerced = self._coerced(operation, given)
        try:
            root, name, arguments = self._root(operation, coerced)
            every = _within("every", arguments.get("every"), MIN_EVERY, MAX_EVERY)
            silence = _within("maxSilence", arguments.get("maxSilence"), MIN_SILENCE, MAX_SILENCE)
            hysteresis = _check_hysteresis(arguments["hysteresis"])
            scope = _scope(name, arguments, key[2])
            seen = self._admitted(scope, root, view)
            projection = self._projection(operation, given, coerced)
        except GraphQLError as error:
            raise OperationError([error]) from None
        except RecursionError:
            deep = {"code": "DOCUMENT_TOO_DEEP"}
            raise OperationError([GraphQLError("the document is nested too deeply", extensions=deep)]) from None
        community, home = (seen.community, seen.home.id) if isinstance(seen, Household) else (seen, None)
        return Plan(
            key=key,
            scope=scope,
            root=root,
            community=community.id,
            home=home,
            community_fields=None if projection is None else _of_community(projection.sources, home),
            every_ms=every // timedelta(milliseconds=1),
            max_silence_ms=silence // timedelta(milliseconds=1),
            hysteresis=hysteresis,
            projection=projection,
            execute=lambda root: self._execute(operation, given, root),
        )

    def scope(self, operation: Operation, variables: dict[str, Any] | None) -> tuple[Scope, str]:
        """Return what a subscription shows that not everybody may see, and the response key of its root field.

        Raises OperationError for variables that do not fit.
        """
        coerced = self._coerced(operation, _given(operation, variables))
        try:
            root, name, arguments = self._root(operation, coerced)
        except GraphQLError as error:
            raise OperationError([error]) from None
        return _scope(name, arguments, self._consults(operation)), root

    def check(self, scope: Scope, root: str, view: View) -> None:
        """Raise OperationError unless a viewer may see it all; unknown and forbidden look the same."""
        self._admitted(scope, root, view)

    def _admitted(self, scope: Scope, root: str, view: View) -> Household | Community:
        try:
            return scope.check(view)
        except ResolverError as error:
            wrapped = GraphQLError(str(error), path=[root], original_error=error)
            raise OperationError([translate(wrapped, self._reference)]) from None

    def _key(self, operation: Operation, given: dict[str, Any]) -> Key:
        try:
            return operation.normal, _canonical(given), self._consults(operation)
        except (RecursionError, ValueError):  # nested deeply, or an integer of thousands of digits
            raise OperationError([GraphQLError("a variable is nested too deeply or too large")]) from None

    def _consults(self, operation: Operation) -> tuple[str, ...]:
        """Return what the selected fields consult about a viewer; what a directive leaves out counts too."""
        if operation.normal in self._prepared:
            return self._prepared[operation.normal][1]
        found = self._consulted.get(operation.normal)
        if found is None:
            names = _fields(operation)
            found = tuple(name for name in ("home", "alerts", "community") if name in names)
            self._consulted[operation.normal] = found
            if len(self._consulted) > CACHED:
                self._consulted.popitem(last=False)
        return found

    def _coerced(self, operation: Operation, given: dict[str, Any]) -> VariableValues:
        coerced = get_variable_values(self._schema, operation.node.variable_definitions or (), given)
        if isinstance(coerced, list):
            raise OperationError(coerced)
        return coerced

    def _projection(self, operation: Operation, given: dict[str, Any], coerced: VariableValues) -> Projection | None:
        """Return the compiled selection, the same one for all homes; None if it does not compile."""
        used = {name: given[name] for name in operation.selected_variables if name in given}
        if not used and operation.normal in self._prepared:
            return self._prepared[operation.normal][0]
        key = (operation.normal, _canonical(used))
        if key not in self._projections:
            self._projections[key] = self._compiled(operation, coerced)
            if len(self._projections) > CACHED:
                self._projections.popitem(last=False)
        return self._projections[key]

    def _compiled(self, operation: Operation, coerced: VariableValues) -> Projection | None:
        try:
            return compile_projection(self._schema, operation.node, operation.fragments, coerced)
        except NotCompilableError as reason:
            log.info("selection executed by graphql-core", reason=str(reason))
            return None

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


def _scope(root: str, arguments: dict[str, Any], consulted: tuple[str, ...]) -> Scope:
    if root == "community":
        return Scope(None, arguments["id"], True)
    if root == "alerts":  # which of them are the community's is looked at as each is handed out
        return Scope(arguments["home"], "", False)
    return Scope(arguments["id"], "", "community" in consulted)


def _fields(operation: Operation) -> frozenset[str]:
    """Return the names of all fields that occur in an operation and its fragments."""
    names: set[str] = set()

    class Names(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            names.add(node.name.value)

    visit(operation.document, Names())
    return frozenset(names)


def _canonical(variables: dict[str, Any]) -> str:
    return json.dumps(variables, sort_keys=True)


def _of_community(sources: frozenset[str], home: str | None) -> frozenset[str]:
    """Return the attributes of the community's state among a projection's sources."""
    if home is None:
        return frozenset(source.partition(".")[0] for source in sources)
    return frozenset(source.split(".")[1] for source in sources if source.startswith("community."))


def _check_hysteresis(value: float) -> float:
    if not 0 <= value <= MAX_HYSTERESIS:
        raise GraphQLError(f"hysteresis is {value:g} steps; it must be 0 to {MAX_HYSTERESIS:g}")
    return value


def _within(name: str, value: timedelta | None, least: timedelta, most: timedelta) -> timedelta:
    if value is None:
        return timedelta(0)
    if not least <= value <= most:
        seconds = value.total_seconds()
        raise GraphQLError(
            f"{name} is {seconds:g} s; it must be {least.total_seconds():g} s to {most.total_seconds():g} s"
        )
    return value
