"""While NATS is awaited, the server's port answers already: alive, not ready.

A few lines of HTTP/1.1 for probes and for browsers that come early; the server proper takes the
port over when NATS is there.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from server.run import listen

_PATIENCE_S: Final = 5.0
_MAX_HEAD: Final = 16 * 1024


@asynccontextmanager
async def answering(host: str, port: int, *, shared: bool = False) -> AsyncIterator[None]:
    """Answer 200 to /health and 503 to all else while inside. Raises ListenError.

    Port 0, any free one, is left alone: nobody can know it yet.
    """
    if port == 0:
        yield
        return
    server = await asyncio.start_server(_answer, sock=listen(host, port, shared=shared), limit=_MAX_HEAD)
    try:
        yield
    finally:
        server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(_response(head))
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()


def _response(head: bytes) -> bytes:
    """Return the whole response to a request with this head."""
    path = head.split(b" ", 2)[1].partition(b"?")[0] if head.count(b" ") >= 2 else b""
    status, body = "503 Service Unavailable", "waiting for NATS\n"
    kind = "text/plain; charset=utf-8"
    if path == b"/health":
        status, body, kind = "200 OK", json.dumps({"status": "ok"}), "application/json"
    elif path == b"/ready":
        conditions = {"nats": False, "registry": False, "frames": True}
        reasons = ["NATS is not connected", "the registry is not read yet"]
        body = json.dumps({"ready": False, "conditions": conditions, "reasons": reasons})
        kind = "application/json"
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Retry-After: 1",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n" + ("" if head.startswith(b"HEAD ") else body)).encode("ascii")
