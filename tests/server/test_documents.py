"""Trusted documents: what their ids are, and that they go over every transport."""

import hashlib
import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import parse, print_ast

from bus.client import Bus
from schema.build import build_schema
from schema.limits import DocumentLimits
from schema.operations import OperationError, Operations
from server.documents import DocumentError, Documents, document_id, fault
from server.options import ServerOptions
from tests.resolvers.frames import Publisher, community, home_state, register
from tests.server.served import serving, until_ready
from tests.server.test_endpoint import close_code, greet, hear, open_socket, say
from tests.server.test_sse import Events

WATCH = Path(__file__).resolve().parent.parent.parent / "watch"
QUERY = "# What a complication shows.\nquery Load($home: ID!) { home(id: $home) { live { load } } }"
STREAM = "subscription Load($home: ID!) { home(id: $home) { load } }"
HOME = {"home": "demo.home-1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "load.graphql").write_text(QUERY + "\n\n", encoding="utf-8")
    (tmp_path / "stream.graphql").write_text(STREAM, encoding="utf-8")
    return tmp_path


@pytest.fixture
def operations() -> Operations:
    return Operations(build_schema().core)


@pytest.fixture
async def trusting(bus: Bus, publisher: Publisher, folder: Path) -> AsyncIterator[str]:
    """The URL of a server that executes trusted documents only."""
    await register(bus, community("demo"))
    await publisher.publish(home_state(load_w=1.0))
    async with serving(bus, ServerOptions(document_directories=(folder,), trusted_only=True)) as url:
        await until_ready(url)
        yield url


# --- ids ---


def test_the_id_is_what_a_shell_computes_from_the_file(operations: Operations) -> None:
    documents = Documents(operations, [WATCH])
    for file in WATCH.glob("*.graphql"):
        command = ["sh", "-c", 'printf %s "$(cat "$1")" | sha256sum', "sh", str(file)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
        assert shown in documents.ids
        for name in re.findall(r"^(?:query|subscription) (\w+)", file.read_text("utf-8"), re.MULTILINE):
            opened = documents.open({"documentId": shown, "operationName": name, "variables": {}})
            assert opened.operation in documents.trusted


def test_the_id_of_a_printed_document_works_too(operations: Operations, folder: Path) -> None:
    documents = Documents(operations, [folder])
    printed = hashlib.sha256(print_ast(parse(QUERY)).encode()).hexdigest()
    assert documents.open({"documentId": printed}).query == QUERY
    assert documents.open({"documentId": f"sha256:{printed}"}).query == QUERY


@pytest.mark.parametrize("content", [b"{", b"{ nothing }", b"\xff", b""])
def test_a_file_that_is_no_document_stops_the_start_with_its_name(
    operations: Operations, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "bad.graphql").write_bytes(content)
    with pytest.raises(DocumentError, match=r"bad\.graphql is no document of the schema: "):
        Documents(operations, [tmp_path])


def test_a_folder_that_is_none_stops_the_start_with_its_name(operations: Operations, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="missing is no folder"):
        Documents(operations, [tmp_path / "missing"])


# --- what is refused ---


def test_an_unknown_id_is_not_found(operations: Operations) -> None:
    with pytest.raises(OperationError) as refused:
        Documents(operations).open({"documentId": "0" * 64})
    assert refused.value.errors[0].extensions == {"code": "PERSISTED_QUERY_NOT_FOUND"}


@pytest.mark.parametrize("query", ["{ communities { id } }", "{ nothing }", "{", "{ a" * 5000])
def test_trusted_only_refuses_all_others_and_says_nothing_of_the_schema(
    operations: Operations, folder: Path, query: str
) -> None:
    with pytest.raises(OperationError) as refused:
        Documents(operations, [folder], trusted_only=True).open({"query": query})
    (error,) = refused.value.errors
    assert error.extensions == {"code": "DOCUMENT_NOT_TRUSTED"}
    assert error.message == "only documents registered with this server are executed"


def test_trusted_only_takes_the_text_of_a_trusted_document_however_it_is_laid_out(
    operations: Operations, folder: Path
) -> None:
    documents = Documents(operations, [folder], trusted_only=True)
    for query in (QUERY, print_ast(parse(QUERY)), f"{QUERY} # and a comment"):
        assert documents.open({"query": query}).query == query


def test_an_operator_has_more_documents_than_the_trusted_ones(operations: Operations, folder: Path) -> None:
    documents = Documents(operations, [folder], trusted_only=True)
    free = {"query": "{ communities { id } }"}
    assert documents.open(free, operator=True).operation
    for operator in (False, None):
        with pytest.raises(OperationError) as refused:
            documents.open(free, operator=operator)
        assert refused.value.errors[0].extensions == {"code": "DOCUMENT_NOT_TRUSTED"}
        assert documents.open({"query": QUERY}, operator=operator).query == QUERY


def test_a_strangers_document_is_not_validated_where_only_trusted_ones_are_executed(
    operations: Operations, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = Documents(operations, [folder], trusted_only=True)
    monkeypatch.setattr("schema.operations.validate", lambda *_, **__: pytest.fail("validated"))
    for query in (
        "{ a }",
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a }",
        "query A { a } query A { b }",
        "{" * 99,
    ):
        with pytest.raises(OperationError) as refused:
            documents.open({"query": query}, operator=False)
        assert refused.value.errors[0].extensions == {"code": "DOCUMENT_NOT_TRUSTED"}


def test_trusted_documents_are_never_forgotten(folder: Path) -> None:
    operations = Operations(build_schema().core, cached=2)
    documents = Documents(operations, [folder])
    for number in range(10):
        documents.open({"query": f"{{ a{number}: __typename }}"})
    parsed = operations.parsed
    for text in (QUERY, STREAM, print_ast(parse(QUERY))):
        assert documents.open({"query": text}).operation.normal in [one.normal for one in documents.trusted]
        documents.open({"documentId": document_id(text)})
    assert operations.parsed == parsed


def test_all_operations_of_trusted_documents_are_known(operations: Operations, tmp_path: Path) -> None:
    both = "query A { communities { id } } query B { communities { ...c } } fragment c on Community { name }"
    (tmp_path / "both.graphql").write_text(both, encoding="utf-8")
    documents = Documents(operations, [tmp_path], trusted_only=True)
    names = [operation.node.name.value for operation in documents.trusted if operation.node.name]
    assert names == ["A", "B"]
    assert documents.open({"query": both, "operationName": "B"}, operator=False).operation in documents.trusted


def test_a_trusted_document_over_a_limit_stops_the_start_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "deep.graphql").write_text(QUERY, encoding="utf-8")
    operations = Operations(build_schema().core, DocumentLimits(depth=2))
    with pytest.raises(
        DocumentError, match=r"deep\.graphql .* nests fields 3 deep; at most 2 are allowed \(max_depth\)"
    ):
        Documents(operations, [tmp_path])


# --- what is kept back ---

ABOUT = [
    "{ __schema { types { name } } }",
    'query A { a: __type(name: "Home") { name } }',
    "{ ...a } fragment a on Query { ... { __schema { queryType { name } } } }",
    "{ __schema { nothing } }",
    '{ communities { id } __type(nam: "Hom") { name } }',
]


@pytest.mark.parametrize("query", ABOUT)
def test_the_schema_is_shown_to_operators_and_in_development(operations: Operations, query: str) -> None:
    with pytest.raises(OperationError) as refused:
        Documents(operations).open({"query": query}, operator=False)
    (error,) = refused.value.errors
    assert error.extensions == {"code": "INTROSPECTION_OFF"}
    assert error.message == "the schema is shown to operators alone: ask one for it"
    for documents, operator in (
        (Documents(operations, development=True), False),
        (Documents(operations), True),
        (Documents(operations), None),
    ):
        if "nothing" in query or "nam:" in query:
            with pytest.raises(OperationError) as invalid:
                documents.open({"query": query}, operator=operator)
            assert "schema is shown" not in str(invalid.value)
        else:
            assert documents.open({"query": query}, operator=operator).operation.about_schema


def test_a_trusted_document_may_ask_for_the_schema(operations: Operations, tmp_path: Path) -> None:
    (tmp_path / "schema.graphql").write_text(ABOUT[0], encoding="utf-8")
    documents = Documents(operations, [tmp_path])
    assert documents.open({"query": ABOUT[0]}, operator=False).operation.about_schema


INVALID = [
    "{ comunities { id } }",
    "{ communities }",
    "{ communities { id { x } } }",
    "{ home { id } }",
    "{ home(id: [1]) { id } }",
    "{ ... on Comunity { id } }",
    "query ($a: Lihgt) { __typename @include(if: $a) }",
    'subscription { home(id: "x") { a: load a: netPower } }',
]


@pytest.mark.parametrize("query", INVALID)
def test_why_a_document_is_not_valid_is_told_to_operators_and_in_development(
    operations: Operations, query: str
) -> None:
    with pytest.raises(OperationError) as refused:
        Documents(operations).open({"query": query}, operator=False)
    (error,) = refused.value.errors
    assert error.message == "the document is not valid here; a server in development says why"
    assert error.extensions == {"code": "DOCUMENT_INVALID"}
    assert error.locations is None
    for documents, operator in ((Documents(operations, development=True), False), (Documents(operations), True)):
        with pytest.raises(OperationError) as refused:
            documents.open({"query": query}, operator=operator)
        assert "not valid here" not in refused.value.errors[0].message


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"query": "{"}, "Syntax Error"),
        ({"query": "{ __typename }" + " " * 20_000}, "max_document_characters"),
        ({"query": "query A { __typename }", "operationName": "B"}, "no operation named 'B'"),
        ({"query": 'query ($n: Int!) { alerts(home: "x", first: $n) { edges { cursor } } }', "variables": {}}, "$n"),
    ],
)
def test_what_tells_nothing_of_the_schema_is_told_to_everybody(
    operations: Operations, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(OperationError) as refused:
        Documents(operations).open(parameters, operator=False)
    assert said in refused.value.errors[0].message


BAD: list[dict[str, Any]] = [
    {},
    {"query": ""},
    {"query": 5},
    {"documentId": 5},
    {"documentId": ""},
    {"query": "{ __typename }", "documentId": "x"},
    {"query": "{ __typename }", "variables": []},
    {"query": "{ __typename }", "operationName": {}},
    {"query": "{ __typename }", "extensions": 5},
    {"extensions": {"persistedQuery": 5}},
    {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "x"}}},
    {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": 5}}},
    {"query": "{ __typename }", "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}},
]


@pytest.mark.parametrize("parameters", BAD)
def test_parameters_of_a_wrong_form_are_a_fault(parameters: dict[str, Any]) -> None:
    assert fault(parameters)


# --- over every transport ---


def forms(text: str) -> list[dict[str, Any]]:
    """Return all ways to name a document by its id."""
    key = document_id(text)
    return [
        {"documentId": key},
        {"documentId": f"sha256:{key}"},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": key}}},
    ]


async def test_ids_go_over_post_and_get(trusting: str) -> None:
    answer = {"data": {"home": {"live": {"load": 1}}}}
    async with httpx.AsyncClient(base_url=trusting) as http:
        for form in forms(QUERY):
            assert (await http.post("/graphql", json=form | {"variables": HOME})).json() == answer
            parameters = {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in (form | {"variables": HOME}).items()
            }
            response = await http.get("/graphql", params=parameters, headers={"Accept": "text/html, */*;q=0.1"})
            assert response.json() == answer
            tag = response.headers["etag"]
            assert (await http.get("/graphql", params=parameters, headers={"If-None-Match": tag})).status_code == 304


async def test_ids_go_over_event_streams(trusting: str) -> None:
    headers = {"Accept": "text/event-stream"}
    async with httpx.AsyncClient(base_url=trusting) as http:
        for form in forms(STREAM):
            body = form | {"variables": HOME}
            async with http.stream("POST", "/graphql", json=body, headers=headers) as response:
                assert (await Events(response).event())[1] == {"data": {"home": {"load": 1}}}


async def test_ids_go_over_websockets(trusting: str) -> None:
    async with await open_socket(trusting) as socket:
        await greet(socket)
        for number, form in enumerate(forms(STREAM)):
            await say(socket, type="subscribe", id=str(number), payload=form | {"variables": HOME})
            assert (await hear(socket))["payload"] == {"data": {"home": {"load": 1}}}
        for number, form in enumerate(forms(QUERY)):
            await say(socket, type="subscribe", id=f"q{number}", payload=form | {"variables": HOME})
            assert (await hear(socket))["payload"] == {"data": {"home": {"live": {"load": 1}}}}
            assert (await hear(socket))["type"] == "complete"
        await say(socket, type="subscribe", id="x", payload={"documentId": 5})
        assert await close_code(socket) == 4400


async def test_what_is_unknown_or_not_trusted_is_refused_on_every_transport(trusting: str) -> None:
    cases = (
        ({"documentId": "0" * 64}, "PERSISTED_QUERY_NOT_FOUND", 400),
        ({"query": "{ a }"}, "DOCUMENT_NOT_TRUSTED", 403),
    )
    for body, code, status in cases:
        async with httpx.AsyncClient(base_url=trusting) as http:
            accept = {"Accept": "application/graphql-response+json"}
            for response in (
                await http.post("/graphql", json=body, headers=accept),
                await http.get("/graphql", params=body, headers=accept),
            ):
                assert response.status_code == status
                assert response.json()["errors"][0]["extensions"] == {"code": code}
            events = {"Accept": "text/event-stream"}
            async with http.stream("POST", "/graphql", json=body, headers=events) as stream:
                assert (await Events(stream).event())[1]["errors"][0]["extensions"] == {"code": code}
        async with await open_socket(trusting) as socket:
            await greet(socket)
            await say(socket, type="subscribe", id="1", payload=body)
            answer = await hear(socket)
            assert (answer["type"], answer["payload"][0]["extensions"]) == ("error", {"code": code})
