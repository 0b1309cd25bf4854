"""As much of MQTT 3.1.1 as a meter speaks: connect with a password, publish with QoS 0 or 1, subscribe."""

import asyncio
import ssl
from types import TracebackType
from typing import Final, Self

_CONNACK: Final = 2
_PUBLISH: Final = 3
_PUBACK: Final = 4
_SUBACK: Final = 9

SUBSCRIBE_REFUSED: Final = 0x80


class MqttDevice:
    """One connection; every packet that comes is the answer to the one that was sent last."""

    def __init__(self, port: int, user: str, password: str, *, trust: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._trust = trust
        self._login = ("a-meter", user, password)
        self._number = 0

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._trust)
        flags = 0xC2  # user, password, clean session
        head = _text("MQTT") + bytes([4, flags]) + (60).to_bytes(2, "big")
        answer = await self._ask(0x10, head + b"".join(map(_text, self._login)))
        self.return_code = answer[1]
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._writer.close()

    async def publish(self, topic: str, data: bytes) -> None:
        """Publish with QoS 1 and wait for the acknowledgement; raise IncompleteReadError when it is hung up on."""
        self._number += 1
        number = self._number.to_bytes(2, "big")
        assert await self._ask(_PUBLISH << 4 | 0x02, _text(topic) + number + data, _PUBACK) == number

    async def send(self, topic: str, data: bytes) -> None:
        """Publish with QoS 0, which nobody acknowledges."""
        self._write(_PUBLISH << 4, _text(topic) + data)
        await self._writer.drain()

    async def subscribe(self, topic: str) -> int:
        """Return the QoS that is granted, or SUBSCRIBE_REFUSED."""
        self._number += 1
        return (await self._ask(0x82, self._number.to_bytes(2, "big") + _text(topic) + b"\x01", _SUBACK))[-1]

    async def _ask(self, kind: int, body: bytes, expected: int = _CONNACK) -> bytes:
        self._write(kind, body)
        async with asyncio.timeout(10):
            first = (await self._reader.readexactly(1))[0]
            length = (await self._reader.readexactly(1))[0]
            assert (first >> 4, length < 128) == (expected, True)
            return await self._reader.readexactly(length)

    def _write(self, kind: int, body: bytes) -> None:
        length, left = b"", len(body)
        while True:
            left, digit = divmod(left, 128)
            length += bytes([digit | (0x80 if left else 0)])
            if not left:
                break
        self._writer.write(bytes([kind]) + length + body)


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()
