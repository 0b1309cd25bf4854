import pytest

from schema.contract import Changes, ContractError, compare
from schema.printing import print_sdl

OLD = '''
type Query {
  home(id: ID!, step: Int): Home
}

"""A home."""
type Home {
  name: String!
  power: Int
  light: Light
}

enum Light {
  GREEN
  RED
}
'''


def test_the_schema_has_no_changes_to_itself() -> None:
    assert compare(print_sdl(), print_sdl()) == Changes((), (), ())


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("  power: Int\n", "", "Field Home.power was removed."),
        ("  power: Int\n", "  power: Float\n", "Field Home.power changed type from Int to Float."),
        ("  name: String!\n", "  name: String\n", "Field Home.name changed type from String! to String."),
        ("step: Int)", "step: Int!)", "step:) has changed type from Int to Int!"),
        (", step: Int)", ")", "step:) was removed"),
        ("step: Int)", "step: Int, every: Int!)", "required argument Query.home(every:)"),
        ("  RED\n", "", "RED was removed"),
    ],
)
def test_what_breaks_clients_is_breaking(before: str, after: str, line: str) -> None:
    changes = compare(OLD, OLD.replace(before, after))
    assert len(changes.breaking) == 1
    assert line in changes.breaking[0]
    assert not changes.dangerous


def test_a_type_that_was_removed_is_breaking() -> None:
    new = OLD.replace("  light: Light\n", "").replace("enum Light {\n  GREEN\n  RED\n}\n", "")
    assert set(compare(OLD, new).breaking) == {"Light was removed.", "Field Home.light was removed."}


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("  RED\n", "  RED\n  YELLOW\n", "YELLOW was added"),
        ("step: Int)", "step: Int, every: Int)", "optional argument Query.home(every:)"),
    ],
)
def test_what_may_surprise_clients_is_not_breaking(before: str, after: str, line: str) -> None:
    changes = compare(OLD, OLD.replace(before, after))
    assert not changes.breaking
    assert line in "".join(changes.dangerous + changes.safe)


def test_an_enum_value_that_was_added_is_dangerous() -> None:
    changes = compare(OLD, OLD.replace("  RED\n", "  RED\n  YELLOW\n"))
    assert len(changes.dangerous) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  power: Int\n", "  power: Int\n  load: Int\n"),
        ("  power: Int\n", "  power: Int!\n"),
        ("A home.", "A home\n\nwith a roof."),
    ],
)
def test_what_clients_do_not_notice_is_safe(before: str, after: str) -> None:
    changes = compare(OLD, OLD.replace(before, after))
    assert not changes.breaking
    assert not changes.dangerous
    assert len(changes.safe) == 1
    assert "\n" not in changes.safe[0]


@pytest.mark.parametrize("text", ["", "type Query {", "type Home { light: Light }", "{ home }"])
def test_what_is_no_sdl_is_refused_by_name(text: str) -> None:
    with pytest.raises(ContractError, match="the old schema is no SDL"):
        compare(text, OLD)
    with pytest.raises(ContractError, match="the new schema is no SDL"):
        compare(OLD, text)
