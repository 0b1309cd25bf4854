"""Operations: parsing and validating a document once, for everybody who sends it.

A bounded cache, so that a thousand equal subscribe messages cost one parse. Documents that
differ in white space, comments or the operations beside the chosen one are one operation.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    parse,
    print_ast,
    validate,
)
from graphql.language import DocumentNode, FieldNode, FragmentSpreadNode, Node, VariableDefinitionNode, VariableNode
from graphql.utilities import separate_operations

CACHED: Final = 1000
CACHED_CHARACTERS: Final = 1_000_000
"""Of all documents kept: a parsed document takes some hundred times the room of its text."""
MAX_TOKENS: Final = 2000
"""Of a document: one that selects every field of the schema has less than 500."""
_MAX_ERRORS: Final = 20


class OperationError(Exception):
    """Raised when a document cannot be executed; `errors` say why."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Operation:
    """A valid operation: its document, itself, its fragments, and what makes it the same as another."""

    document: DocumentNode
    node: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    normal: str
    selected_variables: frozenset[str]
    """The variables that its selection uses, below the arguments of its root fields."""
    paced: bool
    """A root field has the argument `every`."""
    events: bool
    """It subscribes to events, of which none may be left out, and not to a state."""

    @property
    def is_subscription(self) -> bool:
        """True for a subscription."""
        return self.node.operation is OperationType.SUBSCRIPTION


class Operations:
    """Valid operations by document and name, the most recently used ones kept."""

    def __init__(self, schema: GraphQLSchema, *, cached: int = CACHED) -> None:
        self.parsed = 0
        """Documents parsed since the start."""
        self._schema = schema
        self._cached = cached
        self._known: OrderedDict[tuple[str, str | None], Operation | list[GraphQLError]] = OrderedDict()
        self._characters = 0

    def open(self, document: str, name: str | None) -> Operation:
        """Return the operation `name` of a document, its only one if None; raise OperationError."""
        key = (document, name or None)
        known = self._known.get(key)
        if known is None:
            known = self._read(document, name or None)
            self._known[key] = known
            self._characters += len(document)
            while len(self._known) > self._cached or self._characters > CACHED_CHARACTERS:
                (forgotten, _), _ = self._known.popitem(last=False)
                self._characters -= len(forgotten)
        else:
            self._known.move_to_end(key)
        if isinstance(known, list):
            raise OperationError(known)
        return known

    def _read(self, text: str, name: str | None) -> Operation | list[GraphQLError]:
        self.parsed += 1
        try:
            document = parse(text, max_tokens=MAX_TOKENS)
            errors = validate(self._schema, document, max_errors=_MAX_ERRORS)
            if errors:
                return errors
            chosen = [
                node
                for node in document.definitions
                if isinstance(node, OperationDefinitionNode)
                and (name is None or (node.name and node.name.value == name))
            ]
            if len(chosen) != 1:
                return [GraphQLError(_choice(name, len(chosen)))]
            separate = separate_operations(document)[name or (chosen[0].name.value if chosen[0].name else "")]
            fragments = {
                node.name.value: node for node in separate.definitions if isinstance(node, FragmentDefinitionNode)
            }
            roots = list(_root_fields(chosen[0], fragments, set()))
            return Operation(
                separate,
                chosen[0],
                fragments,
                print_ast(separate),
                _selected_variables(separate),
                any(_has_every(field) for field in roots),
                any(field.name.value == "alerts" for field in roots),
            )
        except GraphQLError as error:
            return [error]
        except RecursionError:
            deep = {"code": "DOCUMENT_TOO_DEEP"}
            return [GraphQLError("the document is nested too deeply", extensions=deep)]


def _choice(name: str | None, found: int) -> str:
    if name is not None:
        return f"the document has no operation named {name!r}"
    return "the document has no operation" if not found else "the document has several operations: name one"


def _selected_variables(document: DocumentNode) -> frozenset[str]:
    names: set[str] = set()

    def walk(node: Node, depth: int) -> None:
        if isinstance(node, VariableNode):
            names.add(node.name.value)
        elif isinstance(node, FieldNode):
            for part in (*((node.arguments or ()) if depth else ()), *(node.directives or ())):
                walk(part, depth)
            if node.selection_set:
                walk(node.selection_set, depth + 1)
        elif not isinstance(node, VariableDefinitionNode):
            for key in node.keys:
                value = getattr(node, key, None)
                for part in value if isinstance(value, list | tuple) else (value,):
                    if isinstance(part, Node):
                        walk(part, 1 if isinstance(node, FragmentDefinitionNode) else depth)

    walk(document, 0)
    return frozenset(names)


def _root_fields(node: Any, fragments: dict[str, FragmentDefinitionNode], seen: set[str]) -> Iterator[FieldNode]:
    """Yield the fields that may be root fields, whatever the directives say; look at each fragment once."""
    for selection in node.selection_set.selections:
        if isinstance(selection, FieldNode):
            yield selection
        elif not isinstance(selection, FragmentSpreadNode):
            yield from _root_fields(selection, fragments, seen)
        elif selection.name.value not in seen:
            seen.add(selection.name.value)
            yield from _root_fields(fragments[selection.name.value], fragments, seen)


def _has_every(field: FieldNode) -> bool:
    return any(argument.name.value == "every" for argument in field.arguments or ())
