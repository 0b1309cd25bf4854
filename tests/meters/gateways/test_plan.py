"""A plan says which source each meter is read from, and what is wrong with it is said with file, key and value."""

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from meters.errors import OptionError
from meters.gateways import plan as plans
from meters.gateways.feed import Place
from meters.gateways.plan import feeds, load_plan, plan_of_one
from meters.gateways.source import Source
from tests.meters.gateways.scripted import Scripted

Write = Callable[[str], Path]

ENTRY = """
[[meter]]
community = "sonnenhang"
meter = "bakery-grid"
source = "p1:tcp:10.0.0.5:2001"
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def opened(spec: str, zone: ZoneInfo | None) -> Source:
    if spec == "wrong":
        raise OptionError("'wrong' names no source")
    return Scripted(name=f"{spec} {zone}")


def fault(path: Path) -> str:
    """Return the one line that says what is wrong."""
    with pytest.raises(OptionError) as error:
        feeds(load_plan(path), opened, path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def test_each_source_is_a_feed(write: Write) -> None:
    text = ENTRY + ENTRY.replace("bakery", "mill").replace("10.0.0.5", "10.0.0.6") + 'every = 10\nepoch = "2027"\n'
    found = feeds(load_plan(write(text)), opened)
    assert [(feed.source.name, feed.places, feed.ends) for feed in found] == [
        ("p1:tcp:10.0.0.5:2001 None", {"": Place("sonnenhang", "bakery-grid")}, False),
        ("p1:tcp:10.0.0.6:2001 None", {"": Place("sonnenhang", "mill-grid", "2027", 10)}, False),
    ]


def test_meters_with_one_source_are_its_devices(write: Write) -> None:
    text = ENTRY + 'device = "a"\n' + ENTRY.replace("bakery", "mill") + 'device = "b"\n'
    (feed,) = feeds(load_plan(write(text)), opened)
    assert {device: place.meter for device, place in feed.places.items()} == {"a": "bakery-grid", "b": "mill-grid"}


def test_the_zone_goes_to_the_source(write: Write) -> None:
    (feed,) = feeds(load_plan(write(ENTRY + 'zone = "Europe/Vienna"\n')), opened)
    assert feed.source.name == "p1:tcp:10.0.0.5:2001 Europe/Vienna"


def test_a_file_is_a_feed_that_ends() -> None:
    (feed,) = feeds(plan_of_one(community="demo", meter="m", source="p1:file:telegrams.txt"), opened)
    assert feed.ends


def test_the_example_of_the_module_is_a_plan(write: Write) -> None:
    text = str(plans.__doc__).partition("\n\n")[2]
    assert [len(feed.places) for feed in feeds(load_plan(write(text)), opened)] == [1, 1]


FAULTS = [
    ("[[meter]", "not TOML: Expected ']]' at the end of an array declaration (at line 1, column 8)"),
    ("", "meter: is missing"),
    ("meter = []", "meter: 0 meters; a gateway serves 1 to 1000"),
    (ENTRY + "evry = 1", "meter[0].evry: unknown key"),
    (ENTRY.replace("bakery-grid", "Bakery"), "meter[0].meter: String should match pattern '^[a-z0-9-]{1,64}$'"),
    (ENTRY + "every = 7", "meter[0].every: expected a divisor of 900, so that the reading at each quarter of an"),
    (ENTRY + "every = 901", "meter[0].every: Input should be less than or equal to 900 (got '901')"),
    (ENTRY + 'every = "10"', "meter[0].every: Input should be a valid integer (got '10')"),
    (ENTRY + 'zone = "Vienna"', "meter[0].zone: no time zone of this name is known; expected one such as Europe/"),
    (ENTRY + 'epoch = ""', "meter[0].epoch: String should have at least 1 character (got '')"),
    (ENTRY.replace("p1:tcp:10.0.0.5:2001", "wrong"), "meter[0].source: 'wrong' names no source"),
    (ENTRY + ENTRY, "meter[1].source: the source of 'p1:tcp:10.0.0.5:2001' is another meter's already: "),
    (
        (ENTRY + 'device = "a"\n') * 2,
        "meter[1].source: the device 'a' of 'p1:tcp:10.0.0.5:2001' is another meter's already: ",
    ),
    (
        ENTRY + 'device = "a"\n' + ENTRY + 'device = "b"\nzone = "Europe/Vienna"',
        "meter[1].zone: 'Europe/Vienna'; ",
    ),
]


@pytest.mark.parametrize(
    ("text", "says"), FAULTS, ids=[f"{number}: {says[:20]}" for number, (_, says) in enumerate(FAULTS)]
)
def test_what_is_wrong_is_said_with_file_key_and_value(write: Write, text: str, says: str) -> None:
    assert fault(write(text)).startswith(says)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "No such file" in fault(tmp_path / "absent.toml")


def test_what_is_wrong_with_an_option_is_said_with_its_name() -> None:
    with pytest.raises(OptionError, match=r"^--every: expected a divisor of 900.*\(got '7'\)"):
        plan_of_one(community="demo", meter="m", source="p1:tcp:a:1", every=7)
    with pytest.raises(OptionError, match=r"^'wrong' names no source"):
        feeds(plan_of_one(community="demo", meter="m", source="wrong"), opened)
