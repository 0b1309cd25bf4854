"""What operators look after, in the API: totals of all homes at once, meters, refused readings; others have none."""

import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import pytest

from bus.client import Bus, Message
from bus.messages import Rejected, encode
from server.options import ServerOptions
from tests.resolvers.frames import register
from tests.schema.test_history import RANGE, Place, figures_of, opened, two_days
from tests.server.archive import HOMES, Archive, village
from tests.server.archive import at as moment
from tests.server.people import Signer
from tests.server.served import serving, until_ready

METERS: Final = """
query ($conditions: [MeterCondition!], $first: Int! = 100, $after: Cursor) {
  community(id: "demo") {
    meters(conditions: $conditions, first: $first, after: $after) {
      counts { total heard silent refused never }
      edges { cursor node { id role home homeName condition heardAt rejectedAt } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""
REJECTED: Final = """
query ($meter: String, $first: Int! = 20, $after: Cursor) {
  community(id: "demo") {
    rejected(meter: $meter, first: $first, after: $after) {
      edges { cursor node { meter home homeName reason explanation detail receivedAt count payload payloadLength } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""
COUNTS: Final = """
query ($since: DateTime!) {
  community(id: "demo") {
    rejectedCounts(since: $since) {
      askedSince since total counted reasons { reason explanation count latestAt meters meterCount }
    }
  }
}"""
TOTALS: Final = """
query ($from: DateTime!, $to: DateTime!) {
  community(id: "demo") {
    homeTotals(from: $from, to: $to) { home { id name } totals { start end intervals imported shared saved } }
  }
}"""
RECEIVED: Final = moment("2026-05-10T12:00+02:00")


@pytest.fixture
async def place(bus: Bus) -> AsyncIterator[Place]:
    """A village without a history; a meter that is heard, one that is refused, and a stranger."""
    signer = Signer()
    await register(bus, village())
    reading = {"at": datetime.now(UTC).isoformat(), "import_wh": 1, "export_wh": 0}
    await bus.publish(Message("readings.demo.home-1-grid", json.dumps(reading).encode()))
    refused = await bus.publish(Message("readings.demo.home-2-grid", b"nonsense"))
    await reject(bus, "home-2-grid", "from_the_future", 1)
    await reject(bus, "stranger", "unknown_meter", 7, payload="<b>" + "x" * 2000)
    await reject(bus, "home-2-grid", "malformed_json", refused)
    async with serving(bus, ServerOptions(tokens=signer.tokens)) as url:
        await until_ready(url)
        yield Place(url, cast(Archive, None), signer)


async def reject(bus: Bus, meter: str, reason: str, sequence: int, payload: str = "{}") -> None:
    rejected = Rejected(
        reason=reason,
        detail="so it is",
        subject=f"readings.demo.{meter}",
        sequence=sequence,
        received_at=RECEIVED,
        payload=payload,
    )
    await bus.publish(Message(f"rejected.demo.{meter}", encode(rejected)))


async def operated(place: Place, query: str, **variables: Any) -> Any:
    return (await place.data(query, who="olga", **variables))["community"]


async def test_totals_of_all_homes_come_with_one_question_and_a_member_gets_their_own(bus: Bus, tmp_path: Path) -> None:
    async with opened(bus, tmp_path, village()) as place:
        await place.archive.settle(two_days())
        found = (await operated(place, TOTALS, **RANGE))["homeTotals"]
        assert [one["home"]["id"] for one in found] == [f"demo.{home}" for home in HOMES]
        for one in found:
            whole = figures_of(two_days(), one["home"]["name"])
            assert one["totals"] == {name: whole[name] for name in one["totals"]}
        mine = (await place.data(TOTALS, **RANGE))["community"]["homeTotals"]
        assert mine == found[:1]
        before = {"from": "2025-05-10T00:00:00Z", "to": "2025-05-11T00:00:00Z"}
        nothing = (await operated(place, TOTALS, **before))["homeTotals"]
        assert [one["totals"] for one in nothing] == [None] * 6
        code, text = await place.refusal(TOTALS, who="olga", **{"from": before["to"], "to": before["from"]})
        assert code == "OUT_OF_RANGE"
        assert "is not before to" in text


async def test_an_operator_sees_which_meters_are_heard(place: Place) -> None:
    found = (await operated(place, METERS))["meters"]
    assert found["counts"] == {"total": 6, "heard": 1, "silent": 0, "refused": 1, "never": 4}
    first, second, third = (edge["node"] for edge in found["edges"][:3])
    assert (first["id"], first["role"], first["home"], first["condition"]) == (
        "home-1-grid",
        "GRID",
        "demo.home-1",
        "HEARD",
    )
    assert abs(datetime.fromisoformat(first["heardAt"]).timestamp() - time.time()) < 60
    assert (second["condition"], second["rejectedAt"]) == ("REFUSED", "2026-05-10T10:00:00Z")
    assert (third["condition"], third["heardAt"], third["rejectedAt"]) == ("NEVER", None, None)


async def test_meters_come_page_by_page_and_in_the_conditions_asked_for(place: Place) -> None:
    seen: list[str] = []
    after, more = None, True
    while more:
        found = (await operated(place, METERS, conditions=["NEVER", "SILENT"], first=3, after=after))["meters"]
        seen += [edge["node"]["id"] for edge in found["edges"]]
        after, more = found["pageInfo"]["endCursor"], found["pageInfo"]["hasNextPage"]
        assert found["counts"]["total"] == 6
    assert seen == [f"home-{number}-grid" for number in range(3, 7)]
    code, text = await place.refusal(METERS, who="olga", after="7")
    assert (code, text) == ("OUT_OF_RANGE", "after is no cursor of this query: give one that it gave")
    assert await place.refusal(METERS, who="olga", first=1001) == (None, "first is 1001; it must be 1 to 1000")


async def test_an_operator_reads_what_was_refused_and_why_newest_first(place: Place) -> None:
    found = (await operated(place, REJECTED))["rejected"]
    malformed, stranger, unknown = (edge["node"] for edge in found["edges"])
    assert malformed == {
        "meter": "home-2-grid",
        "home": "demo.home-2",
        "homeName": "home-2",
        "reason": "malformed_json",
        "explanation": "The message is not JSON. Look at what the gateway sends.",
        "detail": "so it is",
        "receivedAt": "2026-05-10T10:00:00Z",
        "count": 1,
        "payload": "{}",
        "payloadLength": 2,
    }
    assert (stranger["meter"], stranger["home"], stranger["payloadLength"]) == ("stranger", None, 2003)
    assert stranger["payload"] == "<b>" + "x" * 997 + "…"
    assert (unknown["reason"], unknown["explanation"]) == ("from_the_future", None)
    assert found["pageInfo"] == {"hasNextPage": False, "endCursor": found["edges"][-1]["cursor"]}


async def test_what_was_refused_comes_page_by_page_and_by_meter(place: Place) -> None:
    page = (await operated(place, REJECTED, first=2))["rejected"]
    assert page["pageInfo"]["hasNextPage"] is True
    older = (await operated(place, REJECTED, first=2, after=page["pageInfo"]["endCursor"]))["rejected"]
    assert [edge["node"]["reason"] for edge in older["edges"]] == ["from_the_future"]
    of_one = (await operated(place, REJECTED, meter="home-2-grid"))["rejected"]
    assert [edge["node"]["reason"] for edge in of_one["edges"]] == ["malformed_json", "from_the_future"]
    assert await place.refusal(REJECTED, who="olga", first=0) == (None, "first is 0; it must be 1 to 100")
    assert (await place.refusal(REJECTED, who="olga", meter=">"))[0] == "OUT_OF_RANGE"


async def test_reasons_are_counted(place: Place) -> None:
    since = "2026-01-01T00:00:00Z"
    found = (await operated(place, COUNTS, since=since))["rejectedCounts"]
    assert (found["askedSince"], found["since"], found["total"], found["counted"]) == (since, since, 3, 3)
    assert [(one["reason"], one["count"], one["meters"], one["meterCount"]) for one in found["reasons"]] == [
        ("from_the_future", 1, ["home-2-grid"], 1),
        ("malformed_json", 1, ["home-2-grid"], 1),
        ("unknown_meter", 1, ["stranger"], 1),
    ]


@pytest.mark.parametrize("query", [METERS, REJECTED, COUNTS], ids=["meters", "rejected", "counts"])
async def test_for_everybody_else_it_does_not_exist(place: Place, query: str) -> None:
    variables = {"since": "2026-01-01T00:00:00Z"} if query == COUNTS else {}
    here = await place.refusal(query, **variables)
    assert here == ("NOT_FOUND", "there is no community 'demo'")
    assert await place.refusal(query, who="bert", **variables) == here
