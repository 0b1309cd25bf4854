"""Files that are their owner's alone: written whole or not at all, readable by nobody else."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_private(file: Path, text: str) -> None:
    """Put `text` in place of what a file holds, and make the folders above it; raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}-")  # only its owner can read it
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            new.write(text)
        os.replace(name, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
