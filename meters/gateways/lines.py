"""Lines that bytes of a meter come over: a serial device, a TCP socket, a file. They are only ever read.

A line knows nothing of what it carries. Each says in one sentence why it is lost and what to do about it.
"""

import asyncio
import errno
import os
import socket
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import ClassVar, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl

import serialx

from meters.errors import OptionError
from meters.gateways.source import SourceLostError

SILENCE_S: Final = 30.0
"""A line that says nothing for so long is lost. P1 before version 5 speaks every 10 s, all else faster."""

_CHUNK: Final = 8 * 1024
_FILE_CHUNK: Final = 64 * 1024
_CONNECT_S: Final = 10.0
_MAX_BAUD: Final = 4_000_000
_EXPECTED: Final = "expected serial:DEVICE, tcp:HOST:PORT or file:PATH"


class Line(Protocol):
    """Where bytes come from."""

    @property
    def name(self) -> str:
        """What a person calls it: `tcp:10.0.0.5:2001`."""

    @property
    def ends(self) -> bool:
        """Whether it ends by itself, as a file does; all else is lost instead."""

    @property
    def recorded(self) -> bool:
        """Whether what comes was said at another time."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Connect, and yield what comes. Raise SourceLostError where it ends that should not. Closing disconnects."""


class Wire(NamedTuple):
    """The speed of a serial line, and its data bits, parity (N, E, O) and stop bits: 115200, `8N1`."""

    baud: int
    framing: str


def line(spec: str, wires: Mapping[int, str], *, silence_s: float = SILENCE_S) -> Line:
    """Return the line that `serial:DEVICE[?baud=9600&framing=7E1]`, `tcp:HOST:PORT` or `file:PATH` names.

    `wires` says which framing belongs to which speed; its first one is the speed where none is asked for. `file:-`
    is standard input. Raises OptionError where the text names no line, or the file is not there.
    """
    kind, colon, where = spec.partition(":")
    if not (colon and where):
        raise OptionError(f"{spec[:80]!r} names no line; {_EXPECTED}")
    if kind == "serial":
        return _serial(where, wires, silence_s)
    if kind == "tcp":
        return _tcp(where, silence_s)
    if kind == "file":
        return _file(where)
    raise OptionError(f"{kind[:40]!r} is no kind of line; {_EXPECTED}")


class _Stream(ABC):
    """A line that is connected to, and lost when it is silent or closed."""

    ends = False
    recorded = False

    _QUESTION: ClassVar[str]
    """What to look at where nothing comes."""

    def __init__(self, name: str, silence_s: float) -> None:
        self.name = name
        self._silence_s = silence_s

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Connect, and yield what comes."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await self._connect()
        except TimeoutError:
            raise self._lost(f"no answer within {_CONNECT_S:g} s; is the address right, and the device on?") from None
        except (OSError, serialx.SerialException, ValueError) as error:
            raise self._lost(_trouble(error)) from error
        try:
            while True:
                yield await self._next(reader)
        except (OSError, serialx.SerialException) as error:
            raise self._lost(_trouble(error)) from error
        finally:
            writer.transport.abort()

    @abstractmethod
    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the line."""

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        """Return the next bytes, of which there is at least one."""
        try:
            async with asyncio.timeout(self._silence_s):
                chunk = await reader.read(_CHUNK)
        except TimeoutError:
            raise self._lost(f"nothing came for {self._silence_s:g} s; {self._QUESTION}") from None
        if not chunk:
            raise self._lost("the other side closed the connection; does it serve one client only?")
        return chunk

    def _lost(self, why: str) -> SourceLostError:
        return SourceLostError(f"{self.name}: {why}")


class SerialLine(_Stream):
    """A serial device, this process's alone as long as it is read."""

    _QUESTION = "is the cable in the meter's port?"

    def __init__(self, device: str, wire: Wire, silence_s: float) -> None:
        super().__init__(f"serial:{device}", silence_s)
        self._device = device
        self._wire = wire

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        bits, parity, stop = tuple(self._wire.framing)
        reader, writer = await serialx.open_serial_connection(
            self._device,
            baudrate=self._wire.baud,
            byte_size=int(bits),
            parity=serialx.Parity(parity),
            stopbits=serialx.StopBits(int(stop)),
        )
        if parity != "N" and os.name == "posix":
            _check_parity(writer.transport.serial.fileno())
        return reader, writer


class TcpLine(_Stream):
    """A TCP socket: ser2net, or a dongle in the network."""

    _QUESTION = "is the device still wired to the meter?"

    def __init__(self, host: str, port: int, silence_s: float) -> None:
        super().__init__(f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}", silence_s)
        self._host = host
        self._port = port

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port)


