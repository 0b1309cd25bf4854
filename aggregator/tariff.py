"""What an interval's energy is worth: savings, credits, CO2. Exact decimals, no rounding."""

from decimal import Context, Decimal
from typing import Final, NamedTuple

import bus.prices
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
    prices = bus.prices.prices_at(community, start_ms)
    minor_per_wh = Decimal(10) ** prices.minor_units / _WH_PER_KWH
    return Prices(
        _exact.multiply(prices.supplier + prices.grid_fee_reduction - prices.community, minor_per_wh),
        _exact.multiply(prices.community - prices.feed_in, minor_per_wh),
        community.grid_carbon_intensity / _WH_PER_KWH,
    )


def worth(wh: int, per_wh: Decimal) -> Decimal:
    """Return wh x per_wh, exactly."""
    return _exact.multiply(Decimal(wh), per_wh)
