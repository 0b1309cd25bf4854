"""WebSocket connections for uvicorn: one small object each, and a short way to the socket.

`uvicorn.Config(ws=DirectWebSocketProtocol)` puts it in. An upgrade request comes in, an ASGI
application is run on it, and messages go both ways (RFC 6455; never compressed). Beyond ASGI, the scope
announces `commonwatt.direct`: its `wire` lets an application take a connection over, so that messages
come by a plain call, ready-made frames go straight to the socket, and neither a task nor a queue
remains. GraphQL is not known here.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
import math
import re
import struct
from collections.abc import Awaitable, Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus
from socket import SocketType
from typing import Any, ClassVar, Final, Protocol, TypeAlias, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)
from uvicorn.server import ServerState

from server.frames import (
    ABNORMAL,
    BINARY,
    CLOSE,
    INTERNAL_ERROR,
    NORMAL,
    PING,
    PONG,
    RESTART,
    TEXT,
    UNSUPPORTED,
    Decoder,
    FrameError,
    close_frame,
    closing,
    frame,
)

EXTENSION: Final = "commonwatt.direct"
"""The name in `scope["extensions"]`; the value is `{"wire": Wire}`."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = b"13"
_MAX_EARLY_BYTES: Final = 65_536  # of frames that a client sends before it has its answer, which it must not
_TURNS: Final = 100  # by which a keep-alive interval is divided: bounds how many pings go at once
_LEAST_TURN_S: Final = 0.01
_BAD_NAME: Final = re.compile(rb'[\x00-\x20\x7f-\xff()<>@,;:\\"/\[\]?={}]')
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

# Ordered: from _FLUSHING on, nothing that the peer sends counts.
_CONNECTING: Final = 0
_OPEN: Final = 1
_CLOSING: Final = 2  # our close frame is out, the peer's is awaited
_FLUSHING: Final = 3  # nothing more will be said; the transport ends
_CLOSED: Final = 4

_ANSWERED: Final = b""  # in place of the payload of a ping that was answered

