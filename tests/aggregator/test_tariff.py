"""Tariffs: exact decimals in minor units, by the local time at which an interval starts."""

from datetime import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.tariff import prices_at, worth
from bus.community import Community, PricePeriod, Tariff
from bus.prices import show
from tests.aggregator.harness import NOON, community, ms

D = Decimal


def _tariff(*periods: PricePeriod, **more: Any) -> Community:
    fields: dict[str, Any] = {
        "supplier_price": D("0.279"),
        "community_price": D("0.155"),
        "feed_in_price": D("0.072"),
        "grid_fee_reduction": D("0.031"),
        "time_of_day": periods,
    }
    return community("a", tariff=Tariff(**{**fields, **more}), grid_carbon_intensity=D("180.5"))


def test_a_consumer_saves_supplier_price_and_reduction_less_the_community_price() -> None:
    prices = prices_at(_tariff(), NOON)
    assert prices.saving_per_wh == D("0.0155")  # cents: (27.9 + 3.1 - 15.5) / 1000
    assert prices.credit_per_wh == D("0.0083")  # (15.5 - 7.2) / 1000
    assert prices.co2_g_per_wh == D("0.1805")


@pytest.mark.parametrize(("minor_units", "saving"), [(0, "0.000155"), (2, "0.0155"), (3, "0.155"), (4, "1.55")])
def test_money_is_in_the_currencys_smallest_unit(minor_units: int, saving: str) -> None:
    assert prices_at(_tariff(minor_units=minor_units), NOON).saving_per_wh == D(saving)


@given(
    st.decimals(-100, 100, places=8),
    st.decimals(-100, 100, places=8),
    st.decimals(-100, 100, places=8),
    st.decimals(-100, 100, places=8),
    st.integers(0, 10**9),
)
@settings(deadline=None, max_examples=60)
def test_no_digit_is_ever_rounded_away(supplier: D, shared: D, feed_in: D, reduction: D, wh: int) -> None:
    one = _tariff(supplier_price=supplier, community_price=shared, feed_in_price=feed_in, grid_fee_reduction=reduction)
    prices = prices_at(one, NOON)
    scale = 10**8
    whole = [int(price * scale) for price in (supplier, shared, feed_in, reduction)]
    saving, credit = worth(wh, prices.saving_per_wh), worth(wh, prices.credit_per_wh)
    assert saving * 10 * scale == wh * (whole[0] + whole[3] - whole[1])
    assert credit * 10 * scale == wh * (whole[1] - whole[2])
    assert D(show(saving)) == saving
    assert D(show(credit)) == credit


NIGHT = PricePeriod(start=time(22), end=time(6), supplier_price=D("0.2"))
LUNCH = PricePeriod(start=time(11), end=time(15), community_price=D("0.1"), feed_in_price=D("0.05"))


@pytest.mark.parametrize(
    ("local", "saving", "credit"),
    [
        ("2026-06-15T10:45:00+02:00", "0.0155", "0.0083"),
        ("2026-06-15T11:00:00+02:00", "0.021", "0.005"),
        ("2026-06-15T14:45:00+02:00", "0.021", "0.005"),
        ("2026-06-15T15:00:00+02:00", "0.0155", "0.0083"),
        ("2026-06-15T21:45:00+02:00", "0.0155", "0.0083"),
        ("2026-06-15T22:00:00+02:00", "0.0076", "0.0083"),
        ("2026-06-16T00:00:00+02:00", "0.0076", "0.0083"),
        ("2026-06-16T05:45:00+02:00", "0.0076", "0.0083"),
        ("2026-06-16T06:00:00+02:00", "0.0155", "0.0083"),
        ("2026-12-15T05:45:00+01:00", "0.0076", "0.0083"),  # local time, whatever the offset
        ("2026-12-15T06:00:00+01:00", "0.0155", "0.0083"),
    ],
)
def test_time_of_day_prices_hold_by_local_time_also_over_midnight(local: str, saving: str, credit: str) -> None:
    prices = prices_at(_tariff(NIGHT, LUNCH), ms(local))
    assert (show(prices.saving_per_wh), show(prices.credit_per_wh)) == (saving, credit)


def test_of_two_periods_the_first_holds() -> None:
    both = _tariff(PricePeriod(start=time(0), end=time(0), supplier_price=D(1)), NIGHT)
    assert prices_at(both, ms("2026-06-15T23:00:00+02:00")).saving_per_wh == D("0.0876")


def test_nothing_shared_is_worth_0_and_not_minus_0() -> None:
    dear = _tariff(community_price=D("0.5"))
    assert show(worth(0, prices_at(dear, NOON).saving_per_wh)) == "0"
