"""P1 telegrams: every one at hand is a correct reading or refused, and none is ever read wrongly."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from dsmr_parser.parsers import TelegramParser  # type: ignore[import-untyped]  # it has no types
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from bus.reading import Reading, parse
from meters.gateways.checksums import crc16
from meters.gateways.p1 import given
from meters.gateways.source import MOST_RAW, REASONS, Given
from meters.gateways.telegrams import Telegrams
from tests.meters.gateways.telegrams import changed, signed, telegram

RECEIVED = datetime(2026, 11, 23, 20, 0, 0, 123000, UTC)

AT_HAND = {
    "v2_2": Reading(
        at=RECEIVED, epoch="0", import_wh=2_002, export_wh=2_002, power_import_w=1010.0, power_export_w=0.0
    ),
    "v3": Reading(
        at=RECEIVED,
        epoch="K8EG004046395507",
        import_wh=24_691_356,
        export_wh=24_691_356,
        power_import_w=1190.0,
        power_export_w=0.0,
    ),
    "v4_2": Reading(
        at=datetime(2016, 11, 13, 19, 57, 57, tzinfo=UTC),
        epoch="3960221976967177082151037881335713",
        import_wh=3_016_829,
        export_wh=0,
        power_import_w=2027.0,
        power_export_w=0.0,
    ),
    "v5": Reading(
        at=datetime(2017, 1, 2, 18, 20, 2, tzinfo=UTC),
        epoch="K8EG004046395507",
        import_wh=6_825,
        export_wh=2_444,
        power_import_w=244.0,
        power_export_w=0.0,
    ),
    "v5_two_mbus": Reading(
        at=datetime(2020, 4, 26, 20, 33, 25, tzinfo=UTC),
        epoch="E0044007382246019",
        import_wh=2_375_582,
        export_wh=0,
        power_import_w=111.0,
        power_export_w=0.0,
    ),
    "v5_eon_hu": Reading(
        at=datetime(2023, 7, 24, 13, 7, 30, tzinfo=UTC),
        epoch="890082200002160",
        import_wh=173_640,
        export_wh=627_177,
        power_import_w=0.0,
        power_export_w=2601.0,
    ),
    "fluvius_v171": Reading(
        at=datetime(2020, 5, 12, 11, 54, 9, tzinfo=UTC),
        epoch="1SAG3101021605",
        import_wh=15_792,
        export_wh=11,
        power_import_w=0.0,
        power_export_w=0.0,
    ),
    "fluvius_v171_alt": Reading(
        at=datetime(2023, 11, 2, 11, 15, 48, tzinfo=UTC),
        epoch="1SAG3100721326",
        import_wh=571_562,
        export_wh=5,
        power_import_w=338.0,
        power_export_w=0.0,
    ),
    "iskra_ie": Reading(
        at=datetime(2023, 2, 2, 12, 27, 47, tzinfo=UTC),
        epoch="09610",
        import_wh=20_363,
        export_wh=20_563,
        power_import_w=170.0,
        power_export_w=270.0,
    ),
    "sagemcom_t210_d_r": Reading(
        at=datetime(2022, 10, 6, 13, 50, 14, tzinfo=UTC),
        epoch="0",
        import_wh=6_545_766,
        export_wh=58,
        power_import_w=286.0,
        power_export_w=0.0,
    ),
    "esy5q3da1004_v304": Reading(
        at=RECEIVED,
        epoch="1ESY1336001560",
        import_wh=32_549_506,
        export_wh=0,
        power_import_w=1688.21,
        power_export_w=0.0,
    ),
    "esy5q3db1024_v304": Reading(
        at=RECEIVED,
        epoch="1ESY1313002565",
        import_wh=52_185_782,
        export_wh=19_949_322,
        power_import_w=2124.86,
        power_export_w=0.0,
    ),
}
"""What the telegrams say, added up by hand."""

WITH_CHECKSUM = [name for name in AT_HAND if not name.startswith(("v2", "v3", "esy"))]
KINDS = {
    "v2_2": "DSMR 2.2 or 3",
    "v3": "DSMR 2.2 or 3",
    "v4_2": "DSMR 4",
    "v5": "DSMR 5",
    "v5_two_mbus": "DSMR 5",
    "v5_eon_hu": "Hungary (E.ON)",
    "fluvius_v171": "Belgium (Fluvius)",
    "fluvius_v171_alt": "Belgium (Fluvius)",
    "iskra_ie": "Iskra IE",
    "sagemcom_t210_d_r": "Sagemcom T210-D-R",
    "esy5q3da1004_v304": "EasyMeter Q3D",
    "esy5q3db1024_v304": "EasyMeter Q3D",
}


def read(stream: bytes, step: int = 0) -> list[Given]:
    """Return what a stream of bytes becomes, fed in steps."""
    telegrams = Telegrams()
    steps = [stream[begin : begin + step] for begin in range(0, len(stream), step)] if step else [stream]
    pieces = [piece for part in steps for piece in telegrams.feed(part)]
    return [given(piece, RECEIVED) for piece in (*pieces, *telegrams.end())]


def refusal(stream: bytes) -> str:
    """Return why a stream of one piece is refused."""
    (one,) = read(stream)
    assert one.reading is None
    assert one.refusal is not None
    assert one.refusal.reason in REASONS
    return f"{one.refusal.reason}: {one.refusal.detail}"


@pytest.mark.parametrize("name", AT_HAND)
def test_every_telegram_at_hand_is_the_reading_that_one_adds_up_by_hand(name: str) -> None:
    (one,) = read(telegram(name))

    assert one.refusal is None
    assert one.reading == AT_HAND[name]
    assert one.checked == (name in WITH_CHECKSUM)


@pytest.mark.parametrize("name", AT_HAND)
def test_every_reading_is_one_that_the_aggregator_takes(name: str) -> None:
    (one,) = read(telegram(name))

    assert one.reading is not None
    assert parse(one.reading.to_bytes()) == one.reading


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_a_telegram_shows_of_which_kind_it_is(name: str, kind: str) -> None:
    (one,) = read(telegram(name))

    assert one.registers[0].becomes == kind


@pytest.mark.parametrize("step", [1, 7, 100])
def test_a_telegram_that_comes_in_small_pieces_is_the_same(step: int) -> None:
    both = read(telegram("v5") + telegram("v4_2"), step)

    assert [one.reading for one in both] == [AT_HAND["v5"], AT_HAND["v4_2"]]


def test_a_telegram_of_heat_alone_is_refused_and_its_meter_counted() -> None:
    (one,) = read(telegram("unpadded_crc"))

    assert one.refusal is not None
    assert one.refusal.reason == "missing_field"
    assert [(register.name, register.becomes) for register in one.registers[1:]] == [("0-1", "")]
    assert "240.860*GJ" in one.registers[1].given


def test_a_checksum_without_its_leading_zero_is_right() -> None:
    text = changed("v5", (b"000004.426", b"000004.436"))
    while not text.split(b"!")[1].startswith(b"0"):
        text = signed(text.replace(b"/ISk5", b"/ISk5x", 1))
    body, _, digits = text.partition(b"!0")
    (one,) = read(body + b"!" + digits)

    assert one.reading is not None
    assert one.reading.import_wh == 6_835


def test_submeters_are_shown_and_become_nothing() -> None:
    (one,) = read(telegram("fluvius_v171"))

    left_out = [(register.name, register.given) for register in one.registers if not register.field]
    assert left_out == [("0-1", "gas (200512134558S)(00112.384*m3)"), ("0-2", "water (200512134558S)(00872.234*m3)")]


def test_a_total_is_taken_in_place_of_its_tariffs_and_a_difference_is_told() -> None:
    (one,) = read(changed("sagemcom_t210_d_r", (b"005017120*Wh", b"005017000*Wh")))

    assert one.reading is not None
    assert one.reading.import_wh == 6_545_766
    assert any("1-0:1.8.0 is 6545766 Wh and its tariffs are 6545646 Wh" in hint for hint in one.hints)


def test_a_wrong_checksum_is_refused_with_both_figures() -> None:
    text = telegram("v5").replace(b"000004.426", b"000009.426")

    assert refusal(text).startswith("checksum: the checksum is 6EEE; the telegram's is ")


def test_a_checksum_that_is_none_is_refused() -> None:
    assert refusal(telegram("v5").replace(b"!6EEE", b"!6EXE")).startswith("checksum: the checksum is b'6EXE'")


@pytest.mark.parametrize("name", WITH_CHECKSUM)
def test_a_telegram_that_lost_its_checksum_is_refused(name: str) -> None:
    text = telegram(name)

    assert refusal(text[: text.rindex(b"!") + 1] + b"\r\n").startswith("no_checksum: ")


def test_a_cut_telegram_is_refused_and_the_next_one_read() -> None:
    cut, whole = read(telegram("v5")[:400] + telegram("v5"))

    assert cut.refusal is not None
    assert cut.refusal.reason == "cut"
    assert whole.reading == AT_HAND["v5"]


def test_two_telegrams_without_anything_between_them_are_two() -> None:
    glued = telegram("v5").rstrip() + telegram("v4_2").rstrip()

    assert [one.reading for one in read(glued)] == [AT_HAND["v5"], AT_HAND["v4_2"]]


def test_two_telegrams_that_lost_what_parts_them_are_refused() -> None:
    first, second = telegram("v5"), telegram("v5")
    glued = first[: first.index(b"!")] + second[second.index(b"1-3:0.2.8") :]

    assert refusal(glued).startswith("checksum: ")
    assert refusal(signed(glued)).startswith("duplicate: ")


def test_garbage_between_telegrams_is_refused_and_harms_neither() -> None:
    first, garbage, second = read(telegram("v5") + b"\x00\x7f#garbage#" * 20 + telegram("v5"))

    assert (first.reading, second.reading) == (AT_HAND["v5"], AT_HAND["v5"])
    assert garbage.refusal is not None
    assert garbage.refusal.reason == "garbage"


def test_a_telegram_joined_in_its_middle_is_no_fault() -> None:
    assert [one.reading for one in read(telegram("v5")[300:] + telegram("v5"))] == [AT_HAND["v5"]]


def test_bytes_of_a_wrong_speed_are_told_after_two_kilobytes() -> None:
    assert "is the speed right?" in refusal(b"\xf0\x0e\x80" * 1000)


def test_a_telegram_without_an_end_is_given_up_after_16_kilobytes() -> None:
    first, *_ = read(b"/ISk5\\2MT382\r\n\r\n" + b"1-0:1.8.1(000004.426*kWh)\r\n" * 2000)

    assert first.refusal is not None
    assert first.refusal.reason == "too_large"


def test_a_dongle_that_takes_the_carriage_returns_out_does_no_harm() -> None:
    (one,) = read(telegram("v5").replace(b"\r\n", b"\n"))

    assert one.reading == AT_HAND["v5"]


@pytest.mark.parametrize(
    ("digits", "what"),
    [
        (b"632525252525W", "which no calendar has"),
        (b"000101000000W", "long ago"),
        (b"700101010000W", None),
        (b"", "expected YYMMDDhhmmss"),
        (b"17010219200W", "expected YYMMDDhhmmss"),
        (b"170102192002X", "expected YYMMDDhhmmss"),
    ],
    ids=["nonsense digits", "a clock never set", "the year 2070", "nothing", "too short", "another flag"],
)
def test_a_time_that_is_none_is_refused(digits: bytes, what: str | None) -> None:
    text = changed("v5", (b"0-0:1.0.0(170102192002W)", b"0-0:1.0.0(%s)" % digits))

    if what is None:  # a year that may come: the aggregator knows what time it is, and refuses the future
        assert read(text)[0].reading is not None
    else:
        assert refusal(text).startswith("invalid_time: ")
        assert what in refusal(text)


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (b"-00004.426*kWh", "negative"),
        (b"999999999.999*MWh", "out_of_range"),
        (b"NaN*kWh", "wrong_type"),
        (b"1E5*kWh", "wrong_type"),
        (b"*kWh", "wrong_type"),
        (b"", "wrong_type"),
        (b"000004.426", "wrong_type"),
        (b"000004.426*GJ", "unknown_unit"),
        (b"000004.426*kW", "unknown_unit"),
    ],
)
def test_a_register_that_is_none_is_refused(says: bytes, reason: str) -> None:
    assert refusal(changed("v5", (b"000004.426*kWh", says))).startswith(f"{reason}: ")


def test_a_power_that_no_meter_has_is_refused() -> None:
    assert refusal(changed("v5", (b"00.244*kW", b"900000.0*kW"))).startswith("out_of_range: ")
    assert refusal(changed("v5", (b"00.244*kW", b"-00.244*kW"))).startswith("negative: ")
    assert refusal(changed("v5", (b"00.244*kW", b"00.244*kWh"))).startswith("unknown_unit: ")


def test_a_signed_power_of_a_two_way_meter_is_split_by_its_sign() -> None:
    (one,) = read(changed("esy5q3db1024_v304", (b"002124.86*W", b"-002124.86*W")))

    assert one.reading is not None
    assert (one.reading.power_import_w, one.reading.power_export_w) == (0.0, 2124.86)


def test_power_in_both_directions_is_told() -> None:
    (one,) = read(telegram("iskra_ie"))

    assert any("draws 170 W and feeds in 270 W at once" in hint for hint in one.hints)


def test_a_telegram_without_checksum_must_have_both_tariffs_and_no_strange_line() -> None:
    text = telegram("v2_2")

    assert refusal(text.replace(b"1-0:1.8.2(00001.001*kWh)\r\n", b"")).startswith("no_checksum: ")
    assert refusal(text.replace(b"1-0:1.8.2", b"1-0:1.8.x")).startswith(("no_checksum: ", "malformed: "))
    assert refusal(text.replace(b"0-0:96.14.0(0001)", b"0-0:96.14.0(00")).startswith("malformed: ")


@pytest.mark.parametrize("place", range(22, 360, 7))
def test_a_telegram_without_checksum_is_refused_with_a_byte_of_wrong_parity(place: int) -> None:
    text = bytearray(telegram("v2_2"))
    text[place] = 0

    assert all(one.reading is None for one in read(bytes(text)))


def test_an_encrypted_telegram_is_refused_as_such() -> None:
    one = given(b"\xdb\x08SAGgp\x00\x1b\x82\x03\x02" + bytes(100), RECEIVED)

    assert one.refusal is not None
    assert one.refusal.reason == "encrypted"


def test_an_irish_meter_is_known_by_its_name_as_printed() -> None:
    (one,) = read(changed("iskra_ie", (b"/ISk5\x02MIE5T-200", b"/ISk5\\2MIE5T-200")))

    assert one.registers[0].becomes == "Iskra IE"


def test_the_luxembourgish_and_swedish_kinds_are_read() -> None:
    smarty = signed(
        b"/Lux5\\253663629_D\r\n\r\n1-3:0.2.8(42)\r\n0-0:1.0.0(200103112024W)\r\n"
        b"0-0:42.0.0(53414731303330373030303132333435)\r\n1-0:1.8.0(002456.789*kWh)\r\n1-0:2.8.0(000012.345*kWh)\r\n"
        b"1-0:1.7.0(00.512*kW)\r\n1-0:2.7.0(00.000*kW)\r\n!"
    )
    (one,) = read(smarty)
    assert one.registers[0].becomes == "Luxembourg (Smarty)"
    assert one.reading == Reading(
        at=datetime(2020, 1, 3, 10, 20, 24, tzinfo=UTC),
        epoch="SAG1030700012345",
        import_wh=2_456_789,
        export_wh=12_345,
        power_import_w=512.0,
        power_export_w=0.0,
    )

    swedish = signed(
        b"/ELL5\\253833635_A\r\n\r\n0-0:1.0.0(210701120000W)\r\n1-0:1.8.0(00006678.394*kWh)\r\n"
        b"1-0:2.8.0(00000000.000*kWh)\r\n1-0:1.7.0(0001.727*kW)\r\n1-0:2.7.0(0000.000*kW)\r\n!"
    )
    (one,) = read(swedish)
    assert one.registers[0].becomes.startswith("Sweden")
    assert one.reading is not None
    # It keeps winter time all year, and says so.
    assert one.reading.at == datetime(2021, 7, 1, 11, 0, tzinfo=UTC)
    assert one.reading.import_wh == 6_678_394


@pytest.mark.parametrize(
    ("printed", "epoch"),
    [
        (b"204B413655303031363630323937393132", "KA6U001660297912"),
        (b"1336001560", "1336001560"),
        (b"", "0"),
        (b"41" * 48, "A" * 48),
        (b"0102" * 24, "sha256-"),
    ],
    ids=["with a space before it", "digits", "nothing", "long", "too long"],
)
def test_the_epoch_is_the_serial_number_as_the_plate_shows_it(printed: bytes, epoch: str) -> None:
    (one,) = read(changed("v5", (b"0-0:96.1.1(4B384547303034303436333935353037)", b"0-0:96.1.1(%s)" % printed)))

    assert one.reading is not None
    assert one.reading.epoch.startswith(epoch)
    assert len(one.reading.epoch) <= 64
    assert parse(one.reading.to_bytes()).epoch == one.reading.epoch


def test_the_hour_that_comes_twice_is_told_apart_by_its_flag() -> None:
    summer, winter = (
        given(changed("v5", (b"(170102192002W)", b"(201025023000%s)" % flag)), RECEIVED) for flag in (b"S", b"W")
    )

    assert summer.reading is not None
    assert winter.reading is not None
    assert summer.reading.at == datetime(2020, 10, 25, 0, 30, tzinfo=UTC)
    assert winter.reading.at == datetime(2020, 10, 25, 1, 30, tzinfo=UTC)


def test_the_zone_that_is_asked_for_is_taken() -> None:
    one = given(telegram("v5"), RECEIVED, ZoneInfo("Europe/Helsinki"))

    assert one.reading is not None
    assert one.reading.at == datetime(2017, 1, 2, 17, 20, 2, tzinfo=UTC)


@pytest.mark.parametrize("name", WITH_CHECKSUM)
def test_the_checksum_is_dsmr_parsers_own(name: str) -> None:
    text = telegram(name)
    body = text[: text.rindex(b"!") + 1]

    assert crc16(body) == TelegramParser.crc16(body.decode("latin-1"))
    assert crc16(body[:-1]) == TelegramParser.crc16(body[:-1].decode("latin-1"))


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Return a stream of telegrams with checksums that was flipped, cut and glued."""
    names = draw(st.lists(st.sampled_from(WITH_CHECKSUM), min_size=1, max_size=3))
    stream = bytearray(b"".join(telegram(name) for name in names))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(stream) - 1)))
        match draw(st.sampled_from(["flip", "byte", "cut", "glue", "garbage"])):
            case "flip" if stream:
                stream[place] ^= 1 << draw(st.integers(0, 7))
            case "byte" if stream:
                stream[place] = draw(st.integers(0, 255))
            case "cut":
                del stream[place : place + draw(st.integers(1, 400))]
            case "glue":
                other = telegram(draw(st.sampled_from(WITH_CHECKSUM)))
                begin = draw(st.integers(0, len(other)))
                stream[place:place] = other[begin : begin + draw(st.integers(1, 1500))]
            case _:
                stream[place:place] = draw(st.binary(max_size=200))
    return bytes(stream)


