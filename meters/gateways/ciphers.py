"""Encrypted P1 telegrams, as in Luxembourg and Austria: where they begin and end, and how a key opens them.

A telegram comes as a DLMS general-global-cipher: db, the system title with its length, 82 and the length of what
follows, the security byte, a counter of four bytes, the telegram under AES-128-GCM, and a tag of twelve bytes
(Luxembourg's P1 specification 1.1.3, 3.2.5).
"""

from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from meters.errors import OptionError
from meters.gateways.pieces import Pieces
from meters.gateways.source import MOST_RAW, RefusedError

_BEGIN: Final = b"\xdb\x08"
_TITLE: Final = slice(2, 10)
_LENGTH: Final = slice(11, 13)
_BODY: Final = 13
_COUNTER: Final = slice(14, 18)
_TEXT: Final = 18
_TAG: Final = 12
_KEY: Final = 16
_MOST_FILE: Final = 1024


class Keys(NamedTuple):
    """What opens a meter's telegrams: its own key, and the one that vouches for them."""

    own: bytes
    authentication: bytes = bytes.fromhex("00112233445566778899aabbccddeeff")
    """In Luxembourg it is the same for all, and no secret."""


class Ciphers(Pieces):
    """Cuts a stream into encrypted telegrams, by the length that they say."""

    _MARK = len(_BEGIN)

    def _begin(self) -> int:
        begin = self._held.find(_BEGIN)
        while 0 <= begin < len(self._held) - _BODY and not self._is_head(begin):
            begin = self._held.find(_BEGIN, begin + 1)
        return begin

    def _is_head(self, begin: int) -> bool:
        """Return whether what looks like a beginning goes on like one, and is no longer than a telegram."""
        size = int.from_bytes(self._held[begin + _LENGTH.start : begin + _LENGTH.stop], "big")
        return self._held[begin + 10] == 0x82 and _TEXT - _BODY + _TAG < size <= MOST_RAW - _BODY

    def _size(self) -> int:
        if len(self._held) <= _BODY:
            return 0
        size = _BODY + int.from_bytes(self._held[_LENGTH], "big")
        if len(self._held) < size:
            return 0
        self._forgiven = 0
        return size


def load_keys(path: Path) -> Keys:
    """Return the keys in a file: 32 hexadecimal digits and, on a second line, 32 more where the operator gives two.

    Raises OptionError, which never shows what is in the file.
    """
    try:
        with path.open("rb") as file:
            words = file.read(_MOST_FILE).decode("ascii").split()
        keys = [bytes.fromhex(word) for word in words]
    except OSError as error:
        raise OptionError(f"key file {path}: {error.strerror}") from None
    except ValueError:
        keys = []
    if not 1 <= len(keys) <= 2 or any(len(key) != _KEY for key in keys):
        raise OptionError(f"key file {path}: expected 32 hexadecimal digits, and at most one more such line")
    return Keys(*keys)


def opened(raw: bytes, keys: Keys) -> bytes:
    """Return the telegram in an encrypted one; raise RefusedError where it is none, or the key is not its own."""
    if not raw.startswith(_BEGIN):
        what = "the meter does not encrypt: leave the key out" if b"/" in raw else "is the speed right?"
        raise RefusedError("garbage", f"{len(raw)} bytes that belong to no encrypted telegram; {what}")
    if len(raw) < _BODY + 1 or len(raw) < _BODY + int.from_bytes(raw[_LENGTH], "big"):
        raise RefusedError("cut", f"the encrypted telegram ends after {len(raw)} bytes")
    gcm = modes.GCM(raw[_TITLE] + raw[_COUNTER], raw[-_TAG:], min_tag_length=_TAG)
    decryptor = Cipher(algorithms.AES(keys.own), gcm).decryptor()
    decryptor.authenticate_additional_data(raw[_BODY : _BODY + 1] + keys.authentication)
    try:
        return decryptor.update(raw[_TEXT:-_TAG]) + decryptor.finalize()
    except InvalidTag:
        raise RefusedError("encrypted", "the key does not open it: another meter's, or harmed on the way") from None
