"""Where the server is: from the URL that a person types to the URL of the WebSocket.

Plain strings cross this module. It never opens a connection and never looks a name up.
"""

import ipaddress
from urllib.parse import urlsplit, urlunsplit

_SOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class AddressError(ValueError):
    """Raised when a URL names no server that could be watched; the message says the form expected."""


def socket_url(url: str) -> str:
    """Return the WebSocket URL of the GraphQL endpoint behind `url`.

    `http` becomes `ws`, `https` becomes `wss`, and `/graphql` is added to the path where it is missing, so
    that `http://127.0.0.1:8000` and `ws://127.0.0.1:8000/graphql` mean the same.
    Raises AddressError for another scheme, a missing host or a port outside 1..65535.
    """
    expected = f"{url!r} is no server address; expected a form like http://127.0.0.1:8000"
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise AddressError(expected) from error
    scheme = _SOCKET_SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname or port == 0:
        raise AddressError(expected)
    path = parts.path.rstrip("/")
    if not path.endswith("/graphql"):
        path += "/graphql"
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def is_loopback(url: str) -> bool:
    """Tell whether `url` names this very machine, which no proxy stands before."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
