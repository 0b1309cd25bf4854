from dataclasses import fields, replace

import pytest
from graphql import GraphQLError, parse

from schema.build import build_schema
from schema.limits import DocumentLimits
from schema.measure import LimitError, check_document, check_text
from schema.operations import OperationError, Operations
from tests.schema.test_plans import UNLIMITED

CORE = build_schema().core
SMALL = DocumentLimits(
    document_characters=200,
    document_tokens=40,
    depth=3,
    aliases=2,
    root_fields=2,
    repeats=1,
    directives=2,
    variables=2,
    document_operations=2,
    cost=30,
)
LIVE = "live { load }"
ALERTS = '{{ alerts(home: "x", first: {}) {{ edges {{ cursor }} }} }}'
ON = "@include(if: true)"

CASES: dict[str, tuple[str, str]] = {
    "document_characters": ("{ __typename }" + " " * 186, "{ __typename }" + " " * 187),
    "document_tokens": ("{ communities { " + "id " * 35 + "} }", "{ communities { " + "id " * 36 + "} }"),
    "depth": (f'{{ home(id: "x") {{ {LIVE} }} }}', f'{{ home(id: "x") {{ community {{ {LIVE} }} }} }}'),
    "aliases": ("{ a: __typename b: __typename }", "{ a: __typename b: __typename c: __typename }"),
    "root_fields": ("{ __typename communities { id } }", '{ __typename communities { id } home(id: "x") { id } }'),
    "repeats": ("{ __typename __typename }", "{ __typename __typename ... { __typename } }"),
    "directives": (
        f"{{ a: __typename {ON} b: __typename {ON} }}",
        f"{{ a: __typename {ON} ... {ON} {{ b: __typename {ON} }} }}",
    ),
    "variables": (
        "query ($a: Boolean!, $b: Boolean!) { __typename @include(if: $a) ... @skip(if: $b) { a: __typename } }",
        "query ($a: Boolean!, $b: Boolean!, $c: Boolean!) { __typename @include(if: $a) "
        "... @skip(if: $b) { a: __typename @skip(if: $c) } }",
    ),
    "document_operations": (
        "query A { __typename } query B { __typename }",
        "query A { x } query B { __typename } query C { y }",
    ),
    "cost": (
        '{ alerts(home: "x", first: 28) { edges { cursor } } }',
        '{ alerts(home: "x", first: 29) { edges { cursor } } }',
    ),
}


@pytest.mark.parametrize("limit", [field.name for field in fields(DocumentLimits)])
def test_the_limit_itself_is_allowed_and_one_more_is_not(limit: str) -> None:
    at_most, over = CASES[limit]
    operations = Operations(CORE, replace(UNLIMITED, **{limit: getattr(SMALL, limit)}))
    name = "A" if "query A" in at_most else None
    operations.open(at_most, name)
    with pytest.raises(OperationError) as refused:
        operations.open(over, name)
    (error,) = refused.value.errors
    assert isinstance(error, LimitError)
    code = "DOCUMENT_TOO_DEEP" if limit == "depth" else "DOCUMENT_TOO_LARGE"
    most = getattr(SMALL, limit)
    assert error.extensions == {"code": code, "limit": f"max_{limit}", "value": most + 1, "most": most}
    assert f"{most + 1}" in error.message
    assert f"at most {most} {'is' if most == 1 else 'are'} allowed (max_{limit})" in error.message


def size_error(document: str, limits: DocumentLimits = SMALL) -> GraphQLError:
    with pytest.raises(LimitError) as refused:
        check_document(parse(document), limits)
    return refused.value


def test_fragments_count_as_often_as_they_are_spread() -> None:
    document = "{ ...a ...a } fragment a on Query { x: __typename }"
    check_document(parse(document), SMALL)
    assert "3 aliases" in size_error(document.replace("...a", "...a ...a", 1).replace("x:", "x:")).message
    nested = (
        '{ home(id: "x") { ...a } } fragment a on Home { community { ...b } } fragment b on Community { live { load } }'
    )
    assert "nests fields 4 deep" in size_error(nested).message


def test_aliases_of_all_operations_count_and_the_deepest_and_widest_of_them() -> None:
    assert "3 aliases" in size_error("query A { a: x b: x } query B { c: x }").message
    assert "4 deep" in size_error("query A { a } query B { a { b { c { d } } } }").message
    check_document(parse("query A { a b } query B { c d }"), SMALL)


@pytest.mark.parametrize(
    "document",
    [
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a } fragment a on Query { b { ...c } } fragment c on Query { d { ...a } }",
        "{ ...nothing }",
    ],
)
def test_what_is_not_valid_is_measured_too(document: str) -> None:
    check_document(parse(document), SMALL)


def test_a_chain_of_doubling_fragments_is_measured_in_no_time() -> None:
    chain = "".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(120))
    error = size_error("{ ...f0 }" + chain + "fragment f120 on Query { a: __typename }")
    assert "over 1,000,000,000 aliases" in error.message
    assert error.extensions is not None
    assert error.extensions["value"] == 1_000_000_000


def test_a_text_is_measured_before_it_is_read() -> None:
    check_text("{" * 200, SMALL)
    with pytest.raises(LimitError, match="201 characters"):
        check_text("{" * 201, SMALL)
