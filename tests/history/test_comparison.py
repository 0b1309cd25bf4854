"""Comparisons: beside earlier times, and beside the mean of other homes, of which none can be told."""

from contextlib import closing
from fractions import Fraction
from random import Random
from zoneinfo import ZoneInfo

import pytest

from bus.history import TOO_FEW_HOMES, Baseline, CompareQuestion, Comparison
from bus.messages import Quality
from bus.micro import QuestionError
from history.comparison import compare
from history.totals import Party
from tests.history.ledger import DAY, QUARTER, Ledger, chance_interval, expected, interval, ms, ms_of, row

BEGIN = ms("2026-06-01T00:00")
HOMES = [f"home-{number}" for number in range(6)]


def beside(ledger: Ledger, home: str | None, since: int, until: int, baseline: Baseline) -> Comparison:
    community = ledger.store.communities["demo"]
    number = None if home is None else ledger.store.homes[community, home]
    question = CompareQuestion(community="demo", home=home, since=since, until=until, baseline=baseline)
    return compare(ledger.cursor, Party(community, number, ZoneInfo(ledger.zone)), question)


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """Return two months, and the same two of the year before."""
    ledger = Ledger()
    for begin in (ms("2025-05-01T00:00"), ms("2026-05-01T00:00")):
        starts = range(begin, begin + 61 * DAY, 8 * QUARTER)
        ledger.write(*(chance_interval(start, HOMES) for start in starts))
    return ledger


@pytest.mark.parametrize("home", [None, "home-2"])
def test_a_month_is_compared_with_the_month_before_and_with_that_of_a_year_before(
    ledger: Ledger, home: str | None
) -> None:
    june, july = ms("2026-06-01"), ms("2026-07-01")
    own = expected(ledger.newest, home, june, july)
    before = beside(ledger, home, june, july, "PREVIOUS_PERIOD")
    assert before.totals == own
    assert before.baseline == expected(ledger.newest, home, ms("2026-05-01"), june)
    year = beside(ledger, home, june, july, "PREVIOUS_YEAR")
    assert year.totals == own
    assert year.baseline == expected(ledger.newest, home, ms("2025-06-01"), ms("2025-07-01"))


def test_where_nothing_is_settled_there_is_nothing(ledger: Ledger) -> None:
    first = beside(ledger, "home-1", ms("2025-05-01"), ms("2025-05-02"), "PREVIOUS_YEAR")
    assert first.totals is not None
    assert first.baseline is None
    nothing = beside(ledger, "home-1", ms("2030-05-01"), ms("2030-05-02"), "COMMUNITY_AVERAGE")
    assert (nothing.totals, nothing.baseline) == (None, None)


def refusal(ledger: Ledger, home: str, since: int, until: int) -> str | None:
    """Return the code with which a mean is refused."""
    try:
        beside(ledger, home, since, until, "COMMUNITY_AVERAGE")
    except QuestionError as error:
        return error.code
    return None


def quality_of(at: int, place: int, missing: list[list[bool]]) -> Quality:
    return "MISSING" if missing[at][place] else "MEASURED"


@pytest.mark.parametrize("seed", range(25))
def test_the_mean_is_that_of_the_others_where_enough_of_them_were_measured(seed: int) -> None:
    dice = Random(seed)
    share = dice.choice((0.1, 0.4, 0.8))
    missing = [[dice.random() < share for _ in range(7)] for _ in range(dice.randint(1, 8))]
    with closing(Ledger()) as ledger:
        check_mean(ledger, missing, joined=dice.randint(0, 3))


def check_mean(ledger: Ledger, missing: list[list[bool]], joined: int) -> None:
    names = ["own", *(f"home-{number}" for number in range(6))]
    base = []
    for at in range(len(missing)):
        start = BEGIN + at * QUARTER
        rows = []
        for place, name in enumerate(names):
            quality = quality_of(at, place, missing)
            value = 0 if quality == "MISSING" else 100 + 37 * place + 11 * at
            zero = {"export_wh": 0, "pv_wh": 0, "load_wh": value, "charge_wh": 0, "discharge_wh": 0, "allocated_wh": 0}
            if place or at >= joined:
                rows.append(row(name, start, import_wh=value, residual_import_wh=value, quality=quality, **zero))
        ledger.write(interval(start, rows))
        others = [one for one in rows if one.home != "own" and one.quality != "MISSING"]
        if at >= joined and len(others) >= 4:
            base.append((start, others))
    since, until = BEGIN, BEGIN + DAY
    if joined >= len(missing):
        assert "own" not in {home for _, home in ledger.store.homes}
        return
    if not base:
        assert refusal(ledger, "own", since, until) == TOO_FEW_HOMES
        return
    found = beside(ledger, "own", since, until, "COMMUNITY_AVERAGE")
    starts = {start for start, _ in base}
    kept = [one for one in ledger.newest.values() if ms_of(one.start) in starts]
    assert found.totals == expected(kept, "own", since, until)
    assert found.baseline is not None
    mean = float(sum(Fraction(sum(one.import_wh for one in others), len(others)) for _, others in base))
    assert found.baseline.import_wh == pytest.approx(mean, abs=0.51)
    assert found.baseline.intervals == len(base)
    assert found.baseline.measured == sum(len(others) for _, others in base)
    assert found.others == min(len(others) for _, others in base)
    assert found.baseline.self_sufficiency in (0.0, None)


def test_a_community_of_four_homes_has_no_mean_for_any_of_them() -> None:
    ledger = Ledger()
    ledger.write(*(chance_interval(BEGIN + at * QUARTER, HOMES[:4]) for at in range(50)))
    for home in HOMES[:4]:
        with pytest.raises(QuestionError, match="a mean of fewer than 4 other homes is not given"):
            beside(ledger, home, BEGIN, BEGIN + DAY, "COMMUNITY_AVERAGE")


def test_money_of_the_mean_is_a_decimal_of_four_digits(ledger: Ledger) -> None:
    found = beside(ledger, "home-0", ms("2026-05-01"), ms("2026-06-01"), "COMMUNITY_AVERAGE")
    assert found.baseline is not None
    assert found.baseline.saving is not None
    assert len(found.baseline.saving.partition(".")[2]) <= 4
