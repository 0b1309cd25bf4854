"""Fields that show one attribute of a domain object.

A field carries the path of its attribute in its metadata, under SOURCE, so that whatever reads
the schema can tell which part of the domain object the field shows.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, Final

import strawberry
from graphql import GraphQLError

from schema.scalars import WattHours, Watts, check_step, quantise

SOURCE: Final = "source"
COUNTS: Final = "counts"

_STEP: Final = (
    "Round to the nearest multiple of this, over 0 and at most 1,000,000, halves away from zero: what your display "
    "shows. In a subscription a value that leaves its step by more than the `hysteresis` brings an update, in which "
    "all figures are up to date; what is closer brings none. Queries just round."
)
PowerStep = Annotated[Watts | None, strawberry.argument(description=f"In W. {_STEP}")]
EnergyStep = Annotated[WattHours | None, strawberry.argument(description=f"In Wh. {_STEP}")]


def shows(source: str, description: str, *, counts: bool = True) -> Any:
    """Return a field whose value is the attribute path `source` of the domain object.

    With `counts` False the value travels, but a change of it alone is none.
    """
    metadata = {SOURCE: source, COUNTS: counts}
    return strawberry.field(resolver=_reader(source), description=description, metadata=metadata)


def shows_power(source: str, description: str) -> Any:
    """Return a field like `shows`, in W, with the argument `step`."""
    read = attrgetter(source)

    def resolve(root: Any, step: PowerStep = None) -> Any:
        return _stepped(read(root), step)

    return strawberry.field(resolver=resolve, description=description, metadata={SOURCE: source})


def shows_energy(source: str, description: str) -> Any:
    """Return a field like `shows`, in Wh, with the argument `step`."""
    read = attrgetter(source)

    def resolve(root: Any, step: EnergyStep = None) -> Any:
        return _stepped(read(root), step, whole=True)

    return strawberry.field(resolver=resolve, description=description, metadata={SOURCE: source})


def _stepped(value: Any, step: float | None, *, whole: bool = False) -> Any:
    if step is None:
        return value
    try:
        step = check_step(step, whole=whole)
    except ValueError as error:
        raise GraphQLError(str(error)) from None
    return None if value is None else quantise(value, step)


def _reader(source: str) -> Callable[[Any], Any]:
    read = attrgetter(source)

    def resolve(root: Any) -> Any:
        return read(root)

    return resolve
