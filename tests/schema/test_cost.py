from typing import Any

import pytest
from graphql import (
    GraphQLSchema,
    OperationDefinitionNode,
    get_nullable_type,
    is_list_type,
    is_object_type,
    parse,
)
from graphql import build_schema as build_core
from graphql.language import FragmentDefinitionNode

from schema.build import build_schema
from schema.cost import LENGTHS, OTHER_LENGTH, SCHEMA_LENGTH, estimate
from schema.limits import DocumentLimits
from schema.measure import CEILING
from schema.operations import OperationError, Operations

CORE = build_schema().core


def cost(document: str, variables: dict[str, Any] | None = None, schema: GraphQLSchema = CORE) -> int:
    """Return the cost of a document's only operation."""
    nodes = parse(document).definitions
    fragments = {node.name.value: node for node in nodes if isinstance(node, FragmentDefinitionNode)}
    (operation,) = [node for node in nodes if isinstance(node, OperationDefinitionNode)]
    return estimate(schema, operation, fragments, variables)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{ __typename }", 1),
        ('{ home(id: "x") { id name live { load } } }', 5),
        ('subscription { home(id: "x") { load community { load } } }', 4),
        ("{ communities { id name } }", 1 + 2 * 2),
        ('{ community(id: "x") { homes { id live { load } } } }', 1 + 1 + 1000 * 3),
        ("{ communities { homes { id } } }", 1 + 2 * (1 + 1000)),
        ('{ alerts(home: "x", first: 7) { edges { cursor } } }', 1 + 1 + 7),
        ('{ alerts(home: "x") { edges { cursor } pageInfo { endCursor } } }', 1 + 1 + 20 + 2),
        ("{ __schema { types { name } } }", 1 + 1 + SCHEMA_LENGTH),
    ],
)
def test_each_field_counts_as_often_as_the_lists_around_it_are_long(document: str, expected: int) -> None:
    assert cost(document) == expected


def test_first_may_be_a_variable_or_its_default() -> None:
    document = 'query ($n: Int! = 3) { alerts(home: "x", first: $n) { edges { cursor } } }'
    assert cost(document) == 2 + 3
    assert cost(document, {"n": 50}) == 2 + 50
    assert cost(document, {"n": 50.0}) == 2 + 50
    assert cost(document, {"n": 10**400}) == CEILING
    values: list[Any] = [-5, "5", None, [], float("nan")]
    for value in values:
        assert cost(document, {"n": value}) <= 2 + 20
    assert cost('{ alerts(home: "x", first: ' + "9" * 5000 + ") { edges { cursor } } }") == CEILING


def test_fragments_count_wherever_they_are_spread() -> None:
    whole = '{ a: community(id: "x") { homes { id name } } b: community(id: "x") { homes { id name } } }'
    spread = """{ a: community(id: "x") { ...f } b: community(id: "x") { ... { ... on Community { ...f } } } }
        fragment f on Community { homes { ...h } } fragment h on Home { id name }"""
    assert cost(spread) == cost(whole)


def test_edges_in_a_fragment_count_by_first_of_the_connection_that_spreads_it() -> None:
    document = """{ a: alerts(home: "x", first: 5) { ...e } b: alerts(home: "x", first: 50) { ...e } }
        fragment e on AlertConnection { edges { cursor } }"""
    assert cost(document) == 2 * 2 + 55


def test_a_list_with_first_of_its_own_counts_by_it() -> None:
    schema = build_core("type Query { all(first: Int): [Query!]! names: [String!]! it: Query }")
    assert cost("{ all(first: 5) { it { it { __typename } } } }", schema=schema) == 1 + 5 * 3
    assert cost("{ all { __typename } }", schema=schema) == 1 + OTHER_LENGTH
    assert cost("{ names }", schema=schema) == 1


def test_a_chain_of_doubling_fragments_is_estimated_in_no_time() -> None:
    chain = "".join(f"fragment f{n} on HomeLive {{ ...f{n + 1} ...f{n + 1} }}" for n in range(110))
    document = 'subscription { home(id: "x") { ...f0 } }' + chain + "fragment f110 on HomeLive { load }"
    assert cost(document) == CEILING


def test_every_figure_is_of_a_list_without_first() -> None:
    lists = {
        f"{kind.name}.{name}"
        for kind in CORE.type_map.values()
        if is_object_type(kind) and not kind.name.startswith("__")
        for name, field in kind.fields.items()
        if is_list_type(get_nullable_type(field.type)) and "first" not in field.args and name != "edges"
    }
    assert set(LENGTHS) == lists


# --- the limit ---


def test_all_of_the_homes_of_a_community_may_be_asked_for_at_once() -> None:
    kind: Any = CORE.type_map["HomeLive"]
    fields = " ".join(name for name in kind.fields if name not in ("today", "community"))
    opened = Operations(CORE).open(f"{{ communities {{ homes {{ id name live {{ {fields} }} }} }} }}", None)
    assert opened.cost > 2 * 1000 * 15


@pytest.mark.parametrize(
    "document",
    [
        '{ community(id: "x") { homes { community { homes { id } } } } }',
        "{ communities { homes { community { homes { live { load } } } } } }",
        '{ home(id: "x") { community { homes { community { homes { name } } } } } }',
    ],
)
def test_homes_of_homes_are_too_many(document: str) -> None:
    with pytest.raises(OperationError, match=r"fields in its answer; at most 50,000 are allowed \(max_cost\)"):
        Operations(CORE).open(document, None)


def test_the_limit_itself_is_allowed_and_one_more_is_not_also_by_variables() -> None:
    document = 'query ($n: Int! = 3) { alerts(home: "x", first: $n) { edges { cursor } } }'
    operations = Operations(CORE, DocumentLimits(cost=52))
    operation = operations.open(document, None)
    operations.check(operation, {"n": 50})
    with pytest.raises(OperationError) as refused:
        operations.check(operation, {"n": 51})
    (error,) = refused.value.errors
    assert error.extensions == {"code": "DOCUMENT_TOO_LARGE", "limit": "max_cost", "value": 53, "most": 52}
    fixed = document.replace("query ($n: Int! = 3) ", "")
    operations.open(fixed.replace("$n", "50"), None)
    with pytest.raises(OperationError):
        operations.open(fixed.replace("$n", "51"), None)


def test_what_no_variable_bears_on_is_estimated_once() -> None:
    operations = Operations(CORE)
    assert not operations.open("query ($id: ID!) { home(id: $id) { id } }", None).varying
    assert not operations.open('{ alerts(home: "x", first: 100) { edges { cursor } } }', None).varying
