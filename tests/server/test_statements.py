"""Statements over a real NATS, a real history and HTTP: sums as published, links that open, and for nobody else."""

import asyncio
import csv
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from msgspec.structs import replace
from playwright.async_api import Browser

from bus.client import Bus
from bus.community import Community
from bus.messages import Interval, IntervalRow
from bus.registry import apply
from bus.revocations import revoke
from server.options import ServerOptions
from tests.resolvers.frames import eventually
from tests.server.archive import Archive, at, keeping, settled, shown, village
from tests.server.people import Signer, bearing, post
from tests.server.served import serving, until_ready
from tests.server.test_device_page import browser

__all__ = ["browser"]

HOUR: Final = timedelta(hours=1)
HOUR_MS: Final = 3_600_000
SINCE: Final = at("2026-05-01T00:00+02:00")
CHANGE: Final = date(2026, 5, 16)
CHANGE_MS: Final = at("2026-05-16T00:00+02:00")
UNTIL: Final = at("2026-06-01T00:00+02:00")
STATEMENT: Final = """
query ($id: ID!, $month: String! = "2026-05") {
  home(id: $id) {
    statement(month: $month) {
      month start end intervals expectedIntervals status revision quality
      imported shared residualImport exported sharedOut residualExport
      lines { kind energy price amount currency }
      amount saving credit saved currency csvUrl htmlUrl linksUntil
    }
  }
}"""


def dearer(one: Community) -> Community:
    """Return a community as it is from the middle of May on: another supplier price, another community price."""
    prices = {"supplier_price": Decimal("0.2990"), "community_price": Decimal("0.15005")}
    return one.model_copy(update={"tariff": one.tariff.model_copy(update=prices)})


class Place:
    """A server that asks for tokens, with the history behind it."""

    def __init__(self, bus: Bus, url: str, archive: Archive, signer: Signer) -> None:
        self.bus, self.url, self.archive, self.signer = bus, url, archive, signer
        self.anna, self.olga, self.bert = (signer.token(who) for who in ("anna", "olga", "bert"))

    async def statement(self, token: str | None = None, **variables: Any) -> dict[str, Any]:
        """Return a statement, of home-1 in May for anna unless told otherwise."""
        answer = (await post(self.url, token or self.anna, STATEMENT, **({"id": "demo.home-1"} | variables))).json()
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]["home"]["statement"]
        return found

    async def get(self, path: str, token: str | None = None) -> httpx.Response:
        """Return what is at a path, as a browser gets it that follows a link, or with a token."""
        async with httpx.AsyncClient(base_url=self.url, headers=bearing(token)) as http:
            return await http.get(path)


@asynccontextmanager
async def opened(bus: Bus, tmp_path: Path, signer: Signer, *versions: Community) -> AsyncIterator[Place]:
    """Open a server for a community, whose second version holds from the middle of May on."""
    for number, version in enumerate(versions):
        await apply(bus, version, valid_from=CHANGE if number else None, now=datetime.now(UTC))
    async with AsyncExitStack() as stack:
        archive = await stack.enter_async_context(keeping(bus, tmp_path))
        url = await stack.enter_async_context(serving(bus, ServerOptions(tokens=signer.tokens)))
        await until_ready(url)
        yield Place(bus, url, archive, signer)


@pytest.fixture
def signer(monkeypatch: pytest.MonkeyPatch) -> Signer:
    signer = Signer()
    monkeypatch.setattr("server.app._now_ms", signer.clock)
    return signer


HOURLY: Final = village(settlement_interval=HOUR)
LATER: Final = dearer(HOURLY)


@pytest.fixture
async def place(bus: Bus, tmp_path: Path, signer: Signer) -> AsyncIterator[Place]:
    """A village settled by the hour, over May, with other prices from the 16th on."""
    async with opened(bus, tmp_path, signer, HOURLY, LATER) as place:
        await place.archive.settle(may())
        yield place


def may(first: Community = HOURLY, second: Community = LATER) -> list[Interval]:
    length = int(first.settlement_interval.total_seconds() * 1000)
    return [settled(first if start < CHANGE_MS else second, start) for start in range(SINCE, UNTIL, length)]


def rows_of(intervals: Sequence[Interval], home: str = "home-1") -> list[IntervalRow]:
    return [row for one in intervals for row in one.rows if row.home == home]


