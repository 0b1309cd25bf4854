"""What is typed becomes keys, whatever a terminal sends for them."""

import pytest

from watch.keys import Key, read_keys


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"\x1b[C\x1b[D", [Key.NEXT, Key.PREVIOUS]),
        (b"\x1bOC\t\x1b[Z ", [Key.NEXT, Key.NEXT, Key.PREVIOUS, Key.NEXT]),
        (b"rapuq", [Key.RECEIPT, Key.AMBIENT, Key.PAIR, Key.LEAVE, Key.QUIT]),
        (b"\x1b[O\x1b[I", [Key.LOOKS_AWAY, Key.LOOKS]),
        (b"\x1b", [Key.OTHER]),
        (b"\x1b[15;2~q", [Key.OTHER, Key.QUIT]),
        (b"\x1b[1;5Cq", [Key.OTHER, Key.QUIT]),
        (b"\xc3\xa4", [Key.OTHER, Key.OTHER]),
        (b"", []),
    ],
)
def test_what_is_typed_means_keys(typed: bytes, keys: list[Key]) -> None:
    assert list(read_keys(typed)) == keys
