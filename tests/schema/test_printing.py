from pathlib import Path

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLEnumValue,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    build_schema,
    is_introspection_type,
    is_specified_scalar_type,
)

import schema
from schema.printing import print_sdl

SDL = Path(schema.__file__).parent / "schema.graphql"


def test_the_printed_schema_is_the_one_that_is_kept() -> None:
    assert print_sdl() == SDL.read_text(encoding="utf-8"), (
        "the API changed: run `commonwatt schema check --against schema/schema.graphql`, then "
        "`commonwatt schema print > schema/schema.graphql`"
    )


def test_the_printed_schema_ends_with_one_newline() -> None:
    assert print_sdl() == print_sdl().rstrip() + "\n"


Described = GraphQLNamedType | GraphQLField | GraphQLArgument | GraphQLEnumValue


def described() -> list[tuple[str, Described]]:
    """Return everything of the schema that can have a description, with its name."""
    found: list[tuple[str, Described]] = []
    for name, kind in build_schema(print_sdl()).type_map.items():
        if is_introspection_type(kind) or is_specified_scalar_type(kind):
            continue
        found.append((name, kind))
        if isinstance(kind, GraphQLObjectType):
            for field_name, field in kind.fields.items():
                found.append((f"{name}.{field_name}", field))
                found += [(f"{name}.{field_name}({one}:)", argument) for one, argument in field.args.items()]
        if isinstance(kind, GraphQLEnumType):
            found += [(f"{name}.{one}", value) for one, value in kind.values.items()]
    return found


@pytest.mark.parametrize(("name", "one"), described(), ids=[name for name, _ in described()])
def test_everything_has_a_description(name: str, one: Described) -> None:
    assert (one.description or "").strip(), f"{name} has no description"
    assert (one.description or "").rstrip().endswith("."), f"the description of {name} is no sentence"


def test_power_and_energy_say_unit_and_sign() -> None:
    for name, one in described():
        if isinstance(one, GraphQLField) and str(one.type).rstrip("!") in ("Watts", "WattHours"):
            text = one.description or ""
            assert " in Wh" in text if "WattHours" in str(one.type) else " in W" in text, name
            assert "unsigned" in text or ("+ " in text and "- " in text), name


def test_live_types_have_the_names_that_clients_rely_on() -> None:
    types = build_schema(print_sdl()).type_map
    home, community = types["HomeLive"], types["CommunityLive"]
    assert isinstance(home, GraphQLObjectType)
    assert isinstance(community, GraphQLObjectType)
    assert {name: str(field.type) for name, field in home.fields.items()} == {
        "homeId": "ID!",
        "measuredAt": "DateTime",
        "powerImport": "Watts",
        "powerExport": "Watts",
        "netPower": "Watts",
        "pvPower": "Watts",
        "batteryPower": "Watts",
        "batteryCharge": "Ratio",
        "load": "Watts",
        "sharedPower": "Watts",
        "sharedOutPower": "Watts",
        "selfSufficiency": "Ratio",
        "selfConsumption": "Ratio",
        "light": "Light!",
        "quality": "Quality!",
        "today": "EnergyToday",
        "community": "CommunityLive!",
    }
    assert {name: str(field.type) for name, field in community.fields.items()} == {
        "communityId": "ID!",
        "measuredAt": "DateTime",
        "powerImport": "Watts!",
        "powerExport": "Watts!",
        "surplusPower": "Watts!",
        "sharedPower": "Watts!",
        "pvPower": "Watts",
        "load": "Watts!",
        "selfSufficiency": "Ratio",
        "selfConsumption": "Ratio",
        "light": "Light!",
        "trend": "Trend!",
        "homesReporting": "Int!",
        "homesTotal": "Int!",
        "today": "EnergyToday",
    }
