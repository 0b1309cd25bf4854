"""User codes: what a device shows and a member types, `XXXX-XXXX` (RFC 8628, 6.1).

Eight of twenty letters: no vowels, so no words; none that looks like a digit. That is 34 bits, enough
where wrong guesses are counted.
"""

import secrets
from typing import Final

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
_LENGTH: Final = 8
_MOST_TYPED: Final = 32
_LETTERS: Final = frozenset(ALPHABET.lower())


def make_key() -> str:
    """Return the key of a new code: its letters in lower case, an identifier."""
    return "".join(secrets.choice(ALPHABET) for _ in range(_LENGTH)).lower()


def show(key: str) -> str:
    """Return the code as it is shown."""
    return f"{key[:4]}-{key[4:]}".upper()


def find_key(typed: str) -> str | None:
    """Return the key of a code however it was typed: in any case, with spaces and hyphens or without; None of none."""
    if len(typed) > _MOST_TYPED:
        return None
    letters = "".join(letter for letter in typed.lower() if letter not in "- ")
    return letters if len(letters) == _LENGTH and _LETTERS.issuperset(letters) else None
