"""Frames: every split gives the same messages, and nothing but FrameError comes of bad bytes."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Decoder,
    FrameError,
    close_frame,
    closing,
    frame,
    text_frame,
    unmasked,
)

MASK = b"\x37\xfa\x21\x3d"
LIMIT = 1 << 20

Messages = list[tuple[int, bytes]]


def client_frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bytes = MASK) -> bytes:
    """One frame as a client sends it, made without the code under test."""
    size = len(payload)
    if size < 126:
        head = bytes((fin << 7 | opcode, 0x80 | size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", fin << 7 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", fin << 7 | opcode, 0x80 | 127, size)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def decoded(data: bytes, *, cuts: list[int] | None = None, limit: int = LIMIT) -> Messages:
    decoder = Decoder(limit)
    messages: Messages = []
    edges = [0, *sorted(cuts or []), len(data)]
    for begin, end in pairwise(edges):
        messages += decoder.feed(data[begin:end])
    assert decoder.idle
    return messages


def code_of(data: bytes, *, limit: int = LIMIT) -> int:
    with pytest.raises(FrameError) as raised:
        list(Decoder(limit).feed(data))
    return raised.value.code


texts = st.text(max_size=300).map(lambda text: (TEXT, text.encode()))
binaries = st.binary(max_size=300).map(lambda data: (BINARY, data))
pings = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
masks = st.binary(min_size=4, max_size=4)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Messages, bytes]:
    """Messages and control frames in the order of their ends, and the bytes that say them, in fragments."""
    messages: Messages = []
    data = b""
    for opcode, payload in draw(st.lists(st.one_of(texts, binaries, pings), max_size=6)):
        if opcode in (PING, PONG):
            pieces = [payload]
        else:
            cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
            pieces = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for index, piece in enumerate(pieces):
            if index and draw(st.booleans()):
                between = draw(pings)
                messages.append(between)
                data += client_frame(*between)
            last = index == len(pieces) - 1
            data += client_frame(CONTINUATION if index else opcode, piece, fin=last, mask=draw(masks))
        messages.append((opcode, payload))
    return messages, data


@given(conversations(), st.data())
def test_messages_come_out_whole_and_in_order_wherever_the_bytes_are_cut(
    conversation: tuple[Messages, bytes], data: st.DataObject
) -> None:
    messages, said = conversation
    cuts = data.draw(st.lists(st.integers(0, len(said)), max_size=8))
    assert decoded(said, cuts=cuts) == messages


@given(conversations())
def test_messages_come_out_whole_byte_by_byte(conversation: tuple[Messages, bytes]) -> None:
    messages, said = conversation
    assert decoded(said, cuts=list(range(len(said)))) == messages


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_random_bytes_raise_nothing_but_the_module_s_own_error(chunks: list[bytes]) -> None:
    decoder = Decoder(1000)
    try:
        for chunk in chunks:
            list(decoder.feed(chunk))
    except FrameError as error:
        assert error.code in (1002, 1007, 1009)  # noqa: PT017 -- most runs raise nothing


@given(st.integers(0, 255), st.integers(128, 255), st.binary(max_size=200))
def test_a_random_masked_frame_raises_nothing_but_the_module_s_own_error(first: int, second: int, rest: bytes) -> None:
    try:
        list(Decoder(1000).feed(bytes((first, second)) + rest))
    except FrameError as error:
        assert error.code in (1002, 1007, 1009)  # noqa: PT017 -- many runs raise nothing


@given(st.binary(max_size=1000), masks)
def test_the_mask_applies_byte_by_byte_and_undoes_itself(payload: bytes, mask: bytes) -> None:
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    assert unmasked(payload, mask) == masked
    assert unmasked(masked, mask) == payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_each_form_of_the_length_is_read_and_written(size: int) -> None:
    payload = b"x" * size
    assert decoded(client_frame(BINARY, payload)) == [(BINARY, payload)]
    sent = text_frame(payload)
    head = len(sent) - size
    assert sent[head:] == payload
    assert head == (2 if size < 126 else 4 if size < 65_536 else 10)
    assert sent[0] == 0x81
    assert sent[1] == (size if size < 126 else 126 if size < 65_536 else 127)
    assert int.from_bytes(sent[2:head], "big") == (0 if size < 126 else size)


def test_control_frames_come_between_fragments() -> None:
    said = (
        client_frame(TEXT, b"Hel", fin=False)
        + client_frame(PING, b"there?")
        + client_frame(CONTINUATION, b"l", fin=False)
        + client_frame(PONG, b"")
        + client_frame(CONTINUATION, b"o")
    )
    assert decoded(said) == [(PING, b"there?"), (PONG, b""), (TEXT, b"Hello")]


def test_text_may_be_cut_in_the_middle_of_a_character() -> None:
    euro = "€".encode()
    said = client_frame(TEXT, euro[:1], fin=False) + client_frame(CONTINUATION, euro[1:])
    for cut in range(len(said)):
        assert decoded(said, cuts=[cut]) == [(TEXT, euro)]


def test_what_was_sound_comes_out_before_the_error() -> None:
    messages = Decoder(LIMIT).feed(client_frame(TEXT, b"good") + b"\xff\xff")
    assert next(messages) == (TEXT, b"good")
    with pytest.raises(FrameError):
        next(messages)


def test_a_decoder_holds_nothing_between_messages() -> None:
    decoder = Decoder(LIMIT)
    said = client_frame(TEXT, b"a" * 1000)
    assert list(decoder.feed(said[:500])) == []
    assert not decoder.idle
    assert list(decoder.feed(said[500:])) == [(TEXT, b"a" * 1000)]
    assert decoder.idle


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (b"\x81\x01a", "unmasked"),
        (client_frame(TEXT | 0x40, b"a"), "a reserved bit"),
        (client_frame(TEXT | 0x10, b"a"), "a reserved bit"),
        (client_frame(3, b""), "a reserved opcode"),
        (client_frame(7, b""), "a reserved opcode"),
        (client_frame(0xB, b""), "a reserved control opcode"),
        (client_frame(PING, b"", fin=False), "a fragmented ping"),
        (client_frame(PING, b"a" * 126), "a long ping"),
        (client_frame(CONTINUATION, b"a"), "a continuation of nothing"),
        (client_frame(TEXT, b"a", fin=False) + client_frame(TEXT, b"b"), "a message within a message"),
        (client_frame(CLOSE, b"\x03"), "half a close code"),
        (client_frame(CLOSE, struct.pack("!H", 999)), "a close code too small"),
        (client_frame(CLOSE, struct.pack("!H", 1005)), "a close code not to be sent"),
        (client_frame(CLOSE, struct.pack("!H", 1006)), "a close code not to be sent"),
        (client_frame(CLOSE, struct.pack("!H", 2999)), "a reserved close code"),
        (client_frame(CLOSE, struct.pack("!H", 5000)), "a close code too great"),
        (struct.pack("!BBH", 0x81, 0x80 | 126, 125) + MASK, "a length in too many bytes"),
        (struct.pack("!BBQ", 0x81, 0x80 | 127, 65_535) + MASK, "a length in too many bytes"),
        (struct.pack("!BBQ", 0x81, 0x80 | 127, 1 << 63) + MASK, "a length with its top bit set"),
    ],
)
def test_what_is_no_client_frame_is_1002(said: bytes, what: str) -> None:
    assert code_of(said) == 1002, what


@pytest.mark.parametrize(
    "said",
    [
        client_frame(TEXT, b"\xff"),
        client_frame(TEXT, "€".encode()[:2]),
        client_frame(TEXT, b"\xed\xa0\x80"),
        client_frame(TEXT, "€".encode()[:1], fin=False) + client_frame(CONTINUATION, b"a"),
        client_frame(CLOSE, b"\x03\xe8\xff"),
    ],
)
def test_text_that_is_not_utf_8_is_1007(said: bytes) -> None:
    assert code_of(said) == 1007


def test_a_message_at_the_limit_passes_and_one_above_it_is_1009() -> None:
    assert decoded(client_frame(TEXT, b"a" * 100), limit=100) == [(TEXT, b"a" * 100)]
    assert code_of(client_frame(TEXT, b"a" * 101), limit=100) == 1009


def test_a_message_too_big_is_refused_by_its_header_alone() -> None:
    assert code_of(struct.pack("!BBQ", 0x82, 0x80 | 127, 1 << 40), limit=100) == 1009
    assert code_of(client_frame(TEXT, b"a" * 60, fin=False) + bytes((0x80, 0x80 | 41)), limit=100) == 1009


def test_control_frames_do_not_count_towards_the_limit() -> None:
    assert decoded(client_frame(PING, b"a" * 125), limit=1) == [(PING, b"a" * 125)]


def test_a_close_frame_says_code_and_reason() -> None:
    assert close_frame(1000) == b"\x88\x02\x03\xe8"
    assert close_frame(4400, "no") == b"\x88\x04\x11\x30no"
    assert close_frame(1005) == b"\x88\x00"
    assert closing(b"") == (1005, "")
    assert closing(b"\x11\x30no") == (4400, "no")


@given(st.text())
def test_a_reason_is_cut_at_a_character(reason: str) -> None:
    code, kept = closing(close_frame(1000, reason)[2:])
    assert code == 1000
    assert reason.startswith(kept)
    assert kept == reason or len(kept.encode()) > 119


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000])
def test_a_close_code_that_must_not_be_sent_is_an_error_of_the_caller(code: int) -> None:
    with pytest.raises(ValueError, match="is no close code"):
        close_frame(code)


def test_a_long_control_frame_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at most 125"):
        frame(PING, b"a" * 126)
