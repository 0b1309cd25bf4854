"""A community file: what is taken, and how what is wrong is named."""

from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bus.community import MAX_HOMES, RegistryError, load_community, parse_community

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SMALL = """
id = "demo"
name = "Demo"
timezone = "Europe/Vienna"
[tariff]
supplier_price = 0.28
community_price = 0.16
feed_in_price = 0.08
[[homes]]
id = "home-01"
key = 0.6
meters = [{ id = "home-01-grid" }, { id = "home-01-pv", role = "PV" }]
[[homes]]
id = "home-02"
key = 0.4
meters = [{ id = "home-02-grid" }]
[[members]]
id = "member-01"
homes = ["home-01"]
"""


def test_the_example_that_we_ship_is_a_community() -> None:
    community = load_community(EXAMPLES / "community.toml")
    assert len(community.homes) == 5
    assert sum(home.key or 0 for home in community.homes) == 1
    assert {meter.role for home in community.homes for meter in home.meters} == {"GRID", "PV", "BATTERY"}
    assert community.homes_by_id["home-04"].participation == 50
    assert community.tariff.time_of_day[0].start == time(22)
    assert {member.role for member in community.members} == {"member", "operator"}


def test_the_example_explains_every_key_that_there_is() -> None:
    text = (EXAMPLES / "community.toml").read_text(encoding="utf-8")
    community = load_community(EXAMPLES / "community.toml")
    parts = [
        community,
        community.tariff,
        *community.tariff.time_of_day,
        community.light,
        community.alerts,
        community.homes[0],
        community.homes[0].meters[0],
        community.members[0],
    ]
    absent = [key for part in parts for key in type(part).model_fields if key not in text]
    assert absent == []


def test_what_is_left_out_has_its_default() -> None:
    community = parse_community(SMALL)
    assert community.settlement_interval == timedelta(minutes=15)
    assert community.allocation_key == "DYNAMIC"
    assert community.clock == "wall"
    assert community.finality == timedelta(days=16)
    assert community.homes[0].meters[0].role == "GRID"


def test_a_price_is_taken_as_it_was_written() -> None:
    assert parse_community(SMALL).tariff.supplier_price == Decimal("0.28")


