"""Meters that speak P1 in a test's hand: on a dongle in the network, or on a serial line. They die and come back."""

import asyncio
import os
import tty
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.reading import Reading
from meters.gateways.checksums import crc16

MIDNIGHT = datetime(2025, 11, 30, 23, tzinfo=UTC)
"""Local midnight in Vienna and Amsterdam."""

EVERY = timedelta(minutes=3)
"""Time of the meter between two telegrams, whatever time it takes."""


class FakeMeter:
    """What a meter says: its registers rise by known steps."""

    def __init__(self, serial: str, import_wh: int, export_wh: int) -> None:
        self.serial = serial
        self._import_wh = import_wh
        self._export_wh = export_wh

    def reading(self, number: int) -> Reading:
        """Return the reading that its telegram of a number is to become."""
        return Reading(
            at=MIDNIGHT + number * EVERY,
            epoch=self.serial,
            import_wh=self._import_wh + 37 * number + number * number % 11,
            export_wh=self._export_wh + 12 * number,
            power_import_w=float(100 + number),
            power_export_w=0.0,
        )

    def telegram(self, number: int) -> bytes:
        """Return it as a P1 telegram, version 5."""
        reading = self.reading(number)
        local = reading.at + timedelta(hours=1)
        second = reading.import_wh // 3
        lines = (
            "/KFM5KAIFA-METER",
            "",
            "1-3:0.2.8(50)",
            f"0-0:1.0.0({local:%y%m%d%H%M%S}W)",
            f"0-0:96.1.1({self.serial.encode().hex()})",
            f"1-0:1.8.1({(reading.import_wh - second) / 1000:010.3f}*kWh)",
            f"1-0:1.8.2({second / 1000:010.3f}*kWh)",
            f"1-0:2.8.1({reading.export_wh / 1000:010.3f}*kWh)",
            "1-0:2.8.2(000000.000*kWh)",
            "0-0:96.14.0(0002)",
            f"1-0:1.7.0({(reading.power_import_w or 0) / 1000:06.3f}*kW)",
            "1-0:2.7.0(00.000*kW)",
            "!",
        )
        body = "\r\n".join(lines).encode()
        return body + f"{crc16(body):04X}\r\n".encode()


class Dongle:
    """A dongle in the network, which serves one client."""

    def __init__(self, port: int) -> None:
        self.spec = f"p1:tcp:127.0.0.1:{port}"
        self._port = port
        self._server: asyncio.Server | None = None
        self._client: asyncio.StreamWriter | None = None

    async def live(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def die(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._client is not None:
            self._client.transport.abort()
            self._client = None

    async def say(self, data: bytes) -> None:
        """Send to whoever listens; nobody: it is lost."""
        if self._client is not None and not self._client.is_closing():
            self._client.write(data)
            with suppress(ConnectionError):
                await self._client.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._client is not None:
            self._client.transport.abort()
        self._client = writer
        await reader.read()


class SerialMeter:
    """A pseudo-terminal with a name that stays when it is plugged in again."""

    def __init__(self, device: Path) -> None:
        self.spec = f"p1:serial:{device}"
        self._device = device
        self._ends: tuple[int, int] | None = None

    async def live(self) -> None:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self._ends = ours, theirs
        self._device.symlink_to(os.ttyname(theirs))

    async def die(self) -> None:
        if self._ends is not None:
            self._device.unlink()
            for end in self._ends:
                os.close(end)
            self._ends = None

    async def say(self, data: bytes) -> None:
        """Send what fits on the line; where nobody reads, the rest is lost."""
        if self._ends is None:
            return
        for piece in pieces(data, 512):
            try:
                os.write(self._ends[0], piece)
            except BlockingIOError:
                return


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Cut bytes up."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
