"""Prices: those that hold when an interval begins, by the local clock, and the same ones that it is settled by."""

from datetime import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.tariff import prices_at as worth_at
from bus.community import Community, PricePeriod, Tariff
from bus.prices import Prices, prices_at, show
from tests.history.ledger import ms
from tests.resolvers.frames import community

PRICES = st.decimals("-1", "1", places=4)
TIMES = st.times().map(lambda one: one.replace(minute=one.minute // 15 * 15, second=0, microsecond=0))
PERIODS = st.builds(
    PricePeriod,
    start=TIMES,
    end=TIMES,
    supplier_price=st.none() | PRICES,
    community_price=st.none() | PRICES,
    feed_in_price=st.none() | PRICES,
)
TARIFFS = st.builds(
    Tariff,
    supplier_price=PRICES,
    community_price=PRICES,
    feed_in_price=PRICES,
    grid_fee_reduction=PRICES,
    minor_units=st.integers(0, 4),
    time_of_day=st.lists(PERIODS, max_size=3).map(tuple),
)


def by_night(zone: str = "Europe/Vienna") -> Community:
    cheap = PricePeriod(start=time(22), end=time(6), supplier_price=Decimal("0.2"))
    noon = PricePeriod(start=time(12), end=time(14), community_price=Decimal("0.1"), feed_in_price=Decimal("0.05"))
    tariff = Tariff(
        supplier_price=Decimal("0.3"),
        community_price=Decimal("0.16"),
        feed_in_price=Decimal("0.08"),
        time_of_day=(cheap, noon),
    )
    return community(tariff=tariff, timezone=zone)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-05-10T21:45", ("0.3", "0.16", "0.08")),
        ("2026-05-10T22:00", ("0.2", "0.16", "0.08")),
        ("2026-05-10T05:45", ("0.2", "0.16", "0.08")),
        ("2026-05-10T06:00", ("0.3", "0.16", "0.08")),
        ("2026-05-10T12:00", ("0.3", "0.1", "0.05")),
    ],
)
def test_time_of_day_is_that_of_the_local_clock(at: str, expected: tuple[str, str, str]) -> None:
    for zone in ("Europe/Vienna", "Asia/Kathmandu"):
        found = prices_at(by_night(zone), ms(at, zone))
        supplier, shared, feed_in = map(Decimal, expected)
        assert found == Prices(supplier, shared, feed_in, Decimal(0), "EUR", 2)


@given(TARIFFS, st.integers(0, 2**41))
def test_they_are_those_that_an_interval_is_settled_by(tariff: Tariff, at: int) -> None:
    registered = community(tariff=tariff)
    prices, worth = prices_at(registered, at), worth_at(registered, at)
    minor_per_wh = Decimal(1).scaleb(prices.minor_units - 3)
    assert worth.saving_per_wh == (prices.supplier + prices.grid_fee_reduction - prices.community) * minor_per_wh
    assert worth.credit_per_wh == (prices.community - prices.feed_in) * minor_per_wh


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.2790", "0.279"), ("-0.00", "0"), ("1E+3", "1000"), ("-12.50", "-12.5"), ("1E-9", "0.000000001")],
)
def test_decimals_are_written_out_without_what_says_nothing(value: str, text: str) -> None:
    assert show(Decimal(value)) == text
