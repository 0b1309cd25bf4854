"""Holds a command line of `commonwatt` against the real one, without running it."""

import re
from collections.abc import Sequence
from typing import Any

import typer

from commonwatt.cli import app


def commands() -> dict[tuple[str, ...], Any]:
    """Return every command by its words: ("serve",), ("registry", "apply") and so on."""
    found: dict[tuple[str, ...], Any] = {}

    def visit(command: Any, words: tuple[str, ...]) -> None:
        below = getattr(command, "commands", None)
        if below is None:
            found[words] = command
            return
        for name, child in below.items():
            visit(child, (*words, name))

    visit(typer.main.get_command(app), ())
    return found


def understand(words: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that the words after `commonwatt` give to its command; fail where they do not parse.

    A folder that must exist need not: the one in the line stands for somebody's own.
    """
    line = " ".join(["commonwatt", *words])
    name = max((known for known in commands() if tuple(words[: len(known)]) == known), key=len, default=None)
    assert name is not None, f"{line}: no such command"
    arguments = list(words[len(name) :])
    while True:
        try:
            given: dict[str, Any] = commands()[name].make_context(" ".join(name), list(arguments)).params
            return given
        except Exception as error:
            absent = re.search(r"'([^']+)' does not exist", str(error))
            if absent is None or absent[1] not in arguments:
                raise AssertionError(f"{line}: {error}") from error
            arguments[arguments.index(absent[1])] = "."