def test_homes_and_meters_are_found_by_their_ids() -> None:
    community = parse_community(SMALL)
    home, meter = community.home_of_meter["home-01-pv"]
    assert (home.id, meter.role) == ("home-01", "PV")
    assert list(community.homes_by_id) == ["home-01", "home-02"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "Demo"', 'name = "Demo"\ncolour = "red"', r"colour: unknown key"),
        ('role = "PV"', 'rolle = "PV"', r"homes\[0\]\.meters\[1\]\.rolle: unknown key"),
        (
            "feed_in_price = 0.08",
            "feed_in = 0.08",
            r"tariff\.feed_in_price: is missing\n.*tariff\.feed_in: unknown key",
        ),
        (
            'role = "PV"',
            'role = "SOLAR"',
            r"homes\[0\]\.meters\[1\]\.role: .*'GRID', 'PV' or 'BATTERY' \(got 'SOLAR'\)",
        ),
        ('id = "demo"', 'id = "Demo 1"', r"id: .*\^\[a-z0-9-\]\{1,64\}\$"),
        ('name = "Demo"', "", r"name: is missing"),
        ("Europe/Vienna", "Vienna", r"timezone: not an IANA time zone; expected a name such as Europe/Vienna"),
        ("key = 0.6", 'key = "much"', r"homes\[0\]\.key: .* \(got 'much'\)"),
        ("key = 0.6", "key = 1.6", r"homes\[0\]\.key: .*less than or equal to 1"),
        ("key = 0.6", "participation = 0", r"homes\[0\]\.participation: .*greater than or equal to 1"),
        ("supplier_price = 0.28", "supplier_price = 1000", r"tariff\.supplier_price: .*100"),
        ("supplier_price = 0.28", "supplier_price = nan", r"tariff\.supplier_price: .*finite"),
        ('name = "Demo"', 'name = "Demo"\nsettlement_interval = "PT10M"', r"expected PT15M, PT30M or PT1H"),
        ('name = "Demo"', 'name = "Demo"\nfinality = "P99D"', r"finality is 99 days.*between"),
        ('name = "Demo"', 'name = "Demo"\nclock = "sun"', r"clock: .*'wall' or 'event'"),
        ('homes = ["home-01"]', 'homes = ["home-09"]', r"member 'member-01' names the unknown home 'home-09'"),
        ('id = "home-02"\n', 'id = "home-01"\n', r"home 'home-01' occurs twice"),
        ('"home-02-grid"', '"home-01-grid"', r"meter 'home-01-grid' occurs twice"),
        ('"member-01"', '"member 01"', r"members\[0\]\.id: "),
        ('[{ id = "home-02-grid" }]', "[]", r"homes\[1\]\.meters: .*at least 1"),
    ],
)
def test_a_fault_is_named_by_its_key(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(RegistryError, match=message):
        parse_community(SMALL.replace(old, new, 1))


def test_every_fault_has_a_line_of_its_own_that_begins_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL.replace("key = 0.6", "key = 7").replace("Europe/Vienna", "Mars"), encoding="utf-8")
    with pytest.raises(RegistryError) as error:
        load_community(path)
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_where_all_homes_are_faulty_their_faults_are_told_and_not_that_none_is_left() -> None:
    with pytest.raises(RegistryError) as error:
        parse_community(SMALL.replace("key = 0.6", "key = 7").replace("key = 0.4", "key = 8"))
    assert [line.split(":")[1] for line in str(error.value).splitlines()] == [" homes[0].key", " homes[1].key"]


def test_a_file_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(RegistryError) as error:
        load_community(path)
    assert str(error.value) == f"{path}: not readable: No such file or directory"


def test_what_is_not_toml_is_named_by_its_line() -> None:
    with pytest.raises(RegistryError, match=r"not TOML: .*line 3"):
        parse_community('id = "demo"\nname = "Demo"\ntimezone = Vienna\n')


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"absent\.toml: not readable"):
        load_community(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "Stra\xdfe"')
    with pytest.raises(RegistryError, match=r"latin\.toml: not readable"):
        load_community(tmp_path / "latin.toml")


@pytest.mark.parametrize("key", ["STATIC", "STATIC_ROUNDS", "HYBRID"])
def test_a_static_key_needs_keys_that_add_up_to_exactly_1(key: str) -> None:
    keyed = SMALL.replace('name = "Demo"', f'name = "Demo"\nallocation_key = "{key}"')
    assert parse_community(keyed).allocation_key == key
    with pytest.raises(RegistryError, match=r"the homes' keys add up to 1\.1; expected exactly 1"):
        parse_community(keyed.replace("key = 0.6", "key = 0.7"))
    with pytest.raises(RegistryError, match=f"home 'home-01' has no key; {key} needs one for each home"):
        parse_community(keyed.replace("key = 0.6\n", ""))


def test_keys_of_one_third_are_compared_exactly() -> None:
    keyed = SMALL.replace('name = "Demo"', 'name = "Demo"\nallocation_key = "STATIC"')
    with pytest.raises(RegistryError, match=r"add up to 0\.9999; expected exactly 1"):
        parse_community(keyed.replace("key = 0.6", "key = 0.3333").replace("key = 0.4", "key = 0.6666"))


def test_a_community_of_over_1000_homes_is_refused_with_what_to_do() -> None:
    homes = "".join(
        f'[[homes]]\nid = "home-{number}"\nmeters = [{{ id = "meter-{number}" }}]\n' for number in range(MAX_HOMES + 1)
    )
    with pytest.raises(RegistryError, match="1001 homes; a community has at most 1000: make several communities of it"):
        parse_community(SMALL[: SMALL.index("[[homes]]")] + homes)
