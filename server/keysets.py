"""The keys of an issuer of tokens, from a file or from its address, as they are now.

Issuers change their keys: a file is read again when it changed, an address is asked again every
10 minutes and when a token names a key that is not known. The last good keys stay until there
are better ones.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import structlog

from server.keys import MAX_SET_BYTES, Key, KeysError, parse_key_set

log = structlog.get_logger(__name__)

_EVERY_S: Final = 600.0
_PAUSE_S: Final = 10.0
_PATIENCE_S: Final = 5.0


class KeySet(Protocol):
    """The keys of an issuer."""

    @property
    def version(self) -> int:
        """A number that grows when the keys change."""

    def find(self, id: str | None) -> Key | None:
        """Return the key that a token names; where it names none, the only key that there is."""

    async def fetch(self) -> bool:
        """Get the keys once, where they are to be fetched; false where that brought none. Never raises."""

    async def follow(self) -> None:
        """Keep the keys current for as long as that takes work; never raises."""


class _Held:
    """The keys that hold now, and what they were read from."""

    def __init__(self) -> None:
        self.version = 0
        self._data = b""
        self._keys: dict[str, Key] = {}

    def take(self, data: bytes) -> None:
        """Take in a set; raise KeysError and keep what there was."""
        if data != self._data:
            self._keys = parse_key_set(data)
            self._data = data
            self.version += 1

    def find(self, id: str | None) -> Key | None:
        if id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(id)


class KeyFile:
    """Keys in a file, read when it is made and when the file changed. Raises KeysError when it is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = _Held()
        self._seen = _look(path)
        try:
            self._held.take(_read(path))
        except KeysError as error:
            raise KeysError(f"the keys of the issuer, {path}: {error}") from None

    @property
    def version(self) -> int:
        """A number that grows when the keys change."""
        self._read_again()
        return self._held.version

    def find(self, id: str | None) -> Key | None:
        """Return the key that a token names; where it names none, the only key that there is."""
        self._read_again()
        return self._held.find(id)

    async def fetch(self) -> bool:
        """Return true: whoever asks for a key sees to it."""
        return True

    async def follow(self) -> None:
        """Return: whoever asks for a key sees to it."""

    def _read_again(self) -> None:
        seen = _look(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._held.take(_read(self._path))
        except KeysError as error:
            log.warning("keys of the issuer not usable, those before stay", where=str(self._path), reason=str(error))


class KeyAddress:
    """Keys at an https address; none until `follow` has got them.

    It is asked at least every `every_s` seconds, at most every `pause_s`, and may take `patience_s`.
    """

    def __init__(
        self, url: str, *, every_s: float = _EVERY_S, pause_s: float = _PAUSE_S, patience_s: float = _PATIENCE_S
    ) -> None:
        self._url = url
        self._patience_s = patience_s
        self._every_s = every_s
        self._pause_s = pause_s
        self._held = _Held()
        self._wanted = asyncio.Event()

    @property
    def version(self) -> int:
        """A number that grows when the keys change."""
        return self._held.version

    def find(self, id: str | None) -> Key | None:
        """Return the key that a token names; where it names none, the only key that there is.

        One that is not known is looked for soon: the token that names it may be sent again.
        """
        key = self._held.find(id)
        if key is None and id is not None:
            self._wanted.set()
        return key

    async def follow(self) -> None:
        """Keep the keys current, for ever."""
        while True:
            self._wanted.clear()
            found = await self.fetch()
            await asyncio.sleep(self._pause_s)
            if found:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._wanted.wait()

    async def fetch(self) -> bool:
        """Ask once; false where that brought no usable keys. Never raises."""
        import aiohttp  # only where there is such an issuer

        try:
            self._held.take(await _get(self._url, self._patience_s))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeysError) as error:
            reason = str(error) or "no answer in time"
            log.warning("keys of the issuer not usable, those before stay", where=self._url, reason=reason)
            return False
        return True


def _look(path: Path) -> tuple[int, int, int] | None:
    """Return what differs when a file changed; None: it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_SET_BYTES + 1)
    except OSError as error:
        raise KeysError(f"not readable: {error.strerror}") from None


async def _get(url: str, patience_s: float) -> bytes:
    import aiohttp

    limits = aiohttp.ClientTimeout(total=patience_s)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with (
        aiohttp.ClientSession(
            timeout=limits, headers=headers, auto_decompress=False, trust_env=url.startswith("https:")
        ) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise KeysError(f"the answer has status {response.status}; expected 200, without a redirect")
        data = b""
        async for chunk in response.content.iter_chunked(8192):
            data += chunk
            if len(data) > MAX_SET_BYTES:
                break
        return data
