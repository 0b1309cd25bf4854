"""What a query shows, as a weak ETag, and for how long it is good.

The tag is made of the content alone, so that every process gives the same; fields that never count
as a change (`measuredAt`) travel but are left out of it.
"""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, get_named_type
from graphql.language import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode

from schema.fields import COUNTS
from schema.operations import Operation

MAX_AGE_LIVE_S: Final = 10
"""Of an answer with live state or alerts: time itself is in the readings every 10 s, and who wants more subscribes."""
MAX_AGE_REGISTRY_S: Final = 60
"""Of any other answer: what is registered changes by hand."""

_LIVE: Final = frozenset({"live", "alerts"})
_DEFINITION: Final = "strawberry-definition"


def weak_etag(schema: GraphQLSchema, operation: Operation, data: Any) -> str:
    """Return the tag of the `data` of a query's response."""
    assert schema.query_type is not None
    visible = _visible(data, _Shape(operation, schema.query_type, [operation.node.selection_set]))
    digest = hashlib.blake2b(msgspec.json.encode(visible), digest_size=12).digest()
    return f'W/"{base64.urlsafe_b64encode(digest).decode()}"'


def matches(if_none_match: str | None, tag: str) -> bool:
    """Say whether an If-None-Match header names the tag, by weak comparison (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    named = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return "*" in named or tag.removeprefix("W/") in named


def max_age_s(operation: Operation) -> int:
    """Return the age at which it makes sense to ask again."""
    fields = _fields(operation, operation.node.selection_set, set())
    return MAX_AGE_LIVE_S if any(field.name.value in _LIVE for field in fields) else MAX_AGE_REGISTRY_S


class _Shape:
    """What is selected on one object, worked out as far as there is data: a document can nest without end."""

    def __init__(self, operation: Operation, of: GraphQLObjectType, selected: list[SelectionSetNode]) -> None:
        self.hidden: set[str] = set()
        """The response keys that never count as a change."""
        self._operation = operation
        self._below: dict[str, tuple[GraphQLObjectType, list[SelectionSetNode]]] = {}
        self._shapes: dict[str, _Shape] = {}
        seen: set[str] = set()
        for selections in selected:
            self._collect(of, selections, seen)

    def below(self, key: str) -> "_Shape | None":
        """Return what is selected on the value of a response key; None if it is no object."""
        if key not in self._shapes and key in self._below:
            self._shapes[key] = _Shape(self._operation, *self._below[key])
        return self._shapes.get(key)

    def _collect(self, of: GraphQLObjectType, selections: SelectionSetNode, seen: set[str]) -> None:
        for selection in selections.selections:
            if isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in seen:
                    seen.add(name)
                    self._collect(of, self._operation.fragments[name].selection_set, seen)
            elif isinstance(selection, InlineFragmentNode):
                self._collect(of, selection.selection_set, seen)  # the schema has no abstract types
            elif isinstance(selection, FieldNode):
                self._add(of.fields.get(selection.name.value), selection)

    def _add(self, field: GraphQLField | None, selection: FieldNode) -> None:
        if field is None:
            return  # a meta field
        key = (selection.alias or selection.name).value
        metadata = getattr((field.extensions or {}).get(_DEFINITION), "metadata", None) or {}
        inner = get_named_type(field.type)
        if not metadata.get(COUNTS, True):
            self.hidden.add(key)
        elif selection.selection_set is not None and isinstance(inner, GraphQLObjectType):
            self._below.setdefault(key, (inner, []))[1].append(selection.selection_set)


def _visible(data: Any, shape: _Shape | None) -> Any:
    if shape is None:
        return data
    if isinstance(data, list):
        return [_visible(item, shape) for item in data]
    if not isinstance(data, dict):
        return data
    return {key: _visible(value, shape.below(key)) for key, value in data.items() if key not in shape.hidden}


def _fields(operation: Operation, selections: SelectionSetNode, seen: set[str]) -> Iterator[FieldNode]:
    """Yield all fields selected, looking at each fragment once."""
    for selection in selections.selections:
        if isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name not in seen:
                seen.add(name)
                yield from _fields(operation, operation.fragments[name].selection_set, seen)
            continue
        if isinstance(selection, FieldNode):
            yield selection
        if isinstance(selection, FieldNode | InlineFragmentNode) and selection.selection_set is not None:
            yield from _fields(operation, selection.selection_set, seen)