def owed(row: IntervalRow) -> Decimal:
    """Return what a row costs in cents, by the tariff of the village written out once more."""
    local = datetime.fromisoformat(row.start).astimezone(HOURLY.zone)
    changed = datetime.fromisoformat(row.start).timestamp() * 1000 >= CHANGE_MS
    supplier = Decimal("0.2990") if changed else Decimal("0.2790")
    if local.hour >= 22 or local.hour < 6:
        supplier = Decimal("0.1999")
    shared = Decimal("0.15005") if changed else Decimal("0.1634")
    euros = row.residual_import_wh * supplier + row.allocated_wh * (shared - Decimal("0.0311"))
    euros -= (row.export_wh - row.residual_export_wh) * shared + row.residual_export_wh * Decimal("0.08")
    return euros / 1000 * 100


def total(rows: Sequence[IntervalRow], name: str) -> int:
    return sum(getattr(row, name) for row in rows)


class Tables(HTMLParser):
    """The cells of a page's tables, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] += data

    def row(self, name: str) -> list[str]:
        """Return the cells of the one row that begins with a name."""
        (found,) = [row[1:] for row in self.rows if row[0] == name]
        return found


def number(text: str) -> Decimal:
    """Return a number as the page writes it, whatever unit stands behind it."""
    plain = text.replace("\N{NARROW NO-BREAK SPACE}", "").replace("\N{MINUS SIGN}", "-")
    return Decimal(plain.split()[0])


# --- sums ---


async def test_a_statement_in_three_forms_is_the_sum_of_its_intervals_to_the_wh_and_the_cent(
    bus: Bus, tmp_path: Path, signer: Signer
) -> None:
    first = village()
    intervals = may(first, dearer(first))
    async with opened(bus, tmp_path, signer, first, dearer(first)) as place:
        await place.archive.settle(intervals)
        found = await place.statement()
        table = list(csv.DictReader((await place.get(found["csvUrl"])).text.splitlines()))
        page = Tables((await place.get(found["htmlUrl"])).text)
    rows = rows_of(intervals)
    exact = sum((owed(row) for row in rows), Decimal(0))
    energies = {
        "imported": total(rows, "import_wh"),
        "shared": total(rows, "allocated_wh"),
        "residualImport": total(rows, "residual_import_wh"),
        "exported": total(rows, "export_wh"),
        "sharedOut": total(rows, "export_wh") - total(rows, "residual_export_wh"),
        "residualExport": total(rows, "residual_export_wh"),
    }
    saving, credit = (sum((Decimal(getattr(row, name)) for row in rows), Decimal(0)) for name in ("saving", "credit"))

    # the API
    assert {name: found[name] for name in energies} == energies
    assert energies["shared"] > 0
    assert energies["sharedOut"] > 0
    assert (found["intervals"], found["expectedIntervals"]) == (2976, 2976)
    assert (found["start"], found["end"], found["month"]) == (shown(SINCE), shown(UNTIL), "2026-05")
    assert Decimal(found["amount"]) == exact
    assert (Decimal(found["saving"]), Decimal(found["credit"])) == (saving, credit)
    assert Decimal(found["saved"]) == saving + credit
    assert sum((Decimal(line["amount"]) for line in found["lines"]), Decimal(0)) == exact
    by_kind = {kind: sum(line["energy"] for line in found["lines"] if line["kind"] == kind) for kind in KINDS}
    assert by_kind == {
        "FROM_SUPPLIER": energies["residualImport"],
        "FROM_COMMUNITY": energies["shared"],
        "GRID_FEE_REDUCTION": energies["shared"],
        "TO_COMMUNITY": energies["sharedOut"],
        "TO_GRID": energies["residualExport"],
    }
    assert [(line["kind"], line["price"]) for line in found["lines"]] == [
        *(("FROM_SUPPLIER", price) for price in ("0.1999", "0.279", "0.299")),
        *(("FROM_COMMUNITY", price) for price in ("0.1634", "0.15005")),
        ("GRID_FEE_REDUCTION", "-0.0311"),
        *(("TO_COMMUNITY", price) for price in ("0.1634", "0.15005")),
        ("TO_GRID", "0.08"),
    ]

    # the table, line by line
    assert len(table) == len(rows)
    for line, row in zip(table, rows, strict=True):
        assert (line["start"], line["end"], line["home"]) == (row.start, row.end, "demo.home-1")
        assert datetime.fromisoformat(line["start_local"]) == datetime.fromisoformat(row.start)
        assert (int(line["drawn_wh"]), int(line["injected_wh"])) == (row.import_wh, row.export_wh)
        assert (int(line["from_community_wh"]), int(line["to_grid_wh"])) == (row.allocated_wh, row.residual_export_wh)
        assert int(line["from_supplier_wh"]) == row.residual_import_wh
        assert int(line["to_community_wh"]) == row.export_wh - row.residual_export_wh
        assert Decimal(line["amount"]) * 100 == owed(row)
        assert (Decimal(line["saving"]) * 100, Decimal(line["credit"]) * 100) == (
            Decimal(row.saving),
            Decimal(row.credit),
        )
        assert (line["quality"], line["status"], line["revision"]) == (row.quality, "PROVISIONAL", "0")
    assert sum((Decimal(line["amount"]) for line in table), Decimal(0)) * 100 == exact

    # the page
    cents = exact.quantize(Decimal(1), ROUND_HALF_UP)
    assert number(page.row("To pay" if cents >= 0 else "To get")[2]) * 100 == abs(cents)
    assert number(page.row("Sum, exactly")[2]) * 100 == exact
    assert number(page.row("Drawn from the grid")[0]) * 1000 == energies["imported"]
    assert number(page.row("Injected into the grid")[0]) * 1000 == energies["exported"]
    month = page.row("Month")
    assert [number(cell) * 1000 for cell in month[:4]] == [
        energies[name] for name in ("imported", "shared", "exported", "sharedOut")
    ]
    assert number(month[4]) * 100 == cents
    days = [row[1:] for row in page.rows if re.fullmatch(r"[MTWFS]\w\w \d\d", row[0])]
    assert len(days) == 31
    for column in range(4):
        assert sum(number(day[column]) for day in days) == number(month[column])
    lines = [row for row in page.rows if row[0] in NAMES]
    assert sum(number(row[3]) for row in lines) * 100 == exact


KINDS: Final = ("FROM_SUPPLIER", "FROM_COMMUNITY", "GRID_FEE_REDUCTION", "TO_COMMUNITY", "TO_GRID")
NAMES: Final = (
    "from the supplier",
    "from the community",
    "grid-fee reduction for it",
    "to the community",
    "to the grid",
)


async def test_a_correction_and_what_became_final_show_in_it(place: Place) -> None:
    before = await place.statement()
    assert (before["status"], before["revision"]) == ("PROVISIONAL", 0)
    final = [settled(HOURLY, start, 2) for start in range(SINCE, SINCE + 24 * HOUR_MS, HOUR_MS)]
    await place.archive.settle(replace(one, status="FINAL") for one in final)
    after = await place.statement()
    assert (after["status"], after["revision"]) == ("PROVISIONAL", 2)
    rows = rows_of([*final, *may()[24:]])
    assert Decimal(after["amount"]) == sum((owed(row) for row in rows), Decimal(0)) != Decimal(before["amount"])
    page = (await place.get(after["htmlUrl"])).text
    assert "24 corrected, at most to revision 2" in page
    first, second = (next(row for row in Tables(page).rows if row[0] == day) for day in ("Fri 01", "Sat 02"))
    assert (first[7:], second[7:]) == (["final", "2"], ["provisional", "0"])


async def test_a_month_that_is_not_over_says_so(bus: Bus, tmp_path: Path, signer: Signer) -> None:
    async with opened(bus, tmp_path, signer, HOURLY) as place:
        await place.archive.settle(may()[:30])
        found = await place.statement()
        page = (await place.get(found["htmlUrl"])).text
    assert (found["intervals"], found["expectedIntervals"]) == (30, 744)
    assert "30 of 744 intervals of 60 minutes" in page
    assert "What is not settled yet is not in it." in page


async def test_a_home_that_gives_more_than_it_takes_gets_money(place: Place) -> None:
    found = await place.statement(place.olga, id="demo.home-3")
    page = Tables((await place.get(found["htmlUrl"])).text)
    rows = rows_of(may(), "home-3")
    exact = sum((owed(row) for row in rows), Decimal(0))
    assert Decimal(found["amount"]) == exact
    word = "To get" if exact < 0 else "To pay"
    assert number(page.row(word)[2]) * 100 == abs(exact.quantize(Decimal(1), ROUND_HALF_UP))


async def test_where_sharing_is_virtual_nothing_is_netted(bus: Bus, tmp_path: Path, signer: Signer) -> None:
    virtual = village(settlement_interval=HOUR, allocation_key="VIRTUAL")
    async with opened(bus, tmp_path, signer, virtual) as place:
        await place.archive.settle([settled(virtual, start) for start in range(SINCE, UNTIL, HOUR_MS)])
        found = await place.statement()
    assert {line["kind"] for line in found["lines"]} == {"FROM_SUPPLIER", "TO_GRID"}
    assert (found["shared"], found["sharedOut"], found["saved"]) == (0, 0, "0")


async def test_a_month_with_two_currencies_has_two_sums(bus: Bus, tmp_path: Path, signer: Signer) -> None:
    other = HOURLY.model_copy(update={"tariff": HOURLY.tariff.model_copy(update={"currency": "JPY", "minor_units": 0})})
    async with opened(bus, tmp_path, signer, HOURLY, other) as place:
        await place.archive.settle(may(HOURLY, other))
        found = await place.statement()
        page = Tables((await place.get(found["htmlUrl"])).text)
    assert (found["amount"], found["saved"], found["currency"]) == (None, None, None)
    assert {line["currency"] for line in found["lines"]} == {"EUR", "JPY"}
    ends = [row[3].split()[-1] for row in page.rows if row[0] in ("To pay", "To get")]
    assert ends == ["EUR", "JPY"]


async def test_prices_that_were_corrected_after_the_settlement_are_named(
    bus: Bus, tmp_path: Path, signer: Signer
) -> None:
    async with opened(bus, tmp_path, signer, LATER) as place:
        await place.archive.settle(may(HOURLY, HOURLY)[:48])
        found = await place.statement()
        page = (await place.get(found["htmlUrl"])).text
    assert re.search(
        r"In \d+ intervals what is given as saved was settled at other prices than are registered for them now", page
    )


async def test_names_are_text_in_the_page_whatever_is_in_them(bus: Bus, tmp_path: Path, signer: Signer) -> None:
    name = "<script>alert(1)</script>\"' & Söhne"
    homes = tuple(home.model_copy(update={"name": name}) for home in HOURLY.homes)
    async with opened(bus, tmp_path, signer, HOURLY.model_copy(update={"homes": homes, "name": name})) as place:
        await place.archive.settle(may()[:1])
        page = (await place.get((await place.statement())["htmlUrl"])).text
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27; &amp; Söhne" in page


# --- months ---


async def test_where_nothing_is_settled_there_is_no_statement(place: Place) -> None:
    assert await place.statement(month="2026-04") is None
    for form in ("csv", "html"):
        answer = await place.get(f"/statements/demo.home-1/2026-04.{form}", place.anna)
        assert answer.status_code == 404
        assert "Nothing is settled of 2026-04 yet." in answer.text


async def test_what_is_no_month_is_refused_with_one_that_is(place: Place) -> None:
    for month in ("2026-13", "2026-00", "2026-5", "May", "", "1969-12", "2200-01", "2026-05-01", "٢٠٢٦-05"):
        answer = (await post(place.url, place.anna, STATEMENT, id="demo.home-1", month=month)).json()
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "OUT_OF_RANGE"
        assert error["message"].endswith("expected a year and month such as 2026-05, from 1970 to 2199")
        assert answer["data"] == {"home": {"statement": None}}
    answer = await place.get("/statements/demo.home-1/2026-13.csv", place.anna)
    assert (answer.status_code, answer.text[:19]) == (400, "Month is '2026-13';")


# --- who gets one ---


async def test_a_link_opens_without_a_token_for_some_minutes_and_this_statement_alone(place: Place) -> None:
    found = await place.statement()
    ends = at(found["linksUntil"].replace("Z", "+00:00"))
    assert 300_000 <= ends - place.signer.clock() <= 361_000
    assert place.anna not in found["csvUrl"] + found["htmlUrl"]
    assert "anna" not in found["htmlUrl"]
    ticket = found["htmlUrl"].partition("?")[2]
    for form in ("csv", "html"):
        assert (await place.get(found[f"{form}Url"])).status_code == 200
        for other in (f"demo.home-2/2026-05.{form}", f"demo.home-1/2026-06.{form}", f"demo.home-9/2026-05.{form}"):
            answer = await place.get(f"/statements/{other}?{ticket}")
            assert (answer.status_code, "is for another statement" in answer.text) == (403, True)
    place.signer.clock.move(361)
    for form in ("csv", "html"):
        answer = await place.get(found[f"{form}Url"])
        assert (answer.status_code, "This link has ended" in answer.text) == (403, True)


async def test_a_ticket_signs_nobody_in_and_a_token_is_no_ticket(place: Place) -> None:
    path, _, query = (await place.statement())["htmlUrl"].partition("?ticket=")
    assert (await post(place.url, query, STATEMENT, id="demo.home-1")).status_code == 401
    for ticket in (place.anna, "", "x", "a.b.c", query[:-4] + "AAAA", query.rpartition(".")[0] + ".", "x" * 3000):
        answer = await place.get(f"{path}?ticket={ticket}")
        assert (answer.status_code, "This link is not whole" in answer.text) == (403, True)
    other = Signer()
    forged = other.key.sign({"aud": "commonwatt statement", "home": "demo.home-1", "month": "2026-05", "exp": 2**40})
    assert (await place.get(f"{path}?ticket={forged}")).status_code == 403


async def test_links_end_with_the_token_that_they_were_made_for(place: Place) -> None:
    short = place.signer.token("anna", ttl_s=30, jti="short")
    ends = at((await place.statement(short))["linksUntil"].replace("Z", "+00:00"))
    assert ends <= place.signer.clock() + 30_000
    mine = place.signer.token("anna", jti="mine")
    link = (await place.statement(mine))["csvUrl"]
    assert (await place.get(link)).status_code == 200
    await revoke(place.bus, "mine", place.signer.clock() + 10**9)

    async def is_shut() -> bool:
        answer = await place.get(link)
        return answer.status_code == 403 and "was revoked" in answer.text

    await eventually(is_shut)


async def test_links_are_the_same_for_a_minute_so_that_an_answer_may_be_the_same(place: Place) -> None:
    place.signer.clock.move(60 - place.signer.clock() / 1000 % 60)
    links = [(await place.statement())["csvUrl"] for _ in range(2)]
    place.signer.clock.move(61)
    assert links[0] == links[1] != (await place.statement())["csvUrl"]


async def test_with_a_token_it_opens_to_whoever_may_see_the_home(place: Place) -> None:
    path = "/statements/demo.home-1/2026-05"
    for token in (place.anna, place.olga, place.signer.token("home:home-1", community="demo", role="member")):
        assert (await place.get(f"{path}.csv", token)).status_code == 200
    assert (await place.get("/statements/demo.home-2/2026-05.html", place.olga)).status_code == 200
    for form in ("csv", "html"):
        hidden = await place.get(f"/statements/demo.home-2/2026-05.{form}", place.anna)
        nowhere = await place.get(f"/statements/demo.home-9/2026-05.{form}", place.anna)
        assert (hidden.status_code, nowhere.status_code) == (404, 404)
        assert hidden.text.replace("home-2", "home-9") == nowhere.text
        assert (await place.get(f"{path}.{form}", place.bert)).status_code == 404
        for bad in (None, "nonsense"):
            answer = await place.get(f"{path}.{form}", bad)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    answer = (await post(place.url, place.anna, STATEMENT, id="demo.home-2")).json()
    assert answer["data"] == {"home": None}


async def test_without_sign_in_links_are_plain_and_open_for_ever(bus: Bus, tmp_path: Path) -> None:
    await apply(bus, HOURLY, now=datetime.now(UTC))
    async with keeping(bus, tmp_path) as archive, serving(bus) as url:
        await until_ready(url)
        await archive.settle(may()[:10])
        answer = (await post(url, None, STATEMENT, id="demo.home-1")).json()
        found = answer["data"]["home"]["statement"]
        assert found["csvUrl"] == "/statements/demo.home-1/2026-05.csv"
        assert found["linksUntil"] is None
        async with httpx.AsyncClient(base_url=url) as http:
            assert (await http.get(found["htmlUrl"])).status_code == 200


async def test_links_lead_to_where_people_reach_the_server(bus: Bus, tmp_path: Path) -> None:
    signer = Signer()
    await apply(bus, HOURLY, now=datetime.now(UTC))
    options = ServerOptions(tokens=signer.tokens, public_url="https://energy.example/live/")
    async with keeping(bus, tmp_path) as archive, serving(bus, options) as url:
        await until_ready(url)
        await archive.settle(may()[:10])
        answer = (await post(url, signer.token("anna"), STATEMENT, id="demo.home-1")).json()
        link = answer["data"]["home"]["statement"]["htmlUrl"]
        assert link.startswith("https://energy.example/live/statements/demo.home-1/2026-05.html?ticket=")
        async with httpx.AsyncClient(base_url=url) as http:
            assert (await http.get(link.removeprefix("https://energy.example/live"))).status_code == 200


async def test_while_the_history_is_away_it_says_come_back(bus: Bus, signer: Signer) -> None:
    await apply(bus, HOURLY, now=datetime.now(UTC))
    async with serving(bus, ServerOptions(tokens=signer.tokens)) as url:
        await until_ready(url)
        async with httpx.AsyncClient(base_url=url, headers=bearing(signer.token("anna"))) as http:
            for form in ("csv", "html"):
                answer = await http.get(f"/statements/demo.home-1/2026-05.{form}")
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert "ettled data is not to be had just now" in answer.text
        answer = await post(url, signer.token("anna"), STATEMENT, id="demo.home-1")
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


# --- as pages go ---


async def test_the_page_runs_nothing_loads_nothing_and_is_kept_by_nobody(place: Place) -> None:
    found = await place.statement()
    page, table = await place.get(found["htmlUrl"]), await place.get(found["csvUrl"])
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert re.fullmatch(
        r"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        r"style-src 'sha256-[\w+/]{43}='",
        page.headers["content-security-policy"],
    )
    assert table.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert table.headers["content-disposition"] == 'attachment; filename="demo.home-1-2026-05.csv"'
    for answer in (page, table):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
    tags = Tables(page.text).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "form", "object", "svg"}
    assert not [name for _, attributes in tags for name in attributes if name in ("style", "src") or name[:2] == "on"]
    assert "http" not in page.text.replace("http-equiv", "")


async def test_tables_have_names_and_every_cell_its_heads(place: Place) -> None:
    page = (await place.get((await place.statement())["htmlUrl"])).text
    tags = Tables(page).tags
    assert page.count("<table>") == page.count("<caption>") == 2
    assert [attributes for tag, attributes in tags if tag == "th" and attributes.get("scope") is None] == []
    assert ("html", {"lang": "en"}) in tags
    assert [tag for tag, _ in tags if tag in ("main", "header", "h1", "h2", "footer")] == [
        *("main", "header", "h1", "h2", "h2", "footer")
    ]
    regions = [attributes for tag, attributes in tags if tag == "div"]
    assert [(one["role"], one["tabindex"]) for one in regions] == [("region", "0")] * 2


async def test_it_prints_on_two_pages_of_a4_and_fits_them(place: Place, browser: Browser) -> None:
    found = await place.statement()
    page = await browser.new_page(viewport={"width": 680, "height": 900})
    failures: list[str] = []
    page.on("console", lambda line: failures.append(line.text))
    page.on("requestfailed", lambda request: failures.append(request.url))
    await page.goto(place.url + found["htmlUrl"])
    assert await page.title() == "Statement May 2026, home-1"
    pdf = await page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 2
    assert re.search(rb"/MediaBox \[0 0 59[45]\.?\d* 84[12]\.?\d*\]", pdf)
    await page.emulate_media(media="print")
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 680  # A4 between its margins, at 96 dots an inch
    await page.emulate_media(media="screen")
    await page.set_viewport_size({"width": 360, "height": 700})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    assert failures == []
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="as CSV").click()
    download = await downloading.value
    assert download.suggested_filename == "demo.home-1-2026-05.csv"
    table = await asyncio.to_thread(Path(await download.path()).read_text)
    assert len(table.splitlines()) == 1 + 31 * 24
    await page.close()
