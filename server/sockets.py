"""WebSockets at /graphql: who may open one, and what carries its session.

Where the server announces `commonwatt.direct`, the connection is taken over: its session is
called without a task in between. On any other ASGI server a loop and a queue do the same.
"""

import asyncio
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send
from strawberry.http.websocket_origin import is_same_origin, normalize_allowed_origins, normalize_origin

from server.session import SUBPROTOCOL, Desk, Session
from server.websocket import EXTENSION

NOT_ACCEPTABLE: Final = 4406
_QUEUE: Final = 64


class Sockets:
    """Accepts WebSockets and hands each to a session."""

    def __init__(self, desk: Desk, allowed_origins: tuple[str, ...]) -> None:
        self._desk = desk
        self._origins = normalize_allowed_origins(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one WebSocket scope."""
        await receive()  # websocket.connect
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"origin", b"host")}
        if not self._is_allowed(headers.get(b"origin"), headers.get(b"host")):
            await send({"type": "websocket.close", "code": 1008})  # before accept: HTTP 403
            return
        if SUBPROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": NOT_ACCEPTABLE, "reason": "Subprotocol not acceptable"})
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        extension = (scope.get("extensions") or {}).get(EXTENSION)
        if extension is not None:
            wire = extension["wire"]
            wire.set_limits(0, 0)  # paused as soon as the system does not take all: nothing piles up here
            wire.take_over(Session(wire, self._desk))
            return
        await self._relay(receive, send)

    def _is_allowed(self, origin: str | None, host: str | None) -> bool:
        """Browsers name the page's origin; other clients name none, and may open a socket."""
        if origin is None or "*" in self._origins or is_same_origin(origin, host):
            return True
        return normalize_origin(origin) in self._origins

    async def _relay(self, receive: Receive, send: Send) -> None:
        """Run a session over plain ASGI."""
        wire = _Relay(send)
        session = Session(wire, self._desk)
        wire.session = session
        writer = asyncio.ensure_future(wire.run())
        code = 1006
        try:
            while not wire.over:
                message: Message = await receive()
                if message["type"] == "websocket.disconnect":
                    code = message.get("code", 1005)
                    break
                text = message.get("text")
                if text is None:
                    wire.close(1003, "text messages only")
                else:
                    session.on_message(text.encode())
        finally:
            session.on_closed(code)
            wire.over = True
            writer.cancel()


class _Relay:
    """A wire over ASGI's send. It pauses while messages wait, so at most a few do."""

    def __init__(self, send: Send) -> None:
        self.paused = False
        self.over = False
        self.session: Session | None = None
        self._send = send
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_QUEUE)

    def write(self, frame: bytes) -> None:
        """Send whole text frames, in order."""
        while frame:
            length, start = frame[1], 2
            if length == 126:
                length, start = int.from_bytes(frame[2:4], "big"), 4
            elif length == 127:
                length, start = int.from_bytes(frame[2:10], "big"), 10
            self._put({"type": "websocket.send", "text": frame[start : start + length].decode()})
            frame = frame[start + length :]

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        self._put({"type": "websocket.close", "code": code, "reason": reason})

    def abort(self) -> None:
        """End the connection; ASGI knows no other way than to close it."""
        self.close(1011, "")

    async def run(self) -> None:
        """Send what was written, until cancelled."""
        while True:
            message = await self._queue.get()
            await self._send(message)
            if message["type"] == "websocket.close":
                self.over = True
                if self.session is not None:
                    self.session.on_closed(message["code"])
            elif self.paused and self._queue.empty():
                self.paused = False
                if self.session is not None:
                    self.session.on_drained()

    def _put(self, message: dict[str, Any]) -> None:
        if self.over:
            return
        if self._queue.full():
            self.over = True  # a client that makes work without reading the answers
            return
        self._queue.put_nowait(message)
        self.paused = message["type"] == "websocket.send"
