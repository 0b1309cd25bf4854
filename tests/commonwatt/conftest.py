"""Process trees that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commonwatt.tree import Tree


@pytest.fixture
def grow(tmp_path: Path) -> Iterator[Callable[..., Tree]]:
    """Start `commonwatt up` with further options, in one data directory for the test."""
    trees: list[Tree] = []

    def start(*options: str) -> Tree:
        trees.append(Tree(tmp_path / "data", *options))
        return trees[-1]

    yield start
    for tree in trees:
        print(tree.log)  # which pytest shows where the test failed
        tree.remove()
