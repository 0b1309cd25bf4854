"""What a kWh costs at one moment, by a community's tariff. Exact decimals, no rounding.

It is what everybody must agree on who says what an interval is worth.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from bus.community import Community


class Prices(NamedTuple):
    """Prices per kWh in units of the currency; `minor_units`: digits of its smallest unit."""

    supplier: Decimal
    community: Decimal
    feed_in: Decimal
    grid_fee_reduction: Decimal
    currency: str
    minor_units: int


def prices_at(community: Community, start_ms: int) -> Prices:
    """Return the prices of the interval that starts at `start_ms` (ms since 1970 UTC), in this version of a community.

    Time-of-day prices hold by the local time at the interval's start; of several the first.
    """
    tariff = community.tariff
    supplier, shared, feed_in = tariff.supplier_price, tariff.community_price, tariff.feed_in_price
    if tariff.time_of_day:
        local = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(community.zone).time()
        for period in tariff.time_of_day:
            inside = period.start <= local < period.end
            if period.end <= period.start:
                inside = local >= period.start or local < period.end
            if inside:
                supplier = supplier if period.supplier_price is None else period.supplier_price
                shared = shared if period.community_price is None else period.community_price
                feed_in = feed_in if period.feed_in_price is None else period.feed_in_price
                break
    return Prices(supplier, shared, feed_in, tariff.grid_fee_reduction, tariff.currency, tariff.minor_units)


def show(value: Decimal) -> str:
    """Return a decimal without exponent or trailing zeros: `12.5`, `0`."""
    if not value:
        return "0"  # also for -0
    written = f"{value:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written
