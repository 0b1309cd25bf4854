"""A stream of bytes becomes blocks, however it is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watch.blocks import Block, BlockError, Blocks

STREAM = (
    b':\n\nevent: next\ndata: {"a":1}\n\nretry: 700\n\n'
    b"id: 4\nevent:next\ndata:x\ndata: y\n\nevent: complete\ndata: \n\n"
)
MEANT = [Block(), Block("next", '{"a":1}'), Block(retry=700), Block("next", "x\ny"), Block("complete")]


@given(st.lists(st.integers(0, len(STREAM))))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    places = sorted({0, len(STREAM), *cuts})
    blocks = Blocks(1000)
    found: list[Block] = []
    for begin, end in pairwise(places):
        found += blocks.feed(STREAM[begin:end])
    assert found == MEANT


def test_windows_lines_are_lines_too_wherever_they_are_cut() -> None:
    stream = b"event: next\r\ndata: 1\r\n\r\n"
    for cut in range(len(stream)):
        blocks = Blocks(100)
        assert [*blocks.feed(stream[:cut]), *blocks.feed(stream[cut:])] == [Block("next", "1")]


def test_a_block_is_bounded_and_text() -> None:
    with pytest.raises(BlockError, match="over 10 bytes"):
        list(Blocks(10).feed(b"data: 12345"))
    with pytest.raises(BlockError, match="no UTF-8"):
        list(Blocks(10).feed(b"\xff\n\n"))


@pytest.mark.parametrize("retry", ["", "x", "-1", "²"])
def test_a_wait_that_is_no_number_is_none(retry: str) -> None:
    assert list(Blocks(100).feed(f"retry: {retry}\n\n".encode())) == [Block()]
