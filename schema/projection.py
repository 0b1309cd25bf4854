"""Projections: a selection set becomes one function from domain object to JSON bytes.

What it gives is byte for byte what graphql-core would give for the same selection, aliases,
fragments, directives and null values included; where a value cannot be shown (an error by the
specification), it raises, and the caller asks graphql-core. Field order is that of the
specification (CollectFields).

A projection knows which of its parts are visible: `measuredAt` travels but never counts. Where
a field has a `step`, the value shown before is an argument, so that a shown figure leaves its
step only by a margin.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, call
from typing import Any, Final, NamedTuple

import msgspec
from graphql import (
    FragmentDefinitionNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues, get_argument_values

from schema.fields import COUNTS, SOURCE
from schema.scalars import HYSTERESIS, check_step, quantise, show_with_hysteresis
from schema.writers import DIGITS, enum_writer, list_writer, number_writer, required, scalar_writer

Memory = tuple[Any, ...]
"""The values shown before, one per field with a `step`, a memory per nullable object with such fields."""

_DEFINITION: Final = "strawberry-definition"
_encode: Final = msgspec.json.encode


class NotCompilableError(Exception):
    """Raised when a selection has something that projections do not cover; graphql-core does."""


class _Leaf(NamedTuple):
    """One value: how it is read from the root object, and written."""

    path: str
    """The attribute path of what is read; empty if it is worked out."""
    read: Callable[[Any], Any]
    write: Callable[[Any], bytes]
    counts: bool
    step: float | None
    nullable: bool
    below: "Projection | None" = None
    """An object that may be null and whose fields have a `step`."""


class Projection:
    """The compiled selection of one operation on one root object."""

    def __init__(self, leaves: Sequence[_Leaf], template: bytes, sources: frozenset[str]) -> None:
        self.sources = sources
        """The attribute paths of the root object that it shows and that count, as in `community.load_w`."""
        self._leaves = leaves
        self._template = template
        self._writers = [leaf.write for leaf in leaves]
        self._read = _read_all(leaves)
        self._visible = [index for index, leaf in enumerate(leaves) if leaf.counts]
        self.all_counts = len(self._visible) == len(leaves)
        """Every part is visible."""
        self.memory: Memory = tuple(
            None if leaf.below is None else leaf.below.memory
            for leaf in leaves
            if leaf.step is not None or leaf.below is not None
        )
        """The memory to begin with; empty if no field has a `step`."""

    def parts(self, root: Any, memory: Memory, hysteresis: float = HYSTERESIS) -> tuple[tuple[bytes, ...], Memory]:
        """Return the selected values of `root` as JSON, and the memory if they are shown.

        `hysteresis`, in steps: how far beyond its step a value must be to leave it. Raises whatever a value that
        cannot be shown raises.
        """
        if not self.memory:
            return tuple(map(call, self._writers, self._read(root))), memory
        parts: list[bytes] = []
        shown: list[Any] = []
        before = iter(memory)
        for _, read, write, _, step, nullable, below in self._leaves:
            value = read(root)
            if below is not None:
                if value is not None:
                    inner, after = below.parts(value, next(before), hysteresis)
                    shown.append(after)
                    parts.append(below.render(inner))
                    continue
                next(before)
                shown.append(below.memory)
            elif step is not None:
                if value is None and nullable:
                    next(before)
                    shown.append(None)
                else:
                    value = show_with_hysteresis(value, step, next(before), hysteresis)
                    shown.append(value)
            parts.append(write(value))
        return tuple(parts), tuple(shown)

    def visible(self, parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return those parts that count as a change."""
        return parts if len(self._visible) == len(parts) else tuple([parts[index] for index in self._visible])

    def render(self, parts: tuple[bytes, ...]) -> bytes:
        """Return the execution result `{"data": …}` as JSON."""
        return self._template % parts


def compile_projection(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: VariableValues,
) -> Projection:
    """Compile the selection of a subscription's one root field, whose value is the root object.

    Raises NotCompilableError for what is not covered, GraphQLError for a bad argument.
    """
    root = schema.subscription_type
    assert root is not None
    details = {name: FragmentDetails(node, None) for name, node in fragments.items()}
    compiler = _Compiler(schema, operation, details, variables)
    collected = collect_fields(schema, details, variables, root, operation)
    if collected.new_defer_usages or len(collected.grouped_field_set) != 1:
        raise NotCompilableError("not one plain root field")
    ((key, fields),) = collected.grouped_field_set.items()
    field = root.fields.get(fields[0].node.name.value)
    if field is None:
        raise NotCompilableError("a meta field at the root")
    compiler.text(b'{"data":{' + _encode(key) + b":")
    compiler.value(field.type, fields, lambda value: value, (), True, field, root=True)
    compiler.text(b"}}")
    return Projection(compiler.leaves, b"".join(compiler.template), frozenset(compiler.sources))


