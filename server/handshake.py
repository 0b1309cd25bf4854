"""The opening handshake, as bytes only: an upgrade request becomes an ASGI scope, an answer becomes a response.

After RFC 6455, 4.2, without extensions. It neither writes nor decides whether to accept.
"""

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from server.headers import raw_security_headers

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = b"13"
_BAD_NAME: Final = re.compile(rb'[\x00-\x20\x7f-\xff()<>@,;:\\"/\[\]?={}]')
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

Headers: TypeAlias = list[tuple[bytes, bytes]]


class RequestError(Exception):
    """Raised when an upgrade request is not one; the text is for the client, with `status` and `headers`."""

    status: int = HTTPStatus.BAD_REQUEST
    headers: Iterable[tuple[bytes, bytes]] = ()


class VersionError(RequestError):
    """Raised when another version of the WebSocket protocol is asked for."""

    status = HTTPStatus.UPGRADE_REQUIRED
    headers = ((b"Sec-WebSocket-Version", _VERSION),)


class Request:
    """An upgrade request, as `read_request` finds it."""

    __slots__ = ("headers", "key", "rest", "url")

    def __init__(self) -> None:
        self.url = b""
        self.headers: Headers = []
        self.key = b""
        """What the client's key of the handshake is, in base64."""
        self.rest = b""
        """The frames that came with it, which they must not."""

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target from the parser."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header from the parser."""
        self.headers.append((name.lower(), value))

    def scope(self, transport: asyncio.Transport, config: Config, app_state: dict[str, Any]) -> dict[str, Any]:
        """Return the ASGI scope of the request; raise RequestError when its target is no URL."""
        try:
            url = httptools.parse_url(self.url)
            path = (url.path or b"/").decode("ascii")
            query = url.query or b""
            query.decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            raise RequestError("the target is no URL") from None
        root = config.root_path
        return {
            "type": "websocket",
            "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(transport) else "ws",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "root_path": root,
            "path": root + unquote(path),
            "raw_path": root.encode("ascii") + path.encode("ascii"),
            "query_string": query,
            "headers": self.headers,
            "subprotocols": self._listed(b"sec-websocket-protocol"),
            "state": app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }

    def check(self, method: bytes, version: str) -> None:
        """Find the key of a request that is as RFC 6455, 4.2.1, says; else raise RequestError."""
        if method != b"GET" or version != "1.1":
            raise RequestError("a WebSocket begins with GET and HTTP/1.1")
        if len(self._values(b"host")) != 1:
            raise RequestError("the header Host must be there once")
        if "websocket" not in (member.lower() for member in self._listed(b"upgrade")):
            raise RequestError("the header Upgrade must name websocket")
        if "upgrade" not in (member.lower() for member in self._listed(b"connection")):
            raise RequestError("the header Connection must name upgrade")
        if self._values(b"sec-websocket-version") != [_VERSION]:
            raise VersionError("only WebSocket version 13 is spoken here")
        keys = self._values(b"sec-websocket-key")
        try:
            (self.key,) = keys
            sound = len(base64.b64decode(self.key, validate=True)) == 16
        except (ValueError, binascii.Error):
            sound = False
        if not sound:
            raise RequestError("the header Sec-WebSocket-Key must be there once, with 16 bytes in base64")

    def _values(self, name: bytes) -> list[bytes]:
        return [value for known, value in self.headers if known == name]

    def _listed(self, name: bytes) -> list[str]:
        """Return the members of a header that is a list, over all its lines."""
        members = [member.strip() for value in self._values(name) for member in value.split(b",")]
        return [member.decode("latin-1") for member in members if member]


def read_request(data: bytes) -> Request:
    """Return the upgrade request, which `data` must hold whole; raise RequestError for anything else."""
    request = Request()
    parser = httptools.HttpRequestParser(request)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade as upgrade:
        request.rest = data[upgrade.args[0] :]
    except httptools.HttpParserError:
        raise RequestError("this is no HTTP request") from None
    else:
        raise RequestError("this is no whole upgrade request")
    request.check(parser.get_method(), parser.get_http_version())
    return request


def acceptance(key: bytes, subprotocol: str | None, defaults: Headers, headers: Headers) -> bytes:
    """Return the response that accepts a request with this key (RFC 6455, 4.2.2).

    Raises RuntimeError for what is no HTTP header.
    """
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    lines: Headers = [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", base64.b64encode(digest)),
    ]
    if subprotocol:
        lines.append((b"Sec-WebSocket-Protocol", subprotocol.encode("latin-1")))
    lines += defaults
    lines += headers
    return _head(HTTPStatus.SWITCHING_PROTOCOLS, lines)


def refusal(status: int, defaults: Headers, headers: Headers, body: bytes) -> bytes:
    """Return a plain response with security headers, after which the connection ends.

    A header given stands for its default. Raises RuntimeError for what is no HTTP header.
    """
    names = {name.lower() for name, _ in headers}
    defaults = [
        *defaults,
        (b"Date", formatdate(usegmt=True).encode()),
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Content-Length", str(len(body)).encode()),
        (b"Connection", b"close"),
        *raw_security_headers(),
    ]
    lines = list(headers)
    for name, value in defaults:
        if name.lower() not in names:
            names.add(name.lower())
            lines.append((name, value))
    return _head(status, lines) + body


def _head(status: int, headers: Headers) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {status} {phrase}".encode()]
    for name, value in headers:
        if not name or _BAD_NAME.search(name) or _BAD_VALUE.search(value):
            raise RuntimeError(f"{name!r}: {value!r} is no HTTP header")
        lines.append(name + b": " + value)
    return b"\r\n".join([*lines, b"", b""])
