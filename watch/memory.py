"""What outlives a run: the last state of what was watched, so that it is there, with its age, when the server is not.

Targets and what was heard of them cross this module. It keeps one file of a bounded size in the user's state,
readable by its owner alone; of a server it keeps a digest of its address, and never a token.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import platformdirs

from watch.events import Kept, Kind, Screen, Target
from watch.private import write_private
from watch.state import Known

MOST_TARGETS: Final = 16
MOST_BYTES: Final = 256 * 1024
_SHOWN: Final = (Screen.GLANCE, Screen.TODAY, Screen.HOURS)


class Memory:
    """The file `last.json` of a folder; by default the user's state of Commonwatt. What cannot be read is not there."""

    def __init__(self, folder: Path | None = None) -> None:
        self.file = (folder or Path(platformdirs.user_state_dir("commonwatt", appauthor=False))) / "last.json"

    def last(self, server: str) -> Target | None:
        """Return what was watched last on a server."""
        return next((target for where, target, _ in self._entries() if where == _digest(server)), None)

    def find(self, server: str, target: Target) -> Mapping[Screen, Kept]:
        """Return by screen what was heard last of a target."""
        for where, known, kept in self._entries():
            if (where, known) == (_digest(server), target):
                return {screen: one for screen in _SHOWN if (one := _kept(kept.get(screen))) is not None}
        return {}

    def keep(self, server: str, target: Target, readings: Mapping[Screen, Known]) -> None:
        """Store what was heard last of a target, before all others, the oldest of which give way; raises OSError."""
        kept: Mapping[str, Any] = {
            screen: {"data": known.data, "heard": known.wall, "age": known.age, "etag": known.etag}
            for screen, known in readings.items()
        }
        entries = [(_digest(server), target, kept)]
        entries += [entry for entry in self._entries() if entry[:2] != entries[0][:2]]
        shown = [
            json.dumps({"server": where, "kind": one.kind, "id": one.id, "kept": all_kept}, separators=(",", ":"))
            for where, one, all_kept in entries[:MOST_TARGETS]
        ]
        while shown and sum(len(entry.encode()) + 1 for entry in shown) > MOST_BYTES:
            shown.pop()
        write_private(self.file, f"[{','.join(shown)}]\n")

    def _entries(self) -> Iterator[tuple[str, Target, Mapping[str, Any]]]:
        try:
            with self.file.open("rb") as file:
                found = json.loads(file.read(2 * MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return
        for entry in found[:MOST_TARGETS] if isinstance(found, list) else []:
            match entry:
                case {"server": str(where), "kind": "home" | "community" as kind, "id": str(id), "kept": dict(kept)}:
                    yield where, Target(cast(Kind, kind), id), kept


def _kept(one: object) -> Kept | None:
    match one:
        case {"data": dict(data), "heard": int(heard), "age": int(age), "etag": str() | None as etag}:
            return Kept(data, heard, age, etag)
    return None


def _digest(server: str) -> str:
    return hashlib.sha256(server.encode()).hexdigest()[:32]
