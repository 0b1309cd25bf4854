"""Lines: what comes over serial devices, sockets and files, and what is said when it no longer does."""

import asyncio
import errno
import os
import socket
import sys
import termios
import tty
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace

import pytest

from meters.errors import OptionError
from meters.gateways import lines
from meters.gateways.lines import SerialLine, Wire, line
from meters.gateways.p1 import WIRES
from meters.gateways.source import SourceLostError


@pytest.fixture
def port() -> Iterator[tuple[int, str]]:
    """A fake serial port: the meter's end, and the device."""
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    os.close(slave)
    yield master, name
    os.close(master)


async def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "telegrams.txt"
    path.write_bytes(b"telegram" * 20_000)
    over = line(f"file:{path}", WIRES)

    assert over.ends
    assert b"".join([chunk async for chunk in over.chunks()]) == b"telegram" * 20_000


async def test_standard_input_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        os.write(write, b"telegram")
        os.close(write)
        assert b"".join([chunk async for chunk in line("file:-", WIRES).chunks()]) == b"telegram"

    (tmp_path / "input").write_bytes(b"from a file")
    with (tmp_path / "input").open("rb") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert b"".join([chunk async for chunk in line("file:-", WIRES).chunks()]) == b"from a file"
        assert line("file:-", WIRES).recorded


async def test_standard_input_may_be_nothing_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = os.open(os.devnull, os.O_RDONLY)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: place))
    assert [chunk async for chunk in line("file:-", WIRES).chunks()] == []
    os.close(place)

    place = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(SourceLostError, match="file:-: Is a directory"):
        await anext(line("file:-", WIRES).chunks())
    os.close(place)

    monkeypatch.setattr(sys, "stdin", None)
    assert not line("file:-", WIRES).recorded
    with pytest.raises(SourceLostError, match="it is closed"):
        await anext(line("file:-", WIRES).chunks())


async def test_a_serial_device_is_read_until_it_is_gone(port: tuple[int, str]) -> None:
    master, device = port
    async with aclosing(line(f"serial:{device}", WIRES).chunks()) as chunks:
        assert set(await first_of(chunks, master)) == {b"x"[0]}
        hang_up(master)
        with pytest.raises(SourceLostError, match="the device is gone, or another program reads it"):
            await drain(chunks)


async def test_a_serial_device_that_another_program_reads_is_told(port: tuple[int, str]) -> None:
    master, device = port
    async with aclosing(line(f"serial:{device}", WIRES).chunks()) as chunks:
        await first_of(chunks, master)
        with pytest.raises(SourceLostError, match="another program reads it"):
            await drain(line(f"serial:{device}", WIRES).chunks())


@pytest.mark.parametrize(("asked", "is_checked"), [("?baud=9600", True), ("", False)], ids=["7E1", "8N1"])
async def test_the_parity_of_a_line_that_has_one_is_checked(
    port: tuple[int, str], asked: str, is_checked: bool
) -> None:
    master, device = port
    async with aclosing(line(f"serial:{device}{asked}", WIRES).chunks()) as chunks:
        await first_of(chunks, master)
        assert bool(termios.tcgetattr(master)[0] & termios.INPCK) == is_checked


async def first_of(chunks: AsyncGenerator[bytes, None], master: int) -> bytes:
    """Return the first chunk of a port. What is sent while it is being opened may be flushed, so it is sent again."""
    first = asyncio.ensure_future(anext(chunks))
    while not first.done():
        os.write(master, b"x")
        await asyncio.wait({first}, timeout=0.05)
    return first.result()


async def drain(chunks: AsyncGenerator[bytes, None]) -> bytes:
    """Return all that comes."""
    return b"".join([chunk async for chunk in chunks])


def hang_up(master: int) -> None:
    """Let the device be gone, as by pulling a plug."""
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), master)


async def test_a_serial_device_that_is_not_there_is_told() -> None:
    with pytest.raises(SourceLostError, match="serial:/dev/nothing-here: there is no such device"):
        await anext(line("serial:/dev/nothing-here", WIRES).chunks())


