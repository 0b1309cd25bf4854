"""WebSockets at /graphql: who may open one, and what carries its session.

Where the server announces `commonwatt.direct`, the connection is taken over: its session is
called without a task in between. On any other ASGI server a loop and a queue do the same.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from starlette.types import Message, Receive, Scope, Send
from strawberry.http.websocket_origin import is_same_origin, normalize_allowed_origins, normalize_origin

from schema.build import make_reference
from server.census import Census, FullError, Place
from server.codes import Close
from server.desk import Desk
from server.frames import ABNORMAL, NO_CODE, UNSUPPORTED
from server.gate import EXTENSION as PLACE
from server.session import SUBPROTOCOL, Session
from server.websocket import EXTENSION

log = structlog.get_logger(__name__)

NOT_ACCEPTABLE: Final = 4406
_READ: Final = (b"origin", b"host", b"authorization")
_QUEUE: Final = 256
_CLOSE_TIMEOUT_S: Final = 10.0
_MAX_REASON_BYTES: Final = 123


class Sockets:
    """Accepts WebSockets and hands each to a session.

    `census` counts those whose server does not; those of a proxy count for the address that it tells.
    """

    def __init__(self, desk: Desk, allowed_origins: tuple[str, ...], census: Census | None = None) -> None:
        self._desk = desk
        self._census = census
        self._origins = normalize_allowed_origins(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one WebSocket scope."""
        await receive()  # websocket.connect
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _READ}
        if not self._is_allowed(headers.get(b"origin"), headers.get(b"host")):
            await send({"type": "websocket.close", "code": 1008})  # before accept: HTTP 403
            return
        if SUBPROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": NOT_ACCEPTABLE, "reason": "Subprotocol not acceptable"})
            return
        extensions = scope.get("extensions") or {}
        wire: Any = extensions[EXTENSION]["wire"] if EXTENSION in extensions else None
        client = scope.get("client")
        host = client[0] if client else None
        place: Place | None = extensions.get(PLACE)
        try:
            if place is not None:
                place.name_address(host)
            elif wire is None and self._census is not None:
                place = self._census.enter(host)
        except FullError as error:
            await _decline(error, extensions, send)
            return
        try:
            await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
            if wire is None:
                await self._relay(receive, send, headers.get(b"authorization"), place)
                return
        finally:
            if wire is None and place is not None:
                place.leave()
        wire.set_limits(0, 0)  # paused as soon as the system does not take all: nothing piles up here
        wire.take_over(Session(wire, self._desk, headers.get(b"authorization"), place))

    def _is_allowed(self, origin: str | None, host: str | None) -> bool:
        """Browsers name the page's origin; other clients name none, and may open a socket."""
        if origin is None or "*" in self._origins or is_same_origin(origin, host):
            return True
        return normalize_origin(origin) in self._origins

    async def _relay(self, receive: Receive, send: Send, authorization: str | None, place: Place | None) -> None:
        """Run a session over plain ASGI."""
        wire = _Relay(send)
        session = Session(wire, self._desk, authorization, place)
        writer = asyncio.ensure_future(wire.run(session))
        reader = asyncio.ensure_future(_read(receive, wire, session))
        code = ABNORMAL
        ends: list[asyncio.Future[Any]] = [reader, writer, wire.aborted]
        try:
            ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if reader in ended:
                code = reader.result()
        finally:
            session.on_closed(code)
            wire.end()
            for task in (reader, writer):
                task.cancel()
            await asyncio.wait([reader, writer])
            for task in (reader, writer):
                if not task.cancelled() and task.exception() is not None:
                    log.info("connection lost", reason=str(task.exception()))


async def _decline(error: FullError, extensions: dict[str, Any], send: Send) -> None:
    """Refuse a WebSocket: by an answer to its request where the server can, else by closing it."""
    if "websocket.http.response" in extensions:
        await error.refusal.send(send, "websocket.http")
    else:
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        await send({"type": "websocket.close", "code": Close.TRY_AGAIN_LATER, "reason": str(error)})


async def _read(receive: Receive, wire: "_Relay", session: Session) -> int:
    """Hand messages to the session until the connection is over; return the close code."""
    while True:
        message: Message = await receive()
        if message["type"] == "websocket.disconnect":
            return int(message.get("code") or NO_CODE)
        text = message.get("text")
        if text is None:
            wire.close(UNSUPPORTED, "text messages only")
        elif not wire.over:
            wire.call(session.on_message, text.encode())


class _Relay:
    """A wire over ASGI's send. It pauses while messages wait, so at most a few do."""

    def __init__(self, send: Send) -> None:
        self.paused = False
        self.tally = None  # frames are the ASGI server's here: nobody counts them
        self.over = False
        """Nothing is written any more."""
        self.aborted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._send = send
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_QUEUE)
        self._timer: asyncio.TimerHandle | None = None

    def write(self, frame: bytes, messages: int = 1) -> None:
        """Send whole text frames, in order; `messages` is how many they are."""
        while frame:
            length, start = frame[1], 2
            if length == 126:
                length, start = int.from_bytes(frame[2:4], "big"), 4
            elif length == 127:
                length, start = int.from_bytes(frame[2:10], "big"), 10
            self._put({"type": "websocket.send", "text": frame[start : start + length].decode()})
            frame = frame[start + length :]

    def close(self, code: int, reason: str) -> None:
        """Close the connection after what is written; a peer that takes nothing gets `_CLOSE_TIMEOUT_S`."""
        fitting = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        self._put({"type": "websocket.close", "code": code, "reason": fitting})
        if not self.over:
            self.over = True
            self._timer = asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self.abort)

    def abort(self) -> None:
        """End the connection at once; the ASGI server drops it when the application returns."""
        self.over = True
        if not self.aborted.done():
            self.aborted.set_result(None)

    def end(self) -> None:
        """Let go of the timer."""
        self.over = True
        if self._timer is not None:
            self._timer.cancel()

    async def run(self, session: Session) -> None:
        """Send what is written, until the close."""
        while True:
            message = await self._queue.get()
            await self._send(message)
            if message["type"] == "websocket.close":
                return
            if self.paused and self._queue.empty():
                self.paused = False
                self.call(session.on_drained)

    def call(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Tell the session something; what it does not expect is logged, and closes the connection."""
        try:
            callback(*arguments)
        except Exception:
            reference = make_reference()
            log.exception("internal error", reference=reference)
            self.close(Close.INTERNAL_ERROR, f"internal error; quote the reference {reference}")

    def _put(self, message: dict[str, Any]) -> None:
        if self.over:
            return
        if self._queue.full():
            self.abort()  # a client that makes work without reading the answers
            return
        self._queue.put_nowait(message)
        self.paused = True
