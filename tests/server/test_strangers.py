"""What a stranger gets: nothing, without a word of why; and what pages of other origins get, and what guessers do."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from graphql import GraphQLObjectType
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from bus.client import Bus
from server.options import ServerOptions
from tests.resolvers.frames import community, register
from tests.schema.test_plans import CORE
from tests.server.issuing import encoded, signed
from tests.server.people import Signer, bearing, opened, post, signed_in, streamed
from tests.server.served import serving, until_ready
from tests.server.test_security import ROOMY, town

MINE: Final = "{ communities { id } }"


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture
async def url(bus: Bus, signer: Signer) -> AsyncIterator[str]:
    async with town(bus, signer) as url:
        yield url


# --- tokens ---


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{encoded(header)}.{encoded(claims)}."


def bad_tokens(signer: Signer) -> Iterator[tuple[str, str]]:
    """Yield what is no token that counts, by what is wrong with it."""
    good = signer.token("olga", role="operator")
    header, claims, signature = good.split(".")
    kid, public = signer.key.public.id, signer.key.public.material
    assert not isinstance(public, bytes)
    says = json.loads(base64.urlsafe_b64decode(claims + "=="))
    stranger = Signer()
    yield "nothing", ""
    yield "garbage", "x"
    yield "two parts", f"{header}.{claims}"
    yield "four parts", f"{good}.{signature}"
    yield "without its signature", f"{header}.{claims}."
    yield "another signature", f"{header}.{claims}.{signer.token('anna').split('.')[2]}"
    yield "changed claims", f"{header}.{encoded(says | {'sub': 'operator:', 'community': 'street'})}.{signature}"
    yield "forged", stranger.token("olga", role="operator")
    yield "forged, naming the key", signed(b"x" * 32, {"alg": "EdDSA", "kid": kid}, says)
    for alg in ("none", "None", "NONE", "nOnE", "", None):
        yield f"alg {alg!r}", unsigned({"alg": alg, "kid": kid}, says)
    yield "no alg", unsigned({"kid": kid}, says)
    forms = {
        "raw": public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        "PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "kid": kid.encode(),
        "nothing": b"",
    }
    for form, secret in forms.items():
        for name in ({"kid": kid}, {}):
            yield f"key confusion, {form}, {name and 'named'}", signed(secret, {"alg": "HS256"} | name, says)
    for extra in ({"jwk": {"kty": "oct", "k": "eA"}}, {"jku": "https://x.example/"}, {"x5u": "https://x.example/"}):
        yield f"brings its key, {extra}", signed(b"x", {"alg": "HS256", "kid": "x"} | extra, says)
    yield "kid of a file", signed(b"", {"alg": "HS256", "kid": "../../dev/null"}, says)
    yield "critical", signed(b"x", {"alg": "EdDSA", "kid": kid, "crit": ["exp"]}, says)
    yield "ended", signer.token("olga", ttl_s=-1)
    yield "not yet", signer.token("olga", nbf=signer.clock() / 1000 + 600)
    yield "for ever", signer.token("olga", ttl_s=10**9)
    yield "another audience", signer.token("olga", aud="another")
    yield "another issuer", signer.token("olga", iss="another")
    yield "no subject", signer.token("", role="operator")
    yield "a role that is none", signer.token("olga", role="admin")
    yield "a community that is none", signer.token("olga", community="*")
    yield "large", signer.token("olga", x="x" * 9000)
    yield "in another coding", good.replace(".", "\uff0e")


async def test_what_is_no_token_that_counts_is_answered_alike_and_nothing_is_told(url: str, signer: Signer) -> None:
    answers = set()
    with capture_logs() as logs:
        for name, token in bad_tokens(signer):
            headers = {b"Authorization": b" ".join([b"Bearer", token.encode()]).strip()}
            async with httpx.AsyncClient(base_url=url, headers=headers, verify=False) as http:
                for response in (
                    await http.post("/graphql", json={"query": MINE}),
                    await http.get("/graphql", params={"query": MINE}),
                    await http.get("/graphql", params={"query": MINE}, headers={"If-None-Match": "*"}),
                    await http.post("/graphql", json={"query": MINE}, headers={"Accept": "text/event-stream"}),
                    await http.post("/graphql", content=b"{", headers={"Content-Type": "text/plain"}),
                ):
                    assert response.status_code == 401, name
                    assert response.headers["www-authenticate"] == "Bearer"
                    assert response.headers["cache-control"] == "no-store"
                    assert "etag" not in response.headers
                    answers.add((response.headers["content-type"], response.content))
            async with opened(url) as socket:
                await socket.say(type="connection_init", payload={"token": token})
                assert await socket.end() == 4403, name
                assert socket.connection.close_reason == "Forbidden"
    ((kind, body),) = answers
    assert kind == "application/json; charset=utf-8"
    assert json.loads(body) == {
        "errors": [
            {
                "message": "sign in: send a valid token (Authorization: Bearer ...)",
                "extensions": {"code": "UNAUTHENTICATED"},
            }
        ]
    }
    text = str(logs)
    for _, token in bad_tokens(signer):
        for piece in token.split("."):
            assert len(piece) < 20 or piece not in text
    assert {line["log_level"] for line in logs} == {"info"}
    assert max(len(str(line)) for line in logs) < 400


async def test_a_token_comes_by_the_header_alone(url: str, signer: Signer) -> None:
    token = signer.token("olga")
    async with httpx.AsyncClient(base_url=url, verify=False) as http:
        for name in ("token", "access_token", "authorization", "Authorization"):
            response = await http.get("/graphql", params={"query": MINE, name: token})
            assert response.status_code == 401
            response = await http.get("/graphql", params={"query": MINE}, headers={"Cookie": f"{name}={token}"})
            assert response.status_code == 401
            response = await http.post("/graphql", json={"query": MINE, name: token})
            assert response.status_code == 401
        assert (await http.post("/graphql", json={"query": MINE}, auth=("olga", token))).status_code == 401


async def test_a_good_token_of_another_community_counts_and_shows_nothing_of_this_one(url: str, signer: Signer) -> None:
    token = signer.token("operator:", role="operator", community="elsewhere")
    assert (await post(url, token, MINE)).json() == {"data": {"communities": []}}
    for document in ('{ community(id: "street") { id } }', '{ home(id: "street.a") { id } }'):
        answer = (await post(url, token, document)).json()
        assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}


async def test_no_good_token_is_written_to_the_log(url: str, signer: Signer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token, newer = signer.token("anna"), signer.token("anna", ttl_s=7200)
    with capture_logs() as logs:
        await post(url, token, MINE)
        await post(url, token, "{")
        async with streamed(url, token, 'subscription { home(id: "street.b") { load } }') as stream:
            await stream.next()
        async with signed_in(url, token) as socket:
            await socket.say(type="ping", payload={"token": newer})
            await socket.hear()
            await socket.say(type="x", token=token)
            await socket.end()
        async with signed_in(url, token) as socket:
            await socket.say(type="connection_init", payload={"token": newer})
            await socket.end()
    for text in (str(logs), caplog.text):
        for one in (token, newer):
            assert one.split(".")[2] not in text
            assert one.split(".")[1] not in text


# --- what is open to strangers ---


async def test_pages_for_everybody_name_no_community_and_no_home(url: str, signer: Signer) -> None:
    async with signed_in(url, signer.token("bert")) as socket:
        await socket.subscribe("1", 'subscription { home(id: "quay.a") { load community { load } } }')
        await socket.hear()
        async with httpx.AsyncClient(base_url=url, verify=False, follow_redirects=True) as http:
            for path in ("/", "/health", "/ready", "/metrics", "/device", "/watch", "/nothing", "/graphql"):
                text = (await http.get(path, headers={"Accept": "text/html"})).text
                for secret in ("quay", "street", "lane", "anna", "bert", "olga"):
                    assert secret not in text, path


# --- pages of other origins ---


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://", "http://localhost"]
)
async def test_a_socket_of_a_page_of_another_origin_is_refused(url: str, signer: Signer, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(url, signer.token("anna"), origin=origin):
            pass
    assert refused.value.response.status_code == 403
    async with opened(url, origin=url):
        pass


SIMPLE: Final = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "", "*/*"]


@pytest.mark.parametrize("sign_in", [False, True])
async def test_what_a_form_can_send_is_not_executed(bus: Bus, signer: Signer, sign_in: bool) -> None:
    """A browser sends these without asking first; without sign-in the content type is all that stands in its way."""
    await register(bus, community("demo"))
    body = json.dumps({"query": 'mutation { denyDevice(code: "x") }'})
    options = ServerOptions(limits=ROOMY, tokens=signer.tokens if sign_in else None)
    async with serving(bus, options) as url, httpx.AsyncClient(base_url=url, verify=False) as http:
        await until_ready(url)
        headers = bearing(signer.token("anna", community="demo")) | {"Origin": "https://evil.example"}
        for kind in SIMPLE:
            response = await http.post("/graphql", content=body, headers=headers | {"Content-Type": kind})
            assert response.status_code == 415
            assert "access-control-allow-origin" not in response.headers
        data = {"query": MINE, "variables": "{}"}
        assert (await http.post("/graphql", data=data, headers=headers)).status_code == 415
        files = {"operations": (None, body), "map": (None, "{}")}
        assert (await http.post("/graphql", files=files, headers=headers)).status_code == 415


async def test_a_simple_get_changes_nothing(url: str, signer: Signer) -> None:
    for document in (
        'mutation { denyDevice(code: "x") }',
        'mutation { revokeDevice(id: "street.a.1") }',
        "query A { __typename } mutation B { __typename }",
    ):
        for name in ("", "B"):
            async with httpx.AsyncClient(base_url=url, headers=bearing(signer.token("anna")), verify=False) as http:
                for accept in ("*/*", "text/event-stream", "text/html,application/json"):
                    parameters = {"query": document} | ({"operationName": name} if name else {})
                    response = await http.get("/graphql", params=parameters, headers={"Accept": accept})
                    assert "errors" in response.text
                    assert 'data"' not in response.text, (document, name, accept, response.text)
                    assert "PAIRING" not in response.text


# --- guessing the schema ---

WORDS: Final = sorted(
    {word for kind in CORE.type_map.values() if isinstance(kind, GraphQLObjectType) for word in kind.fields}
    | {"user", "users", "me", "node", "nodes", "search", "admin", "account", "login", "token", "viewer", "list"}
    | {"homs", "comunity", "aler", "hom", "liv", "loadd", "devic"}  # nearly right, so that a server may suggest
)


FRAMES: Final = (
    "query { FUZZ }",
    "query { communities { FUZZ } }",
    'query { home(id: "x") { FUZZ } }',
    'query { home(FUZZ: "x") { id } }',
    "mutation { FUZZ }",
    "subscription { FUZZ }",
    'subscription { home(id: "x") { FUZZ } }',
)
INTROSPECTION: Final = (
    "{ __schema { types { name } } }",
    '{ __type(name: "Home") { fields { name } } }',
    "query { ...f } fragment f on Query { __schema { queryType { name } } }",
)


class Guesser:
    """Does what clairvoyance does: asks for words, and learns from the errors which of them there are.

    Clairvoyance 2.5.5 (MIT) itself wants rich below 14 and a backport of asyncio, and cannot be installed here.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=bearing(token), verify=False)
        self.answers: set[str] = set()
        """All that was answered, without where in the document an error is."""
        self.suggested: set[str] = set()
        self.found: set[str] = set()

    async def look(self) -> "Guesser":
        """Try all words in all places; note what errors tell."""
        tries = [(word, frame.replace("FUZZ", word)) for frame in FRAMES for word in WORDS]
        tries += [("", document) for document in INTROSPECTION]
        async with self._http:
            for start in range(0, len(tries), 50):
                await asyncio.gather(*(self._try(*one) for one in tries[start : start + 50]))
        return self

    async def _try(self, word: str, document: str) -> None:
        self._note(word, await self._http.post("/graphql", json={"query": document}))

    def _note(self, word: str, response: httpx.Response) -> None:
        answer = response.json()
        errors = answer.get("errors", [])
        for error in errors:
            error.pop("locations", None)
            _, _, suggestion = error["message"].partition("Did you mean")
            self.suggested |= set(re.findall(r"['\"](\w+)['\"]", suggestion))
            if re.search(rf"(Field|argument) ['\"]{word}['\"].* (of type|must)", error["message"]):
                self.found.add(word)
        if answer.get("data"):
            self.found.add(word)
        self.answers.add(f"{response.status_code} {json.dumps(answer)}")


