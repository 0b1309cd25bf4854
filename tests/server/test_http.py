"""GraphQL over HTTP: media types, status codes, conditional GET, compression."""

import gzip
from typing import Any

import httpx
import pytest

from bus.client import Bus
from tests.resolvers.frames import EVENING_MS, Publisher, home_state
from tests.server.served import serving, until_ready

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
EVENTS = "text/event-stream"
LIVE = '{ home(id: "demo.home-1") { live { load at: measuredAt } } }'


async def post(url: str, accept: str | None = RESPONSE, **parameters: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url) as http:
        if accept is None:
            del http.headers["accept"]
        return await http.post("/graphql", json=parameters, headers={"Accept": accept} if accept else {})


async def get(url: str, headers: dict[str, str] | None = None, **parameters: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url) as http:
        return await http.get("/graphql", params=parameters, headers={"Accept": RESPONSE} | (headers or {}))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, RESPONSE),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}, {JSON};q=0.9", RESPONSE),
        (f"{JSON};q=0.5, {RESPONSE};q=0.4", JSON),
        (f"{RESPONSE}, application/graphql+json, {JSON}, {EVENTS}, multipart/mixed", RESPONSE),
        (f"{JSON};q=0, */*", RESPONSE),
    ],
)
async def test_the_media_type_is_the_one_that_the_client_prefers(url: str, accept: str | None, kind: str) -> None:
    response = await post(url, accept, query="{ __typename }")
    assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})
    assert response.headers["content-type"] == f"{kind}; charset=utf-8"
    assert response.headers["vary"] == "Accept, Accept-Encoding, Authorization"


@pytest.mark.parametrize("accept", ["image/png", "text/html", f"{JSON};q=0"])
async def test_what_nothing_can_be_answered_as_is_406(url: str, accept: str) -> None:
    response = await post(url, accept, query="{ __typename }")
    assert response.status_code == 406
    assert RESPONSE in response.json()["errors"][0]["message"]


REFUSED = [
    {"query": "{"},
    {"query": "{ nothing }"},
    {"query": "query A { __typename } query B { __typename }"},
    {"query": "{ __typename }", "operationName": "A"},
    {"query": "fragment f on Query { __typename }"},
    {"query": "query ($id: ID!) { home(id: $id) { id } }"},
]


@pytest.mark.parametrize("parameters", REFUSED)
async def test_what_is_not_executed_has_no_data_and_a_status_by_media_type(
    url: str, parameters: dict[str, Any]
) -> None:
    for kind, status in ((RESPONSE, 400), (JSON, 200)):
        response = await post(url, kind, **parameters)
        assert response.status_code == status
        assert response.json().keys() == {"errors"}


async def test_an_error_of_a_field_is_200_and_never_cached(url: str) -> None:
    response = await post(url, query='{ home(id: "x") { id } }')
    assert (response.status_code, response.json()["data"]) == (200, {"home": None})
    response = await get(url, query='{ home(id: "x") { id } }')
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers


async def test_get_is_for_queries(url: str) -> None:
    response = await get(url, query='subscription { community(id: "demo") { load } }')
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, POST")


async def test_a_subscription_without_an_event_stream_is_406(url: str) -> None:
    response = await post(url, query='subscription { community(id: "demo") { load } }')
    assert response.status_code == 406
    assert EVENTS in response.json()["errors"][0]["message"]


async def test_batches_and_other_encodings_are_refused(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        response = await http.post("/graphql", json=[{"query": "{ __typename }"}])
        assert response.status_code == 400
        assert "batches" in response.json()["errors"][0]["message"]
        for kind in (
            "",
            "application/graphql",
            "application/json; charset=latin-1",
            "application/x-www-form-urlencoded",
        ):
            response = await http.post("/graphql", content=b"{}", headers={"Content-Type": kind})
            assert response.status_code == 415, kind
        response = await http.get("/graphql?query={__typename}&query={__typename}")
        assert response.status_code == 400


async def test_head_is_get_without_a_body(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        response = await http.head("/graphql", params={"query": "{ __typename }"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["etag"]


# --- conditional GET ---


async def test_what_looks_the_same_is_304_without_a_body_whatever_it_was_measured(
    url: str, publisher: Publisher
) -> None:
    await publisher.publish(home_state(load_w=1.0))
    first = await get(url, query=LIVE)
    assert first.headers["cache-control"] == "private, max-age=10"
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    shown = first.json()["data"]["home"]["live"]["at"]
    await publisher.publish(home_state(load_w=1.0, measured_at=EVENING_MS + 5000))
    second = await get(url, query=LIVE)
    while second.json()["data"]["home"]["live"]["at"] == shown:
        second = await get(url, query=LIVE)
    assert second.headers["etag"] == tag
    same = await get(url, {"If-None-Match": f'"other", {tag}'}, query=LIVE)
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == tag
    assert same.headers["cache-control"] == "private, max-age=10"
    await publisher.publish(home_state(load_w=2.0))
    changed = await get(url, {"If-None-Match": tag}, query=LIVE)
    while changed.status_code == 304:
        changed = await get(url, {"If-None-Match": tag}, query=LIVE)
    assert changed.json()["data"]["home"]["live"]["load"] == 2


async def test_every_process_gives_the_same_tag(url: str, bus: Bus, publisher: Publisher) -> None:
    await publisher.publish(home_state(load_w=1.0))
    async with serving(bus) as other:
        await until_ready(other)
        assert (await get(url, query=LIVE)).headers["etag"] == (await get(other, query=LIVE)).headers["etag"]


# --- compression ---


async def test_only_what_becomes_smaller_is_compressed(url: str) -> None:
    large = "{ __schema { types { name description fields { name description } } } }"
    response = await get(url, {"Accept-Encoding": "gzip"}, query=large)
    assert response.headers["content-encoding"] == "gzip"
    assert response.json()["data"]["__schema"]
    assert "content-encoding" not in (await get(url, {"Accept-Encoding": "gzip"}, query="{ __typename }")).headers
    for encoding in ("gzip, br", "br", "*", "gzip;q=0.5, br"):
        packed = await get(url, {"Accept-Encoding": encoding}, query=large)
        assert (packed.headers["content-encoding"], packed.json()) == ("br", response.json())
    preferred = await get(url, {"Accept-Encoding": "br;q=0.5, gzip"}, query=large)
    assert preferred.headers["content-encoding"] == "gzip"
    for encoding in ("identity", "gzip;q=0", "br;q=0", ""):
        assert "content-encoding" not in (await get(url, {"Accept-Encoding": encoding}, query=large)).headers
    assert len(gzip.compress(response.content)) < len(response.content)
