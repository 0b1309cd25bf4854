"""The documents of the watch: what its operations are called, their text, and the id by which servers know them.

A folder of *.graphql files comes in. Nothing is sent from here.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
PLACES: Final = "Places"
RECEIPT: Final = "Receipt"
_OPERATION: Final = re.compile(r"^(?:query|subscription|mutation) (\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """One operation: its name, the text of its document, and the document's id (docs/protocol.md)."""

    operation: str
    text: str
    id: str
    alone: bool  # whether the document has no other operation, so that its name need not be sent


def read_documents(folder: Path = FOLDER) -> Mapping[str, Document]:
    """Return the operations of a folder's documents, by name."""
    found: dict[str, Document] = {}
    for file in sorted(folder.glob("*.graphql")):
        text = file.read_bytes().rstrip(b"\n").decode()
        id = hashlib.sha256(text.encode()).hexdigest()
        names = _OPERATION.findall(text)
        found |= {name: Document(name, text, id, len(names) == 1) for name in names}
    return found
