"""Files from a folder: hashed names are kept by clients for good, the others asked for each time."""

import os
import re
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_HASHED: Final = re.compile(r"-[A-Z0-9]{8}\.\w+$")


class Files(StaticFiles):
    """Serves a folder, which may be missing as long as nobody built it, with one content security policy."""

    def __init__(self, directory: Path, *, policy: str, html: bool = False) -> None:
        super().__init__(directory=directory, html=html, check_dir=False)
        self._policy = policy

    async def check_config(self) -> None:
        """Accept a folder that is not there: each file of it is then not found."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return the file, or 304, with the headers for caching and the policy."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        hashed = _HASHED.search(os.path.basename(full_path)) is not None
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        response.headers["Content-Security-Policy"] = self._policy
        return response
