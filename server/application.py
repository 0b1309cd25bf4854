"""Applications: what an ASGI application on a connection is told, and what it may say.

Events go both ways, by ASGI's `receive` and `send`. Frames, and when a connection ends, are known elsewhere.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, TypeAlias, cast

from uvicorn.protocols.utils import ClientDisconnected, get_client_addr, get_path_with_query_string

from server.connection import CONNECTING, OPEN, Connection
from server.frames import ABNORMAL, BINARY, NORMAL, TEXT, frame
from server.handshake import Headers

_MAX_EARLY_BYTES: Final = 65_536  # of frames that a client sends before it has its answer, which it must not

Event: TypeAlias = dict[str, Any]
App: TypeAlias = Callable[[Event, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Any]


class Application:
    """An ASGI application on one connection, from the handshake until it ends or gives the connection away.

    Messages wait in a queue; from `max_queue` on the socket is not read until the queue is empty, so that it
    holds at most that and what one read brought.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_denial",
        "_early",
        "_greeted",
        "_key",
        "_max_queue",
        "_queue",
        "_said_last",
        "_scope",
        "disconnect",
        "held",
        "writable",
    )

    def __init__(self, connection: Connection, scope: Event, key: bytes, max_queue: int) -> None:
        self._connection: Connection | None = connection
        self._scope = scope
        self._key = key
        self._max_queue = max_queue
        self._queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()  # None: the end
        self._early = b""
        self._greeted = False
        self._said_last = False
        self._denial: tuple[int, Headers] | None = None
        self._body = b""
        self.disconnect: Event | None = None
        self.held = False
        self.writable = asyncio.Event()
        self.writable.set()

    async def run(self, app: App) -> None:
        """Run the application to its end."""
        connection = self._the_connection()
        failed = True
        try:
            await app(self._scope, self.receive, self.send)
            failed = False
        except ClientDisconnected:
            failed = False
        except Exception:
            connection.logger.exception("Exception in ASGI application\n")
        finally:
            connection.returned(failed=failed)
            self._connection = None

    def keep_early(self, data: bytes) -> bool:
        """Keep frames until the connection is accepted; false when there are too many."""
        self._early += data
        return len(self._early) <= _MAX_EARLY_BYTES

    def put(self, opcode: int, payload: bytes) -> bool:
        """Take a message; false when reading should pause."""
        self._queue.put_nowait((opcode, payload))
        if self._queue.qsize() >= self._max_queue:
            self.held = True
        return not self.held

    def end(self, code: int, reason: str) -> None:
        """Queue the end, the first time."""
        if self.disconnect is None:
            self.disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._queue.put_nowait(None)
            if self.held:
                self._read_on()

    def give_up(self) -> Iterable[tuple[int, bytes]]:
        """Return the messages that wait, and serve no more."""
        waiting = []
        while not self._queue.empty():
            message = self._queue.get_nowait()
            if message is not None:
                waiting.append(message)
        if self.held:
            self._read_on()
        self._connection = None
        return waiting

    def _the_connection(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("the connection was given to a session, or the application ended")
        return self._connection

    def _read_on(self) -> None:
        self.held = False
        self._the_connection().read_on()

    async def receive(self) -> Event:
        """Return the next ASGI event; after the disconnect, that again."""
        self._the_connection()
        if not self._greeted:
            self._greeted = True
            return {"type": "websocket.connect"}
        if self.disconnect is not None and self._queue.empty():
            return self.disconnect
        message = await self._queue.get()
        if self.held and self._queue.empty():
            self._read_on()
        if message is None:
            assert self.disconnect is not None
            return self.disconnect
        opcode, payload = message
        if opcode == TEXT:
            return {"type": "websocket.receive", "text": payload.decode()}
        return {"type": "websocket.receive", "bytes": payload}

    async def send(self, message: Event) -> None:
        """Do what an ASGI event says; wait while the write buffer is above its high-water mark.

        Raises ClientDisconnected when the connection is over, RuntimeError for an event out of turn.
        """
        connection = self._the_connection()
        await self.writable.wait()
        kind = message["type"]
        if self._said_last:
            raise RuntimeError(f"Unexpected ASGI message '{kind}', after the last one.")
        if self._denial is not None:
            self._deny(kind, message)
        elif connection.state == CONNECTING:
            self._respond(kind, message)
        elif connection.state != OPEN:
            raise ClientDisconnected
        elif kind == "websocket.send":
            data, text = message.get("bytes"), message.get("text")
            if data is not None:
                connection.write(frame(BINARY, bytes(data)))
            elif text is not None:
                connection.write(frame(TEXT, text.encode()))
        elif kind == "websocket.close":
            connection.close(message.get("code") or NORMAL, message.get("reason") or "")
            self._said_last = True
        else:
            raise RuntimeError(f"Expected 'websocket.send' or 'websocket.close', but got '{kind}'.")

    def _respond(self, kind: str, message: Event) -> None:
        connection = self._the_connection()
        if kind == "websocket.accept":
            early, self._early = self._early, b""
            connection.accept(self._key, message.get("subprotocol"), list(message.get("headers") or []), early)
            self._log("[accepted]")
        elif kind == "websocket.close":
            connection.answer(HTTPStatus.FORBIDDEN, [], b"")
            self._said_last = True
            self.end(ABNORMAL, "")
            self._log("403")
        elif kind == "websocket.http.response.start":
            status = message["status"]
            if not 200 <= status < 600:
                raise RuntimeError(f"Invalid HTTP status code '{status}' in response.")
            self._denial = status, list(message.get("headers") or [])
            self._log(str(status))
        else:
            raise RuntimeError(
                f"Expected 'websocket.accept', 'websocket.close' or 'websocket.http.response.start', but got '{kind}'."
            )

    def _deny(self, kind: str, message: Event) -> None:
        if kind != "websocket.http.response.body":
            raise RuntimeError(f"Expected 'websocket.http.response.body', but got '{kind}'.")
        assert self._denial is not None
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            connection = self._the_connection()
            if connection.state != CONNECTING:
                raise ClientDisconnected
            connection.answer(*self._denial, self._body)
            self._said_last = True
            self.end(ABNORMAL, "")

    def _log(self, what: str) -> None:
        logger = self._the_connection().logger
        if logger.isEnabledFor(logging.INFO):
            scope = cast(Any, self._scope)
            logger.info('%s - "WebSocket %s" %s', get_client_addr(scope), get_path_with_query_string(scope), what)
