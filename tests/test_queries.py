"""The queries of docs/queries.md, each asked of a real server with a real history, by who it is for."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from bus.client import Bus
from bus.community import Member
from bus.history import Totals
from server.options import ServerOptions
from tests.history.ledger import expected
from tests.resolvers.frames import register
from tests.server.archive import at, keeping, settled_range, shown, village
from tests.server.people import Signer, post
from tests.server.served import serving, until_ready

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "queries.md"
SECTIONS: Final = re.split(r"^## ", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE)[1:]
QUERIES: Final = {
    re.search(r"query (\w+)", query)[1]: query  # type: ignore[index] # each has a name
    for section in SECTIONS
    for query in re.findall(r"^```graphql\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
}

HOMES: Final = tuple(f"home-0{number}" for number in range(1, 7))
MINE: Final = HOMES[0]
VILLAGE: Final = village(
    homes=HOMES,
    settlement_interval=timedelta(hours=1),
    clock="event",
    grid_carbon_intensity=Decimal(200),
    members=(Member(id="anna", homes=(MINE,)), Member(id="olga", role="operator")),
)
MAY: Final = at("2026-05-01T00:00+02:00"), at("2026-06-01T00:00+02:00")
APRIL: Final = at("2026-04-01T00:00+02:00"), MAY[0]
MAY_BEFORE: Final = at("2025-05-01T00:00+02:00"), at("2025-06-01T00:00+02:00")
INTERVALS: Final = [one for month in (MAY_BEFORE, APRIL, MAY) for one in settled_range(VILLAGE, *month)]


def totals(home: str | None, month: tuple[int, int]) -> Totals:
    found = expected(INTERVALS, home, *month)
    assert found is not None
    return found


class Town:
    """A server, and who asks it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.signer = Signer()

    async def ask(self, name: str, who: str, **variables: Any) -> Any:
        """Return the data of the answer to a query of the document; fail where it has errors."""
        answer = (await post(self.url, self.signer.token(who), QUERIES[name], **variables)).json()
        assert "errors" not in answer, answer
        return answer["data"]


@pytest.fixture
async def town(bus: Bus, tmp_path: Path) -> AsyncIterator[Town]:
    """A village settled in two months of this year and one of the last."""
    await register(bus, VILLAGE)
    town = Town("")
    async with keeping(bus, tmp_path) as archive, serving(bus, ServerOptions(tokens=town.signer.tokens)) as url:
        await until_ready(url)
        await archive.settle(INTERVALS)
        town.url = url
        yield town


def test_there_are_ten_questions_with_a_query_each() -> None:
    assert [section.partition(".")[0] for section in SECTIONS] == [str(number) for number in range(1, 11)]
    assert len(QUERIES) == 10


async def test_one_home_is_told_of_its_month_and_of_its_days(town: Town) -> None:
    month = (await town.ask("Month", "anna"))["home"]["summary"]
    wanted = totals(MINE, MAY)
    assert month["imported"] == wanted.import_wh == month["shared"] + month["residualImport"]
    assert month["consumed"] == wanted.load_wh
    assert Decimal(month["saved"]) == Decimal(wanted.saving or 0) + Decimal(wanted.credit or 0)
    days = [edge["node"] for edge in (await town.ask("Days", "anna"))["home"]["intervals"]["edges"]]
    assert len(days) == 31
    for name in ("consumed", "produced", "shared"):
        assert sum(day[name] for day in days) == month[name]


async def test_all_intervals_come_page_by_page(town: Town) -> None:
    found: list[dict[str, Any]] = []
    after, more = None, True
    while more:
        page = (await town.ask("Intervals", "anna", after=after))["home"]["intervals"]
        found += [edge["node"] for edge in page["edges"]]
        more, after = page["pageInfo"]["hasNextPage"], page["pageInfo"]["endCursor"]
    last = [row for one in INTERVALS[-48:] for row in one.rows if row.home == MINE]
    assert [(one["start"], one["imported"], one["quality"]) for one in found] == [
        (row.start, row.import_wh, row.quality) for row in last
    ]


async def test_a_month_is_compared(town: Town) -> None:
    last = (await town.ask("LastMonth", "anna"))["home"]["compare"]
    assert last["totals"]["imported"] == totals(MINE, MAY).import_wh
    assert last["baseline"]["imported"] == totals(MINE, APRIL).import_wh
    assert (last["baseline"]["start"], last["baseline"]["end"]) == (shown(APRIL[0]), shown(APRIL[1]))
    year = (await town.ask("LastYear", "anna"))["home"]["compare"]
    assert year["baseline"]["consumed"] == totals(MINE, MAY_BEFORE).load_wh
    assert year["baseline"]["peakImport"] == totals(MINE, MAY_BEFORE).peak_import_wh
    others = (await town.ask("Others", "anna"))["home"]["compare"]
    mean = sum(totals(home, MAY).load_wh for home in HOMES[1:]) / 5
    assert (others["others"], others["baseline"]["consumed"]) == (5, round(mean))


async def test_the_best_hours_are_by_day(town: Town) -> None:
    found = (await town.ask("BestHours", "anna"))["community"]["bestHours"]
    assert found["reason"] is None
    assert len(found["hours"]) == 24
    assert 8 <= (at(found["best"]["start"].replace("Z", "+00:00")) - MAY[1]) / 3_600_000 < 18
    assert found["score"]["error"] < found["score"]["yesterdayError"]


async def test_the_communitys_year_is_the_sum_of_its_months(town: Town) -> None:
    found = (await town.ask("Year", "anna"))["community"]
    months = [edge["node"] for edge in found["intervals"]["edges"]]
    assert [month["start"] for month in months] == [shown(APRIL[0]), shown(MAY[0])]
    assert [month["shared"] for month in months] == [totals(None, APRIL).shared_wh, totals(None, MAY).shared_wh]
    assert found["summary"]["shared"] == sum(month["shared"] for month in months)
    assert Decimal(found["summary"]["co2Avoided"]) == Decimal(found["summary"]["shared"]) / 5


async def test_a_bill_opens_in_a_browser(town: Town) -> None:
    bill = (await town.ask("Bill", "anna"))["home"]["statement"]
    assert (bill["intervals"], bill["expectedIntervals"], bill["status"]) == (744, 744, "PROVISIONAL")
    assert sum(Decimal(line["amount"]) for line in bill["lines"]) == Decimal(bill["amount"])
    async with httpx.AsyncClient(base_url=town.url) as http:
        page, table = await http.get(bill["htmlUrl"]), await http.get(bill["csvUrl"])
    assert "Statement for May 2026" in page.text
    assert len(table.text.splitlines()) == 745


async def test_operators_see_all_homes_and_members_their_own(town: Town) -> None:
    homes = (await town.ask("Homes", "olga"))["community"]["homes"]
    assert [home["id"] for home in homes] == [f"demo.{home}" for home in HOMES]
    for home in homes:
        wanted = totals(home["id"].partition(".")[2], MAY)
        assert (home["summary"]["imported"], home["summary"]["shared"]) == (wanted.import_wh, wanted.allocated_wh)
        assert sum(home["summary"]["qualities"].values()) == 744
    (mine,) = (await town.ask("Homes", "anna"))["community"]["homes"]
    assert mine == homes[0]
