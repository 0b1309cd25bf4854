import pytest
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
    half = " " * (CACHED_CHARACTERS // 2 - 1000)
    documents = [COMMUNITY.replace("demo", f"c{number}") + half for number in range(3)]
    for document in documents:
        operations.open(document, None)
    operations.open(documents[2], None)
    operations.open(documents[1], None)
    assert operations.parsed == 3
    operations.open(documents[0], None)
    assert operations.parsed == 4
    operations.open(COMMUNITY + 3 * half, None)  # on its own over the limit: not kept, and forgets the others
    operations.open(COMMUNITY, None)
    assert operations.parsed == 6


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


def test_a_chain_of_doubling_fragments_is_read_in_no_time(operations: Operations) -> None:
    chain = "".join(f"fragment f{n} on Subscription {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60))
    document = "subscription { ...f0 }" + chain + f"fragment f60 on Subscription {{ {HOME[14:-1]} }}"
    assert not operations.open(document, None).paced


def test_a_document_with_too_many_tokens_is_an_error(operations: Operations) -> None:
    assert "tokens" in messages(operations, COMMUNITY.replace("load", "load " * 3000))


def test_graphiqls_introspection_is_below_the_limits(operations: Operations) -> None:
    assert operations.open(get_introspection_query(), None).node


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
