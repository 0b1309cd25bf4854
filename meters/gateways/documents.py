"""The JSON objects that devices publish, with their numbers exact."""

import json
from decimal import Decimal
from typing import Any, Final

from meters.gateways.source import MOST_RAW, Refusal, RefusedError

_DIGITS: Final = 30
"""Of the whole part, or behind the point: no meter has as many, and arithmetic with them costs nothing yet."""


def document_of(payload: bytes) -> dict[str, Any] | Refusal:
    """Return a JSON object, or why the payload is none. Its numbers are decimals, NaN and the infinities, too."""
    if len(payload) > MOST_RAW:
        return Refusal("too_large", f"{len(payload)} bytes; a message of a device has at most {MOST_RAW}")
    try:
        document = json.loads(payload, parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return Refusal("malformed", f"no JSON: {str(error)[:120]}")
    if not isinstance(document, dict):
        return Refusal("malformed", f"no JSON object: {str(document)[:40]!r}")
    return document


def number_of(name: str, value: Any) -> Decimal:
    """Return a number of a document; raise RefusedError where it is something else, or absurdly long."""
    if not isinstance(value, Decimal):
        raise RefusedError("wrong_type", f"{name} is {str(value)[:40]!r}; expected a number")
    if value.is_finite() and value and not -_DIGITS < value.adjusted() < _DIGITS:
        raise RefusedError("out_of_range", f"{name} is {str(value)[:40]}; that is no meter's")
    if value.is_finite() and len(value.as_tuple().digits) > 2 * _DIGITS:
        raise RefusedError("out_of_range", f"{name} has {len(value.as_tuple().digits)} digits; that is no meter's")
    return value
