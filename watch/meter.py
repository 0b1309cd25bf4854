"""The meter of a watch: what the network side counts onto the receipt.

Bytes and µs come in as they pass; the Receipt so far is there to be read. Bytes of WebSockets are counted at the
connection (below TLS: before it), those of HTTP as heads and bodies.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from websockets.asyncio.client import ClientConnection

from watch.receipt import Receipt


class Meter:
    """Counts for one device; `steady_ms` tells the time."""

    def __init__(self, steady_ms: Callable[[], int]) -> None:
        self._steady_ms = steady_ms
        self.receipt = Receipt()

    def count(self, *, came: int = 0, went: int = 0, messages: int = 0) -> None:
        """Count bytes, and whole messages."""
        self.receipt = self.receipt.after(self._steady_ms(), came=came, went=went, messages=messages)

    @contextmanager
    def parsing(self) -> Iterator[None]:
        """Count the time spent inside."""
        began = time.perf_counter_ns()
        try:
            yield
        finally:
            spent = (time.perf_counter_ns() - began + 500) // 1000
            self.receipt = replace(self.receipt, parse_us=self.receipt.parse_us + spent)


class MeteredConnection(ClientConnection):
    """A WebSocket connection whose every byte is counted, handshake and control frames too."""

    def __init__(self, meter: Meter, *arguments: Any, **options: Any) -> None:
        self._meter = meter
        super().__init__(*arguments, **options)

    def data_received(self, data: bytes) -> None:
        """Count and take what came."""
        self._meter.count(came=len(data))
        super().data_received(data)

    def send_data(self) -> None:
        """Count and send what is to go."""
        went = sum(map(len, self.protocol.writes))
        if went:
            self._meter.count(went=went)
        super().send_data()
