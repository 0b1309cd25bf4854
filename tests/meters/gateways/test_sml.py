"""SML frames: readings of a real one and of ones made here, and never of one that was harmed."""

from datetime import UTC, datetime

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from bus.reading import Reading
from meters.gateways.frames import Frames
from meters.gateways.sml import given
from meters.gateways.source import MOST_RAW, REASONS, Given
from tests.meters.gateways.frames import ESCAPE, REAL, WH, W, entry, frame, listed, message, octets, wrapped

RECEIVED = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
OF_REAL = Reading(
    at=RECEIVED,
    epoch="1 ISK00 6736 2659",
    import_wh=22_462_413,
    export_wh=0,
    power_import_w=168.0,
    power_export_w=0.0,
)
TWO_WAY = frame(entry("1.8.0", 66_998_890, WH, -1), entry("2.8.0", 1_234_567, WH, -1), entry("16.7.0", -25_013, W, -1))
OF_TWO_WAY = Reading(
    at=RECEIVED,
    epoch="1 ISK00 8534 5884",
    import_wh=6_699_889,
    export_wh=123_456,
    power_import_w=0.0,
    power_export_w=2501.3,
)


def read(stream: bytes, step: int = 0) -> list[Given]:
    """Return what a stream of bytes becomes, fed in steps."""
    frames = Frames()
    steps = [stream[begin : begin + step] for begin in range(0, len(stream), step)] if step else [stream]
    pieces = [piece for part in steps for piece in frames.feed(part)]
    return [given(piece, RECEIVED) for piece in (*pieces, *frames.end())]


def refusal(stream: bytes) -> str:
    """Return why a stream of one piece is refused."""
    (one,) = read(stream)
    assert one.reading is None
    assert one.refusal is not None
    assert one.refusal.reason in REASONS
    return f"{one.refusal.reason}: {one.refusal.detail}"


@pytest.mark.parametrize("step", [0, 1, 5, 64])
def test_frames_are_the_readings_that_they_say(step: int) -> None:
    assert [one.reading for one in read(REAL + TWO_WAY + REAL, step)] == [OF_REAL, OF_TWO_WAY, OF_REAL]


def test_a_negative_power_is_power_to_the_grid_and_shown_with_its_sign() -> None:
    (one,) = read(TWO_WAY)

    shown = {register.name: (register.given, register.field, register.becomes) for register in one.registers}
    assert shown["1-0:16.7.0"] == ("-2501.3 W", "power_export_w", "2501.3 W")
    assert shown["1-0:1.8.0"] == ("6699889.0 Wh", "import_wh", "6699889 Wh")


def test_scalers_go_both_ways() -> None:
    (one,) = read(
        frame(entry("1.8.0", 123_456, WH, 3), entry("2.8.0", 9_999_999_999, WH, -4), entry("16.7.0", 5, W, 2))
    )

    assert one.reading is not None
    assert (one.reading.import_wh, one.reading.export_wh) == (123_456_000, 999_999)
    assert one.reading.power_import_w == 500.0


def test_tariffs_are_summed_where_there_is_no_total() -> None:
    (one,) = read(frame(entry("1.8.1", 10_009, WH, -1), entry("1.8.2", 20_009, WH, -1)))

    assert one.reading is not None
    assert one.reading.import_wh == 3_001  # 1,000.9 and 2,000.9


def test_a_meter_without_its_pin_says_no_power_and_is_told_what_to_do() -> None:
    (one,) = read(frame(entry("1.8.0", 6_699_000, WH), entry("2.8.0", 0, WH)))

    assert one.reading is not None
    assert one.reading.power_import_w is None
    assert any("enter its PIN" in hint for hint in one.hints)


def test_registers_of_days_past_and_what_is_not_read_may_be_there_as_often_as_they_like() -> None:
    past = (entry("1.8.0", 1_000 + period, WH, period=period) for period in range(96, 101))
    (one,) = read(frame(*past, entry("1.8.0", 5_000, WH), entry("96.50.1", 1, period=1), entry("96.50.1", 4, period=4)))
    (other,) = read(frame(entry("1.8.0", 5_000, WH), entry("96.5.0", 1), entry("96.5.0", 2)))

    assert one.reading is not None
    assert one.reading.import_wh == 5_000
    assert other.reading == one.reading
    assert refusal(frame(entry("1.8.0", 5_000, WH, period=96))).startswith("missing_field: ")


def test_a_server_id_of_another_kind_is_the_epoch_in_hexadecimal_digits() -> None:
    (one,) = read(frame(entry("1.8.0", 1, WH), server=b"\x06\x45\x4d\x48\x01\x02"))

    assert one.reading is not None
    assert one.reading.epoch == "06-45-4D-48-01-02"


