"""Limits of documents: values alone; schema.measure and schema.cost count what is held against them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """The most that a document may have. A settings' name is `max_` and the name here."""

    document_characters: int = 16_000
    document_tokens: int = 1_000
    """One that selects every field of the schema has less than 500."""
    depth: int = 16
    """Fields within fields; GraphiQL's introspection has 15."""
    aliases: int = 50
    root_fields: int = 20
    repeats: int = 50
    """Fields named again where the same one stands already: comparing them takes the square of their number."""
    directives: int = 50
    variables: int = 50
    document_operations: int = 10
    cost: int = 50_000
    """The estimated number of fields in the answer; see schema.cost."""
