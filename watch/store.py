"""Where a paired watch keeps its token: one file in the user's configuration, readable by its owner alone.

Servers' addresses, tokens and homes cross this module. It asks no server, and tells nobody a token.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from watch.private import write_private


@dataclass(frozen=True, slots=True)
class Kept:
    """A pairing: the device's token, and the home that it shows."""

    token: str
    home: str


class Store:
    """The file `watch.json` of a folder; by default the user's configuration of Commonwatt."""

    def __init__(self, folder: Path | None = None) -> None:
        self.file = (folder or Path(platformdirs.user_config_dir("commonwatt", appauthor=False))) / "watch.json"

    def find(self, server: str) -> Kept | None:
        """Return the pairing with a server, None without one or where the file cannot be read."""
        found = self._read().get(server)
        if not isinstance(found, dict):
            return None
        token, home = found.get("token"), found.get("home")
        return Kept(token, home) if isinstance(token, str) and isinstance(home, str) else None

    def keep(self, server: str, token: str, home: str) -> None:
        """Store the pairing with a server in place of the one before; raises OSError."""
        self._write(self._read() | {server: {"token": token, "home": home}})

    def forget(self, server: str) -> None:
        """Remove the pairing with a server; raises OSError."""
        pairings = self._read()
        if pairings.pop(server, None) is not None:
            self._write(pairings)

    def _read(self) -> dict[str, Any]:
        try:
            pairings = json.loads(self.file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return pairings if isinstance(pairings, dict) else {}

    def _write(self, pairings: dict[str, Any]) -> None:
        write_private(self.file, json.dumps(pairings, indent=2))
