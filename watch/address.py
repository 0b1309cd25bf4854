"""Where the server is: from the URL that a person types to the URLs of its endpoints.

Plain strings cross this module. It never opens a connection and never looks a name up.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

_SECURE = {"http": False, "https": True, "ws": False, "wss": True}
_GRAPHQL = "/graphql"


class AddressError(ValueError):
    """Raised when a URL names no server that could be watched; the message says the form expected."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server's endpoints."""

    socket: str
    graphql: str
    authorization: str
    token: str

    @property
    def server(self) -> str:
        """The server itself, in the form by which two spellings of it are the same."""
        return self.graphql.removesuffix(_GRAPHQL)


def read_address(url: str) -> Address:
    """Return the endpoints behind `url`.

    `http://127.0.0.1:8000`, `ws://127.0.0.1:8000` and `http://127.0.0.1:8000/graphql` mean the same.
    Raises AddressError for another scheme, a missing host or a port outside 1..65535.
    """
    expected = f"{url!r} is no server address; expected a form like http://127.0.0.1:8000"
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise AddressError(expected) from error
    secure = _SECURE.get(parts.scheme)
    if secure is None or not parts.hostname or port == 0:
        raise AddressError(expected)
    base = parts.path.rstrip("/").removesuffix(_GRAPHQL).rstrip("/")
    http, socket = ("https", "wss") if secure else ("http", "ws")

    def endpoint(scheme: str, path: str) -> str:
        return urlunsplit((scheme, parts.netloc, base + path, parts.query, ""))

    return Address(
        socket=endpoint(socket, _GRAPHQL),
        graphql=endpoint(http, _GRAPHQL),
        authorization=endpoint(http, "/oauth/device_authorization"),
        token=endpoint(http, "/oauth/token"),
    )


def is_loopback(url: str) -> bool:
    """Tell whether `url` names this very machine, which no proxy stands before."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
