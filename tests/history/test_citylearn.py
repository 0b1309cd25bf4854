"""The CityLearn year in the history: every month and the year agree with the oracle; the forecast beats yesterday."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.community import Community
from bus.history import IntervalsQuestion
from history.forecast import backtest, best_hours, known_hours
from history.pages import page
from history.totals import Party, total
from tests.aggregator.test_citylearn_oracle import BEGIN_MS, HOURS
from tests.history.ledger import DAY, Ledger
from tests.history.recorded import END_MS, HOUR, ZONE, Told, by_local, differences, settle, tell


@pytest.fixture(scope="module")
def year(citylearn: Path) -> Iterator[tuple[list[Told], Community, Ledger]]:
    told = tell(citylearn)
    community, intervals = settle(citylearn, told)
    ledger = Ledger(zone=ZONE.key)
    for first in range(0, HOURS, 2000):
        ledger.write(*intervals[first : first + 2000])
    yield told, community, ledger
    ledger.close()


def party(ledger: Ledger, home: str | None) -> Party:
    number = ledger.store.communities["citylearn"]
    return Party(number, None if home is None else ledger.store.homes[number, home], ZONE)


@pytest.mark.parametrize("home", [None, "building-01", "building-15", "building-17"])
def test_every_month_and_the_year_agree_with_the_oracle_to_the_wh_and_the_cent(
    year: tuple[list[Told], Community, Ledger], home: str | None
) -> None:
    told, community, ledger = year
    whole = total(ledger.cursor, party(ledger, home), BEGIN_MS, END_MS)
    assert whole is not None
    assert differences(whole, told, home, community) == []
    question = IntervalsQuestion(
        community="citylearn", home=home, since=BEGIN_MS, until=END_MS, resolution="MONTH", first=1000
    )
    found = page(ledger.cursor, party(ledger, home), question)
    months = by_local(told, lambda local: (local.year, local.month))
    assert (len(found.periods), len(months), found.has_next) == (12, 12, False)
    for shown, hours in zip(found.periods, months, strict=True):
        assert differences(shown, hours, home, community) == []
    weeks = by_local(told, lambda local: local.isocalendar()[:2])
    found = page(
        ledger.cursor,
        party(ledger, home),
        IntervalsQuestion(
            community="citylearn", home=home, since=BEGIN_MS, until=END_MS, resolution="WEEK", first=1000
        ),
    )
    assert len(found.periods) == len(weeks)
    for shown, hours in zip(found.periods, weeks, strict=True):
        assert differences(shown, hours, home, community) == []


def test_the_forecast_beats_the_same_hour_of_yesterday_over_the_year(
    year: tuple[list[Told], Community, Ledger],
) -> None:
    _, _, ledger = year
    past = known_hours(ledger.cursor, party(ledger, None), BEGIN_MS, END_MS)
    assert len(past) == HOURS - 1  # the hour that comes twice counts once
    score = backtest(past, days=365)
    assert score is not None
    assert score.days > 350
    assert score.error_wh < 0.93 * score.yesterday_error_wh
    assert score.brier < 0.7 * score.yesterday_brier


def test_best_hours_are_told_from_what_was_known_then_and_hold_more_often_than_not(
    year: tuple[list[Told], Community, Ledger],
) -> None:
    told, _, ledger = year
    surplus = {one.start: sum(one.hour.injected.values()) - sum(one.hour.drawn.values()) for one in told}
    right = wrong = offered = asked = 0
    for now in range(BEGIN_MS + 100 * DAY, END_MS - 3 * DAY, 9 * DAY + 7 * HOUR):
        found = best_hours(ledger.cursor, party(ledger, None), 24 * HOUR, now)
        asked += 1
        offered += bool(found.hours)
        for hour in found.hours:
            assert (hour.end - hour.start, now <= hour.end, hour.start < now + DAY) == (HOUR, True, True)
            assert 0 <= hour.sure <= 1
            if (hour.sure > 0.5) == (surplus[hour.start] > 0):
                right += 1
            else:
                wrong += 1
    assert offered > 0.7 * asked
    assert right > 9 * wrong
