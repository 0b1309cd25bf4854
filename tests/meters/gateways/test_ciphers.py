"""Encrypted telegrams: read with the right keys, refused with any other, and never read wrongly."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from dsmr_parser.parsers import TelegramParser  # type: ignore[import-untyped]  # it has no types
from dsmr_parser.telegram_specifications import LUXEMBOURG_SMARTY, MSN  # type: ignore[import-untyped]
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from meters.errors import OptionError
from meters.gateways.ciphers import Ciphers, Keys, load_keys, opened
from meters.gateways.source import MOST_RAW, Given, RefusedError
from meters.gateways.sources import source
from tests.meters.gateways.telegrams import signed, telegram, written

OWN = bytes.fromhex("aaaabbbbccccdddd1111222233334444")
KEYS = Keys(OWN)
SMARTY = signed(
    b"/Lux5\\253663629_D\r\n\r\n1-3:0.2.8(42)\r\n0-0:1.0.0(200103112024W)\r\n"
    b"0-0:42.0.0(53414731303330373030303132333435)\r\n1-0:1.8.0(002456.789*kWh)\r\n1-0:2.8.0(000012.345*kWh)\r\n"
    b"1-0:1.7.0(00.512*kW)\r\n1-0:2.7.0(00.000*kW)\r\n!"
)


def locked(plain: bytes, keys: Keys = KEYS, counter: int = 1) -> bytes:
    """Return a telegram as a meter encrypts it."""
    title, count = b"SAGgp\x00\x1b\x82", counter.to_bytes(4, "big")
    encryptor = Cipher(algorithms.AES(keys.own), modes.GCM(title + count)).encryptor()
    encryptor.authenticate_additional_data(b"\x30" + keys.authentication)
    text = encryptor.update(plain) + encryptor.finalize()
    body = b"\x30" + count + text + encryptor.tag[:12]
    return b"\xdb\x08" + title + b"\x82" + len(body).to_bytes(2, "big") + body


def key_file(folder: Path, text: str = OWN.hex()) -> Path:
    path = folder / "key"
    path.write_text(text)
    return path


async def read(folder: Path, stream: bytes, key: str = OWN.hex()) -> list[Given]:
    """Return what a file of encrypted telegrams becomes."""
    spec = f"p1:file:{written(folder, stream)}?key={key_file(folder, key)}"
    return [one async for one in source(spec, now=lambda: datetime(2026, 11, 23, tzinfo=UTC)).read()]


async def test_telegrams_are_read_with_the_meters_key(tmp_path: Path) -> None:
    first, second = await read(tmp_path, locked(SMARTY) + locked(telegram("v5"), counter=2))

    assert first.reading is not None
    assert (first.reading.epoch, first.reading.import_wh) == ("SAG1030700012345", 2_456_789)
    assert second.reading is not None
    assert second.reading.import_wh == 6_825


async def test_a_second_key_is_the_one_that_vouches(tmp_path: Path) -> None:
    keys = Keys(OWN, bytes(range(16)))
    (one,) = await read(tmp_path, locked(SMARTY, keys), f"{OWN.hex()}\n{bytes(range(16)).hex()}\n")

    assert one.reading is not None


async def test_another_key_opens_nothing(tmp_path: Path) -> None:
    (one,) = await read(tmp_path, locked(SMARTY), "00" * 16)

    assert one.refusal is not None
    assert one.refusal.reason == "encrypted"


async def test_a_meter_that_does_not_encrypt_is_told(tmp_path: Path) -> None:
    one, *_ = await read(tmp_path, telegram("v5") * 3)

    assert one.refusal is not None
    assert one.refusal.detail.endswith("the meter does not encrypt: leave the key out")


async def test_what_is_between_telegrams_and_what_is_cut_harms_no_other(tmp_path: Path) -> None:
    stream = locked(SMARTY)[100:] + locked(SMARTY) + b"garbage\xdb\x08more" + locked(SMARTY) + locked(SMARTY)[:200]
    given = await read(tmp_path, stream)

    assert [one.refusal.reason if one.refusal else "read" for one in given] == ["read", "garbage", "read", "cut"]


def test_dsmr_parser_opens_it_too() -> None:
    """What is taken for a meter's way of encrypting here is what others take for it."""
    theirs = TelegramParser(MSN).parse(locked(SMARTY).hex(), OWN.hex())
    plain = TelegramParser(LUXEMBOURG_SMARTY).parse(opened(locked(SMARTY), KEYS).decode())

    assert theirs.ELECTRICITY_IMPORTED_TOTAL.value == plain.ELECTRICITY_IMPORTED_TOTAL.value


@settings(max_examples=200, deadline=None, derandomize=True)
@examples(st.data(), st.integers(1, 400))
def test_no_harmed_telegram_is_opened(data: st.DataObject, step: int) -> None:
    whole = locked(SMARTY)
    stream = bytearray(whole + whole)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(stream) - 1))
        if data.draw(st.booleans()):
            stream[place] ^= 1 << data.draw(st.integers(0, 7))
        else:
            del stream[place : place + data.draw(st.integers(1, 50))]
    ciphers = Ciphers()
    pieces = [piece for at in range(0, len(stream), step) for piece in ciphers.feed(bytes(stream[at : at + step]))]
    for piece in (*pieces, *ciphers.end()):
        assert len(piece) <= MOST_RAW
        with suppress(RefusedError):
            assert opened(piece, KEYS) == SMARTY


@pytest.mark.parametrize("text", ["", "abc", "zz" * 16, OWN.hex()[2:], "\n".join([OWN.hex()] * 3), "\xe9"])
def test_a_file_without_a_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(OptionError, match="expected 32 hexadecimal digits") as caught:
        load_keys(key_file(tmp_path, text))
    assert not text or text not in str(caught.value).replace(str(tmp_path), "")


def test_a_key_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"key file .*: No such file or directory"):
        source(f"p1:tcp:10.0.0.5:2001?key={tmp_path / 'key'}")


def test_the_key_is_no_part_of_the_lines_name(tmp_path: Path) -> None:
    key = key_file(tmp_path)

    assert source(f"p1:serial:/dev/ttyUSB0?key={key}&baud=9600").name == "p1:serial:/dev/ttyUSB0"
    assert source(f"p1:tcp:10.0.0.5:2001?key={key}").name == "p1:tcp:10.0.0.5:2001"
