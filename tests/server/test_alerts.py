"""Alerts over a WebSocket and by query: in order, resumed by cursor, never skipped."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from gql.transport.exceptions import TransportQueryError

from bus.client import Bus, Message, connection_of
from bus.identifiers import alerts_subject
from bus.messages import Alert, AlertKind, encode
from server.options import ServerOptions
from tests.resolvers.frames import EVENING_MS, community, register
from tests.server.served import ask, next_of, serving, subscribed, until_ready

ALERTS = "subscription ($home: ID!, $after: Cursor) { alerts(home: $home, after: $after) { cursor kind home value } }"
PAGE = """query ($home: ID!, $after: Cursor, $first: Int! = 2) {
    alerts(home: $home, after: $after, first: $first) {
        edges { cursor node { kind at community home meter limit } } pageInfo { hasNextPage endCursor }
    }
}"""


@pytest.fixture
async def url(bus: Bus) -> AsyncIterator[str]:
    await register(bus, community("demo"))
    async with serving(bus, ServerOptions(development=True)) as url:
        await until_ready(url)
        yield url


async def raise_alert(bus: Bus, number: int, home: str = "home-1") -> int:
    kind: AlertKind = "METER_SILENT" if home != "community" else "SURPLUS_STARTED"
    alert = Alert(
        key=f"{kind}:{home}:{number}", kind=kind, community="demo", home=home, at=EVENING_MS, value=None, limit=None
    )
    return await bus.publish(Message(alerts_subject("demo", home), encode(alert)))


async def test_new_alerts_of_the_home_and_its_community_come_in_order(bus: Bus, url: str) -> None:
    async with subscribed(url, ALERTS, home="demo.home-1", after="0") as stream:
        cursors = [
            await raise_alert(bus, 1),
            await raise_alert(bus, 2, "home-2"),
            await raise_alert(bus, 3, "community"),
        ]
        first, second = await next_of(stream), await next_of(stream)
        assert first["alerts"] == {
            "cursor": str(cursors[0]),
            "kind": "METER_SILENT",
            "home": "demo.home-1",
            "value": None,
        }
        assert second["alerts"] == {"cursor": str(cursors[2]), "kind": "SURPLUS_STARTED", "home": None, "value": None}


async def test_a_subscription_resumes_after_its_cursor_and_goes_live_without_gap_or_double(bus: Bus, url: str) -> None:
    cursors = [await raise_alert(bus, number) for number in range(20)]
    seen: list[str] = []
    async with subscribed(url, ALERTS, home="demo.home-1", after=str(cursors[4])) as stream:
        more = asyncio.create_task(raise_many(bus, 20, 60))
        while len(seen) < 55:
            seen.append((await next_of(stream))["alerts"]["cursor"])
        cursors += await more
    assert seen == [str(cursor) for cursor in cursors[5:60]]


async def raise_many(bus: Bus, first: int, last: int) -> list[int]:
    return [await raise_alert(bus, number) for number in range(first, last)]


async def test_a_purged_cursor_is_expired_and_names_the_oldest_left(bus: Bus, url: str) -> None:
    cursors = [await raise_alert(bus, number) for number in range(5)]
    await connection_of(bus).jetstream().purge_stream("ALERTS", seq=cursors[3])
    with pytest.raises(TransportQueryError) as refused:
        async with subscribed(url, ALERTS, home="demo.home-1", after=str(cursors[0])) as stream:
            await next_of(stream)
    error = (refused.value.errors or [{}])[0]
    assert error["extensions"] == {"code": "CURSOR_EXPIRED", "oldest": str(cursors[2])}
    answer = await ask(url, PAGE, home="demo.home-1", after=error["extensions"]["oldest"])
    assert [edge["cursor"] for edge in answer["data"]["alerts"]["edges"]] == [str(cursor) for cursor in cursors[3:]]


async def test_a_client_that_polls_pages_through_alerts(bus: Bus, url: str) -> None:
    cursors = [await raise_alert(bus, number) for number in range(3)]
    page = (await ask(url, PAGE, home="demo.home-1"))["data"]["alerts"]
    assert [edge["cursor"] for edge in page["edges"]] == [str(cursor) for cursor in cursors[:2]]
    assert page["pageInfo"] == {"hasNextPage": True, "endCursor": str(cursors[1])}
    rest = (await ask(url, PAGE, home="demo.home-1", after=page["pageInfo"]["endCursor"]))["data"]["alerts"]
    assert [edge["cursor"] for edge in rest["edges"]] == [str(cursors[2])]
    assert rest["pageInfo"]["hasNextPage"] is False


async def test_what_is_no_cursor_and_what_is_no_page_size_is_refused(url: str) -> None:
    for variables in ({"after": "x"}, {"after": "-1"}, {"first": 0}, {"first": 101}):
        answer = await ask(url, PAGE, home="demo.home-1", **variables)
        assert answer["errors"], variables
    assert "1 to 100" in answer["errors"][0]["message"]