@settings(max_examples=400, deadline=None, derandomize=True)
@examples(mutations(), st.integers(0, 300))
def test_no_mutated_telegram_with_a_checksum_is_taken_as_another_value(stream: bytes, step: int) -> None:
    right = {AT_HAND[name].to_bytes() for name in WITH_CHECKSUM}

    for one in read(stream, step):
        assert (one.reading is None) != (one.refusal is None)
        if one.reading is not None:
            assert one.reading.to_bytes() in right
        if one.refusal is not None:
            assert one.refusal.reason in REASONS


@settings(max_examples=300, deadline=None, derandomize=True)
@examples(st.binary(max_size=3000), st.sampled_from(["/", "!", "(", "\r\n", "/ISk5\\2\r\n\r\n"]))
def test_no_bytes_at_all_break_it(noise: bytes, seed: str) -> None:
    for one in read(seed.encode() + noise + b"\r\n!\r\n"):
        assert one.reading is None
        assert one.refusal is not None
        assert one.refusal.reason in REASONS


@settings(max_examples=50, deadline=None, derandomize=True)
@examples(st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=5))
def test_what_is_kept_stays_below_a_bound_whatever_comes(noise: list[bytes]) -> None:
    telegrams = Telegrams()
    for chunk in (telegram("v5")[:200], *noise * 60):
        for piece in telegrams.feed(chunk):
            assert len(piece) <= MOST_RAW
        assert telegrams.held <= MOST_RAW
