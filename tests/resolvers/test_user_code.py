"""User codes: as they are shown, and however they are typed."""

import pytest

from bus.identifiers import is_id
from resolvers.user_code import ALPHABET, find_key, make_key, show


def test_a_code_is_shown_in_two_halves_of_letters_that_make_no_words() -> None:
    assert len(set(ALPHABET)) == 20
    assert set(ALPHABET).isdisjoint("AEIOUY0123456789")
    assert show("bcdfghjk") == "BCDF-GHJK"


def test_a_new_code_is_an_identifier_that_is_found_again_as_it_is_shown() -> None:
    keys = {make_key() for _ in range(200)}
    assert len(keys) == 200
    assert all(is_id(key) and find_key(show(key)) == key for key in keys)


@pytest.mark.parametrize("typed", ["BCDF-GHJK", "bcdfghjk", "bcdf ghjk", " BcDf - gHjK ", "b-c-d-f-g-h-j-k"])
def test_a_code_is_found_in_any_case_with_hyphens_and_spaces_or_without(typed: str) -> None:
    assert find_key(typed) == "bcdfghjk"


@pytest.mark.parametrize(
    "typed",
    ["", "-", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-FGHJ", "BCDF_GHJK", "BCDF-GHJ1", "bcdf*ghj", "ßCDF-GHJK", "-" * 40],
)
def test_what_can_be_no_code_is_none(typed: str) -> None:
    assert find_key(typed) is None
