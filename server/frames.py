"""WebSocket frames, as bytes only: what a client sends becomes messages, what a server says becomes frames.

After RFC 6455, without extensions. No I/O, no clock, no logging happens here.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED: Final = 1003
NO_CODE: Final = 1005
ABNORMAL: Final = 1006
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
RESTART: Final = 1012

_FIN: Final = 0x80
_RSV: Final = 0x70
_MASKED: Final = 0x80
_MAX_CONTROL_BYTES: Final = 125
_MAX_REASON_BYTES: Final = _MAX_CONTROL_BYTES - 2
_MAX_16: Final = 0xFFFF
_NO_MASK: Final = bytes(4)


class FrameError(Exception):
    """Raised when a client's bytes are no frame, too much or no text; `code` is what to close with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Decoder:
    """One client's side of a connection, frame by frame, holding nothing between messages."""

    __slots__ = ("_buffer", "_max_bytes", "_message", "_need", "_opcode")

    def __init__(self, max_bytes: int) -> None:
        """Take messages of up to `max_bytes` of payload, fragments together."""
        self._max_bytes = max_bytes
        self._buffer: bytearray | None = None  # a frame begun
        self._need = 0  # bytes the buffer must reach before another look is worth it
        self._message: bytearray | None = None  # fragments so far
        self._opcode = CONTINUATION  # of the fragmented message; CONTINUATION: there is none

    @property
    def idle(self) -> bool:
        """Whether neither a frame nor a fragmented message has begun."""
        return self._buffer is None and self._message is None

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield opcode and unmasked payload of each message and control frame that `data` completes, in order.

        A TEXT payload is valid UTF-8, a CLOSE payload is one that `closing` takes; CONTINUATION never
        comes out. The caller exhausts the iterator before it feeds again. Raises FrameError after
        what was sound (RFC 6455, 5.2 to 5.5, 8.1): 1002 for what is no client frame, 1007 for text that is not
        UTF-8, 1009 for a message over the limit, as soon as a header announces it. The decoder is
        of no use afterwards.
        """
        source: bytes | bytearray = data
        if self._buffer is not None:
            self._buffer += data
            if len(self._buffer) < self._need:
                return
            source, self._buffer = self._buffer, None
        begin, end = 0, len(source)
        while True:
            size = end - begin
            if size < 2:
                need = 2
                break
            first, second = source[begin], source[begin + 1]
            self._check(first, second)
            length = second & 0x7F
            header = 6
            if length > _MAX_CONTROL_BYTES:
                header = 8 if length == 126 else 14
                if size < header - 4:
                    need = header - 4
                    break
                length = _long(source[begin + 2 : begin + header - 4])
            self._check_size(first, length)
            need = header + length
            if size < need:
                break
            body = begin + header
            begin += need
            payload = unmasked(source[body:begin], source[body - 4 : body])
            complete = self._complete(first, payload)
            if complete is not None:
                yield complete
        if size:
            self._buffer = bytearray(source[begin:])
            self._need = need

    def _check(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & _RSV:
            raise FrameError(PROTOCOL_ERROR, "reserved bits are set, but no extension was agreed on")
        if not second & _MASKED:
            raise FrameError(PROTOCOL_ERROR, "a client's frames must be masked")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise FrameError(PROTOCOL_ERROR, f"opcode {opcode} is reserved")
            if not first & _FIN:
                raise FrameError(PROTOCOL_ERROR, "a control frame must not be fragmented")
            if second & 0x7F > _MAX_CONTROL_BYTES:
                raise FrameError(PROTOCOL_ERROR, f"a control frame holds at most {_MAX_CONTROL_BYTES} bytes")
        elif opcode > BINARY:
            raise FrameError(PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        elif (opcode == CONTINUATION) != (self._opcode != CONTINUATION):
            raise FrameError(PROTOCOL_ERROR, "fragments of one message must follow each other")

    def _check_size(self, first: int, length: int) -> None:
        if first & 0x08:
            return
        held = 0 if self._message is None else len(self._message)
        if held + length > self._max_bytes:
            raise FrameError(TOO_BIG, f"a message holds at most {self._max_bytes} bytes")

    def _complete(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        opcode = first & 0x0F
        if opcode >= CLOSE:
            if opcode == CLOSE:
                closing(payload)
            return opcode, payload
        if self._message is not None:
            self._message += payload
            if not first & _FIN:
                return None
            opcode, payload = self._opcode, bytes(self._message)
            self._opcode, self._message = CONTINUATION, None
        elif not first & _FIN:
            self._opcode, self._message = opcode, bytearray(payload)
            return None
        if opcode == TEXT and not payload.isascii():
            _check_text(payload)
        return opcode, payload


def _long(extended: bytes | bytearray) -> int:
    length = int.from_bytes(extended, "big")
    if length >= 1 << 63:
        raise FrameError(PROTOCOL_ERROR, "a frame's length is less than 2 to the 63rd bytes")
    if length <= (_MAX_CONTROL_BYTES if len(extended) == 2 else _MAX_16):
        raise FrameError(PROTOCOL_ERROR, "a frame's length must be written in the fewest bytes")
    return length


def _check_text(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise FrameError(INVALID_DATA, f"text is not UTF-8: {error.reason} at byte {error.start}") from None


def unmasked(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """Return the payload with the 4 bytes of `mask` applied over and over (RFC 6455, 5.3); its own inverse."""
    if mask == _NO_MASK:
        return bytes(payload)
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    # One wide integer: the loop over the bytes runs in C.
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def frame(opcode: int, payload: bytes) -> bytes:
    """Return one unfragmented frame of a server, which is never masked (RFC 6455, 5.1).

    Raises ValueError for a control frame of more than 125 bytes.
    """
    return _head(opcode, len(payload)) + payload


def _head(opcode: int, size: int) -> bytes:
    if size <= _MAX_CONTROL_BYTES:
        return bytes((_FIN | opcode, size))
    if opcode >= CLOSE:
        raise ValueError(f"a control frame holds at most {_MAX_CONTROL_BYTES} bytes, not {size}")
    if size <= _MAX_16:
        return struct.pack("!BBH", _FIN | opcode, 126, size)
    return struct.pack("!BBQ", _FIN | opcode, 127, size)


def text_frame(payload: bytes) -> bytes:
    """Return the frame of a text that is UTF-8 already."""
    return frame(TEXT, payload)


@lru_cache(maxsize=4096)
def text_head(size: int) -> bytes:
    """Return what goes before a text payload of `size` bytes in one frame."""
    return _head(TEXT, size)


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame (RFC 6455, 5.5.1); the reason is cut to the characters that fit into 123 bytes.

    1005 stands for no code and gives an empty payload. Raises ValueError for a code that must not be sent.
    """
    if code == NO_CODE:
        return frame(CLOSE, b"")
    if not _sendable(code):
        raise ValueError(f"{code} is no close code: 1000 to 1003, 1007 to 1014 and 3000 to 4999 are")
    encoded = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore").encode()
    return frame(CLOSE, struct.pack("!H", code) + encoded)


def closing(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame's payload; 1005 where it says none (RFC 6455, 7.1.5).

    Raises FrameError for half a code, a code that must not be sent (7.4), a reason that is not UTF-8.
    """
    if not payload:
        return NO_CODE, ""
    if len(payload) == 1:
        raise FrameError(PROTOCOL_ERROR, "a close code has two bytes")
    code = int.from_bytes(payload[:2], "big")
    if not _sendable(code):
        raise FrameError(PROTOCOL_ERROR, f"{code} is no close code")
    reason = payload[2:]
    _check_text(reason)
    return code, reason.decode()


def _sendable(code: int) -> bool:
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
