"""`commonwatt schema`: print the SDL, and see what a change of it breaks."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from commonwatt.running import MISCONFIGURED, say

contract = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Print the GraphQL schema, check it for breaking changes."
)


@contract.command(
    "print",
    help="Print the SDL of the schema.\n\n**Examples**\n\n    commonwatt schema print > schema/schema.graphql",
)
def print_schema() -> None:
    """Print the SDL."""
    from schema.printing import print_sdl

    sys.stdout.write(print_sdl())


@contract.command(
    "check",
    help=(
        "List what changed since an earlier SDL; exit code 1 where a change breaks clients.\n\n**Examples**\n\n"
        "    commonwatt schema check --against schema/schema.graphql"
    ),
)
def check(
    against: Annotated[Path, typer.Option(help="File with the earlier SDL.", metavar="FILE")],
) -> None:
    """Check the schema against an earlier SDL."""
    from graphql import GraphQLError

    from schema.contract import compare
    from schema.printing import print_sdl

    try:
        changes = compare(against.read_text(encoding="utf-8"), print_sdl())
    except (OSError, UnicodeDecodeError) as error:
        say(f"{against}: not readable: {error}")
        raise typer.Exit(MISCONFIGURED) from None
    except (GraphQLError, ValueError, TypeError) as error:
        say(f"{against}: not an SDL: {error}")
        raise typer.Exit(MISCONFIGURED) from None
    for kind, found in (
        ("breaking", changes.breaking),
        ("dangerous", changes.dangerous),
        ("safe", changes.safe),
    ):
        for change in found:
            sys.stdout.write(f"{kind}: {change}\n")
    if not (changes.breaking or changes.dangerous or changes.safe):
        sys.stdout.write("no changes\n")
    raise typer.Exit(1 if changes.breaking else 0)
