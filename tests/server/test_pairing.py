"""Pairing over HTTP: RFC 8628 from the device's request to its token, and whatever else may be sent there."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bus.client import Bus, connection_of
from bus.pairing import Pairings, buckets
from bus.settings import NatsSettings
from resolvers.grants import Grants
from server.pairing import BEGIN_AT_ONCE, GRANT_TYPE, DeviceEndpoints, build_pairing, device_routes
from tests.conftest import NatsServer
from tests.resolvers.frames import eventually
from tests.resolvers.pairings import Clock, Office
from tests.server.pairing import Deployment, Device, ask, prepare
from tests.server.served import serving, until_ready

APPROVE = "mutation ($code: String!, $home: ID!) { approveDevice(code: $code, home: $home) { id } }"
DENY = "mutation ($code: String!) { denyDevice(code: $code) }"
REVOKE = "mutation ($id: ID!) { revokeDevice(id: $id) }"
HOMES = "{ communities { homes { id } } }"
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, 5.2


def error_of(response: httpx.Response, status: int = 400) -> str:
    """Return the error of a refusal, after a look at its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert (response.headers["cache-control"], response.headers["pragma"]) == ("no-store", "no-cache")
    body = response.json()
    assert body.keys() == {"error", "error_description"}
    assert DESCRIPTION.fullmatch(body["error_description"])
    return str(body["error"])


# --- the whole way, over a server ---


@pytest.fixture
async def deployment(bus: Bus) -> Deployment:
    await prepare(bus)
    return Deployment(bus)


@pytest.fixture
async def http(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with deployment.serving() as url, httpx.AsyncClient(base_url=url) as http:
        yield http


async def test_a_device_begins_with_all_that_rfc_8628_asks_for(http: httpx.AsyncClient) -> None:
    response = await http.post("/oauth/device_authorization", data={"client_id": "watch"})
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    begun = response.json()
    code = begun["user_code"]
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", code)
    page = str(http.base_url).rstrip("/") + "/device"
    assert begun == {
        "device_code": begun["device_code"],
        "user_code": code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?code={code}",
        "expires_in": 600,
        "interval": 5,
    }


async def test_an_approved_device_gets_a_token_that_shows_its_home_and_no_other(
    http: httpx.AsyncClient, deployment: Deployment
) -> None:
    device, ada = Device(http), deployment.token("ada")
    begun = await device.begin()
    assert error_of(await device.poll()) == "authorization_pending"
    assert error_of(await device.poll()) == "slow_down"
    approved = await ask(http, ada, APPROVE, code=begun["user_code"], home="demo.home-1")
    response = await device.poll()
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    granted = response.json()
    assert granted == {
        "access_token": granted["access_token"],
        "token_type": "Bearer",
        "expires_in": 365 * 86_400,
        "home": "demo.home-1",
    }
    assert await ask(http, granted["access_token"], HOMES) == {
        "data": {"communities": [{"homes": [{"id": "demo.home-1"}]}]}
    }
    viewer = deployment.tokens.verify(granted["access_token"])
    assert (viewer.subject, viewer.role, viewer.community, viewer.own) == ("ada", "device", "demo", True)
    assert approved["data"]["approveDevice"]["id"] == f"demo.home-1.{viewer.token}"
    assert error_of(await device.poll()) == "invalid_grant"


async def test_a_device_that_is_denied_is_told_so(http: httpx.AsyncClient, deployment: Deployment) -> None:
    device = Device(http)
    begun = await device.begin()
    assert await ask(http, deployment.token(), DENY, code=begun["user_code"]) == {"data": {"denyDevice": True}}
    assert error_of(await device.poll()) == "access_denied"


async def test_a_device_that_is_removed_is_signed_out(http: httpx.AsyncClient, deployment: Deployment) -> None:
    device, ada = Device(http), deployment.token("ada")
    begun = await device.begin()
    approved = await ask(http, ada, APPROVE, code=begun["user_code"], home="demo.home-1")
    token = (await device.poll()).json()["access_token"]
    assert "data" in await ask(http, token, HOMES)
    id = approved["data"]["approveDevice"]["id"]
    assert await ask(http, ada, REVOKE, id=id) == {"data": {"revokeDevice": True}}

    async def is_out() -> bool:
        return "data" not in await ask(http, token, HOMES)

    await eventually(is_out, timeout=2)


async def test_an_open_socket_of_a_device_that_is_removed_is_closed_within_two_seconds(
    http: httpx.AsyncClient, deployment: Deployment
) -> None:
    device, ada = Device(http), deployment.token("ada")
    code = (await device.begin())["user_code"]
    approved = await ask(http, ada, APPROVE, code=code, home="demo.home-1")
    token = (await device.poll()).json()["access_token"]
    url = str(http.base_url).replace("http", "ws", 1).rstrip("/") + "/graphql"
    async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"token": token}}))
        assert json.loads(await socket.recv()) == {"type": "connection_ack"}
        await ask(http, ada, REVOKE, id=approved["data"]["approveDevice"]["id"])
        async with asyncio.timeout(2):
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


