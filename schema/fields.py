"""Fields that show one attribute of a domain object.

A field carries the path of its attribute in its metadata, under SOURCE, so that whatever reads
the schema can tell which part of the domain object the field shows.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

import strawberry

SOURCE: Final = "source"


def shows(source: str, description: str) -> Any:
    """Return a field whose value is the attribute path `source` of the domain object."""
    return strawberry.field(resolver=_reader(source), description=description, metadata={SOURCE: source})


def _reader(source: str) -> Callable[[Any], Any]:
    read = attrgetter(source)

    def resolve(root: Any) -> Any:
        return read(root)

    return resolve
