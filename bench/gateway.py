"""What a gateway takes of P1 telegrams in a second, and its CPU, against publishing readings that are ready.

    python -m bench.gateway [--meters 100] [--rate 10] [--seconds 20] [--file 50000] [--json]

Starts a nats-server of its own. *Live*: meters behind TCP sockets speak `rate` times a second each to
one `commonwatt gateway p1`, on time whatever it does; taken and stored is counted by the gateway's
metrics and by the stream. *File*: the gateway reads one file of telegrams, as fast as NATS takes them.
*Bare*: a process with `bus.client` alone publishes the readings of that file, ready as bytes, in
atomic batches of 500. CPU is user and system time of the process, from the operating system.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.broker import Broker, free_port
from bus.client import MAX_BATCH, Bus, Message
from bus.reading import Reading
from bus.settings import NatsSettings
from meters.gateways.checksums import crc16

_START = datetime(2026, 1, 5, tzinfo=UTC)
_TELEGRAM = (
    "/KFM5KAIFA-METER\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0({local}W)\r\n0-0:96.1.1({serial})\r\n"
    "1-0:1.8.1({low:010.3f}*kWh)\r\n1-0:1.8.2(000900.000*kWh)\r\n1-0:2.8.1(000100.000*kWh)\r\n"
    "1-0:2.8.2(000200.000*kWh)\r\n0-0:96.14.0(0002)\r\n1-0:1.7.0({power:06.3f}*kW)\r\n1-0:2.7.0(00.000*kW)\r\n"
    "0-0:96.7.21(00013)\r\n0-0:96.7.9(00000)\r\n1-0:99.97.0(0)(0-0:96.7.19)\r\n1-0:32.32.0(00000)\r\n"
    "1-0:32.36.0(00000)\r\n0-0:96.13.0()\r\n1-0:32.7.0(230.0*V)\r\n1-0:31.7.0(001*A)\r\n1-0:21.7.0(00.244*kW)\r\n"
    "1-0:22.7.0(00.000*kW)\r\n0-1:24.1.0(003)\r\n0-1:96.1.0(4730303332353631323736383434343135)\r\n"
    "0-1:24.2.1({local}W)(00000.107*m3)\r\n!"
)


def reading(number: int, meter: int = 0) -> Reading:
    """Return the reading that a telegram becomes."""
    return Reading(
        at=_START + timedelta(seconds=number),
        epoch=f"E{meter:09}",
        import_wh=900_000 + number,
        export_wh=300_000,
        power_import_w=float(number % 3000),
        power_export_w=0.0,
    )


def telegram(number: int, meter: int = 0) -> bytes:
    """Return a telegram of a meter, version 5, with a gas meter behind it."""
    one = reading(number, meter)
    text = _TELEGRAM.format(
        local=f"{one.at + timedelta(hours=1):%y%m%d%H%M%S}",
        serial=one.epoch.encode().hex(),
        low=number / 1000,
        power=(one.power_import_w or 0) / 1000,
    )
    body = text.encode()
    return body + f"{crc16(body):04X}\r\n".encode()


class Speaker:
    """A meter on a TCP port, which says what it has to say on time."""

    def __init__(self, meter: int, rate: float, seconds: int) -> None:
        self.port = 0
        self.heard = asyncio.Event()
        self._telegrams = [telegram(number, meter) for number in range(1, int(rate * seconds) + 1)]
        self._first = telegram(0, meter)
        self._rate = rate
        self._writer: asyncio.StreamWriter | None = None

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.write(self._first)
        self.heard.set()
        await reader.read()

    async def speak(self, began: float, phase: float) -> int:
        """Say everything, `rate` times a second; return how many."""
        assert self._writer is not None
        for number, one in enumerate(self._telegrams):
            await asyncio.sleep(began + (number + phase) / self._rate - time.monotonic())
            self._writer.write(one)
        await self._writer.drain()
        return len(self._telegrams)


def used(pid: int) -> tuple[float, float]:
    """Return CPU seconds and resident MiB of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def metrics(port: int) -> dict[str, float]:
    """Return a gateway's metrics, summed over their labels."""
    found: dict[str, float] = {}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith("commonwatt_gateway_"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0].removeprefix("commonwatt_gateway_")
                found[name] = found.get(name, 0.0) + float(value)
    return found


async def until(ask: Callable[[], Awaitable[bool]], seconds: float = 120.0) -> None:
    """Ask until it is so."""
    async with asyncio.timeout(seconds):
        while not await ask():
            await asyncio.sleep(0.05)


