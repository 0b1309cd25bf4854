"""Measuring documents: how large one is as it is written, and with its fragments put in their places.

They are counted before a document is validated, since validating takes time that grows faster
than the document; a fragment is counted once, however often it is spread.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from graphql import FragmentDefinitionNode, GraphQLError, OperationDefinitionNode
from graphql.language import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    Node,
    SelectionNode,
    SelectionSetNode,
    VariableDefinitionNode,
)

from schema.limits import DocumentLimits

CEILING: Final = 1_000_000_000
"""Counts end here: a chain of doubling fragments has more digits than it has characters."""


class LimitError(GraphQLError):
    """Raised when a document is over a limit: it names the limit, the value and what is allowed."""

    def __init__(self, limit: str, value: int, most: int, text: str, *, code: str = "DOCUMENT_TOO_LARGE") -> None:
        shown = f"over {CEILING:,}" if value >= CEILING else f"{value:,}"
        allowed = f"at most {most:,} {'is' if most == 1 else 'are'} allowed (max_{limit})"
        extensions = {"code": code, "limit": f"max_{limit}", "value": min(value, CEILING), "most": most}
        super().__init__(f"the document {text.format(shown)}; {allowed}: ask for less at once", extensions=extensions)


class _Size(NamedTuple):
    """Of a selection, with its fragments put in their places."""

    depth: int
    aliases: int
    fields: int
    """Directly in it, not within others."""


_NOTHING: Final = _Size(0, 0, 0)


def check_text(text: str, limits: DocumentLimits) -> None:
    """Raise LimitError for a document that is too long to be parsed."""
    if len(text) > limits.document_characters:
        raise LimitError("document_characters", len(text), limits.document_characters, "has {} characters")


def check_document(document: DocumentNode, limits: DocumentLimits) -> None:
    """Raise LimitError for a parsed document over a limit; it need not be valid."""
    nodes = document.definitions
    operations = [node for node in nodes if isinstance(node, OperationDefinitionNode)]
    fragments = {node.name.value: node for node in nodes if isinstance(node, FragmentDefinitionNode)}
    _check("document_operations", len(operations), limits.document_operations, "has {} operations")
    counted = _count(document)
    _check("variables", counted[VariableDefinitionNode], limits.variables, "has {} variables")
    _check("directives", counted[DirectiveNode], limits.directives, "has {} directives")
    repeats = sum(_repeats(node.selection_set) for node in (*operations, *fragments.values()))
    _check("repeats", repeats, limits.repeats, "names a field again {} times where it stands already")
    measure = _Measure(fragments)
    sizes = [measure.of(node.selection_set) for node in operations]
    depth = max((size.depth for size in sizes), default=0)
    _check("depth", depth, limits.depth, "nests fields {} deep", code="DOCUMENT_TOO_DEEP")
    _check("aliases", sum(size.aliases for size in sizes), limits.aliases, "has {} aliases")
    fields = max((size.fields for size in sizes), default=0)
    _check("root_fields", fields, limits.root_fields, "has {} root fields")


def names_schema(document: DocumentNode) -> bool:
    """Say whether a document asks for the schema, valid or not; `__typename` does not."""
    return any(
        isinstance(node, FieldNode) and node.name.value in ("__schema", "__type") for node in all_nodes(document)
    )


def _check(limit: str, value: int, most: int, text: str, *, code: str = "DOCUMENT_TOO_LARGE") -> None:
    if value > most:
        raise LimitError(limit, value, most, text, code=code)


class _Measure:
    """Measures selections; each fragment once."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._known: dict[str, _Size] = {}

    def of(self, selections: SelectionSetNode) -> _Size:
        depth = aliases = fields = 0
        for node in selections.selections:
            size = self._of_one(node)
            depth = max(depth, size.depth)
            aliases += size.aliases
            fields += size.fields
        return _Size(depth, min(aliases, CEILING), min(fields, CEILING))

    def _of_one(self, node: SelectionNode) -> _Size:
        if isinstance(node, FieldNode):
            inner = self.of(node.selection_set) if node.selection_set else _NOTHING
            return _Size(inner.depth + 1, inner.aliases + (node.alias is not None), 1)
        if isinstance(node, InlineFragmentNode):
            return self.of(node.selection_set)
        assert isinstance(node, FragmentSpreadNode)
        name = node.name.value
        if name not in self._known:
            self._known[name] = _NOTHING  # if it comes round to itself: validation refuses that
            fragment = self._fragments.get(name)
            if fragment is not None:
                self._known[name] = self.of(fragment.selection_set)
        return self._known[name]


def _repeats(selections: SelectionSetNode) -> int:
    """Return how many fields are named again beside the same one, inline fragments being no place of their own."""
    keys: Counter[str] = Counter()
    found = 0
    waiting: list[Any] = [selections]
    while waiting:
        for node in waiting.pop().selections:
            if isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FieldNode):
                keys[(node.alias or node.name).value] += 1
                if node.selection_set:
                    found += _repeats(node.selection_set)
    return found + sum(number - 1 for number in keys.values())


def _count(document: DocumentNode) -> Counter[type[Node]]:
    return Counter(type(node) for node in all_nodes(document))


def all_nodes(document: DocumentNode) -> Iterable[Node]:
    """Yield all nodes of a document, in no order."""
    waiting: list[Node] = [document]
    while waiting:
        node = waiting.pop()
        yield node
        for key in node.keys:
            value = getattr(node, key, None)
            parts = value if isinstance(value, list | tuple) else (value,)
            waiting.extend(part for part in parts if isinstance(part, Node))
