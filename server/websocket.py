"""WebSocket connections for uvicorn: one small object each, and a short way to the socket.

`uvicorn.Config(ws=DirectWebSocketProtocol)` puts it in. An upgrade request comes in, an ASGI
application is run on it, and messages go both ways (RFC 6455; never compressed). Beyond ASGI, the scope
announces `commonwatt.direct`: its `wire` lets an application take a connection over, so that messages
come by a plain call, ready-made frames go straight to the socket, and neither a task nor a queue
remains. GraphQL is not known here.
"""

import asyncio
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from server.application import Application
from server.census import Place
from server.connection import CLOSING, CONNECTING, FLUSHING, OPEN
from server.frames import (
    ABNORMAL,
    BINARY,
    CLOSE,
    INTERNAL_ERROR,
    NORMAL,
    PING,
    PONG,
    RESTART,
    UNSUPPORTED,
    Decoder,
    FrameError,
    close_frame,
    closing,
    frame,
)
from server.gate import EXTENSION as PLACE
from server.gate import Gate
from server.handshake import Headers, RequestError, acceptance, read_request, refusal
from server.keepalive import ANSWERED
from server.service import service_of
from server.wire import Session
from server.writer import Writer

EXTENSION: Final = "commonwatt.direct"
"""The name in `scope["extensions"]`; the value is `{"wire": Wire}`."""
_POLICY_VIOLATION: Final = 1008


