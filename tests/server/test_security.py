"""What a stranger and a curious member try, over the wire: other people's data, other people's tokens, other pages."""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from bus.client import Bus, Message
from bus.community import Member
from bus.identifiers import alerts_subject
from bus.messages import Alert, encode
from server.limits import Limits
from server.options import ServerOptions
from tests.resolvers.frames import Publisher, community, home_state, register
from tests.server.people import Signer, bearing, get, post, signed_in, streamed
from tests.server.served import serving, until_ready

ROOMY = Limits(requests_per_second=10_000, messages_per_second=10_000)
STREET = community(
    "street",
    homes=("a", "b", "c", "d", "e"),
    members=(
        Member(id="anna", homes=("a",)),
        Member(id="bert", homes=("b",)),
        Member(id="olga", role="operator"),
    ),
)
LANE = community("lane", homes=("a", "b"), members=(Member(id="anna", homes=("a",)), Member(id="bert", homes=("b",))))
QUAY = community("quay", homes=("a", "b"), members=(Member(id="bert", homes=("a",)), Member(id="cora", homes=("b",))))


@pytest.fixture
def signer() -> Signer:
    return Signer()


@asynccontextmanager
async def town(bus: Bus, signer: Signer, **options: Any) -> AsyncIterator[str]:
    """Serve three communities with figures: anna has a home in two of them."""
    await register(bus, STREET, LANE, QUAY)
    for place in (STREET, LANE, QUAY):
        publisher = Publisher(bus, place.id)
        await publisher.publish(*(home_state(home.id, load_w=4321.0) for home in place.homes), load_w=8765.0)
    async with serving(bus, ServerOptions(tokens=signer.tokens, limits=ROOMY, **options)) as url:
        await until_ready(url)
        yield url


@pytest.fixture
async def url(bus: Bus, signer: Signer) -> AsyncIterator[str]:
    async with town(bus, signer) as url:
        yield url


# --- a member and another home's data ---


class Try(NamedTuple):
    """A way to another's data: `home` or `place` is what it asks for."""

    asks: str
    document: str


DEEP = "id name key participation live { homeId load today { saved } } community { id homes { id live { load } } }"
MAY = 'from: "2026-05-01T00:00:00Z", to: "2026-06-01T00:00:00Z"'
TRIES = [
    Try("home", f"query ($id: ID!) {{ home(id: $id) {{ {DEEP} }} }}"),
    Try("home", f'query {{ home(id: "<id>") {{ {DEEP} }} }}'),
    Try("home", 'query ($id: ID!) { mine: home(id: "street.a") { id } other: home(id: $id) { id live { load } } }'),
    Try("home", "query ($id: ID!) { home(id: $id) { ...a } } fragment a on Home { ...b } fragment b on Home { key }"),
    Try("home", "query ($id: ID!) { ... on Query { ... { home(id: $id) { live { ... on HomeLive { load } } } } } }"),
    Try("home", "query ($id: ID!, $no: Boolean = false) { home(id: $id) @skip(if: $no) { id @include(if: true) } }"),
    Try("home", 'query { home(id: "<id>") { __typename } }'),
    Try("home", 'query ($id: ID! = "street.a") { home(id: $id) { community { name } } }'),
    Try("home", "query ($id: ID!) { alerts(home: $id) { edges { cursor node { kind } } pageInfo { endCursor } } }"),
    Try("home", 'query ($id: ID!) { alerts(home: $id, after: "0", first: 100) { pageInfo { hasNextPage } } }'),
    Try("home", "query ($id: ID!) { devices(home: $id) { id name } }"),
    Try("home", 'query ($id: ID!) { home(id: $id) { statement(month: "2026-05") { __typename } } }'),
    Try("home", f"query ($id: ID!) {{ home(id: $id) {{ summary({MAY}) {{ __typename }} }} }}"),
    Try("home", f"query ($id: ID!) {{ home(id: $id) {{ intervals({MAY}) {{ __typename }} }} }}"),
    Try("home", f"query ($id: ID!) {{ home(id: $id) {{ compare({MAY}, with: COMMUNITY_AVERAGE) {{ __typename }} }} }}"),
    Try("place", f"query ($id: ID!) {{ community(id: $id) {{ summary({MAY}) {{ __typename }} }} }}"),
    Try("place", "query ($id: ID!) { community(id: $id) { id name timezone allocationKey homes { id } } }"),
    Try("place", "query ($id: ID!) { community(id: $id) { live { load homesTotal today { saved } } } }"),
    Try("place", 'query { a: community(id: "street") { id } b: community(id: "<id>") { id } }'),
    Try("home", "subscription ($id: ID!) { home(id: $id) { load } }"),
    Try("home", 'subscription ($id: ID!) { it: home(id: $id, every: "PT1S", maxSilence: "PT1S") { load(step: 50) } }'),
    Try("home", "subscription ($id: ID!) { home(id: $id) { ... { community { load } } } }"),
    Try("place", "subscription ($id: ID!) { community(id: $id) { load } }"),
    Try("place", 'subscription { it: community(id: "<id>") { homesTotal today { saved } } }'),
    Try("home", 'subscription ($id: ID!) { alerts(home: $id, after: "0") { kind value } }'),
    Try("home", "subscription ($id: ID!) { alerts(home: $id) { community home meter } }"),
    Try("home", 'mutation ($id: ID!) { approveDevice(code: "BCDF-GHJK", home: $id) { id } }'),
    Try("home", 'mutation { revokeDevice(id: "<id>.0123456789abcdef") }'),
]
HIDDEN = {"home": ["street.b", "quay.a", "lane.b"], "place": ["quay"]}
UNKNOWN = {"home": ["street.z", "quat.a", "lane.z"], "place": ["quai"]}