async def test_a_file_that_is_no_serial_device_is_told(tmp_path: Path) -> None:
    path = tmp_path / "device"
    path.touch()
    with pytest.raises(SourceLostError, match="serial:"):
        await anext(line(f"serial:{path}", WIRES).chunks())


def test_permission_denied_says_which_group() -> None:
    assert "usermod -aG dialout" in lines._trouble(PermissionError(errno.EACCES, "Permission denied", "/dev/ttyUSB0"))


async def test_a_socket_is_read_until_the_other_side_closes_it() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"telegram")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    where = f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}"
    chunks = line(where, WIRES).chunks()
    assert await anext(chunks) == b"telegram"
    with pytest.raises(SourceLostError, match=f"{where}: the other side closed the connection"):
        await drain(chunks)
    server.close()


async def test_a_line_that_says_nothing_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = f"tcp:127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(SourceLostError, match=r"nothing came for 0.05 s; is the device still wired"):
            await anext(line(where, WIRES, silence_s=0.05).chunks())


async def test_a_socket_that_nobody_serves_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(SourceLostError, match=f"tcp:127.0.0.1:{port}: refused; is the port right"):
        await anext(line(f"tcp:127.0.0.1:{port}", WIRES).chunks())


def test_an_unknown_name_is_told() -> None:
    assert lines._trouble(socket.gaierror(-2, "Name or service not known")).startswith("the name is unknown")


@pytest.mark.parametrize(
    ("spec", "wire"),
    [
        ("serial:/dev/ttyUSB0", Wire(115_200, "8N1")),
        ("serial:/dev/ttyUSB0?baud=9600", Wire(9600, "7E1")),
        ("serial:/dev/ttyUSB0?baud=9600&framing=8n1", Wire(9600, "8N1")),
        ("serial:/dev/ttyUSB0?framing=7E1", Wire(115_200, "7E1")),
        ("serial:/dev/ttyUSB0?baud=19200", Wire(19_200, "8N1")),
    ],
)
def test_the_speed_of_a_serial_line_is_known_or_asked_for(spec: str, wire: Wire) -> None:
    over = line(spec, WIRES)

    assert isinstance(over, SerialLine)
    assert over._wire == wire
    assert over.name == "serial:/dev/ttyUSB0"


def test_an_address_of_version_6_is_understood() -> None:
    assert line("tcp:[::1]:2001", WIRES).name == "tcp:[::1]:2001"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", "expected serial:DEVICE, tcp:HOST:PORT or file:PATH"),
        ("tcp", "expected serial:DEVICE, tcp:HOST:PORT or file:PATH"),
        ("usb:/dev/ttyUSB0", "'usb' is no kind of line; expected serial:DEVICE"),
        ("tcp:10.0.0.5", "expected tcp:HOST:PORT with a port of 1 to 65535"),
        ("tcp:10.0.0.5:0", "expected tcp:HOST:PORT with a port of 1 to 65535"),
        ("tcp::2001", "expected tcp:HOST:PORT with a port of 1 to 65535"),
        ("serial:?baud=9600", "the device is missing"),
        ("serial:/dev/ttyUSB0?baud=fast", "baud is 'fast'; expected a whole number"),
        ("serial:/dev/ttyUSB0?framing=9X9", "framing is '9X9'; expected 8N1, 7E1"),
        ("serial:/dev/ttyUSB0?speed=9600", r"expected \?baud=N"),
        ("serial:/dev/ttyUSB0?", r"expected \?baud=N"),
        ("file:/nothing/here", "there is no such file; a serial device is serial:/nothing/here"),
        ("file:/dev/null", "is no file; a serial device is serial:/dev/null"),
    ],
)
def test_what_names_no_line_is_refused_with_what_is_expected(spec: str, expected: str) -> None:
    with pytest.raises(OptionError, match=expected):
        line(spec, WIRES)