async def test_a_device_cannot_approve_another(http: httpx.AsyncClient, deployment: Deployment) -> None:
    device, ada = Device(http), deployment.token("ada")
    code = (await device.begin())["user_code"]
    await ask(http, ada, APPROVE, code=code, home="demo.home-1")
    token = (await device.poll()).json()["access_token"]
    code = (await Device(http).begin())["user_code"]
    answer = await ask(http, token, APPROVE, code=code, home="demo.home-1")
    assert answer["errors"][0]["extensions"] == {"code": "PAIRING_REFUSED"}


async def test_a_guesser_is_stopped_after_ten_wrong_codes(http: httpx.AsyncClient, deployment: Deployment) -> None:
    ada, code = deployment.token("ada"), (await Device(http).begin())["user_code"]
    codes = []
    for _ in range(11):
        answer = await ask(http, ada, DENY, code="ZZZZ-ZZZZ")
        codes.append(answer["errors"][0]["extensions"]["code"])
    assert codes == ["PAIRING_CODE_UNKNOWN"] * 10 + ["TOO_MANY_CODES"]
    answer = await ask(http, ada, APPROVE, code=code, home="demo.home-1")
    assert answer["errors"][0]["extensions"] == {"code": "TOO_MANY_CODES"}


async def test_a_request_expires_after_ten_minutes(
    bus: Bus, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("server.app._now_ms", clock)
    async with deployment.serving() as url, httpx.AsyncClient(base_url=url) as http:
        device = Device(http)
        code = (await device.begin())["user_code"]
        clock.pass_s(600)
        answer = await ask(http, deployment.token(), APPROVE, code=code, home="demo.home-1")
        assert answer["errors"][0]["extensions"] == {"code": "PAIRING_CODE_UNKNOWN"}
        assert error_of(await device.poll()) == "expired_token"


async def test_of_polls_at_two_servers_at_the_same_time_one_gets_a_token(bus: Bus, deployment: Deployment) -> None:
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            url = await stack.enter_async_context(deployment.serving())
            clients.append(await stack.enter_async_context(httpx.AsyncClient(base_url=url)))
        here, there = clients
        for _ in range(5):
            device = Device(here)
            code = (await device.begin())["user_code"]
            await ask(there, deployment.token(), APPROVE, code=code, home="demo.home-1")
            answers = await asyncio.gather(*(device.poll(http) for http in (here, there) * 4))
            assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
            assert {error_of(answer) for answer in answers if answer.status_code == 400} == {"invalid_grant"}


async def test_without_sign_in_there_is_nothing_to_pair(bus: Bus) -> None:
    await prepare(bus)
    async with serving(bus) as url, httpx.AsyncClient(base_url=url) as http:
        await until_ready(url)
        response = await http.post("/oauth/device_authorization", data={"client_id": "watch"})
        assert error_of(response) == "unsupported_grant_type"
        assert "sign-in is off" in response.json()["error_description"]
        form = {"grant_type": GRANT_TYPE, "device_code": "BCDFGHJK.x", "client_id": "watch"}
        assert error_of(await http.post("/oauth/token", data=form)) == "unsupported_grant_type"
        answer = await ask(http, None, DENY, code="ZZZZ-ZZZZ")
        assert answer["errors"][0]["extensions"] == {"code": "PAIRING_REFUSED"}


async def test_while_nats_is_away_devices_and_members_are_told_to_come_back(own_nats: NatsServer) -> None:
    bus = await Bus.connect(NatsSettings(url=own_nats.url), name="test", patience_s=10)
    await prepare(bus)
    deployment = Deployment(bus)
    async with deployment.serving() as url, httpx.AsyncClient(base_url=url) as http:
        device = Device(http)
        code = (await device.begin())["user_code"]
        own_nats.kill()
        response = await http.post("/oauth/device_authorization", data={"client_id": "watch"})
        assert error_of(response, 503) == "temporarily_unavailable"
        assert "NATS does not answer" in response.json()["error_description"]
        response = await device.poll()
        assert error_of(response, 503) == "temporarily_unavailable"
        assert response.headers["retry-after"] == "5"
        answer = await ask(http, deployment.token(), APPROVE, code=code, home="demo.home-1")
        assert answer["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
    await bus.close()


# --- the endpoints alone ---


class Endpoints:
    """The endpoints without the rest of a server, under any clock, asked from any address."""

    def __init__(self, bus: Bus, **options: Any) -> None:
        self.clock = Clock()
        self._app = Starlette(
            routes=device_routes(
                DeviceEndpoints(
                    Grants(Pairings(bus), issue=Office().issue, now_ms=self.clock), now_ms=self.clock, **options
                )
            ),
            max_body_size=65_536,
        )

    def client(self, address: str = "192.0.2.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self._app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="https://watt.example")


@pytest.fixture
async def endpoints(bus: Bus) -> Endpoints:
    await prepare(bus)
    return Endpoints(bus)


BEGIN = "/oauth/device_authorization"
TOKEN = "/oauth/token"
POLL: dict[str, Any] = {"grant_type": GRANT_TYPE, "device_code": "BCDFGHJK.x", "client_id": "watch"}


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"client_id": ""}, "invalid_request"),
        ({"client_id": "x" * 65}, "invalid_request"),
        ({"client_id": "Ädä"}, "invalid_request"),
        ({"client_id": "a\nb"}, "invalid_request"),
        ({"client_id": ["watch", "watch"]}, "invalid_request"),
        ({"client_id": "watch", "scope": "openid"}, "invalid_scope"),
    ],
)
async def test_a_request_to_begin_that_is_wrong_is_refused(
    endpoints: Endpoints, form: dict[str, Any], error: str
) -> None:
    async with endpoints.client() as http:
        # httpx sends no content type for a form without fields.
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert error_of(await http.post(BEGIN, data=form, headers=headers)) == error


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"client_id": ""}, "invalid_request"),
        ({"device_code": ""}, "invalid_request"),
        ({"device_code": ["a", "b"]}, "invalid_request"),
        ({}, "invalid_grant"),
        ({"device_code": "Ä" * 300}, "invalid_grant"),
        ({"device_code": "BCDFGHJK"}, "invalid_grant"),
    ],
)
async def test_a_poll_that_is_wrong_is_refused(endpoints: Endpoints, change: dict[str, Any], error: str) -> None:
    async with endpoints.client() as http:
        assert error_of(await http.post(TOKEN, data=POLL | change)) == error


