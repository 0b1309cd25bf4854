"""The cost of an operation: how many fields its answer may have, estimated before anything is executed.

Each field counts 1. What is in a list counts as often as the list may be long: by the argument
`first` where there is one (of the list itself, or of the connection that holds it), else by the
figure given here. Directives are not looked at: what they leave out counts too. A fragment is
estimated once, however often it is spread, so the time taken is that of reading the document.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from graphql import (
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLOutputType,
    GraphQLSchema,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    get_nullable_type,
    is_list_type,
)
from graphql.language import (
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)

from schema.measure import CEILING

LENGTHS: Final[Mapping[str, int]] = {
    "Query.communities": 2,  # most viewers have one
    "Query.devices": 100,
    "Community.homes": 1000,
    "Community.homeTotals": 1000,
    "RejectedCounts.reasons": 20,
    "RejectedReason.meters": 10,
    "BestHours.hours": 49,
    "Statement.lines": 20,
}
"""How long lists without `first` are taken to be: as long as they may become, but for the first one."""
OTHER_LENGTH: Final = 100
"""Of lists that are not listed."""
SCHEMA_LENGTH: Final = 8
"""Of lists in the schema's own description."""
_DIGITS: Final = 10


class _Sum(NamedTuple):
    """The cost of a selection: of what is not in lists, and of lists directly in it, by how their length is found."""

    fixed: int
    listed: int
    """Of the lists, each as long as its figure says."""
    each: int
    """Of the lists, were each one item long: a connection multiplies this by its `first`."""


_NOTHING: Final = _Sum(0, 0, 0)


def estimate(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any] | None = None,
) -> int:
    """Return the cost of a valid operation, at most CEILING; variables that are no numbers count as not given."""
    roots = {
        OperationType.QUERY: schema.query_type,
        OperationType.MUTATION: schema.mutation_type,
        OperationType.SUBSCRIPTION: schema.subscription_type,
    }
    root = roots[operation.operation]
    assert root is not None
    found = _Estimate(schema, fragments, _numbers(operation, variables or {})).of(operation.selection_set, root)
    return min(CEILING, found.fixed + found.listed)


class _Estimate:
    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode], numbers: Mapping[str, int]
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._numbers = numbers
        self._known: dict[str, _Sum] = {}

    def of(self, selections: SelectionSetNode, parent: GraphQLNamedType) -> _Sum:
        fixed = listed = each = 0
        for node in selections.selections:
            part = self._of_one(node, parent)
            fixed += part.fixed
            listed += part.listed
            each += part.each
        return _Sum(min(fixed, CEILING), min(listed, CEILING), min(each, CEILING))

    def _of_one(self, node: SelectionNode, parent: GraphQLNamedType) -> _Sum:
        if isinstance(node, FieldNode):
            return self._of_field(node, parent)
        if isinstance(node, InlineFragmentNode):
            return self.of(node.selection_set, self._type(node.type_condition, parent))
        assert isinstance(node, FragmentSpreadNode)
        name = node.name.value
        if name not in self._known:
            fragment = self._fragments[name]
            self._known[name] = self.of(fragment.selection_set, self._type(fragment.type_condition, parent))
        return self._known[name]

    def _of_field(self, node: FieldNode, parent: GraphQLNamedType) -> _Sum:
        field = self._schema.get_field(cast(Any, parent), node.name.value)
        assert field is not None
        kind = get_named_type(field.type)
        inner = self.of(node.selection_set, kind) if node.selection_set else _NOTHING
        first = self._first(node, field)
        if not _is_list(field.type):
            held = inner.listed if first is None else first * inner.each
            return _Sum(1 + inner.fixed + held, 0, 0)
        one = inner.fixed + inner.listed
        if first is not None:
            return _Sum(1 + first * one, 0, 0)
        return _Sum(1, _length(parent.name, node.name.value) * one, one)

    def _first(self, node: FieldNode, field: GraphQLField) -> int | None:
        """Return what `first` is, None for a field without one."""
        argument = field.args.get("first")
        if argument is None:
            return None
        default = argument.default_value if isinstance(argument.default_value, int) else OTHER_LENGTH
        for given in node.arguments or ():
            if given.name.value == "first":
                if isinstance(given.value, VariableNode):
                    return self._numbers.get(given.value.name.value, default)
                return _number(given.value, default)
        return default

    def _type(self, condition: Any, parent: GraphQLNamedType) -> GraphQLNamedType:
        return parent if condition is None else self._schema.type_map[condition.name.value]


def _numbers(operation: OperationDefinitionNode, given: Mapping[str, Any]) -> dict[str, int]:
    """Return the variables that are whole numbers, given or by default."""
    found: dict[str, int] = {}
    for node in operation.variable_definitions or ():
        name = node.variable.name.value
        value = given.get(name)
        if isinstance(value, int | float):
            found[name] = int(max(0, min(value, CEILING)))
        elif name not in given and isinstance(node.default_value, IntValueNode):
            found[name] = _number(node.default_value, 0)
    return found


def _number(node: Any, default: int) -> int:
    if not isinstance(node, IntValueNode):
        return default
    if len(node.value) > _DIGITS:
        return CEILING  # never read: digits by the thousand take time
    return max(0, min(int(node.value), CEILING))


def _is_list(kind: GraphQLOutputType) -> bool:
    return is_list_type(get_nullable_type(kind))


def _length(parent: str, field: str) -> int:
    if parent.startswith("__"):
        return SCHEMA_LENGTH
    return LENGTHS.get(f"{parent}.{field}", OTHER_LENGTH)
