from typing import Any

import pytest
from graphql import build_schema as build_core
from graphql import get_introspection_query

from schema.build import build_schema
from schema.operations import CACHED_CHARACTERS, Operation, OperationError, Operations

CORE = build_schema().core
COMMUNITY = 'subscription { community(id: "demo") { load } }'
HOME = 'subscription { home(id: "demo.home-1") { load } }'


@pytest.fixture
def operations() -> Operations:
    return Operations(CORE, cached=10)


def messages(operations: Operations, document: str, name: str | None = None) -> str:
    """Return the messages with which a document is refused."""
    with pytest.raises(OperationError) as error:
        operations.open(document, name)
    return " ".join(one.message for one in error.value.errors)


def test_a_thousand_equal_messages_cost_one_parse(operations: Operations) -> None:
    opened = {id(operations.open(COMMUNITY, None)) for _ in range(1000)}
    assert len(opened) == 1
    assert operations.parsed == 1


def test_an_empty_name_is_no_name(operations: Operations) -> None:
    assert operations.open(COMMUNITY, "") is operations.open(COMMUNITY, None)


def test_documents_are_kept_up_to_a_number_the_latest_used_ones(operations: Operations) -> None:
    documents = [COMMUNITY.replace("demo", f"c{number}") for number in range(11)]
    for document in documents[:10]:
        operations.open(document, None)
    operations.open(documents[0], None)
    operations.open(documents[10], None)  # documents[1] is forgotten for it
    assert operations.parsed == 11
    operations.open(documents[0], None)
    assert operations.parsed == 11
    operations.open(documents[1], None)
    assert operations.parsed == 12


def test_long_documents_are_kept_up_to_their_length_in_all() -> None:
    operations = Operations(CORE)
    filling = " " * 15_900
    number = CACHED_CHARACTERS // len(COMMUNITY + filling)
    documents = [COMMUNITY.replace("demo", f"{count:04}") + filling for count in range(number + 1)]
    for document in documents[:number]:
        operations.open(document, None)
    operations.open(documents[0], None)
    assert operations.parsed == number
    operations.open(documents[number], None)  # documents[1] is forgotten for it
    operations.open(documents[0], None)
    assert operations.parsed == number + 1
    operations.open(documents[1], None)
    assert operations.parsed == number + 2