async def test_parameters_without_a_value_or_that_are_unknown_are_as_good_as_none(endpoints: Endpoints) -> None:
    async with endpoints.client() as http:
        response = await http.post(BEGIN, data={"client_id": "a client + 1", "scope": "", "more": "x"})
        assert response.status_code == 200
        poll = POLL | {"device_code": response.json()["device_code"], "client_id": "a client + 1"}
        assert error_of(await http.post(TOKEN, data=poll)) == "authorization_pending"


@pytest.mark.parametrize("path", [BEGIN, TOKEN])
async def test_what_is_no_form_is_refused(endpoints: Endpoints, path: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with endpoints.client() as http:
        assert error_of(await http.post(path, json=POLL)) == "invalid_request"
        assert error_of(await http.post(path, content="client_id=watch")) == "invalid_request"
        assert error_of(await http.post(path, content=b"client_id=%ff", headers=form)) == "invalid_request"
        assert error_of(await http.post(path, content=b"client_id=\xff", headers=form)) == "invalid_request"
        many = "&".join(f"a{number}=1" for number in range(17))
        assert error_of(await http.post(path, content=many, headers=form)) == "invalid_request"
        assert error_of(await http.post(path, data={"client_id": "x" * 5000}), 413) == "invalid_request"
        assert (await http.post(path, data={"client_id": "x" * 70_000})).status_code == 413
        assert (await http.get(path)).status_code == 405


async def test_a_client_with_a_password_is_refused(endpoints: Endpoints) -> None:
    async with endpoints.client() as http:
        response = await http.post(TOKEN, data=POLL, auth=("watch", "secret"))
        assert error_of(response, 401) == "invalid_client"
        assert response.headers["www-authenticate"] == "Basic"


async def test_an_address_may_begin_so_many_pairings_and_no_more(endpoints: Endpoints) -> None:
    form = {"client_id": "watch"}
    async with endpoints.client() as http, endpoints.client("192.0.2.2") as other:
        statuses = [(await http.post(BEGIN, data=form)).status_code for _ in range(BEGIN_AT_ONCE)]
        assert set(statuses) == {200}
        refused = await http.post(BEGIN, data=form)
        assert error_of(refused, 429) == "temporarily_unavailable"
        assert refused.headers["retry-after"] == "6"
        assert (await other.post(BEGIN, data=form)).status_code == 200
        endpoints.clock.pass_s(6)
        assert (await http.post(BEGIN, data=form)).status_code == 200
        assert (await http.post(BEGIN, data=form)).status_code == 429


async def test_all_addresses_of_one_network_of_ipv6_are_one(endpoints: Endpoints) -> None:
    form = {"client_id": "watch"}
    for number in range(BEGIN_AT_ONCE):
        async with endpoints.client(f"2001:db8::{number:x}") as http:
            assert (await http.post(BEGIN, data=form)).status_code == 200
    async with endpoints.client("2001:db8::ffff") as http, endpoints.client("2001:db8:0:1::1") as other:
        assert (await http.post(BEGIN, data=form)).status_code == 429
        assert (await other.post(BEGIN, data=form)).status_code == 200


async def test_when_as_many_wait_as_are_kept_the_next_one_is_told_to_come_back(bus: Bus, endpoints: Endpoints) -> None:
    config = buckets(1)[0]
    config.max_msgs = 1
    await connection_of(bus).jetstream().add_stream(config)
    async with endpoints.client() as http:
        assert (await http.post(BEGIN, data={"client_id": "watch"})).status_code == 200
        response = await http.post(BEGIN, data={"client_id": "watch"})
        assert error_of(response, 503) == "temporarily_unavailable"
        assert "10,000 pairings are kept" in response.json()["error_description"]


async def test_the_page_is_where_the_deployment_says_that_it_is(bus: Bus) -> None:
    await prepare(bus)
    async with Endpoints(bus).client() as http:
        begun = (await http.post(BEGIN, data={"client_id": "watch"})).json()
        assert begun["verification_uri"] == "https://watt.example/device"
    async with Endpoints(bus, public_url="https://energy.example/community").client() as http:
        begun = (await http.post(BEGIN, data={"client_id": "watch"})).json()
        assert begun["verification_uri"] == "https://energy.example/community/device"


def test_members_pair_only_where_people_sign_in(bus: Bus) -> None:
    assert build_pairing(bus, None, now_ms=Clock())[0] is None
    assert build_pairing(bus, Deployment(bus).tokens, now_ms=Clock())[0] is not None
