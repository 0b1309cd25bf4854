"""The schema as text: what schema.graphql holds."""

from schema.build import build_schema


def print_sdl() -> str:
    """Return the SDL of the schema, ending with one newline."""
    return build_schema().as_str().rstrip("\n") + "\n"