def test_a_value_with_escape_sequences_in_it_is_read() -> None:
    (one,) = read(frame(entry("1.8.0", 0x1B1B1B1B, WH, -1), entry("96.5.0", octets(ESCAPE * 3))), step=3)

    assert one.reading is not None
    assert one.reading.import_wh == 0x1B1B1B1B // 10


def test_a_wrong_checksum_is_refused() -> None:
    harmed = bytearray(REAL)
    harmed[200] ^= 4

    assert refusal(bytes(harmed)).startswith("checksum: ")


def test_a_cut_frame_is_refused_and_the_next_one_read() -> None:
    cut, whole = read(REAL[:201] + REAL)

    assert cut.refusal is not None
    assert cut.refusal.reason == "cut"
    assert whole.reading == OF_REAL


def test_garbage_between_frames_is_refused_and_harms_neither() -> None:
    first, garbage, second = read(REAL + b"garbage" * 9 + REAL)

    assert (first.reading, second.reading) == (OF_REAL, OF_REAL)
    assert garbage.refusal is not None
    assert garbage.refusal.reason == "garbage"


def test_a_frame_joined_in_its_middle_is_no_fault() -> None:
    assert [one.reading for one in read(REAL[99:] + REAL)] == [OF_REAL]


def test_a_frame_without_an_end_is_given_up_after_16_kilobytes() -> None:
    first, *_ = read(REAL[:100] + bytes(MOST_RAW * 2))

    assert first.refusal is not None
    assert first.refusal.reason == "too_large"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((entry("16.7.0", 5, W),), "missing_field"),
        ((entry("1.8.0", -1, WH),), "negative"),
        ((entry("1.8.0", 1, W),), "unknown_unit"),
        ((entry("1.8.0", 1),), "unknown_unit"),
        ((entry("1.8.0", 10**13, WH),), "out_of_range"),
        ((entry("1.8.0", octets(b"much"), WH),), "wrong_type"),
        ((entry("1.8.0", 1, WH), entry("1.8.0", 2, WH)), "duplicate"),
        ((entry("1.8.0", 1, WH), entry("16.7.0", 10**9, W)), "out_of_range"),
    ],
    ids=["power alone", "negative", "W", "no unit", "too much", "text", "twice", "too much power"],
)
def test_a_value_that_is_none_is_refused(values: tuple[bytes, ...], reason: str) -> None:
    assert refusal(frame(*values)).startswith(f"{reason}: ")


@pytest.mark.parametrize(
    "inside",
    [b"\x76", b"\x00" * 40, message(0x0701, listed(b"\1")), message(0x0701, octets(b"x")), b"\x7f" * 2000],
    ids=["cut inside", "zeros", "a list too short", "no list", "lists in lists"],
)
def test_a_frame_with_a_right_checksum_and_nonsense_in_it_is_refused(inside: bytes) -> None:
    assert refusal(wrapped(inside)).split(":")[0] in ("malformed", "missing_field", "checksum")


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Return a stream of frames that was flipped, cut and glued."""
    frames = [REAL, TWO_WAY]
    stream = bytearray(b"".join(draw(st.lists(st.sampled_from(frames), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(stream) - 1)))
        match draw(st.sampled_from(["flip", "cut", "glue", "garbage"])):
            case "flip" if stream:
                stream[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del stream[place : place + draw(st.integers(1, 200))]
            case "glue":
                other = draw(st.sampled_from(frames))
                stream[place:place] = other[draw(st.integers(0, len(other))) :]
            case _:
                stream[place:place] = draw(st.binary(max_size=100))
    return bytes(stream)


@settings(max_examples=300, deadline=None, derandomize=True)
@examples(mutations(), st.integers(0, 200))
def test_no_mutated_frame_is_taken_as_another_value(stream: bytes, step: int) -> None:
    for one in read(stream, step):
        assert (one.reading is None) != (one.refusal is None)
        assert one.reading in (None, OF_REAL, OF_TWO_WAY)


@settings(max_examples=300, deadline=None, derandomize=True)
@examples(st.binary(max_size=2000), st.booleans())
def test_no_bytes_at_all_break_it(noise: bytes, is_framed: bool) -> None:
    for one in read(wrapped(noise) if is_framed else REAL[:8] + noise):
        assert one.reading is None
        assert one.refusal is not None
        assert one.refusal.reason in REASONS


@settings(max_examples=50, deadline=None, derandomize=True)
@examples(st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=5))
def test_what_is_kept_stays_below_a_bound_whatever_comes(noise: list[bytes]) -> None:
    frames = Frames()
    for chunk in (REAL[:200], *noise * 60):
        for piece in frames.feed(chunk):
            assert len(piece) <= MOST_RAW
        assert frames.held <= MOST_RAW
