"""A client of graphql-transport-ws over a raw socket: frames parsed here, no library between it and the server."""

import asyncio
import base64
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Self

import msgspec

_KEY: Final = base64.b64encode(bytes(16)).decode()
_HANDSHAKE: Final = (
    "GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
).encode()
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_PATIENCE_S: Final = 30.0
_SEGMENT: Final = 1400


class ClientError(Exception):
    """Raised when the server hung up, refused, or sent what is no message."""


class _Envelope(msgspec.Struct):
    type: str
    id: str = ""
    payload: msgspec.Raw = msgspec.Raw()


_envelope: Final = msgspec.json.Decoder(_Envelope)


class Client:
    """One connection. Leave it by `close`, or by `abort` as one that loses its network does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._left = b""

    @classmethod
    async def connect(cls, port: int, *, narrow: bool = False) -> Self:
        """Connect up to `connection_ack`. For a narrow one the kernel holds little, as in a phone's network."""
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if narrow:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
                client = cls(*await asyncio.open_connection(sock=made))
                client._writer.write(_HANDSHAKE)
                head = await client._reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 101"):
                    raise ClientError(head.decode(errors="replace"))
                client._send(_TEXT, b'{"type":"connection_init"}')
                async for kind, _, _ in client.messages():
                    if kind == "connection_ack":
                        return client
                    raise ClientError(f"{kind} instead of connection_ack")
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            made.close()
            raise ClientError(f"not connected: {error!r}") from None
        raise ClientError("closed before connection_ack")

    def subscribe(self, id: str, query: str, variables: Mapping[str, Any]) -> None:
        """Begin an operation."""
        payload = {"query": query, "variables": variables}
        self._send(_TEXT, msgspec.json.encode({"id": id, "type": "subscribe", "payload": payload}))

    async def messages(self) -> AsyncIterator[tuple[str, str, msgspec.Raw]]:
        """Yield type, id and payload of each message until the connection ends; answers pings of both kinds."""
        buffer = self._left
        while True:
            at = 0
            while (found := _next_frame(buffer, at)) is not None:
                op, start, at = found
                data = buffer[start:at]
                if op == _TEXT:
                    envelope = _decoded(data)
                    if envelope.type == "ping":
                        self._send(_TEXT, b'{"type":"pong"}')
                        continue
                    self._left = buffer[at:]
                    yield envelope.type, envelope.id, envelope.payload
                elif op == _PING:
                    self._send(_PONG, data)
                elif op == _CLOSE:
                    raise ClientError(f"closed by the server: {data[2:].decode(errors='replace')}")
                elif op != _PONG:
                    raise ClientError(f"a frame with opcode {op}")
            try:
                more = await self._reader.read(65536)
            except OSError as error:
                raise ClientError(f"connection lost: {error!r}") from None
            if not more:
                raise ClientError("connection lost")
            buffer = buffer[at:] + more

    def stall(self) -> None:
        """Take nothing more from the socket, for ever."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can

    async def close(self, id: str) -> None:
        """End an operation, then the connection, as the protocol wants it."""
        self._send(_TEXT, msgspec.json.encode({"id": id, "type": "complete"}))
        self._send(_CLOSE, struct.pack("!H", 1000))
        self._writer.close()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.abort()

    def abort(self) -> None:
        """Vanish."""
        self._writer.transport.abort()

    def _send(self, op: int, data: bytes) -> None:
        length = len(data)
        head = struct.pack("!BB", 0x80 | op, 0x80 | length) if length < 126 else b""
        head = head or struct.pack("!BBH", 0x80 | op, 0x80 | 126, length)
        mask = os.urandom(4)
        repeated = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
        masked = (int.from_bytes(data, "big") ^ repeated).to_bytes(length, "big")
        self._writer.write(head + mask + masked)


def _decoded(data: bytes) -> _Envelope:
    try:
        return _envelope.decode(data)
    except msgspec.DecodeError as error:
        raise ClientError(f"no message: {error}: {data[:200]!r}") from None


def _next_frame(buffer: bytes, at: int) -> tuple[int, int, int] | None:
    """Return opcode, begin and end of the payload of the frame at `at`, or None while it is not whole."""
    if len(buffer) - at < 2:
        return None
    first, length = buffer[at], buffer[at + 1]
    start = at + 2
    if length >= 126:
        wide = 2 if length == 126 else 8
        if len(buffer) < start + wide:
            return None
        length = int.from_bytes(buffer[start : start + wide], "big")
        start += wide
    if not first & 0x80:
        raise ClientError("a message in several frames")
    return None if len(buffer) < start + length else (first & 15, start, start + length)