@pytest.mark.slow
async def test_in_development_a_guesser_finds_the_schema(bus: Bus, signer: Signer) -> None:
    async with town(bus, signer, development=True) as url:
        guesser = await Guesser(url, signer.token("anna")).look()
    assert {"home", "communities", "alerts", "approveDevice", "key"} <= guesser.found
    assert {"home", "load", "communities"} <= guesser.suggested


@pytest.mark.slow
async def test_a_guesser_without_a_token_finds_nothing(url: str) -> None:
    guesser = await Guesser(url, None).look()
    assert len(guesser.answers) == 1
    assert not guesser.found | guesser.suggested


@pytest.mark.slow
async def test_a_guesser_finds_nothing_where_only_trusted_documents_are_executed(bus: Bus, signer: Signer) -> None:
    async with town(bus, signer, trusted_only=True) as url:
        guesser = await Guesser(url, signer.token("anna")).look()
    assert len(guesser.answers) == 1
    assert not guesser.found | guesser.suggested


@pytest.mark.slow
async def test_errors_tell_a_member_who_guesses_nothing_of_the_schema(url: str, signer: Signer) -> None:
    """What there is can still be asked for, so who knows it finds it: one whole document at a time."""
    guesser = await Guesser(url, signer.token("anna")).look()
    assert not guesser.suggested
    refused = {answer for answer in guesser.answers if '"data"' not in answer}
    for answer in refused:
        for name in CORE.type_map:
            assert not re.search(rf"\b{name}\b", answer), answer
    messages = {message for answer in refused for message in re.findall(r'"message": "(.*?)"', answer)}
    assert messages == {
        "the document is not valid here; a server in development says why",
        "the schema is shown to operators alone: ask one for it",
        "a subscription is answered as text/event-stream, or over a WebSocket: accept it",
    }