class FileLine:
    """A file of what a meter said, read once from its start to its end."""

    ends = True
    recorded = True

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path}"
        self._path = path

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the file."""
        try:
            with self._path.open("rb") as file:
                while chunk := file.read(_FILE_CHUNK):
                    yield chunk
                    # Whoever else runs here gets a turn: a file is always ready.
                    await asyncio.sleep(0)
        except OSError as error:
            raise SourceLostError(f"{self.name}: {error.strerror}") from error


class StandardInput:
    """What another program writes into this one, until it ends; or a file."""

    name = "file:-"
    ends = True

    @property
    def recorded(self) -> bool:
        """Whether a file was put there, which is of the past."""
        return sys.stdin is not None and stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield what comes."""
        if sys.stdin is None:
            raise SourceLostError(f"{self.name}: there is no standard input: it is closed")
        device = sys.stdin.fileno()
        mode = os.fstat(device).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(device)):
            try:
                while chunk := os.read(device, _FILE_CHUNK):
                    yield chunk
                    await asyncio.sleep(0)
            except OSError as error:
                raise SourceLostError(f"{self.name}: {error.strerror}") from error
            return
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(device), "rb", buffering=0)
        )
        try:
            while chunk := await reader.read(_CHUNK):
                yield chunk
        finally:
            transport.close()


def _check_parity(device: int) -> None:
    """Let a byte with a wrong parity come as 0, which no telegram has: it is all the check that meters of 7E1 have."""
    import termios

    flags = termios.tcgetattr(device)
    flags[0] |= termios.INPCK
    termios.tcsetattr(device, termios.TCSANOW, flags)


def _serial(where: str, wires: Mapping[int, str], silence_s: float) -> SerialLine:
    device, mark, query = where.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = options.keys() - {"baud", "framing"}
    if unknown or (mark and not options):
        raise OptionError(f"serial:{where[:80]}: expected ?baud=N, ?framing=8N1 or both after the device")
    baud = options.get("baud", str(next(iter(wires))))
    if not (baud.isascii() and baud.isdigit() and 50 <= int(baud) <= _MAX_BAUD):
        raise OptionError(f"serial:{where[:80]}: baud is {baud[:20]!r}; expected a whole number such as 115200")
    framing = options.get("framing", wires.get(int(baud), "8N1")).upper()
    if not (len(framing) == 3 and framing[0] in "78" and framing[1] in "NEO" and framing[2] in "12"):
        raise OptionError(f"serial:{where[:80]}: framing is {framing[:20]!r}; expected 8N1, 7E1 or the like")
    if not device:
        raise OptionError(f"serial:{where[:80]}: the device is missing; expected serial:/dev/ttyUSB0 or the like")
    return SerialLine(device, Wire(int(baud), framing), silence_s)


def _tcp(where: str, silence_s: float) -> TcpLine:
    host, _, port = where.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise OptionError(f"tcp:{where[:80]}: expected tcp:HOST:PORT with a port of 1 to 65535, as tcp:10.0.0.5:2001")
    return TcpLine(host, int(port), silence_s)


def _file(where: str) -> FileLine | StandardInput:
    if where == "-":
        return StandardInput()
    path = Path(where)
    if not path.is_file():
        is_what = "is no file" if path.exists() else "there is no such file"
        raise OptionError(f"file:{where[:200]}: {is_what}; a serial device is serial:{where[:200]}")
    return FileLine(path)


def _trouble(error: Exception) -> str:
    """Say what the operating system refused, and what helps."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror):
        return "the name is unknown; is it spelt right? An address such as 10.0.0.5 needs no name"
    said = {
        errno.EACCES: "permission denied; let this user read it: sudo usermod -aG dialout $USER, then sign in again",
        errno.EPERM: "permission denied; let this user read it: sudo usermod -aG dialout $USER, then sign in again",
        errno.ENOENT: "there is no such device; is it plugged in? ls -l /dev/serial/by-id shows those that are",
        errno.ENODEV: "the device is gone; is it plugged in?",
        errno.ENXIO: "the device is gone; is it plugged in?",
        errno.EIO: "the device is gone, or another program reads it; is it plugged in?",
        errno.EBUSY: "another program reads it; end that one first",
        errno.EAGAIN: "another program reads it; end that one first",
        errno.ENOTTY: "this is no serial device",
        errno.EISDIR: "this is a folder, and no serial device",
        errno.ECONNREFUSED: "refused; is the port right, and the device serving it?",
        errno.ECONNRESET: "the other side dropped the connection; does it serve one client only?",
        errno.EPIPE: "the other side dropped the connection; does it serve one client only?",
        errno.EHOSTUNREACH: "no way to this address; is the device on, and in this network?",
        errno.ENETUNREACH: "no way to this address; is this computer in a network?",
        errno.ETIMEDOUT: "no answer; is the device on, and in this network?",
    }
    return said.get(number or 0, f"{error or type(error).__name__}")