def answer_of(response: httpx.Response) -> tuple[Any, ...]:
    """Return all of an answer but the time."""
    headers = {name: value for name, value in response.headers.items() if name != "date"}
    return response.status_code, headers, response.content


async def over_post(url: str, token: str, document: str, id: str) -> Any:
    return answer_of(await post(url, token, document, id=id))


async def over_plain_json(url: str, token: str, document: str, id: str) -> Any:
    async with httpx.AsyncClient(base_url=url, headers=bearing(token), verify=False) as http:
        request = {"query": document, "variables": {"id": id}}
        return answer_of(await http.post("/graphql", json=request, headers={"Accept": "application/json"}))


async def over_get(url: str, token: str, document: str, id: str) -> Any:
    return answer_of(await get(url, token, document, id=id))


async def over_conditional_get(url: str, token: str, document: str, id: str) -> Any:
    return answer_of(await get(url, token, document, {"If-None-Match": "*"}, id=id))


async def over_event_stream(url: str, token: str, document: str, id: str) -> Any:
    async with streamed(url, token, document, id=id) as stream:
        await stream.response.aread()
        return answer_of(stream.response)


async def over_socket(url: str, token: str, document: str, id: str) -> Any:
    async with signed_in(url, token) as socket:
        await socket.subscribe("1", document, id=id)
        answer = await socket.hear()
        end = None if answer["type"] == "error" else await socket.hear()
        await socket.say(type="ping", payload={"after": "all"})
        return json.dumps([answer, end, await socket.hear()])


