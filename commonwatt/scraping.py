"""A process's metrics on a port of their own, where Prometheus scrapes them."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from commonwatt.settings import SettingsError


@contextmanager
def scraped(registry: CollectorRegistry, host: str, port: int) -> Iterator[None]:
    """Answer on `/metrics` until the end; port 0: nowhere. Raises SettingsError where that cannot be."""
    if port == 0:
        yield
        return
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise SettingsError(
            f"metrics port {port} on {host}: {error.strerror}; choose another with --metrics-port"
        ) from None
    try:
        yield
    finally:
        server.shutdown()
