"""The writer: a connection's way out, bytes to its socket, by the shortest way there is, and the end in time.

A class to build on, not a part: as a part it would cost each connection an object and each frame a
call. It counts what goes out, and tells how much its peer's system has confirmed. What the bytes
say, and whom to tell of the end, it does not know.
"""

import asyncio
import fcntl
import logging
import struct
import termios
from socket import SocketType
from typing import ClassVar

from uvicorn.protocols.utils import is_ssl

from schema.receipt import Tally
from server.bursts import Bursts
from server.connection import CLOSED, CONNECTING, FLUSHING, OPEN
from server.service import Service


class Writer(Bursts, asyncio.Protocol):
    """The writing half of a connection.

    Guarantees: frames go out in the order they were written, on plain TCP mostly without a copy;
    writing never raises and never blocks, so that `paused` is the caller's to heed. An end, and what
    is buffered then, gets `close_timeout_s`.
    """

    __slots__ = (
        "_direct",
        "_opened_s",
        "_socket",
        "_timer",
        "came",
        "messages_in",
        "messages_out",
        "passed",
        "paused",
        "pings",
        "quiet",
        "service",
        "state",
        "transport",
        "unasked",
        "went",
    )

    close_timeout_s: ClassVar[float] = 10.0

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._socket: SocketType | None = None  # on the transport's descriptor, while it takes plain bytes
        self._direct = False  # whether the transport held no bytes when last asked, and got none since
        self._timer: asyncio.TimerHandle | None = None  # ends what does not end itself
        self.service = service
        self.transport: asyncio.Transport | None = None
        self.state = CONNECTING
        self.paused = False
        self.came = self.went = 0  # bytes, those of the handshake among them
        self.messages_in = self.messages_out = 0
        self.pings = self.passed = self.quiet = self.unasked = 0  # keep-alive's
        self._opened_s = 0.0

    def open(self) -> None:
        """Let frames be written from here on: the handshake is done."""
        transport = self.transport
        assert transport is not None
        self.state = OPEN
        self._opened_s = self.service.loop.time()
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0 and not is_ssl(transport):
            # send(2) on a bare socket took 0.2 µs less than write(2), 0.5 µs less than the transport.
            self._socket = SocketType(sock.family, sock.type, sock.proto, sock.fileno())
            self._socket.setblocking(False)
            self._direct = not transport.get_write_buffer_size()

    def write(self, frame: bytes, messages: int = 1) -> None:
        """Send whole frames of the server, in order of the calls; drop them after the end.

        `messages`: how many of them are messages.
        """
        if self._direct:
            try:
                sent = self._socket.send(frame)  # type: ignore[union-attr]  # a check would cost, here
            except BlockingIOError:
                sent = 0
            except OSError:
                self.abort()
                return
            if sent == len(frame):
                self.went += sent
                self.messages_out += messages
                self.touch()
                return
            self._direct = False
        elif self.state != OPEN:
            return
        else:
            sent = 0
        self.touch()
        self.went += len(frame)
        self.messages_out += messages
        self._buffer(frame[sent:])

    @property
    def tally(self) -> Tally:
        """What has passed so far, in bytes from the handshake on; TLS adds its own."""
        lasted_s = self.service.loop.time() - self._opened_s
        return Tally(self.came, self.went, self.messages_in, self.messages_out, self.pings, self.wakeups, lasted_s)

    @property
    def confirmed(self) -> int:
        """Bytes written that the system of the peer has confirmed, about so many over TLS; -1 where nobody tells.

        They may still wait there for a peer that reads nothing.
        """
        transport = self.transport
        sock = None if transport is None else transport.get_extra_info("socket")
        if transport is None or sock is None:
            return -1
        try:
            (waiting,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
        except OSError:  # no TCP, or a system without this question
            return -1
        return max(0, self.went - int(waiting) - transport.get_write_buffer_size())

    @property
    def logger(self) -> logging.Logger:
        """Where the server logs."""
        return self.service.logger

    def read_on(self) -> None:
        """Read from the socket again."""
        if self.transport is not None:
            self.transport.resume_reading()

    @property
    def buffered(self) -> int:
        """Bytes written that the system has not taken yet; what it has, it may hold for a peer, too."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def set_limits(self, high: int, low: int) -> None:
        """Set the water marks of the write buffer, bytes; raise ValueError unless high ≥ low ≥ 0."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.set_write_buffer_limits(high, low)

    def abort(self) -> None:
        """Drop the connection and what is buffered; its loss comes soon after, never from within."""
        self.stop_writing()
        if self.state < FLUSHING:
            self.state = FLUSHING
        if self.transport is not None:
            self.transport.abort()

    def stop_writing(self) -> None:
        """Let go of the socket; what the transport holds still goes out."""
        self._direct = False
        if self._socket is not None:
            self._socket.detach()  # the descriptor is the transport's to close
            self._socket = None

    def finish(self) -> None:
        """Say no more, and end when what is buffered is out."""
        self.stop_writing()
        self.state = FLUSHING
        if self.transport is not None and not self.transport.is_closing():
            self.limit_time()
            self.transport.close()

    def linger(self) -> None:
        """Say no more, and end when the peer, too, has said all, where the transport can wait for that."""
        self.stop_writing()
        transport = self.transport
        if transport is not None and not transport.is_closing():
            self.limit_time()
            if transport.can_write_eof():
                # Closed with bytes unread, the system would reset the connection, and the peer
                # might never see why. So what it still sends is read and dropped, for a time.
                self.state = FLUSHING
                try:
                    transport.write_eof()
                except OSError:
                    transport.abort()
            else:
                self.finish()

    def limit_time(self) -> None:
        """Abort after `close_timeout_s`, unless the connection is lost before."""
        if self._timer is None:
            self._timer = self.service.loop.call_later(self.close_timeout_s, self.abort)

    def lost(self) -> None:
        """Note that the transport has ended."""
        self.state = CLOSED
        self.stop_writing()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _buffer(self, data: bytes) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        self._direct = self._socket is not None and not transport.get_write_buffer_size()

    def __del__(self) -> None:
        sock = getattr(self, "_socket", None)  # none where the connection could not be made
        if sock is not None:  # a loop was closed over an open connection
            sock.detach()
