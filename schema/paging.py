"""Where a page of a connection ends, the same for all connections. PageInfo shows a `PageEnd`."""

from typing import NamedTuple

import strawberry

from schema.fields import shows
from schema.scalars import Cursor


class PageEnd(NamedTuple):
    """Whether more follows a page, and the cursor of its last item; None: it is empty."""

    more: bool
    end: int | None


@strawberry.type(description="Where a page ends.")
class PageInfo:
    has_next_page: bool = shows("more", "Whether there are more after it.")
    end_cursor: Cursor | None = shows(
        "end", "The cursor of its last item, to ask for the next page with; null if it is empty."
    )
