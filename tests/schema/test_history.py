"""Settled data in the API, over a real NATS and a real history: what is asked is what was published."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from bus.client import Bus
from bus.community import Community, Member
from bus.messages import Interval
from server.options import ServerOptions
from tests.history.ledger import expected
from tests.resolvers.frames import Publisher, home_state, register
from tests.server.archive import DAY_MS, HOMES, QUARTER_MS, Archive, at, keeping, settled, settled_range, shown, village
from tests.server.people import Signer, post
from tests.server.served import serving, until_ready

SINCE: Final = at("2026-05-10T00:00+02:00")
UNTIL: Final = SINCE + 2 * DAY_MS
RANGE: Final = {"from": shown(SINCE), "to": shown(UNTIL)}
ANNAS: Final = "demo.home-1"

PAGE: Final = """
query ($id: ID!, $from: DateTime!, $to: DateTime!, $by: Resolution! = HOUR, $first: Int! = 100, $after: Cursor) {
  home(id: $id) {
    intervals(from: $from, to: $to, resolution: $by, first: $first, after: $after) {
      edges { cursor node { start end imported exported shared revision status quality } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""
FIGURES: Final = """
fragment figures on EnergyTotals {
  start end intervals finalIntervals status revision quality qualities { measured substituted estimated missing }
  imported exported produced consumed charged discharged shared sharedOut residualImport residualExport
  saving credit saved currency co2Avoided selfSufficiency selfConsumption peakImport peakImportAt
}"""
SUMMARY: Final = (
    """query ($id: ID!, $from: DateTime!, $to: DateTime!) {
  home(id: $id) { summary(from: $from, to: $to) { ...figures } }
}"""
    + FIGURES
)
COMMUNITY: Final = (
    """query ($id: ID!, $from: DateTime!, $to: DateTime!, $by: Resolution! = DAY) {
  community(id: $id) {
    summary(from: $from, to: $to) { ...figures }
    intervals(from: $from, to: $to, resolution: $by) { edges { node { start end intervals imported shared } } }
  }
}"""
    + FIGURES
)
COMPARE: Final = """
query ($id: ID!, $from: DateTime!, $to: DateTime!, $with: Baseline!) {
  home(id: $id) {
    compare(from: $from, to: $to, with: $with) {
      totals { start end imported } baseline { start end intervals imported exported } others
    }
  }
}"""


class Place:
    """A server that asks for tokens, and the history behind it."""

    def __init__(self, url: str, archive: Archive, signer: Signer) -> None:
        self.url = url
        self.archive = archive
        self._tokens = {who: signer.token(who) for who in ("anna", "bert", "olga")}

    async def ask(self, query: str, /, who: str = "anna", **variables: Any) -> dict[str, Any]:
        """Return the answer to somebody's query, errors included."""
        answer: dict[str, Any] = (await post(self.url, self._tokens[who], query, **variables)).json()
        return answer

    async def data(self, query: str, /, who: str = "anna", **variables: Any) -> Any:
        """Return the data of an answer without errors."""
        answer = await self.ask(query, who, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    async def refusal(self, query: str, /, who: str = "anna", **variables: Any) -> tuple[str | None, str]:
        """Return the code and the text of the one error of an answer."""
        (error,) = (await self.ask(query, who, **variables))["errors"]
        return (error.get("extensions") or {}).get("code"), error["message"]


@asynccontextmanager
async def opened(bus: Bus, tmp_path: Path, *communities: Community) -> AsyncIterator[Place]:
    signer = Signer()
    await register(bus, *communities)
    options = ServerOptions(tokens=signer.tokens)
    async with keeping(bus, tmp_path) as archive, serving(bus, options) as url:
        await until_ready(url)
        yield Place(url, archive, signer)


@pytest.fixture
async def place(bus: Bus, tmp_path: Path) -> AsyncIterator[Place]:
    """A village with two settled days."""
    async with opened(bus, tmp_path, village()) as place:
        await place.archive.settle(settled_range(village(), SINCE, UNTIL))
        yield place


@cache
def two_days() -> list[Interval]:
    return settled_range(village(), SINCE, UNTIL)


def figures_of(intervals: list[Interval], home: str | None, since: int = SINCE, until: int = UNTIL) -> dict[str, Any]:
    """Return what `figures` of the API must be, from the messages alone."""
    totals = expected(intervals, home, since, until)
    assert totals is not None
    saving, credit = Decimal(totals.saving or "0"), Decimal(totals.credit or "0")
    worst = next(one for one in ("missing", "estimated", "substituted", "measured") if getattr(totals, one))
    ratios = [
        None if value is None else round(value, 4) for value in (totals.self_sufficiency, totals.self_consumption)
    ]
    return {
        "start": shown(since),
        "end": shown(until),
        "intervals": totals.intervals,
        "finalIntervals": totals.final,
        "status": "FINAL" if totals.final == totals.intervals else "PROVISIONAL",
        "revision": totals.revision,
        "quality": worst.upper(),
        "qualities": {one: getattr(totals, one) for one in ("measured", "substituted", "estimated", "missing")},
        "imported": totals.import_wh,
        "exported": totals.export_wh,
        "produced": totals.pv_wh,
        "consumed": totals.load_wh,
        "charged": totals.charge_wh,
        "discharged": totals.discharge_wh,
        "shared": totals.shared_wh,
        "sharedOut": totals.export_wh - totals.residual_export_wh,
        "residualImport": totals.residual_import_wh,
        "residualExport": totals.residual_export_wh,
        "saving": totals.saving,
        "credit": totals.credit,
        "saved": f"{(saving + credit).normalize():f}",
        "currency": "EUR",
        "co2Avoided": totals.co2_avoided_g,
        "selfSufficiency": ratios[0],
        "selfConsumption": ratios[1],
        "peakImport": totals.peak_import_wh,
        "peakImportAt": shown(totals.peak_import_at),
    }


# --- pages ---


async def all_edges(place: Place, **variables: Any) -> list[dict[str, Any]]:
    """Return all edges of a home's intervals, page by page."""
    edges: list[dict[str, Any]] = []
    after = None
    while True:
        found = (await place.data(PAGE, id=ANNAS, **(RANGE | variables | {"after": after})))["home"]["intervals"]
        edges += found["edges"]
        assert found["pageInfo"]["endCursor"] == (found["edges"][-1]["cursor"] if found["edges"] else None)
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            return edges


@pytest.mark.parametrize(("by", "first", "length"), [("QUARTER_HOUR", 50, QUARTER_MS), ("HOUR", 7, 4 * QUARTER_MS)])
async def test_pages_that_follow_each_other_give_every_period_once(
    place: Place, by: str, first: int, length: int
) -> None:
    edges = await all_edges(place, by=by, first=first)
    starts = list(range(SINCE, UNTIL, length))
    assert [edge["node"]["start"] for edge in edges] == [shown(start) for start in starts]
    for start, edge in zip(starts, edges, strict=True):
        whole = figures_of(two_days(), "home-1", start, start + length)
        assert edge["node"] == {name: whole[name] for name in edge["node"]}
    assert len({edge["cursor"] for edge in edges}) == len(edges)


async def test_cursors_are_stable_and_lead_on_after_a_correction(place: Place) -> None:
    before = await all_edges(place, first=10)
    corrected = settled(village(), SINCE + 4 * QUARTER_MS, revision=1)
    await place.archive.settle([corrected])
    after = await all_edges(place, first=17)
    assert [edge["cursor"] for edge in after] == [edge["cursor"] for edge in before]
    changed = [index for index, edge in enumerate(after) if edge["node"] != before[index]["node"]]
    assert (changed, after[1]["node"]["revision"]) == ([1], 1)


async def test_the_page_after_the_last_period_is_empty(place: Place) -> None:
    last = (await all_edges(place))[-1]["cursor"]
    found = (await place.data(PAGE, id=ANNAS, after=last, **RANGE))["home"]["intervals"]
    assert found == {"edges": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}


async def test_days_and_months_are_local_ones_also_where_clocks_change(bus: Bus, tmp_path: Path) -> None:
    registered = village(settlement_interval=timedelta(hours=1))
    since, until = at("2026-10-24T00:00+02:00"), at("2026-11-02T00:00+01:00")
    async with opened(bus, tmp_path, registered) as place:
        await place.archive.settle(settled_range(registered, since, until))
        variables = {"id": "demo", "from": "2026-10-24T00:00:00+02:00", "to": "2026-11-02T00:00:00+01:00"}
        days = (await place.data(COMMUNITY, **variables))["community"]["intervals"]["edges"]
        months = (await place.data(COMMUNITY, **variables, by="MONTH"))["community"]["intervals"]["edges"]
    assert [day["node"]["intervals"] for day in days] == [24, 25, *[24] * 7]
    assert days[1]["node"]["start"] == "2026-10-24T22:00:00Z"
    assert days[1]["node"]["end"] == days[2]["node"]["start"] == "2026-10-25T23:00:00Z"
    assert [month["node"]["intervals"] for month in months] == [24 * 8 + 1, 24]
    assert months[1]["node"]["start"] == "2026-10-31T23:00:00Z"


async def test_a_foreign_cursor_is_an_error_that_says_so(place: Place) -> None:
    cursor = (await all_edges(place))[3]["cursor"]
    other = f"{(int(cursor) + 10**10) % 10**18}"
    for changes in (
        {"id": "demo.home-2", "who": "olga"},
        {"by": "DAY"},
        {"to": shown(UNTIL + 1000)},
        {"from": shown(SINCE - QUARTER_MS)},
        {"after": "7"},
        {"after": other},
        {"after": "9" * 18},
    ):
        code, text = await place.refusal(PAGE, **({"id": ANNAS, "after": cursor} | RANGE | changes))
        assert code == "OUT_OF_RANGE"
        assert text.startswith("after is no cursor of this query: give one that it gave")


async def test_what_is_no_cursor_is_an_error_that_says_so(place: Place) -> None:
    for cursor in ("", "x", "-1", "1" * 19, "1e3", "٣"):
        _, text = await place.refusal(PAGE, id=ANNAS, after=cursor, **RANGE)
        assert "is no cursor of this API: give one as you got it" in text


# --- what is not allowed ---


OUT_OF_RANGE: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({"to": shown(SINCE)}, "from, 2026-05-09T22:00:00Z, is not before to, 2026-05-09T22:00:00Z"),
    ({"from": shown(UNTIL + 1000)}, "is not before to"),
    ({"from": "2020-01-01T00:00:00Z", "by": "QUARTER_HOUR"}, "are 6.3 years; at most 5 are allowed at QUARTER_HOUR"),
    ({"from": "1969-12-31T23:59:59Z"}, "from is not between 1970 and 2200"),
    ({"first": 0}, "first is 0; 1 to 1000 are allowed"),
    ({"first": 1001}, "first is 1001; 1 to 1000 are allowed"),
    ({"first": -5}, "first is -5; 1 to 1000 are allowed"),
)
MALFORMED: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({"by": "FORTNIGHT"}, "Value 'FORTNIGHT' does not exist in 'Resolution' enum"),
    ({"from": "yesterday"}, "'yesterday' is no time of RFC 3339: date, time and offset, such as 2030-06-01T00:00"),
    ({"from": "2026-05-10T00:00:00"}, "is no time of RFC 3339"),
    ({"from": "2026-05-10T24:61:00Z"}, "is no time of RFC 3339"),
    ({"to": 5}, "'5' is no time of RFC 3339"),
    ({"to": None}, "Expected value of non-null type 'DateTime!' not to be None"),
)


async def test_what_is_out_of_range_is_refused_with_what_is_allowed(place: Place) -> None:
    for variables, said in OUT_OF_RANGE:
        code, text = await place.refusal(PAGE, **({"id": ANNAS} | RANGE | variables))
        assert code == "OUT_OF_RANGE"
        assert said in text


async def test_what_is_of_another_form_is_refused_with_the_form(place: Place) -> None:
    for variables, said in MALFORMED:
        _, text = await place.refusal(PAGE, **({"id": ANNAS} | RANGE | variables))
        assert said in text


async def test_a_document_for_more_than_may_be_answered_is_refused_before_it_is_asked(place: Place) -> None:
    _, text = await place.refusal(PAGE, id=ANNAS, first=100_000, **RANGE)
    assert re.search(r"may have [\d,]+ fields in its answer; at most 50,000 are allowed", text)


# --- sums ---


async def test_a_summary_is_the_sum_of_what_was_published(place: Place) -> None:
    found = (await place.data(SUMMARY, id=ANNAS, **RANGE))["home"]["summary"]
    assert found == figures_of(two_days(), "home-1")
    assert found["imported"] == found["shared"] + found["residualImport"]
    part = {"from": shown(SINCE + 5 * QUARTER_MS), "to": shown(SINCE + DAY_MS + QUARTER_MS)}
    found = (await place.data(SUMMARY, id=ANNAS, **part))["home"]["summary"]
    assert found == figures_of(two_days(), "home-1", SINCE + 5 * QUARTER_MS, SINCE + DAY_MS + QUARTER_MS)


async def test_a_communitys_summary_is_the_sum_of_its_homes(place: Place) -> None:
    found = (await place.data(COMMUNITY, id="demo", **RANGE))["community"]
    assert found["summary"] == figures_of(two_days(), None)
    assert found["summary"]["shared"] > 0
    days = [edge["node"] for edge in found["intervals"]["edges"]]
    assert [day["start"] for day in days] == [shown(SINCE), shown(SINCE + DAY_MS)]
    for name in ("intervals", "imported", "shared"):
        assert sum(day[name] for day in days) == found["summary"][name]


async def test_where_nothing_is_settled_there_is_nothing(place: Place) -> None:
    earlier = {"from": "2020-01-01T00:00:00Z", "to": "2021-01-01T00:00:00Z"}
    assert (await place.data(SUMMARY, id=ANNAS, **earlier))["home"] == {"summary": None}
    found = (await place.data(COMMUNITY, id="demo", **earlier))["community"]
    assert found == {"summary": None, "intervals": {"edges": []}}


async def test_all_homes_of_a_community_are_summed_up_in_one_query(bus: Bus, tmp_path: Path) -> None:
    homes = tuple(f"home-{number}" for number in range(1, 121))
    registered = village(homes=homes)
    query = """query ($from: DateTime!, $to: DateTime!) {
      community(id: "demo") { homes { id summary(from: $from, to: $to) { imported } } }
    }"""
    async with opened(bus, tmp_path, registered) as place:
        intervals = settled_range(registered, SINCE, SINCE + 4 * QUARTER_MS)
        await place.archive.settle(intervals)
        found = (await place.data(query, "olga", **RANGE))["community"]["homes"]
        (alone,) = (await place.data(query, "anna", **RANGE))["community"]["homes"]
    assert alone["id"] == ANNAS
    assert {one["id"]: one["summary"]["imported"] for one in found} == {
        f"demo.{home}": sum(row.import_wh for one in intervals for row in one.rows if row.home == home)
        for home in homes
    }


# --- comparisons ---


async def test_a_time_is_compared_with_the_one_before_and_with_the_year_before(bus: Bus, tmp_path: Path) -> None:
    registered = village(settlement_interval=timedelta(hours=1))
    months = {"2025-05": (at("2025-05-01T00:00+02:00"), at("2025-06-01T00:00+02:00"))}
    months["2026-04"] = at("2026-04-01T00:00+02:00"), at("2026-05-01T00:00+02:00")
    months["2026-05"] = at("2026-05-01T00:00+02:00"), at("2026-06-01T00:00+02:00")
    intervals = {month: settled_range(registered, *ends) for month, ends in months.items()}
    may = dict(zip(("from", "to"), map(shown, months["2026-05"]), strict=True))
    async with opened(bus, tmp_path, registered) as place:
        for one in intervals.values():
            await place.archive.settle(one)
        asked = {"id": ANNAS, **may}
        found = {
            name: (await place.data(COMPARE, **asked, **{"with": name}))["home"]["compare"]
            for name in ("PREVIOUS_PERIOD", "PREVIOUS_YEAR")
        }
    for name, month in (("PREVIOUS_PERIOD", "2026-04"), ("PREVIOUS_YEAR", "2025-05")):
        one = found[name]
        assert one["totals"]["imported"] == figures_of(intervals["2026-05"], "home-1", *months["2026-05"])["imported"]
        whole = figures_of(intervals[month], "home-1", *months[month])
        assert one["baseline"] == {key: whole[key] for key in one["baseline"]}
        assert one["others"] is None


async def test_the_mean_of_other_homes_leaves_the_own_one_out(place: Place) -> None:
    found = (await place.data(COMPARE, id=ANNAS, **RANGE, **{"with": "COMMUNITY_AVERAGE"}))["home"]["compare"]
    others = [figures_of(two_days(), home) for home in HOMES if home != "home-1"]
    assert found["others"] == 5
    assert found["totals"]["imported"] == figures_of(two_days(), "home-1")["imported"]
    for name in ("imported", "exported"):
        assert found["baseline"][name] == round(sum(other[name] for other in others) / 5)


async def test_a_mean_from_which_one_home_could_be_told_is_refused(bus: Bus, tmp_path: Path) -> None:
    few = village("few", homes=HOMES[:4], show_totals_to_members=True)
    known = village(members=(Member(id="anna", homes=HOMES[:3]), Member(id="olga", role="operator")))
    async with opened(bus, tmp_path, few, known) as place:
        for one in (few, known):
            await place.archive.settle(settled_range(one, SINCE, SINCE + 4 * QUARTER_MS))
        asked = RANGE | {"with": "COMMUNITY_AVERAGE"}
        for home in ("few.home-1", ANNAS):
            code, text = await place.refusal(COMPARE, id=home, **asked)
            assert code == "TOO_FEW_HOMES"
            assert "fewer than 4" in text
        assert (await place.data(COMPARE, "olga", id=ANNAS, **asked))["home"]["compare"]["others"] == 5


async def test_a_community_is_compared_with_earlier_times_only(place: Place) -> None:
    query = """query ($from: DateTime!, $to: DateTime!, $with: Baseline!) {
      community(id: "demo") { compare(from: $from, to: $to, with: $with) { totals { shared } baseline { shared } } }
    }"""
    second = {"from": shown(SINCE + DAY_MS), "to": shown(UNTIL)}
    found = (await place.data(query, **second, **{"with": "PREVIOUS_PERIOD"}))["community"]["compare"]
    assert found == {
        "totals": {"shared": figures_of(two_days(), None, SINCE + DAY_MS, UNTIL)["shared"]},
        "baseline": {"shared": figures_of(two_days(), None, SINCE, SINCE + DAY_MS)["shared"]},
    }
    code, text = await place.refusal(query, **second, **{"with": "COMMUNITY_AVERAGE"})
    assert (code, text[:37]) == ("OUT_OF_RANGE", "a community has no COMMUNITY_AVERAGE;")


# --- best hours ---

BEST: Final = """query ($next: Duration! = PT24H) {
  community(id: "demo") {
    bestHours(next: $next) {
      hours { start end surplus sure } best { start surplus } reason
      score { days hours error yesterdayError brier yesterdayBrier }
    }
  }
}""".replace("PT24H", '"PT24H"')


async def test_best_hours_are_those_of_the_sun(bus: Bus, tmp_path: Path) -> None:
    registered = village(settlement_interval=timedelta(hours=1), clock="event")
    async with opened(bus, tmp_path, registered) as place:
        await place.archive.settle(settled_range(registered, SINCE, SINCE + 30 * DAY_MS))
        found = (await place.data(BEST))["community"]["bestHours"]
        short = (await place.data(BEST, next="PT3H"))["community"]["bestHours"]
        refused = [await place.refusal(BEST, next=one) for one in ("PT49H", "PT0S", "P3D")]
        _, malformed = await place.refusal(BEST, next="tomorrow")
    assert found["reason"] is None
    assert [hour["start"] for hour in found["hours"]] == [
        shown(SINCE + 30 * DAY_MS + hour * 4 * QUARTER_MS) for hour in range(24)
    ]
    good = [hour for hour in found["hours"] if hour["surplus"] > 0]
    assert [hour["start"][11:13] for hour in good] == [f"{hour:02}" for hour in range(6, 16)]  # 8 to 18 in Vienna
    assert all(hour["sure"] > 0.5 for hour in good)
    assert not any(hour["sure"] for hour in found["hours"] if hour not in good)
    assert found["best"]["surplus"] == max(hour["surplus"] for hour in found["hours"])
    assert found["score"]["error"] < found["score"]["yesterdayError"]
    assert short["hours"] == found["hours"][:3]
    assert short["best"] is None
    assert [code for code, _ in refused] == ["OUT_OF_RANGE"] * 3
    assert refused[0][1] == "next is 49 h; more than 0 and at most 48 h are allowed"
    assert "'tomorrow' is no duration of ISO 8601" in malformed
    assert "next up to PT48H" in malformed


async def test_no_forecast_is_offered_of_too_little_and_it_says_why(place: Place) -> None:
    found = (await place.data(BEST))["community"]["bestHours"]
    assert found == {"hours": [], "best": None, "reason": "nothing is settled of the last 7 days", "score": None}


# --- who may ask ---


async def test_another_home_does_not_exist_whatever_is_asked_of_it(place: Place) -> None:
    for document, more in ((PAGE, {}), (SUMMARY, {}), (COMPARE, {"with": "COMMUNITY_AVERAGE"})):
        there = await place.ask(document, id="demo.home-2", **RANGE, **more)
        nowhere = await place.ask(document, id="demo.home-9", **RANGE, **more)
        assert there["data"] == nowhere["data"] == {"home": None}
        assert [error["extensions"]["code"] for error in there["errors"]] == ["NOT_FOUND"]
        assert there["errors"][0]["message"].replace("home-2", "home-9") == nowhere["errors"][0]["message"]
        answer = await place.ask(document, "bert", id=ANNAS, **RANGE, **more)
        assert answer["data"] == {"home": None}


async def test_totals_that_are_hidden_are_hidden_in_settled_data_too(bus: Bus, tmp_path: Path) -> None:
    few = village(homes=HOMES[:3])
    query = """query ($from: DateTime!, $to: DateTime!) {
      community(id: "demo") {
        name
        intervals(from: $from, to: $to) { edges { cursor } }
        summary(from: $from, to: $to) { imported }
        compare(from: $from, to: $to, with: PREVIOUS_YEAR) { others }
        bestHours { reason }
        homes { summary(from: $from, to: $to) { imported } }
      }
    }"""
    async with opened(bus, tmp_path, few) as place:
        await place.archive.settle(settled_range(few, SINCE, SINCE + 4 * QUARTER_MS))
        answer = await place.ask(query, **RANGE)
        whole = await place.data(query, "olga", **RANGE)
    hidden = ["intervals", "summary", "compare", "bestHours"]
    assert sorted(error["path"][1] for error in answer["errors"]) == sorted(hidden)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"NOT_FOUND"}
    assert {name: answer["data"]["community"][name] for name in hidden} == dict.fromkeys(hidden)
    assert len(answer["data"]["community"]["homes"]) == 1
    assert answer["data"]["community"]["homes"][0]["summary"]["imported"] > 0
    assert whole["community"]["summary"]["imported"] > 0


# --- while the history is away ---


async def test_live_data_goes_on_without_the_history(bus: Bus, tmp_path: Path) -> None:
    signer = Signer()
    await register(bus, village())
    query = """query ($from: DateTime!, $to: DateTime!) {
      home(id: "demo.home-1") { name live { powerImport } summary(from: $from, to: $to) { imported } }
      community(id: "demo") { bestHours { reason } intervals(from: $from, to: $to) { edges { cursor } } }
    }"""
    async with serving(bus, ServerOptions(tokens=signer.tokens)) as url:
        await until_ready(url)
        await Publisher(bus).publish(home_state())
        answer = (await post(url, signer.token("anna"), query, **RANGE)).json()
        assert answer["data"] == {
            "home": {"name": "home-1", "live": {"powerImport": 1500}, "summary": None},
            "community": {"bestHours": None, "intervals": None},
        }
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"UNAVAILABLE"}
        assert all("settled data is not to be had just now" in error["message"] for error in answer["errors"])
        async with keeping(bus, tmp_path) as archive:
            await archive.settle(two_days())
            back = (await post(url, signer.token("anna"), query, **RANGE)).json()
        assert "errors" not in back
        assert back["data"]["home"]["summary"]["imported"] == figures_of(two_days(), "home-1")["imported"]