async def live(url: str, folder: Path, meters: int, rate: float, seconds: int) -> dict[str, float]:
    """Have meters speak to a gateway; return what came of it."""
    speakers = [Speaker(meter, rate, seconds) for meter in range(meters)]
    servers = [await speaker.listen() for speaker in speakers]
    plan = folder / "gateway.toml"
    plan.write_text(
        "".join(
            f'[[meter]]\ncommunity = "bench"\nmeter = "m{meter}"\nsource = "p1:tcp:127.0.0.1:{speaker.port}"\n'
            for meter, speaker in enumerate(speakers)
        )
    )
    port = free_port()
    words = ["--config", str(plan), "--metrics-port", str(port), "--data-dir", str(folder), "--nats-url", url]
    bus = await Bus.connect(NatsSettings(url=url), name="bench")
    _, before = await bus.stream_bounds("READINGS")
    with (folder / "live.log").open("wb") as log:
        gateway = subprocess.Popen(
            [sys.executable, "-m", "commonwatt", "gateway", "p1", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            await asyncio.wait_for(asyncio.gather(*(speaker.heard.wait() for speaker in speakers)), 60)

            async def is_stored(count: int) -> bool:
                _, last = await bus.stream_bounds("READINGS")
                return last - before >= count

            await until(lambda: is_stored(meters))
            cpu, _ = used(gateway.pid)
            began = time.monotonic()
            said = sum(await asyncio.gather(*(one.speak(began, n / meters) for n, one in enumerate(speakers))))
            spoke_s = time.monotonic() - began
            await until(lambda: is_stored(meters + said))
            took_s = time.monotonic() - began
            after, memory = used(gateway.pid)
            counted = await asyncio.to_thread(metrics, port)
        finally:
            gateway.terminate()
            gateway.wait(20)
            for server in servers:
                server.close()
            await bus.close()
    return {
        "said": said,
        "said_per_s": said / spoke_s,
        "stored_per_s": said / took_s,
        "refused": counted.get("refused_total", 0.0),
        "dropped": counted.get("dropped_total", 0.0),
        "cpu_us": (after - cpu) / said * 1e6,
        "cpu_of_a_core": (after - cpu) / took_s,
        "mib": memory,
    }


def read_file(url: str, folder: Path, count: int) -> dict[str, float]:
    """Have a gateway read a file; return what it took, its start taken off."""
    results = []
    for size in (1, count):
        path = folder / f"{size}.txt"
        path.write_bytes(b"".join(telegram(number) for number in range(size)))
        words = ["--community", "bench", "--meter", f"file-{size}", "--file", str(path), "--data-dir", str(folder)]
        results.append(_timed([sys.executable, "-m", "commonwatt", "gateway", "p1", *words, "--nats-url", url], folder))
    (wall_1, cpu_1), (wall, cpu) = results
    return {"per_s": count / (wall - wall_1), "cpu_us": (cpu - cpu_1) / count * 1e6}


def publish_bare(url: str, folder: Path, count: int) -> dict[str, float]:
    """Have a process publish the same readings from ready bytes."""
    command = [sys.executable, "-m", "bench.gateway", "--bare", url, "--file", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, cpu = map(float, done.stdout.split())
    return {"per_s": count / wall, "cpu_us": cpu / count * 1e6}


def _timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return its wall and CPU seconds."""
    before, began = os.times(), time.monotonic()
    with (folder / "file.log").open("wb") as log:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - began, cpu


async def bare(url: str, count: int) -> None:
    """Publish ready bytes in batches; print wall and CPU seconds."""
    ready = [Message("readings.bench.bare", reading(number).to_bytes()) for number in range(count)]
    bus = await Bus.connect(NatsSettings(url=url), name="bench")
    began, cpu = time.monotonic(), time.process_time()
    for start in range(0, count, MAX_BATCH):
        await bus.publish_batch(ready[start : start + MAX_BATCH])
    print(time.monotonic() - began, time.process_time() - cpu)
    await bus.close()


async def main() -> None:
    arguments = argparse.ArgumentParser(description="What a gateway makes of P1 telegrams.")
    arguments.add_argument("--meters", type=int, default=100)
    arguments.add_argument("--rate", type=float, default=10.0, help="telegrams a second and meter, at most 20")
    arguments.add_argument("--seconds", type=int, default=20)
    arguments.add_argument("--file", type=int, default=50_000, help="telegrams of the file")
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--bare", metavar="URL", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.bare:
        await bare(given.bare, given.file)
        return
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        broker = Broker(folder / "nats", free_port())
        server = subprocess.Popen(broker.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            bus = await Bus.connect(NatsSettings(url=broker.url), name="bench", patience_s=20)
            await bus.close()
            found = {
                "live": await live(broker.url, folder, given.meters, given.rate, given.seconds),
                "file": await asyncio.to_thread(read_file, broker.url, folder, given.file),
                "bare": await asyncio.to_thread(publish_bare, broker.url, folder, given.file),
            }
        finally:
            server.kill()
            server.wait(10)
    if given.json:
        print(json.dumps(found))
        return
    one, file, ready = found["live"], found["file"], found["bare"]
    print(
        f"live: {given.meters} meters said {one['said_per_s']:,.0f} telegrams/s, {one['stored_per_s']:,.0f} readings/s "
        f"stored, {one['refused']:.0f} refused, {one['dropped']:.0f} dropped; "
        f"{one['cpu_of_a_core']:.0%} of a core, {one['cpu_us']:.0f} µs each, {one['mib']:.0f} MiB"
    )
    print(f"file: {file['per_s']:,.0f} telegrams/s, {file['cpu_us']:.0f} µs of CPU each")
    print(f"bare: {ready['per_s']:,.0f} readings/s, {ready['cpu_us']:.0f} µs of CPU each")
    print(
        f"file to bare: {file['cpu_us'] / ready['cpu_us']:.1f} times the CPU, "
        f"{file['per_s'] / ready['per_s']:.2f} of the readings/s"
    )


if __name__ == "__main__":
    asyncio.run(main())
