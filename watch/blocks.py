"""Server-sent events: the bytes of a stream become blocks.

Bytes come in as they arrive, whole blocks go out. It keeps at most one unfinished block, of a bounded size.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Iterator
from dataclasses import dataclass


class BlockError(ValueError):
    """Raised when what came is no event stream: a block over the limit, or no UTF-8."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block: an event with its data, a comment (no event, no data), or `retry` in ms."""

    event: str = ""
    data: str = ""
    retry: int | None = None


class Blocks:
    """Divides a stream into blocks of at most `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""

    def feed(self, came: bytes) -> Iterator[Block]:
        """Give the blocks that are whole now; raises BlockError."""
        self._rest = (self._rest + came).replace(b"\r\n", b"\n")
        while b"\n\n" in self._rest:
            block, _, self._rest = self._rest.partition(b"\n\n")
            yield _read(block)
        if len(self._rest) > self._most:
            raise BlockError(f"a block of over {self._most} bytes")


def _read(block: bytes) -> Block:
    try:
        lines = block.decode().split("\n")
    except UnicodeDecodeError as error:
        raise BlockError("no UTF-8") from error
    event, data, retry = "", [], None
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif name == "retry" and value.isascii() and value.isdecimal():
            retry = int(value[:9])
    return Block(event, "\n".join(data), retry)
