"""Best hours: comparable days, how sure, and when nothing is said."""

import random
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bus.history import BestHours
from history.forecast import backtest, best_hours, expect
from history.totals import Party
from tests.history.ledger import DAY, QUARTER, VIENNA, Ledger, interval, ms, row

MONDAY = date(2026, 6, 1)
HOUR = 4 * QUARTER
BEGIN = ms("2026-06-01T00:00")


def sunny(days: int, noise: int = 0, *, begin: int = BEGIN, missing: int = 0) -> Ledger:
    """Return days on which two homes give at noon and draw else; `noise`: by how many Wh days differ by chance."""
    dice = random.Random(7)
    ledger = Ledger()
    for day in range(days):
        extra = dice.randint(-noise, noise) if noise else 0
        intervals = []
        for at in range(begin + day * DAY, begin + (day + 1) * DAY, QUARTER):
            noon = 12 <= datetime.fromtimestamp(at / 1000, VIENNA).hour < 16
            export_wh = max(0, 500 + extra) if noon else 0
            rows = [
                row(home, at, import_wh=100, export_wh=export_wh, quality="MISSING" if missing > place else "MEASURED")
                for place, home in enumerate(("ash", "birch"))
            ]
            intervals.append(interval(at, rows))
        ledger.write(*intervals)
    return ledger


def told(ledger: Ledger, now: int | None, hours: int = 24) -> BestHours:
    return best_hours(ledger.cursor, Party(1, None, ZoneInfo(ledger.zone)), hours * HOUR, now)


def test_the_expectation_is_a_mean_of_comparable_days_with_the_latest_first() -> None:
    past = {(MONDAY - timedelta(days=age), 12): 100 for age in range(1, 29)}
    assert expect(past, MONDAY, 12) == pytest.approx((100, 1.0))
    past[MONDAY - timedelta(days=1), 12] = 1100
    found = expect(past, MONDAY, 12)
    assert found is not None
    assert 100 + 300 < found.surplus_wh < 100 + 400
    assert expect(past, MONDAY, 13) is None


def test_days_of_the_same_kind_count_more() -> None:
    saturday = MONDAY + timedelta(days=5)
    past = {
        (saturday - timedelta(days=age), 12): 1000 if (saturday - timedelta(days=age)).weekday() >= 5 else -1000
        for age in range(1, 29)
    }
    weekend, working = expect(past, saturday, 12), expect(past, saturday - timedelta(days=1), 12)
    assert weekend is not None
    assert working is not None
    assert weekend.surplus_wh > working.surplus_wh + 300
    assert weekend.sure > working.sure + 0.15


def test_four_days_are_too_few() -> None:
    past = {(MONDAY - timedelta(days=age), 12): 100 for age in range(1, 5)}
    assert expect(past, MONDAY, 12) is None


def test_a_backtest_needs_a_fortnight() -> None:
    assert backtest({(MONDAY + timedelta(days=day), 12): day for day in range(18)}) is None
    score = backtest({(MONDAY + timedelta(days=day), 12): day for day in range(19)})
    assert score is not None
    assert (score.days, score.hours) == (14, 14)


def test_the_surplus_at_noon_is_told_with_how_sure_it_is() -> None:
    ledger = sunny(40, noise=400)
    now = BEGIN + 40 * DAY
    found = told(ledger, now)
    assert found.reason is None
    assert found.score is not None
    assert found.score.error_wh < found.score.yesterday_error_wh
    best = [hour for hour in found.hours if hour.sure > 0.5]
    assert [(hour.start - now) // HOUR for hour in best] == [12, 13, 14, 15]
    assert all(hour.surplus_wh == -800 for hour in found.hours if hour not in best)
    assert len(told(ledger, now, 48).hours) == 48
    assert told(ledger, None) == found


def test_the_hour_that_has_begun_is_told_too() -> None:
    ledger = sunny(40, noise=400)
    found = told(ledger, BEGIN + 40 * DAY + QUARTER, 2)
    assert [(hour.start, hour.end) for hour in found.hours] == [
        (BEGIN + 40 * DAY + hour * HOUR, BEGIN + 40 * DAY + (hour + 1) * HOUR) for hour in range(3)
    ]


@pytest.mark.parametrize(
    ("days", "noise", "missing", "later", "reason"),
    [
        (10, 400, 0, 0, "less than 19 comparable days are settled"),
        (40, 0, 0, 0, "past days tell no more about this community's next day than the day before it does"),
        (40, 400, 0, 8 * DAY, "nothing is settled of the last 7 days"),
        (40, 400, 1, 0, "less than 19 comparable days are settled"),
    ],
)
def test_why_nothing_is_told(days: int, noise: int, missing: int, later: int, reason: str) -> None:
    found = told(sunny(days, noise, missing=missing), BEGIN + days * DAY + later)
    assert (found.hours, found.reason) == ([], reason)


def test_days_on_which_clocks_change_are_days_like_others() -> None:
    begin = ms("2026-10-01T00:00")
    ledger = sunny(30, noise=400, begin=begin)
    found = told(ledger, begin + 30 * DAY)
    assert found.reason is None
    assert len(found.hours) == 24
