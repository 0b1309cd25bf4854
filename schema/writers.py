"""Writers: one value as JSON bytes, as graphql-core and the scalars would have it."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from graphql import GraphQLEnumType, GraphQLScalarType

from schema.scalars import EXACT

_encode: Final = msgspec.json.encode
_POINT: Final = ord(".")
_ZERO: Final = ord("0")
_EXACT_TEXT: Final = len("123456789012345.0")
DIGITS: Final = {"Watts": 1, "Ratio": 4, "WattHours": 0}
"""Decimals of the scalars that are numbers."""


def required(write: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Return a writer that raises ValueError for None."""

    def written(value: Any) -> bytes:
        if value is None:
            raise ValueError("null where the schema allows none")
        return write(value)

    return written


def list_writer(write: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Return a writer of lists, and of null, from one of their items."""

    def written(values: Any) -> bytes:
        return b"null" if values is None else b"[" + b",".join([write(value) for value in values]) + b"]"

    return written


def enum_writer(of: GraphQLEnumType, *, nullable: bool = True) -> Callable[[Any], bytes]:
    """Return a writer of an enum's values; with `nullable` of null, too. What is no value raises GraphQLError."""
    known: dict[Any, bytes] = {None: b"null"} if nullable else {}  # as large as the enum

    def written(value: Any) -> bytes:
        text = known.get(value)
        if text is None:
            text = known[value] = _encode(of.serialize(value))
        return text

    return written


def scalar_writer(of: GraphQLScalarType) -> Callable[[Any], bytes]:
    """Return a writer of a scalar's values and of null; raises what the scalar raises."""
    if of.name in DIGITS:
        return number_writer(of)
    serialize = of.serialize

    def write(value: Any) -> bytes:
        return b"null" if value is None else _encode(serialize(value))

    return write


def number_writer(of: GraphQLScalarType, *, nullable: bool = True) -> Callable[[Any], bytes]:
    """Write numbers of a scalar in a tenth of its own time; what is unusual goes its own way.

    Unless `nullable`, None raises TypeError.
    """
    serialize, digits = of.serialize, DIGITS[of.name]
    pattern = b"%%.%df" % digits

    def rounded(value: Any) -> bytes:
        if value is None and nullable:
            return b"null"
        if -EXACT < value < EXACT:
            whole = int(value)
            if whole == value:
                return b"%d" % whole
            if digits:
                text = (pattern % value).rstrip(b"0").rstrip(b".")
                return text if text != b"-0" else b"0"
        return _encode(serialize(value))

    # The shortest text of a float is the right one if it has no more decimals than are shown.

    def one_decimal(value: Any) -> bytes:
        if type(value) is float:
            text = _encode(value)
            if text[-2] == _POINT and len(text) <= _EXACT_TEXT:
                if text[-1] != _ZERO:
                    return text
                return text[:-2] if value else b"0"
        return rounded(value)

    def ratio(value: Any) -> bytes:
        if type(value) is float:
            text = _encode(value)
            if text[1] == _POINT and len(text) <= digits + 2:
                return text if len(text) > len("0.0") or text[2] != _ZERO else text[:1]
        return rounded(value)

    return one_decimal if digits == 1 else ratio if digits else rounded