def test_names_that_no_operation_has_take_room_as_documents_do() -> None:
    operations = Operations(CORE)
    operations.open(COMMUNITY, None)
    for count in range(CACHED_CHARACTERS // 60_000 + 1):
        assert len(messages(operations, COMMUNITY, f"{count}" + "x" * 60_000)) < 200
    parsed = operations.parsed
    operations.open(COMMUNITY, None)
    assert operations.parsed == parsed + 1


def test_a_document_that_is_too_long_is_not_kept_and_forgets_no_other(operations: Operations) -> None:
    operations.open(COMMUNITY, None)
    parsed = operations.parsed
    for _ in range(20):
        messages(operations, COMMUNITY + " " * 1_000_000)
    opened = operations.parsed
    operations.open(COMMUNITY, None)
    assert (opened, operations.parsed) == (parsed + 20, opened)


def test_what_is_kept_is_never_forgotten() -> None:
    operations = Operations(CORE, cached=2)
    kept = operations.keep(COMMUNITY, None)
    for count in range(10):
        operations.open(HOME.replace("home-1", f"home-{count}"), None)
    parsed = operations.parsed
    assert operations.open(COMMUNITY, None) is kept
    assert operations.parsed == parsed


def test_errors_are_kept_too(operations: Operations) -> None:
    for document in ("{", "subscription { nothing }", "fragment f on Query { __typename }"):
        first = messages(operations, document)
        parsed = operations.parsed
        assert messages(operations, document) == first
        assert operations.parsed == parsed


def test_white_space_comments_and_other_operations_make_no_other_operation(operations: Operations) -> None:
    same = [
        COMMUNITY,
        'subscription\n{ # who\n  community(id:"demo"),{load,}}',
        f"{COMMUNITY} # the end",
    ]
    assert len({operations.open(document, None).normal for document in same}) == 1
    named = COMMUNITY.replace("subscription", "subscription A") + " query B { communities { ...c } }"
    other = named + "fragment c on Community { id }"
    alone = COMMUNITY.replace("subscription", "subscription A")
    assert operations.open(other, "A").normal == operations.open(alone, None).normal


def test_another_selection_is_another_operation(operations: Operations) -> None:
    different = [COMMUNITY, HOME, COMMUNITY.replace("load", "l: load"), COMMUNITY.replace("load", "load pvPower")]
    assert len({operations.open(document, None).normal for document in different}) == 4


def test_of_several_operations_one_is_named(operations: Operations) -> None:
    both = "query A { communities { id } } subscription B { alerts(home: $h) { at } }".replace("($h)", "")
    both = both.replace("subscription B {", "subscription B($h: ID!) {")
    assert not operations.open(both, "A").is_subscription
    assert operations.open(both, "B").is_subscription
    assert "several operations" in messages(operations, both)
    assert "no operation named 'C'" in messages(operations, both, "C")
    assert "no operation named 'C'" in messages(operations, COMMUNITY, "C")


@pytest.mark.parametrize("document", ["", " ", "# nothing", "{", "{}", "subscription { }", "type A { b: Int }"])
def test_what_is_no_executable_document_is_an_error(operations: Operations, document: str) -> None:
    assert messages(operations, document)


def test_only_one_root_field_is_allowed(operations: Operations) -> None:
    two = 'subscription { a: community(id: "a") { load } b: community(id: "b") { load } }'
    assert "only one" in messages(operations, two)
    assert messages(operations, "subscription { __typename }")


@pytest.mark.parametrize("opening", ["{ a", "subscription { ... ", "{ a(b: [", "query ($a: [Int] = ["])
def test_a_document_of_hostile_depth_is_an_error(operations: Operations, opening: str) -> None:
    first, rest = opening[:-1], opening[-1]
    assert messages(operations, first + (rest if rest == "[" else opening) * 20_000)


def test_a_chain_of_fragments_without_end_is_an_error(operations: Operations) -> None:
    chain = "".join(f"fragment f{n} on Subscription {{ ...f{n + 1} }}" for n in range(2000))
    assert messages(
        operations, "subscription { ...f0 }" + chain + f"fragment f2000 on Subscription {{ {HOME[14:-1]} }}"
    )


def test_a_chain_of_doubling_fragments_is_refused_in_no_time(operations: Operations) -> None:
    chain = "".join(f"fragment f{n} on HomeLive {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60))
    document = HOME.replace("load", "...f0") + chain + "fragment f60 on HomeLive { load }"
    assert "over 1,000,000,000 fields in its answer" in messages(operations, document)
    roots = "".join(f"fragment f{n} on Subscription {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60))
    document = "subscription { ...f0 }" + roots + f"fragment f60 on Subscription {{ {HOME[14:-1]} }}"
    assert "over 1,000,000,000 root fields" in messages(operations, document)


def test_a_document_with_too_many_tokens_is_an_error(operations: Operations) -> None:
    assert "tokens" in messages(operations, COMMUNITY.replace("load", "load " * 3000))


def test_graphiqls_introspection_is_below_the_limits(operations: Operations) -> None:
    for everything in (False, True):
        query = get_introspection_query(
            specified_by_url=everything,
            directive_is_repeatable=everything,
            schema_description=everything,
            input_value_deprecation=everything,
        )
        assert operations.open(query, None).about_schema


# --- what an error tells ---

ALMOST = [
    "{ comunities { id } }",
    '{ community(di: "demo") { id } }',
    "{ ... on Comunity { id } }",
    "query ($a: Duratio) { communities { id } }",
    "{ communities @skp(if: true) { id } }",
    "{ communities }",
    'subscription { home(id: "x") { load(stp: 5) } }',
]


@pytest.mark.parametrize("document", ALMOST)
def test_errors_suggest_nothing_unless_they_shall(document: str) -> None:
    assert "mean" not in messages(Operations(CORE), document)


def test_errors_suggest_what_was_meant_in_development() -> None:
    operations = Operations(CORE, suggestions=True)
    assert "Did you mean 'communities'" in messages(operations, ALMOST[0])
    assert "Did you mean 'communities { ... }'" in messages(operations, "{ communities }")


ENUMS = Operations(
    build_core(
        "enum Light { GREEN RED } input Wish { light: Light } type Query { shine(light: Light, wish: Wish): Int }"
    )
)


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ("query ($light: Light) { shine(light: $light) }", {"light": "GREEM"}),
        ("query ($wish: Wish) { shine(wish: $wish) }", {"wish": {"ligt": "RED"}}),
        ("query ($wish: Wish) { shine(wish: $wish) }", {"wish": {"light": "RET"}}),
    ],
)
def test_values_of_variables_are_checked_without_a_suggestion(document: str, variables: dict[str, Any]) -> None:
    operation = ENUMS.open(document, None)
    with pytest.raises(OperationError) as refused:
        ENUMS.check(operation, variables)
    assert "mean" not in str(refused.value)
    ENUMS.check(operation, {})


def test_variables_without_end_are_an_error_and_many_faults_a_few() -> None:
    deep: Any = 5
    for _ in range(5000):
        deep = {"light": deep}
    operation = ENUMS.open("query ($wish: Wish) { shine(wish: $wish) }", None)
    with pytest.raises(OperationError):
        ENUMS.check(operation, {"wish": deep})
    with pytest.raises(OperationError) as refused:
        ENUMS.check(operation, {"wish": {f"f{number}": 1 for number in range(5000)}})
    assert len(refused.value.errors) < 30


@pytest.mark.parametrize(
    ("document", "asks"),
    [
        ("{ __schema { types { name } } }", True),
        ('{ ...a } fragment a on Query { ... { x: __type(name: "Home") { name } } }', True),
        ("{ __typename communities { __typename } }", False),
    ],
)
def test_what_asks_for_the_schema_is_told(operations: Operations, document: str, asks: bool) -> None:
    assert operations.open(document, None).about_schema is asks
    with pytest.raises(OperationError) as refused:
        operations.open(document.replace("{", "{ nothing ", 1), None)
    assert refused.value.about_schema is asks


@pytest.mark.parametrize(
    ("document", "paced"),
    [
        (HOME, False),
        (HOME.replace('1"', '1", every: "PT1S"'), True),
        ('subscription { ...a } fragment a on Subscription { ... { home(id: "x", every: null) { load } } }', True),
        ('subscription { ... { home(id: "x", maxSilence: "PT1M") { load } } }', False),
    ],
)
def test_what_is_paced_is_seen_through_fragments(operations: Operations, document: str, paced: bool) -> None:
    assert operations.open(document, None).paced is paced


def used(operation: Operation) -> set[str]:
    return set(operation.selected_variables)


def test_variables_of_the_selection_are_told_from_those_of_the_root_field(operations: Operations) -> None:
    document = """subscription ($id: ID!, $every: Duration, $step: Watts, $no: Boolean!) {
        ... { home(id: $id, every: $every) { ...f } }
    }
    fragment f on HomeLive { load(step: $step) ... @skip(if: $no) { netPower } }"""
    assert used(operations.open(document, None)) == {"step", "no"}