class _Compiler:
    """Collects template and leaves while it walks a selection."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: dict[str, FragmentDetails],
        variables: VariableValues,
    ) -> None:
        self._schema = schema
        self._operation = operation
        self._fragments = fragments
        self._variables = variables
        self.leaves: list[_Leaf] = []
        self.template: list[bytes] = []
        self.sources: set[str] = set()

    def text(self, constant: bytes) -> None:
        """Add constant bytes."""
        self.template.append(constant.replace(b"%", b"%%"))

    def value(
        self,
        of: GraphQLOutputType,
        fields: list[FieldDetails],
        read: Callable[[Any], Any],
        path: tuple[str, ...],
        counts: bool,
        field: GraphQLField,
        *,
        root: bool = False,
    ) -> None:
        """Add a value of a type: objects that are never null in place, all else as a leaf."""
        inner = of.of_type if isinstance(of, GraphQLNonNull) else of
        if isinstance(inner, GraphQLObjectType) and (isinstance(of, GraphQLNonNull) or root):
            self._object(inner, fields, path)
            return
        if counts and path:
            self.sources.add(".".join(path))
        self.template.append(b"%b")
        nullable = not isinstance(of, GraphQLNonNull)
        if isinstance(inner, GraphQLObjectType):
            below = self._below(inner, fields)
            stepped = below if below.memory else None
            write, step = _object_writer(below), None
        else:
            stepped, write, step = None, self._writer(of, fields), self._step(field, fields)
        self.leaves.append(_Leaf(".".join(path), read, write, counts, step, nullable, stepped))

    def _object(self, of: GraphQLObjectType, fields: list[FieldDetails], path: tuple[str, ...]) -> None:
        self.text(b"{")
        first = True
        for key, chosen in self._selection(of, fields).items():
            self.text((b"" if first else b",") + _encode(key) + b":")
            first = False
            name = chosen[0].node.name.value
            if name == "__typename":
                self.text(_encode(of.name))
                continue
            field = of.fields[name]
            source, counts = _source(field)
            if callable(source):
                self.value(field.type, chosen, _after(path, source), (), counts, field)
            else:
                below = (*path, source)
                self.value(field.type, chosen, attrgetter(".".join(below)), below, counts, field)
        self.text(b"}")

    def _selection(self, of: GraphQLObjectType, fields: list[FieldDetails]) -> dict[str, list[FieldDetails]]:
        collected = collect_subfields(self._schema, self._fragments, self._variables, self._operation, of, fields)
        if collected.new_defer_usages:
            raise NotCompilableError("@defer")
        return collected.grouped_field_set

    def _step(self, field: GraphQLField, fields: list[FieldDetails]) -> float | None:
        node = fields[0].node
        if not field.args:
            return None
        if field.args.keys() != {"step"}:
            raise NotCompilableError(f"arguments of {node.name.value}")
        given = get_argument_values(field, node, self._variables, fields[0].fragment_variable_values)
        step = given.get("step")
        if step is None:
            return None
        whole = get_named_type(field.args["step"].type).name == "WattHours"
        try:
            return check_step(step, whole=whole)
        except ValueError as error:
            raise GraphQLError(str(error), node) from None

    def _writer(self, of: GraphQLOutputType, fields: list[FieldDetails]) -> Callable[[Any], bytes]:
        if isinstance(of, GraphQLNonNull):
            inner = of.of_type
            if isinstance(inner, GraphQLEnumType):
                return enum_writer(inner, nullable=False)
            if isinstance(inner, GraphQLScalarType) and inner.name in DIGITS:
                return number_writer(inner, nullable=False)
            return required(self._writer(inner, fields))
        if isinstance(of, GraphQLList):
            return list_writer(self._writer(of.of_type, fields))
        if isinstance(of, GraphQLObjectType):
            # In a list a step has no memory: it rounds, as queries do.
            return _object_writer(self._below(of, fields, rounding=True))
        if isinstance(of, GraphQLEnumType):
            return enum_writer(of)
        if isinstance(of, GraphQLScalarType):
            return scalar_writer(of)
        raise NotCompilableError(f"type {of}")

    def _below(self, of: GraphQLObjectType, fields: list[FieldDetails], *, rounding: bool = False) -> Projection:
        """Compile an object that is no part of the template, since it may be null or one of many."""
        inner = _Compiler(self._schema, self._operation, self._fragments, self._variables)
        inner._object(of, fields, ())
        leaves = [_rounding(leaf) for leaf in inner.leaves] if rounding else inner.leaves
        return Projection(leaves, b"".join(inner.template), frozenset())


def _read_all(leaves: Sequence[_Leaf]) -> Callable[[Any], Iterable[Any]]:
    """Return what reads the values of all leaves, in one call where that can be."""
    if len(leaves) > 1 and all(leaf.path for leaf in leaves):
        return attrgetter(*(leaf.path for leaf in leaves))
    return lambda root: [leaf.read(root) for leaf in leaves]


def _source(field: GraphQLField) -> tuple[Any, bool]:
    definition = (field.extensions or {}).get(_DEFINITION)
    metadata = getattr(definition, "metadata", None) or {}
    if SOURCE not in metadata:
        raise NotCompilableError("a field with a resolver of its own")
    return metadata[SOURCE], metadata.get(COUNTS, True)


def _after(path: tuple[str, ...], source: Callable[[Any], Any]) -> Callable[[Any], Any]:
    if not path:
        return source
    reach = attrgetter(".".join(path))
    return lambda root: source(reach(root))


def _object_writer(projection: Projection) -> Callable[[Any], bytes]:
    memory = projection.memory

    def write(value: Any) -> bytes:
        if value is None:
            return b"null"
        parts, _ = projection.parts(value, memory)
        return projection.render(parts)

    return write


def _rounding(leaf: _Leaf) -> _Leaf:
    step = leaf.step
    if step is None:
        return leaf._replace(below=None)  # its writer shows it as at first, which is rounded
    write = leaf.write
    return leaf._replace(step=None, write=lambda value: write(None if value is None else quantise(value, step)))