WAYS: list[Callable[[str, str, str, str], Any]] = [
    over_post,
    over_plain_json,
    over_get,
    over_conditional_get,
    over_event_stream,
    over_socket,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_what_a_member_may_not_see_is_answered_as_what_there_is_not(
    url: str, signer: Signer, bus: Bus, way: Callable[[str, str, str, str], Any]
) -> None:
    await raise_alert_at(bus, "street", "b")
    anna = signer.token("anna")
    for asks, document in TRIES:
        for hidden, unknown in zip(HIDDEN[asks], UNKNOWN[asks], strict=True):
            found = await way(url, anna, document.replace("<id>", hidden), hidden)
            expected = await way(url, anna, document.replace("<id>", unknown), unknown)
            assert str(found).replace(hidden, "") == str(expected).replace(unknown, ""), (document, hidden)
            for secret in ("4321", "8765", "IMPORT", "etag", "304"):
                assert secret not in str(found), (document, hidden)


async def raise_alert_at(bus: Bus, place: str, home: str) -> None:
    alert = Alert(key="k", kind="IMPORT_PEAK_STARTED", community=place, home=home, at=1, value=4321.0, limit=1.0)
    await bus.publish(Message(alerts_subject(place, home), encode(alert)))


ANSWERED = [
    one.document
    for one in TRIES
    if one.asks == "home" and "query" in one.document and "__typename } } }" not in one.document  # the history's
]


@pytest.mark.parametrize("document", ANSWERED)
async def test_every_try_succeeds_for_whom_it_is_meant_for(url: str, signer: Signer, document: str) -> None:
    document = document.replace("<id>", "street.b").replace("street.a", "street.b")
    answer = (await post(url, signer.token("bert"), document, id="street.b")).json()
    assert "errors" not in answer, answer
    assert answer["data"]


ODD = [
    "STREET.b",
    "Street.B",
    "street.b ",
    " street.b",
    "street.b\n",
    "street.b\u0000",
    "street.b\u200b",
    "street\uff0eb",
    "street\u3002b",
    "ѕtreet.b",
    "street.ｂ",
    "street.b.",
    ".street.b",
    "street..b",
    "street.b.a",
    "street.a.b",
    "street.a/../b",
    "street.*",
    "street.>",
    "*.b",
    ">",
    "street.a,street.b",
    'street.a" b: home(id: "street.b',
    "street.a' or '1'='1",
    "street%2eb",
    "street.b" + "\u0301",
    "street." + "b" * 64,
    "street." + "b" * 65,
    "b" * 60_000,
    "street.community",
    "street",
    "",
    "😀",
    "-",
    "0",
    "null",
]


@pytest.mark.parametrize("id", ODD, ids=lambda id: ascii(id[:30]))
async def test_an_odd_id_names_nothing(url: str, signer: Signer, id: str) -> None:
    anna = signer.token("anna")
    for document in (
        "query ($id: ID!) { home(id: $id) { id } }",
        "query ($id: ID!) { community(id: $id) { homes { id } } }",
        "query ($id: ID!) { alerts(home: $id) { edges { cursor } } }",
    ):
        response = await post(url, anna, document, id=id)
        if id == "street" and "community" in document:
            assert response.json() == {"data": {"community": {"homes": [{"id": "street.a"}]}}}
            continue
        (error,) = response.json()["errors"]
        assert (response.status_code, error["extensions"]) == (200, {"code": "NOT_FOUND"})
        assert len(error["message"]) < 150
        assert "4321" not in response.text
    async with signed_in(url, anna) as socket:
        await socket.subscribe("1", "subscription ($id: ID!) { home(id: $id) { load } }", id=id)
        answer = await socket.hear()
        assert answer["type"] == "error"
        assert answer["payload"][0]["extensions"] == {"code": "NOT_FOUND"}


@pytest.mark.parametrize("id", [5, 0, -1, 2**70, True, 1.5, ["street.b"], {"home": "street.b"}, None], ids=str)
async def test_an_id_that_is_no_text_names_nothing(url: str, signer: Signer, id: Any) -> None:
    answer = (await post(url, signer.token("anna"), "query ($id: ID!) { home(id: $id) { id } }", id=id)).json()
    assert answer["errors"]
    assert not (answer.get("data") or {}).get("home")


async def test_a_list_holds_what_its_viewer_may_see_however_it_is_come_to(url: str, signer: Signer) -> None:
    document = """{ communities { id homes { ...mine } } home(id: "street.a") { community { id homes { ...mine } } }
        community(id: "lane") { homes { id live { homeId community { communityId } } } } }
    fragment mine on Home { id live { homeId } community { id } }"""
    text = (await post(url, signer.token("anna"), document)).text
    assert set(re.findall(r'"(\w+\.\w+)"', text)) == {"street.a", "lane.a"}
    assert "quay" not in text
    text = (await post(url, signer.token("olga"), document.replace("lane", "street"))).text
    assert set(re.findall(r'"(\w+\.\w+)"', text)) == {f"street.{home}" for home in "abcde"}


@pytest.mark.parametrize(
    ("who", "claims", "seen"),
    [
        ("anna", {}, {"lane.a", "street.a"}),
        ("anna", {"community": "street"}, {"street.a"}),
        ("anna", {"homes": ["lane.a"]}, {"lane.a"}),
        ("anna", {"homes": ["lane.b"]}, set()),
        ("anna", {"role": "operator"}, {"lane.a", "street.a"}),
        ("anna", {"role": "device", "community": "lane"}, {"lane.a"}),
        ("anna", {"community": "quay", "homes": ["a"]}, set()),
        ("olga", {"homes": ["street.b", "street.c"]}, {"street.b", "street.c"}),
        ("olga", {"role": "member"}, set()),
        ("olga", {"community": "lane", "role": "operator"}, set()),
    ],
    ids=lambda part: "".join(sorted(part)) if isinstance(part, set) else str(part),
)
async def test_what_a_token_narrows_is_all_that_it_shows(
    url: str, signer: Signer, who: str, claims: dict[str, Any], seen: set[str]
) -> None:
    token = signer.token(who, **claims)
    found = (await post(url, token, "{ communities { homes { id } } }")).json()["data"]["communities"]
    assert {home["id"] for one in found for home in one["homes"]} == seen
    async with signed_in(url, token) as socket:
        for place in (STREET, LANE, QUAY):
            for home in place.homes:
                id = f"{place.id}.{home.id}"
                answer = await socket.ask("subscription ($id: ID!) { home(id: $id) { load } }", id=id)
                assert (answer["type"] == "next") is (id in seen)


@pytest.mark.parametrize(
    "document",
    [
        "query ($id: ID!) { home(id: $id) { live { community { load } } } }",
        "query ($id: ID!) { home(id: $id) { community { live { load } } } }",
        "subscription ($id: ID!) { home(id: $id) { community { load } } }",
        "subscription ($id: ID!) { home(id: $id) { ...f } } fragment f on HomeLive { my: community { load } }",
        'subscription ($id: ID!) { home(id: $id, every: "PT1H") { community { load } } }',
    ],
)
async def test_totals_of_a_small_community_are_not_reached_through_a_home_of_ones_own(
    url: str, signer: Signer, document: str
) -> None:
    anna = signer.token("anna")
    async with signed_in(url, anna) as socket:
        for id, seen in (("lane.a", False), ("street.a", True)):
            async with streamed(url, anna, document, id=id) as stream:
                answers = [await stream.next(), (await socket.ask(document, id=id))["payload"]]
            if document.startswith("query"):
                answers += [
                    (await post(url, anna, document, id=id)).json(),
                    (await get(url, anna, document, id=id)).json(),
                ]
            for answer in answers:
                assert ("8765" in str(answer)) is seen
                assert ("NOT_FOUND" in str(answer)) is not seen


async def test_alerts_of_a_small_community_are_not_reached_through_a_home_of_ones_own(
    url: str, signer: Signer, bus: Bus
) -> None:
    for place in ("lane", "street"):
        await raise_alert_at(bus, place, "community")
        await raise_alert_at(bus, place, "a")
    page = 'query ($id: ID!) { alerts(home: $id, after: "0", first: 100) { edges { node { home value } } } }'
    stream = 'subscription ($id: ID!) { alerts(home: $id, after: "0") { home value } }'
    anna = signer.token("anna")
    for place, homes in (("lane", ["lane.a"]), ("street", [None, "street.a"])):
        id = f"{place}.a"
        edges = (await post(url, anna, page, id=id)).json()["data"]["alerts"]["edges"]
        assert [edge["node"]["home"] for edge in edges] == homes
        async with signed_in(url, anna) as socket, streamed(url, anna, stream, id=id) as events:
            await socket.subscribe("1", stream, id=id)
            for home in homes:
                assert (await socket.hear())["payload"]["data"]["alerts"]["home"] == home
                assert (await events.next())["data"]["alerts"]["home"] == home


async def test_a_tag_that_another_member_was_given_is_worth_nothing(url: str, signer: Signer) -> None:
    document = "query ($id: ID!) { home(id: $id) { live { load } } }"
    anna, bert = signer.token("anna"), signer.token("bert")
    first = await get(url, bert, document, id="street.b")
    assert first.status_code == 200
    tag = {"If-None-Match": first.headers["etag"]}
    assert (await get(url, bert, document, tag, id="street.b")).status_code == 304
    assert "Authorization" in first.headers["vary"]
    assert first.headers["cache-control"].startswith("private")
    for headers in (tag, {"If-None-Match": "*"}, {"If-None-Match": f'"x", {first.headers["etag"]}'}):
        refused = await get(url, anna, document, headers, id="street.b")
        assert refused.status_code == 200
        assert refused.json()["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
        assert "etag" not in refused.headers
        assert refused.headers["cache-control"] == "no-store"
        assert (await get(url, None, document, headers, id="street.b")).status_code == 401


async def test_trusted_documents_show_what_their_viewer_may_see(bus: Bus, signer: Signer, tmp_path: Path) -> None:
    text = "query Home($id: ID!) { home(id: $id) { id live { load } } }"
    (tmp_path / "home.graphql").write_text(text)
    async with town(bus, signer, document_directories=(tmp_path,), trusted_only=True) as url:
        for who, found in (("bert", True), ("anna", False)):
            answer = (await post(url, signer.token(who), text, id="street.b")).json()
            assert ("errors" not in answer) is found


async def test_a_member_pairs_and_removes_no_device_of_another_home(url: str, signer: Signer) -> None:
    async with httpx.AsyncClient(base_url=url, verify=False) as http:
        begun = (await http.post("/oauth/device_authorization", data={"client_id": "watch"})).json()
        approve = "mutation ($code: String!, $id: ID!) { approveDevice(code: $code, home: $id) { id } }"
        anna, bert = signer.token("anna"), signer.token("bert")
        for id in ("street.b", "quay.a", "street.z"):
            answer = (await post(url, anna, approve, code=begun["user_code"], id=id)).json()
            assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
        paired = (await post(url, bert, approve, code=begun["user_code"], id="street.b")).json()
        device = paired["data"]["approveDevice"]["id"]
        revoke_device = "mutation ($id: ID!) { revokeDevice(id: $id) }"
        tried = await post(url, anna, revoke_device, id=device)
        unknown = await post(url, anna, revoke_device, id=device[:-1] + ("0" if device[-1] != "0" else "1"))
        assert tried.json()["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
        assert len(tried.content) == len(unknown.content)
        devices = (await post(url, bert, 'query { devices(home: "street.b") { id } }')).json()
        assert devices == {"data": {"devices": [{"id": device}]}}


@pytest.mark.parametrize("name", ["2026-05.csv", "2026-05.html", "2099-01.csv", "x.csv"])
async def test_a_statement_of_another_home_is_answered_as_that_of_none(url: str, signer: Signer, name: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers=bearing(signer.token("anna")), verify=False) as http:
        for hidden, unknown in zip(HIDDEN["home"], UNKNOWN["home"], strict=True):
            found, expected = [await http.get(f"/statements/{id}/{name}") for id in (hidden, unknown)]
            assert str(answer_of(found)).replace(hidden, "") == str(answer_of(expected)).replace(unknown, "")
            assert found.status_code == 404
    async with httpx.AsyncClient(base_url=url, verify=False) as http:
        for query in ("", "?ticket=x", "?ticket="):
            found, expected = [await http.get(f"/statements/{id}/{name}{query}") for id in ("street.b", "street.z")]
            assert found.status_code in (401, 403)
            assert answer_of(found) == answer_of(expected)
