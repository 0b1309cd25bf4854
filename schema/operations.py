"""Operations: parsing and validating a document once, for everybody who sends it.

A bounded cache, so that a thousand equal subscribe messages cost one parse. Documents that
differ in white space, comments or the operations beside the chosen one are one operation. What is
over a limit is refused before it is parsed, validated or executed, as early as it shows.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    is_scalar_type,
    parse,
    print_ast,
    type_from_ast,
    validate,
)
from graphql.execution.values import get_variable_values
from graphql.language import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    Node,
    VariableDefinitionNode,
    VariableNode,
)
from graphql.utilities import separate_operations

from schema.cost import estimate
from schema.limits import DocumentLimits
from schema.measure import LimitError, all_nodes, check_document, check_text, names_schema

CACHED: Final = 1000
CACHED_CHARACTERS: Final = 1_000_000
"""Of all documents kept: a parsed document takes some hundred times the room of its text."""
_MAX_ERRORS: Final = 20
_SUGGESTION: Final = " Did you mean "


class OperationError(Exception):
    """Raised when a document cannot be executed; `errors` say why.

    `about_schema`: it asks for the schema itself. `telling`: its errors tell of the schema.
    """

    def __init__(self, errors: list[GraphQLError], *, about_schema: bool = False, telling: bool = False) -> None:
        super().__init__(errors[0].message)
        self.errors = errors
        self.about_schema = about_schema
        self.telling = telling


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

    about_schema: bool
    """It asks for the schema itself."""
    cost: int
    """Its estimated cost without variables."""
    varying: bool
    """The variables given say whether it may be executed: they bear on its cost, or are more than plain values."""

    @property
    def is_subscription(self) -> bool:
        """True for a subscription."""
        return self.node.operation is OperationType.SUBSCRIPTION


class Operations:
    """Valid operations by document and name, the most recently used ones kept.

    With `suggestions` errors say what may have been meant, which tells a stranger of the schema.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: DocumentLimits | None = None,
        *,
        cached: int = CACHED,
        suggestions: bool = False,
    ) -> None:
        self.parsed = 0
        """Documents parsed since the start."""
        self._schema = schema
        self._limits = limits or DocumentLimits()
        self._cached = cached
        self._suggestions = suggestions
        self._known: OrderedDict[tuple[str, str | None], Operation | OperationError] = OrderedDict()
        self._kept: dict[tuple[str, str | None], Operation] = {}
        self._characters = 0

    def open(self, document: str, name: str | None) -> Operation:
        """Return the operation `name` of a document, its only one if None; raise OperationError."""
        key = (document, name or None)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        known = self._known.get(key)
        if known is None:
            known = self._read(document, name or None)
            if isinstance(known, OperationError):
                for error in (known, *known.errors):  # kept, they must not keep the frames that they came through
                    error.__traceback__ = error.__context__ = None
            if len(document) > self._limits.document_characters:
                assert isinstance(known, OperationError)
                raise known  # said in no time, and not worth its room
            self._known[key] = known
            self._characters += _length(key)
            while len(self._known) > self._cached or self._characters > CACHED_CHARACTERS:
                forgotten, _ = self._known.popitem(last=False)
                self._characters -= _length(forgotten)
        else:
            self._known.move_to_end(key)
        if isinstance(known, OperationError):
            raise OperationError(known.errors, about_schema=known.about_schema, telling=known.telling)
        return known

    def keep(self, document: str, name: str | None) -> Operation:
        """Return the operation as `open` does, and never forget it."""
        operation = self._kept[document, name or None] = self.open(document, name)
        return operation

    def normal(self, document: str, name: str | None) -> str | None:
        """Return what `open` gives as normal, without validating a document that is not known; None: it has none."""
        key = (document, name or None)
        known = self._kept.get(key) or self._known.get(key)
        if isinstance(known, Operation):
            return known.normal
        try:
            check_text(document, self._limits)
            return print_ast(_chosen(self._parse(document), name or None)[1])
        except (GraphQLError, RecursionError):
            return None

    def check(self, operation: Operation, variables: dict[str, Any] | None) -> None:
        """Raise OperationError where an operation must not be executed with these variables."""
        if not operation.varying:
            return
        given = variables or {}
        try:
            self._check_cost(estimate(self._schema, operation.node, operation.fragments, given))
            coerced = get_variable_values(
                self._schema,
                operation.node.variable_definitions or (),
                given,
                max_errors=_MAX_ERRORS,
                hide_suggestions=not self._suggestions,
            )
        except GraphQLError as error:
            raise OperationError([error]) from None
        except RecursionError:
            raise OperationError([_too_deep("a variable is nested too deeply")]) from None
        if isinstance(coerced, list):
            raise OperationError(coerced)

    def _check_cost(self, cost: int) -> None:
        if cost > self._limits.cost:
            raise LimitError("cost", cost, self._limits.cost, "may have {} fields in its answer")

    def _read(self, text: str, name: str | None) -> Operation | OperationError:
        self.parsed += 1
        about_schema = False
        try:
            check_text(text, self._limits)
            document = self._parse(text)
            about_schema = names_schema(document)
            check_document(document, self._limits)
            errors = self._validate(document)
            if errors:
                return OperationError(errors, about_schema=about_schema, telling=True)
            node, separate = _chosen(document, name)
            fragments = {
                part.name.value: part for part in separate.definitions if isinstance(part, FragmentDefinitionNode)
            }
            roots = list(_root_fields(node, fragments, set()))
            cost = estimate(self._schema, node, fragments)
            self._check_cost(cost)
            return Operation(
                separate,
                node,
                fragments,
                print_ast(separate),
                _selected_variables(separate),
                any(_has_every(field) for field in roots),
                any(field.name.value == "alerts" for field in roots),
                names_schema(separate),
                cost,
                self._varies(separate, node),
            )
        except GraphQLError as error:
            return OperationError([error], about_schema=about_schema)
        except RecursionError:
            deep = f"the document is nested too deeply; fields may be {self._limits.depth} deep (max_depth)"
            return OperationError([_too_deep(deep)], about_schema=about_schema)

    def _parse(self, text: str) -> DocumentNode:
        most = self._limits.document_tokens
        try:
            return parse(text, max_tokens=most)
        except GraphQLSyntaxError as error:
            if f"more than {most} tokens" in error.message:
                raise LimitError("document_tokens", most + 1, most, "has {} tokens or more") from None
            raise

    def _validate(self, document: DocumentNode) -> list[GraphQLError]:
        hidden = not self._suggestions
        errors = validate(self._schema, document, max_errors=_MAX_ERRORS, hide_suggestions=hidden)
        # graphql-core hides those for names, and leaves the one for a selection that is missing.
        return [_without_suggestion(error) for error in errors] if hidden else errors

    def _varies(self, document: DocumentNode, node: OperationDefinitionNode) -> bool:
        arguments = [part for part in all_nodes(document) if isinstance(part, ArgumentNode)]
        if any(argument.name.value == "first" and isinstance(argument.value, VariableNode) for argument in arguments):
            return True
        kinds = [type_from_ast(self._schema, variable.type) for variable in node.variable_definitions or ()]
        return any(kind is not None and not is_scalar_type(get_named_type(kind)) for kind in kinds)


def _length(key: tuple[str, str | None]) -> int:
    return len(key[0]) + len(key[1] or "")


def _too_deep(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "DOCUMENT_TOO_DEEP"})


def _without_suggestion(error: GraphQLError) -> GraphQLError:
    message = error.message.partition(_SUGGESTION)[0]
    return error if message == error.message else GraphQLError(message, error.nodes)


def _chosen(document: DocumentNode, name: str | None) -> tuple[OperationDefinitionNode, DocumentNode]:
    """Return an operation of a document, and the document with what it needs alone; raise GraphQLError."""
    found = [
        node
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode) and (name is None or (node.name and node.name.value == name))
    ]
    if len(found) != 1:
        raise GraphQLError(_choice(name, len(found)))
    return found[0], separate_operations(document)[found[0].name.value if found[0].name else ""]


def _choice(name: str | None, found: int) -> str:
    if name is not None:
        return f"the document has no operation named {name!r:.80}"
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
