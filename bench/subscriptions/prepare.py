"""The communities of these benchmarks: `c000`, `c001`, ... with homes `h000`, `h001`, ..., in the registry.

A server answers NOT_FOUND for a home that is not registered, so they are registered before it is asked.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from bus.client import Bus
from bus.community import Community, Home, Meter, Tariff
from bus.registry import apply
from bus.settings import NatsSettings

HOMES: Final = 50
"""Homes of one community."""


def communities(count: int, homes: int = HOMES) -> Iterable[Community]:
    """Return `count` communities of `homes` homes each, one meter in every home."""
    tariff = Tariff(supplier_price=Decimal("0.28"), community_price=Decimal("0.16"), feed_in_price=Decimal("0.08"))
    members = tuple(Home(id=f"h{n:03}", meters=(Meter(id=f"m{n:03}"),)) for n in range(homes))
    return (
        Community(id=f"c{n:03}", name=f"Community {n}", timezone="Europe/Vienna", tariff=tariff, homes=members)
        for n in range(count)
    )


async def register(url: str, count: int, homes: int = HOMES) -> None:
    """Create the streams on the nats-server at `url` and register the communities."""
    bus = await Bus.connect(NatsSettings(url=url), name="bench", patience_s=20)
    try:
        for community in communities(count, homes):
            await apply(bus, community, now=datetime.now(UTC))
    finally:
        await bus.close()
