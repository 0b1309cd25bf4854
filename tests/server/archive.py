"""A village whose intervals are settled by the aggregator's own arithmetic, published, and kept by a real history."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

from aggregator.rows import Measured, build_interval
from bus.client import Bus
from bus.community import Community, Member, PricePeriod, Tariff
from bus.messages import Interval, Quality
from history.metrics import Metrics
from resolvers.errors import NotReadyError
from resolvers.history import History
from tests.history.running import publish, running
from tests.resolvers.frames import community, eventually

HOMES: Final = ("home-1", "home-2", "home-3", "home-4", "home-5", "home-6")
PEOPLE: Final = (Member(id="anna", homes=("home-1",)), Member(id="olga", role="operator"))
QUARTER_MS: Final = 900_000
DAY_MS: Final = 96 * QUARTER_MS
TARIFF: Final = Tariff(
    supplier_price=Decimal("0.2790"),
    community_price=Decimal("0.1634"),
    feed_in_price=Decimal("0.08"),
    grid_fee_reduction=Decimal("0.0311"),
    time_of_day=(PricePeriod(start=time(22), end=time(6), supplier_price=Decimal("0.1999")),),
)


def village(key: str = "demo", *, homes: tuple[str, ...] = HOMES, **changes: Any) -> Community:
    """Return a community of six homes in Vienna, of which anna has the first, and olga operates it."""
    return community(key, homes=homes, **({"members": PEOPLE, "tariff": TARIFF} | changes))


def at(text: str) -> int:
    """Return the ms since 1970 UTC of a time with its offset."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def shown(ms: int) -> str:
    """Return a time as the API writes it."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def settled(registered: Community, start: int, revision: int = 0) -> Interval:
    """Return one interval, always the same: by night all homes draw, by day the first half of them injects."""
    dice = Random(f"{registered.id} {start} {revision}")
    sunny = 8 <= datetime.fromtimestamp(start / 1000, registered.zone).hour < 18
    length = int(registered.settlement_interval.total_seconds() * 1000)
    measured = {}
    for number, home in enumerate(registered.homes):
        sun = dice.randrange(400, 900) if sunny and number < len(registered.homes) / 2 else 0
        drawn = dice.randrange(300) if not sun else dice.randrange(20)
        quality: Quality = dice.choices(("MEASURED", "SUBSTITUTED", "ESTIMATED"), (20, 2, 1))[0]
        measured[home.id] = Measured(drawn, dice.randrange(sun + 1), sun, quality=quality)
    return build_interval(registered, start, start + length, measured, revision)


def settled_range(registered: Community, since: int, until: int) -> list[Interval]:
    """Return all intervals from `since` to `until`."""
    length = int(registered.settlement_interval.total_seconds() * 1000)
    return [settled(registered, start) for start in range(since, until, length)]


class Archive:
    """A history that runs, and what publishes to it."""

    def __init__(self, bus: Bus, metrics: Metrics) -> None:
        self._bus = bus
        self._metrics = metrics

    async def settle(self, intervals: Iterable[Interval]) -> None:
        """Publish intervals, and wait until the history holds them."""
        last = await publish(self._bus, *intervals)

        async def is_kept() -> bool:
            position: Sequence[Any] = list(self._metrics.position.collect())
            return float(position[0].samples[0].value) >= last

        await eventually(is_kept, timeout=60)


@asynccontextmanager
async def keeping(bus: Bus, directory: Path) -> AsyncIterator[Archive]:
    """Run a history on a file in a directory; the block begins once it answers."""
    async with running(bus, directory / "history.duckdb") as metrics:

        async def answers() -> bool:
            with suppress(NotReadyError):
                await History(bus).summary("nowhere", None, 0, 1)
                return True
            return False

        await eventually(answers)
        yield Archive(bus, metrics)
