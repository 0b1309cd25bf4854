"""Open files: as many as the server lets connections in, as far as the system allows."""

import resource
from typing import Final

import structlog

log = structlog.get_logger(__name__)

OTHERS: Final = 200
"""Files beside connections: NATS, the listener, what is served, logs."""


def allow_files(connections: int) -> None:
    """Raise the number of files that this process may open to that of its connections; warn where it stays below."""
    wanted = connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning("fewer files may be open than connections are let in", files=allowed, max_connections=connections)