class DirectWebSocketProtocol(Writer):
    """One WebSocket connection, as uvicorn's servers make them after an upgrade request; it is a Wire.

    Guarantees are those of Writer; a closing handshake, and what is buffered then, gets `close_timeout_s`.
    Behind a gate it has a place, says so many messages a second, and ends when it is idle.
    """

    __slots__ = ("_application", "_code", "_decoder", "_gate", "_place", "_pong", "_session", "heard_s", "ping")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(service_of(config, server_state, app_state, _loop or asyncio.get_running_loop()))
        self._application: Application | None = None  # until it ended or gave the connection to a session
        self._session: Session | None = None
        self._decoder: Decoder | None = None  # while open
        self._code = ABNORMAL  # what the session is told in the end
        self._pong: bytes | None = None  # the last answer that waits for the peer to read on
        self._gate: Gate | None = None
        self._place: Place | None = None
        self.heard_s = 0.0  # the gate's to count messages by
        self.ping: bytes | None = None  # payload awaited back, or ANSWERED; None: none was sent

    # What uvicorn and the event loop call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the server's connections."""
        self.transport = cast(asyncio.Transport, transport)
        self.service.state.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own classes there
        before = self.transport.get_protocol()
        self._gate, self._place = getattr(before, "gate", None), getattr(before, "place", None)
        if getattr(before, "parser", None) is not None:
            # uvicorn's HTTP protocol and its parser hold each other, and would until a full collection.
            self.service.loop.call_soon(setattr, before, "parser", None)

    def data_received(self, data: bytes) -> None:
        """Take the upgrade request whole, then frames in any pieces."""
        self.came += len(data)
        self.touch()
        if self.state == CONNECTING:
            if self._application is None:
                self._shake_hands(data)
            elif not self._application.keep_early(data):
                self.abort()
        elif self.state < FLUSHING and self._decoder is not None:
            try:
                for opcode, payload in self._decoder.feed(data):
                    self._take(opcode, payload)
                    if self.state >= FLUSHING:
                        return
            except FrameError as error:
                self.fail(error.code, str(error))

    def eof_received(self) -> None:
        """End at once: a peer that stops sending without a close frame is lost."""
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever has the connection, unless told before, and let go of everything."""
        self.service.state.connections.discard(self)
        if self._gate is not None:
            self._gate.leave(self)
        if self._place is not None:
            self._place.leave()
        self.lost()
        self._end(self._code, "")
        self.transport = self._decoder = self._pong = self.ping = None

    def pause_writing(self) -> None:
        """Note that the buffer passed its high-water mark."""
        self.paused = True
        if self._application is not None:
            self._application.writable.clear()

    def resume_writing(self) -> None:
        """Note that the buffer fell to its low-water mark."""
        self.paused = False
        if self._pong is not None:
            pong, self._pong = self._pong, None
            self.write(frame(PONG, pong), 0)
        if self._application is not None:
            self._application.writable.set()
        elif self._session is not None and self.state == OPEN:
            self._call(self._session.on_drained)

    def shutdown(self) -> None:
        """Close with 1012 without awaiting an answer; an upgrade under way is answered with 500."""
        if self.state == CONNECTING:
            self.answer(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"Internal Server Error")
            self._end(ABNORMAL, "")
        elif self.state == OPEN:
            self.write(close_frame(RESTART), 0)
            self.finish()
            self._end(RESTART, "")
        elif self.state == CLOSING:
            self.finish()

    def leave(self) -> bool:
        """Shut down, unless the session still owes an answer to a query; say whether it did."""
        if self.state == OPEN and self._session is not None and self._session.answering:
            return False
        self.shutdown()
        return True

    # The wire

    def take_over(self, session: Session, /) -> None:
        """Give the connection, accepted before, to the session, and free what served the ASGI application.

        Messages that were waiting, and the end if it came already, reach the session before this
        returns. Raises RuntimeError before `websocket.accept` was sent and the second time.
        """
        application = self._application
        if self.state == CONNECTING or application is None:
            raise RuntimeError("only an ASGI application that has accepted the connection can give it away, once")
        self._application, self._session = None, session
        ended = application.disconnect is not None and self.state >= FLUSHING
        for opcode, payload in application.give_up():
            if ended or self.state == OPEN:
                self._deliver(opcode, payload)
        if ended:
            self._end(self._code, "")

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Send a close frame; the session's end comes with the peer's, or after `close_timeout_s`.

        Nothing is written or delivered after it. Raises ValueError for a code that must not be sent,
        RuntimeError before `websocket.accept`.
        """
        if self.state == CONNECTING:
            raise RuntimeError("a connection not yet accepted is denied, not closed")
        if self.state != OPEN:
            return
        self.write(close_frame(code, reason), 0)
        self.stop_writing()
        if self.state == OPEN:
            self.state, self._code = CLOSING, code
            self.limit_time()
        if self._application is not None:
            self._application.end(code, reason)

    # Handshake

    def _shake_hands(self, data: bytes) -> None:
        service, transport = self.service, self.transport
        assert transport is not None
        try:
            request = read_request(data)
            scope = request.scope(transport, service.config, service.app_state)
        except RequestError as error:
            self.answer(error.status, list(error.headers), str(error).encode())
            return
        scope["extensions"][EXTENSION] = {"wire": self}
        if self._place is not None:
            scope["extensions"][PLACE] = self._place
        self._application = Application(self, scope, request.key, service.max_queue)
        if request.rest and not self._application.keep_early(request.rest):
            self.abort()
            return
        task = service.loop.create_task(self._application.run(service.app))
        service.state.tasks.add(task)
        task.add_done_callback(service.state.tasks.discard)

    def accept(self, key: bytes, subprotocol: str | None, headers: Headers, early: bytes) -> None:
        """Accept the upgrade request that had this key, and go on with the frames that came early."""
        transport, service = self.transport, self.service
        assert transport is not None
        head = acceptance(key, subprotocol, service.state.default_headers, headers)
        self.went += len(head)
        transport.write(head)
        self.open()
        self._decoder = Decoder(service.config.ws_max_size)
        if service.rounds is not None:
            service.rounds.join(self)
        if self._gate is not None:
            self._gate.join(self, service.loop.time())
        if early:
            self.came -= len(early)  # counted as it came
            self.data_received(early)

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer the upgrade request with a plain response, and end."""
        transport = self.transport
        if transport is None or self.state != CONNECTING:
            return
        transport.write(refusal(status, self.service.state.default_headers, headers, body))
        self.finish()

    # Frames

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._take_close(payload)
        elif self.state != OPEN or (opcode != PONG and self._overruns()):
            return
        elif opcode == PING:
            if self.paused:
                self._pong = payload  # the latest answers those before it, RFC 6455, 5.5.3
            else:
                self.write(frame(PONG, payload), 0)
        elif opcode == PONG:
            if payload == self.ping:
                self.ping = ANSWERED
        elif self._session is None and self._application is not None:
            self.messages_in += 1
            if not self._application.put(opcode, payload) and self.transport is not None:
                self.transport.pause_reading()
        else:
            self.messages_in += 1
            self._deliver(opcode, payload)

    def _overruns(self) -> bool:
        """Count a message, and fail the connection if it is one too many."""
        gate = self._gate
        if gate is None or gate.takes_message(self, self.service.loop.time()):
            return False
        most = gate.limits.messages_per_second
        self.fail(_POLICY_VIOLATION, f"over {most} messages a second (max_messages_per_second): send fewer")
        return True

    @property
    def busy(self) -> bool:
        """Whether something is open on it, so that its silence means nothing."""
        return self.state != OPEN or self._session is None or getattr(self._session, "busy", False)

    @property
    def patience_s(self) -> float:
        """How long a silence of ours the session's subscriptions ask for."""
        return getattr(self._session, "patience_s", 0.0)

    def _deliver(self, opcode: int, payload: bytes) -> None:
        session = self._session
        if session is None:
            return
        if opcode == BINARY and not getattr(session, "accepts_binary", False):
            self.close(UNSUPPORTED, "only text is understood here")
        else:
            self._call(session.on_message, payload)

    def _call(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            reference = secrets.token_hex(6)
            self.service.logger.exception("Exception in a WebSocket session, reference %s", reference)
            if self.state == OPEN:
                code = getattr(self._session, "failure_code", INTERNAL_ERROR)
                self.close(code, f"internal error; quote the reference {reference}")

    # Closing

    def _take_close(self, payload: bytes) -> None:
        if self.state == CLOSING:
            self.finish()
            return
        code, reason = closing(payload)
        self.write(close_frame(code), 0)
        self.finish()
        self._end(code, reason)

    def fail(self, code: int, reason: str) -> None:
        """Fail the connection (RFC 6455, 7.1.7)."""
        if self.state == CLOSING:
            self.finish()
            return
        self.write(close_frame(code, reason), 0)
        self.linger()
        self._end(code, reason)

    def _end(self, code: int, reason: str) -> None:
        """Tell whoever has the connection that it is over; the second time nobody has it."""
        self._code = code
        session, self._session = self._session, None
        if session is not None:
            self._call(session.on_closed, code)
        if self._application is not None:
            self._application.end(code, reason)
            self._application.writable.set()

    # The ASGI application

    @property
    def held(self) -> bool:
        """Whether the socket is not read until the application has taken what waits."""
        return self._application is not None and self._application.held

    def returned(self, *, failed: bool) -> None:
        """Note that the application's task ended, and answer or close where it did not."""
        application, self._application = self._application, None
        if self.state == CONNECTING:
            if not failed:
                self.service.logger.error("ASGI callable returned without completing handshake.")
            self.answer(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"Internal Server Error")
        elif self.state == OPEN and (failed or application is not None):
            self.close(INTERNAL_ERROR if failed else NORMAL)
        if application is not None and application.held:
            self.read_on()  # the closing handshake waits for what the peer says
