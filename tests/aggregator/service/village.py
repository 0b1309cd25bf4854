"""Small communities, their readings, and what came of them."""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from aggregator.checkpoint import Checkpoints
from bus.client import Bus, Message
from bus.community import Community, Home, Meter, Tariff
from bus.messages import (
    Alert,
    Frame,
    Interval,
    Rejected,
    decode_alert,
    decode_frame,
    decode_interval,
    decode_rejected,
)
from bus.registry import apply
from bus.stored import Stored

START: Final = datetime(2025, 6, 2, 8, tzinfo=UTC)
"""When readings of the tests begin: a Monday, far in the past."""

TARIFF: Final = Tariff(supplier_price=Decimal("0.28"), community_price=Decimal("0.16"), feed_in_price=Decimal("0.08"))


def village(id: str = "demo", *, homes: int = 2, roles: tuple[Any, ...] = ("GRID",), **changes: Any) -> Community:
    """Return a community of a few homes h1, h2, ... with meters h1-grid and so on; the clock is the readings' own."""
    settings: dict[str, Any] = {"clock": "event", "settlement_interval": timedelta(minutes=15)} | changes
    return Community(
        id=id,
        name=id,
        timezone="Europe/Vienna",
        tariff=settings.pop("tariff", TARIFF),
        homes=settings.pop("of", None)
        or tuple(
            Home(id=f"h{n}", meters=tuple(Meter(id=f"h{n}-{role.lower()}", role=role) for role in roles))
            for n in range(1, homes + 1)
        ),
        **settings,
    )


async def register(bus: Bus, community: Community, valid_from: date | None = None) -> None:
    """Put a version of a community into the registry."""
    await apply(bus, community, valid_from=valid_from, now=datetime.now(UTC))


def reading(at: datetime | float, import_wh: int, export_wh: int = 0, **more: Any) -> bytes:
    """Return a reading; `at` in minutes counts from START."""
    moment = at if isinstance(at, datetime) else START + timedelta(minutes=at)
    return json.dumps({"at": moment.isoformat(), "import_wh": import_wh, "export_wh": export_wh, **more}).encode()


async def publish(bus: Bus, messages: Iterable[tuple[str, bytes]]) -> int:
    """Store messages in READINGS in their order; return the sequence of the last."""
    pending = [Message(subject, data) for subject, data in messages]
    last = 0
    for first in range(0, len(pending), 500):
        last = await bus.publish_batch(pending[first : first + 500])
    return last


async def held(bus: Bus, stream: str, subject: str) -> list[Stored]:
    """Return every message of a subject that a stream holds now, in its order."""
    found: list[Stored] = []
    reader = bus.read(stream, [subject], buffer=5000)
    while await bus.next_after(stream, subject, reader.position + 1) is not None:
        found += await reader.next_batch(1.0)
    await reader.close()
    return found


async def intervals(bus: Bus, community: str = "demo") -> list[Interval]:
    return [decode_interval(one.data) for one in await held(bus, "INTERVALS", f"intervals.{community}")]


async def alerts(bus: Bus, community: str = "demo") -> list[Alert]:
    return [decode_alert(one.data) for one in await held(bus, "ALERTS", f"alerts.{community}.*")]


async def rejected(bus: Bus) -> list[Rejected]:
    return [decode_rejected(one.data) for one in await held(bus, "REJECTED", "rejected.>")]


async def frame(bus: Bus, community: str = "demo") -> Frame | None:
    """Return the frame that a late joiner gets."""
    last = await bus.last("LIVE", f"live.{community}")
    return None if last is None else decode_frame(last.data)


async def folded_to(bus: Bus, sequence: int, community: str = "demo") -> bool:
    """Say whether a checkpoint of the community stands for a sequence of READINGS, or a later one."""
    saved = await Checkpoints(bus, "test").load(community)
    return saved is not None and saved.position >= sequence
