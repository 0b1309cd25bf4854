"""What an interval's energy is worth: savings, credits, CO2. Exact decimals, no rounding."""

from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Final, NamedTuple

from bus.community import Community

_exact: Final = Context(prec=60)
_WH_PER_KWH: Final = Decimal(1000)


class Prices(NamedTuple):
    """Prices per Wh in minor units of the currency, and grid carbon in g per Wh, at one moment."""

    saving_per_wh: Decimal
    credit_per_wh: Decimal
    co2_g_per_wh: Decimal


def prices_at(community: Community, start_ms: int) -> Prices:
    """Return what a shared Wh is worth in the interval that starts at `start_ms` (ms since 1970 UTC).

    Saving: supplier price + grid-fee reduction - community price; credit: community price -
    feed-in price. Time-of-day prices hold by the local time at the interval's start.
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
    minor_per_wh = Decimal(10) ** tariff.minor_units / _WH_PER_KWH
    return Prices(
        _exact.multiply(supplier + tariff.grid_fee_reduction - shared, minor_per_wh),
        _exact.multiply(shared - feed_in, minor_per_wh),
        community.grid_carbon_intensity / _WH_PER_KWH,
    )


def worth(wh: int, per_wh: Decimal) -> Decimal:
    """Return wh x per_wh, exactly."""
    return _exact.multiply(Decimal(wh), per_wh)


def text(value: Decimal) -> str:
    """Return a decimal without exponent or trailing zeros: `12.5`, `0`."""
    if not value:
        return "0"  # also for -0
    written = f"{value:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written