Headers: TypeAlias = list[tuple[bytes, bytes]]
Event: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[[Event, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Any]


class Session(Protocol):
    """What takes a connection over.

    Called in the event loop, never from within its own call of the wire, except by `take_over`; an
    exception is logged and closes the connection with 1011. A session with a true attribute
    `accepts_binary` gets binary messages too; else they close the connection with 1003.
    """

    def on_message(self, data: bytes, /) -> None:
        """Take a complete message; text is valid UTF-8."""

    def on_drained(self) -> None:
        """Go on writing: the buffer, once above its high-water mark, fell to its low-water mark."""

    def on_closed(self, code: int, /) -> None:
        """Forget the connection; comes once, and nothing after it.

        The code is the peer's (1005: it gave none), ours where we closed first, 1006 where the
        connection was lost.
        """


class Wire(Protocol):
    """A connection as the session sees it. After its end, calls do nothing."""

    paused: bool
    """Whether the write buffer has passed its high-water mark and not yet fallen to the low one."""

    @property
    def buffered(self) -> int:
        """Bytes written that the system has not taken yet."""

    def take_over(self, session: Session, /) -> None:
        """Give the connection to the session; see DirectWebSocketProtocol."""

    def write(self, frame: bytes) -> None:
        """Send whole frames of the server, in order of the calls."""

    def set_limits(self, high: int, low: int) -> None:
        """Set the water marks of the write buffer, bytes."""

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin the closing handshake."""

    def abort(self) -> None:
        """Drop the connection and what is buffered."""


class DirectWebSocketProtocol(asyncio.Protocol):
    """One WebSocket connection, as uvicorn's servers make them after an upgrade request; it is a Wire.

    Guarantees: frames go out in the order they were written, on plain TCP mostly without a copy;
    writing never raises and never blocks, so that `paused` is the caller's to heed. A closing
    handshake, and what is buffered then, gets `close_timeout_s`.
    """

    __slots__ = (
        "_application",
        "_code",
        "_decoder",
        "_direct",
        "_ping",
        "_pong",
        "_service",
        "_session",
        "_socket",
        "_state",
        "_timer",
        "_transport",
        "paused",
    )

    close_timeout_s: ClassVar[float] = 10.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._socket: SocketType | None = None  # on the transport's descriptor, while it takes plain bytes
        self.paused = False
        self._service = _service_of(config, server_state, app_state, _loop or asyncio.get_running_loop())
        self._transport: asyncio.Transport | None = None
        self._application: _Application | None = None  # until it ended or gave the connection to a session
        self._session: Session | None = None
        self._decoder: Decoder | None = None  # while open
        self._state = _CONNECTING
        self._code = ABNORMAL  # what the session is told in the end
        self._direct = False  # whether the transport held no bytes when last asked, and got none since
        self._ping: bytes | None = None  # payload awaited back, or _ANSWERED; None: none was sent
        self._pong: bytes | None = None  # the last answer that waits for the peer to read on
        self._timer: asyncio.TimerHandle | None = None  # ends a closing handshake

    # What uvicorn and the event loop call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the server's connections."""
        self._transport = cast(asyncio.Transport, transport)
        self._service.state.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own classes there
        before = self._transport.get_protocol()
        if getattr(before, "parser", None) is not None:
            # uvicorn's HTTP protocol and its parser hold each other, and would until a full collection.
            self._service.loop.call_soon(setattr, before, "parser", None)

    def data_received(self, data: bytes) -> None:
        """Take the upgrade request whole, then frames in any pieces."""
        if self._state == _CONNECTING:
            if self._application is None:
                self._shake_hands(data)
            elif not self._application.keep_early(data):
                self.abort()
        elif self._state < _FLUSHING and self._decoder is not None:
            try:
                for opcode, payload in self._decoder.feed(data):
                    self._take(opcode, payload)
                    if self._state >= _FLUSHING:
                        return
            except FrameError as error:
                self._fail(error.code, str(error))

    def eof_received(self) -> None:
        """End at once: a peer that stops sending without a close frame is lost."""
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever has the connection, unless told before, and let go of everything."""
        self._service.state.connections.discard(self)
        self._state = _CLOSED
        self._stop_writing()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._end(self._code, "")
        self._transport = self._decoder = self._pong = self._ping = None

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
            self.write(frame(PONG, pong))
        if self._application is not None:
            self._application.writable.set()
        elif self._session is not None and self._state == _OPEN:
            self._call(self._session.on_drained)

    def shutdown(self) -> None:
        """Close with 1012 without awaiting an answer; an upgrade under way is answered with 500."""
        if self._state == _CONNECTING:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"Internal Server Error")
            self._end(ABNORMAL, "")
        elif self._state == _OPEN:
            self.write(close_frame(RESTART))
            self._end_transport()
            self._end(RESTART, "")
        elif self._state == _CLOSING:
            self._end_transport()

    # The wire

    def take_over(self, session: Session, /) -> None:
        """Give the connection, accepted before, to the session, and free what served the ASGI application.

        Messages that were waiting, and the end if it came already, reach the session before this
        returns. Raises RuntimeError before `websocket.accept` was sent and the second time.
        """
        application = self._application
        if self._state == _CONNECTING or application is None:
            raise RuntimeError("only an ASGI application that has accepted the connection can give it away, once")
        self._application, self._session = None, session
        ended = application.disconnect is not None and self._state >= _FLUSHING
        for opcode, payload in application.give_up():
            if ended or self._state == _OPEN:
                self._deliver(opcode, payload)
        if ended:
            self._end(self._code, "")

    def write(self, frame: bytes) -> None:
        """Send whole frames of the server, in order of the calls; drop them after the end."""
        if self._direct:
            try:
                sent = self._socket.send(frame)  # type: ignore[union-attr]  # a check would cost, here
            except BlockingIOError:
                sent = 0
            except OSError:
                self.abort()
                return
            if sent == len(frame):
                return
            self._direct = False
            frame = frame[sent:]
        elif self._state != _OPEN:
            return
        self._buffer(frame)

    @property
    def buffered(self) -> int:
        """Bytes written that the system has not taken yet; what it has, it may hold for a peer, too."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def set_limits(self, high: int, low: int) -> None:
        """Set the water marks of the write buffer, bytes; raise ValueError unless high ≥ low ≥ 0."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.set_write_buffer_limits(high, low)

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Send a close frame; the session's end comes with the peer's, or after `close_timeout_s`.

        Nothing is written or delivered after it. Raises ValueError for a code that must not be sent,
        RuntimeError before `websocket.accept`.
        """
        if self._state == _CONNECTING:
            raise RuntimeError("a connection not yet accepted is denied, not closed")
        if self._state != _OPEN:
            return
        self.write(close_frame(code, reason))
        self._stop_writing()
        if self._state == _OPEN:
            self._state, self._code = _CLOSING, code
            self._limit_time()
        if self._application is not None:
            self._application.end(code, reason)

    def abort(self) -> None:
        """Drop the connection and what is buffered; the session's end comes soon after, never from within."""
        self._stop_writing()
        if self._state < _FLUSHING:
            self._state = _FLUSHING
        if self._transport is not None:
            self._transport.abort()

    # Writing

    def _buffer(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        self._direct = self._socket is not None and not transport.get_write_buffer_size()

    def _stop_writing(self) -> None:
        self._direct = False
        if self._socket is not None:
            self._socket.detach()  # the descriptor is the transport's to close
            self._socket = None

    def __del__(self) -> None:
        if self._socket is not None:  # a loop was closed over an open connection
            self._socket.detach()

    # Handshake

    def _shake_hands(self, data: bytes) -> None:
        request = _Request()
        parser = httptools.HttpRequestParser(request)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            return self._answer(HTTPStatus.BAD_REQUEST, [], b"this is no HTTP request")
        else:
            return self._answer(HTTPStatus.BAD_REQUEST, [], b"this is no whole upgrade request")
        try:
            key = request.key(parser.get_method(), parser.get_http_version())
            scope = self._scope(request)
        except _VersionError:
            headers = [(b"Sec-WebSocket-Version", _VERSION)]
            return self._answer(HTTPStatus.UPGRADE_REQUIRED, headers, b"only WebSocket version 13 is spoken here")
        except _RequestError as error:
            return self._answer(HTTPStatus.BAD_REQUEST, [], str(error).encode())
        service = self._service
        self._application = _Application(self, scope, key, service.max_queue)
        if rest and not self._application.keep_early(rest):
            return self.abort()
        task = service.loop.create_task(self._application.run(service.app))
        service.state.tasks.add(task)
        task.add_done_callback(service.state.tasks.discard)
        return None

    def _scope(self, request: "_Request") -> Event:
        try:
            url = httptools.parse_url(request.url)
            path = (url.path or b"/").decode("ascii")
            query = url.query or b""
            query.decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            raise _RequestError("the target is no URL") from None
        service, transport = self._service, self._transport
        assert transport is not None
        root = service.config.root_path
        return {
            "type": "websocket",
            "asgi": {"version": service.config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(transport) else "ws",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "root_path": root,
            "path": root + unquote(path),
            "raw_path": root.encode("ascii") + path.encode("ascii"),
            "query_string": query,
            "headers": request.headers,
            "subprotocols": request.listed(b"sec-websocket-protocol"),
            "state": service.app_state.copy(),
            "extensions": {"websocket.http.response": {}, EXTENSION: {"wire": self}},
        }

    def _accept(self, key: bytes, subprotocol: str | None, headers: Headers, early: bytes) -> None:
        transport, service = self._transport, self._service
        assert transport is not None
        digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
        lines: Headers = [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Accept", base64.b64encode(digest)),
        ]
        if subprotocol:
            lines.append((b"Sec-WebSocket-Protocol", subprotocol.encode("latin-1")))
        lines += service.state.default_headers
        lines += headers
        transport.write(_head(HTTPStatus.SWITCHING_PROTOCOLS, lines))
        self._state = _OPEN
        self._decoder = Decoder(service.config.ws_max_size)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0 and not is_ssl(transport):
            # send(2) on a bare socket took 0.2 µs less than write(2), 0.5 µs less than the transport.
            self._socket = SocketType(sock.family, sock.type, sock.proto, sock.fileno())
            self._socket.setblocking(False)
            self._direct = not transport.get_write_buffer_size()
        if service.rounds is not None:
            service.rounds.join(self)
        if early:
            self.data_received(early)

    def _answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer the upgrade request with a plain response, and end."""
        transport = self._transport
        if transport is None or self._state != _CONNECTING:
            return
        names = {name.lower() for name, _ in headers}
        defaults: Headers = [
            *self._service.state.default_headers,
            (b"Date", formatdate(usegmt=True).encode()),
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", str(len(body)).encode()),
            (b"Connection", b"close"),
        ]
        lines = list(headers)
        for name, value in defaults:
            if name.lower() not in names:
                names.add(name.lower())
                lines.append((name, value))
        transport.write(_head(status, lines) + body)
        self._end_transport()

    # Frames

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._take_close(payload)
        elif self._state != _OPEN:
            return
        elif opcode == PING:
            if self.paused:
                self._pong = payload  # the latest answers those before it, RFC 6455, 5.5.3
            else:
                self.write(frame(PONG, payload))
        elif opcode == PONG:
            if payload == self._ping:
                self._ping = _ANSWERED
        elif self._session is None and self._application is not None:
            if not self._application.put(opcode, payload) and self._transport is not None:
                self._transport.pause_reading()
        else:
            self._deliver(opcode, payload)

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
            self._service.logger.exception("Exception in a WebSocket session")
            if self._state == _OPEN:
                self.close(INTERNAL_ERROR)

    # Closing

    def _take_close(self, payload: bytes) -> None:
        if self._state == _CLOSING:
            self._end_transport()
            return
        code, reason = closing(payload)
        self.write(close_frame(code))
        self._end_transport()
        self._end(code, reason)

    def _fail(self, code: int, reason: str) -> None:
        """Fail the connection (RFC 6455, 7.1.7)."""
        if self._state == _CLOSING:
            self._end_transport()
            return
        self.write(close_frame(code, reason))
        self._stop_writing()
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self._limit_time()
            if transport.can_write_eof():
                # Closed with bytes unread, the system would reset the connection, and the peer
                # might never see why. So what it still sends is read and dropped, for a time.
                self._state = _FLUSHING
                try:
                    transport.write_eof()
                except OSError:
                    transport.abort()
            else:
                self._end_transport()
        self._end(code, reason)

    def _end_transport(self) -> None:
        self._stop_writing()
        self._state = _FLUSHING
        if self._transport is not None and not self._transport.is_closing():
            self._limit_time()
            self._transport.close()

    def _limit_time(self) -> None:
        if self._timer is None:
            self._timer = self._service.loop.call_later(self.close_timeout_s, self.abort)

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

    def _read_on(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def _returned(self, *, failed: bool) -> None:
        """The application's task ended."""
        application, self._application = self._application, None
        if self._state == _CONNECTING:
            if not failed:
                self._service.logger.error("ASGI callable returned without completing handshake.")
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"Internal Server Error")
        elif self._state == _OPEN and (failed or application is not None):
            self.close(INTERNAL_ERROR if failed else NORMAL)
        if application is not None and application.held:
            self._read_on()  # the closing handshake waits for what the peer says

    # Keep-alive

    def _keep_alive(self, payload: bytes, ping: bytes) -> float | None:
        """Take a turn: send a ping, or look for its answer; the seconds until the next, None for no more."""
        rounds = self._service.rounds
        if self._state != _OPEN or rounds is None:
            return None
        if self._ping == _ANSWERED:
            self._ping = None
            if rounds.interval_s > rounds.timeout_s:
                return rounds.interval_s - rounds.timeout_s
        elif self._ping is not None:
            if self._application is not None and self._application.held:
                return rounds.timeout_s  # it is us who do not read
            left_s = rounds.left_s(self._ping, payload)
            if left_s > _LEAST_TURN_S / 2:
                return left_s
            self._fail(INTERNAL_ERROR, "keepalive ping timeout")
            return None
        self.write(ping)
        if rounds.timeout_s < math.inf:
            self._ping = payload
        return min(rounds.interval_s, rounds.timeout_s)


class _RequestError(Exception):
    """Raised when an upgrade request is not one; the text is for the client."""


class _VersionError(_RequestError):
    """Raised when another version of the WebSocket protocol is asked for."""


class _Request:
    """An upgrade request, as the parser finds it."""

    __slots__ = ("headers", "url")

    def __init__(self) -> None:
        self.url = b""
        self.headers: Headers = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def values(self, name: bytes) -> list[bytes]:
        return [value for known, value in self.headers if known == name]

    def listed(self, name: bytes) -> list[str]:
        """Return the members of a header that is a list, over all its lines."""
        members = [member.strip() for value in self.values(name) for member in value.split(b",")]
        return [member.decode("latin-1") for member in members if member]

    def key(self, method: bytes, version: str) -> bytes:
        """Return the key of a request that is as RFC 6455, 4.2.1, says; else raise _RequestError."""
        if method != b"GET" or version != "1.1":
            raise _RequestError("a WebSocket begins with GET and HTTP/1.1")
        if len(self.values(b"host")) != 1:
            raise _RequestError("the header Host must be there once")
        if "websocket" not in (member.lower() for member in self.listed(b"upgrade")):
            raise _RequestError("the header Upgrade must name websocket")
        if "upgrade" not in (member.lower() for member in self.listed(b"connection")):
            raise _RequestError("the header Connection must name upgrade")
        if self.values(b"sec-websocket-version") != [_VERSION]:
            raise _VersionError
        keys = self.values(b"sec-websocket-key")
        try:
            (key,) = keys
            sound = len(base64.b64decode(key, validate=True)) == 16
        except (ValueError, binascii.Error):
            sound = False
        if not sound:
            raise _RequestError("the header Sec-WebSocket-Key must be there once, with 16 bytes in base64")
        return key


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


class _Application:
    """What serves an ASGI application on a connection, from the handshake until it ends or gives it away.

    Messages wait in a queue; from `max_queue` on the socket is not read until the queue is empty, so that it
    holds at most that and what one read brought.
    """

    __slots__ = (
        "_body",
        "_denial",
        "_early",
        "_greeted",
        "_key",
        "_max_queue",
        "_protocol",
        "_queue",
        "_said_last",
        "_scope",
        "disconnect",
        "held",
        "writable",
    )

    def __init__(self, protocol: DirectWebSocketProtocol, scope: Event, key: bytes, max_queue: int) -> None:
        self._protocol: DirectWebSocketProtocol | None = protocol
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

    async def run(self, app: Application) -> None:
        """Run the application to its end."""
        protocol = self._the_protocol()
        failed = True
        try:
            await app(self._scope, self.receive, self.send)
            failed = False
        except ClientDisconnected:
            failed = False
        except Exception:
            protocol._service.logger.exception("Exception in ASGI application\n")
        finally:
            protocol._returned(failed=failed)
            self._protocol = None

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
        self._protocol = None
        return waiting

    def _the_protocol(self) -> DirectWebSocketProtocol:
        if self._protocol is None:
            raise RuntimeError("the connection was given to a session, or the application ended")
        return self._protocol

    def _read_on(self) -> None:
        self.held = False
        self._the_protocol()._read_on()

    async def receive(self) -> Event:
        """Return the next ASGI event; after the disconnect, that again."""
        self._the_protocol()
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
        protocol = self._the_protocol()
        await self.writable.wait()
        kind = message["type"]
        if self._said_last:
            raise RuntimeError(f"Unexpected ASGI message '{kind}', after the last one.")
        if self._denial is not None:
            self._deny(kind, message)
        elif protocol._state == _CONNECTING:
            self._respond(kind, message)
        elif protocol._state != _OPEN:
            raise ClientDisconnected
        elif kind == "websocket.send":
            data, text = message.get("bytes"), message.get("text")
            if data is not None:
                protocol.write(frame(BINARY, bytes(data)))
            elif text is not None:
                protocol.write(frame(TEXT, text.encode()))
        elif kind == "websocket.close":
            protocol.close(message.get("code") or NORMAL, message.get("reason") or "")
            self._said_last = True
        else:
            raise RuntimeError(f"Expected 'websocket.send' or 'websocket.close', but got '{kind}'.")

    def _respond(self, kind: str, message: Event) -> None:
        protocol = self._the_protocol()
        if kind == "websocket.accept":
            early, self._early = self._early, b""
            protocol._accept(self._key, message.get("subprotocol"), list(message.get("headers") or []), early)
            self._log("[accepted]")
        elif kind == "websocket.close":
            protocol._answer(HTTPStatus.FORBIDDEN, [], b"")
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
            protocol = self._the_protocol()
            if protocol._state != _CONNECTING:
                raise ClientDisconnected
            protocol._answer(*self._denial, self._body)
            self._said_last = True
            self.end(ABNORMAL, "")

    def _log(self, what: str) -> None:
        logger = self._the_protocol()._service.logger
        if logger.isEnabledFor(logging.INFO):
            scope = cast(Any, self._scope)
            logger.info('%s - "WebSocket %s" %s', get_client_addr(scope), get_path_with_query_string(scope), what)


class _Rounds:
    """Keep-alive of all connections of a server: they take turns, by one timer, which stops when there are none."""

    __slots__ = ("_loop", "_timer", "_turn_s", "_turns", "interval_s", "timeout_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, interval_s: float, timeout_s: float) -> None:
        self.interval_s = interval_s
        self.timeout_s = timeout_s
        self._loop = loop
        self._turn_s = max(_LEAST_TURN_S, min(interval_s, timeout_s) / _TURNS)
        self._turns: dict[int, list[DirectWebSocketProtocol]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def join(self, protocol: DirectWebSocketProtocol) -> None:
        """Give a new connection its turns, the first after the interval."""
        self._add(protocol, self._loop.time() + self.interval_s)
        self._wait()

    def left_s(self, sent: bytes, now: bytes) -> float:
        """Return the seconds left for the answer to a ping; both are payloads, which number the turns."""
        return self.timeout_s - (int.from_bytes(now, "big") - int.from_bytes(sent, "big")) * self._turn_s

    def _add(self, protocol: DirectWebSocketProtocol, at_s: float) -> None:
        self._turns.setdefault(math.ceil(at_s / self._turn_s), []).append(protocol)

    def _wait(self) -> None:
        if self._timer is None and self._turns:
            self._timer = self._loop.call_at(min(self._turns) * self._turn_s, self._take_turns)

    def _take_turns(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        now = math.floor(now_s / self._turn_s + 1e-6)  # the timer may come a rounding error early
        payload = struct.pack("!Q", now)
        ping = frame(PING, payload)
        for turn in sorted(turn for turn in self._turns if turn <= now):
            for protocol in self._turns.pop(turn):
                rest_s = protocol._keep_alive(payload, ping)
                if rest_s is not None:
                    self._add(protocol, now_s + rest_s)
        self._wait()


class _Service:
    """What the connections of one server share."""

    __slots__ = ("app", "app_state", "config", "logger", "loop", "max_queue", "rounds", "state")

    def __init__(
        self, config: Config, state: ServerState, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self.app = cast(Application, config.loaded_app)
        self.state = state
        self.app_state = app_state
        self.loop = loop
        self.logger = logging.getLogger("uvicorn.error")
        self.max_queue = max(1, config.ws_max_queue)
        timeout_s = math.inf if config.ws_ping_timeout is None else config.ws_ping_timeout
        self.rounds = _Rounds(loop, config.ws_ping_interval, timeout_s) if config.ws_ping_interval else None


def _service_of(
    config: Config, state: ServerState, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop
) -> _Service:
    """Return the server's service; its first connection makes it, and it lives as long as the server's state."""
    found = vars(state).get(EXTENSION)
    if isinstance(found, _Service) and found.config is config and found.app_state is app_state and found.loop is loop:
        return found
    service = _Service(config, state, app_state, loop)
    vars(state)[EXTENSION] = service
    return service
