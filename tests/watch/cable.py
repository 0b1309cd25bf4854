"""A TCP proxy in front of the server, in a thread: it counts, lets no WebSockets through, or holds everything back."""

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import Self

DEADLINE_S = 20.0


class Cable:
    """A way to the server on 127.0.0.1:`port`; `connections`, `to_server` and `to_client` (bytes) count."""

    def __init__(self, port: int, *, sockets: bool = True) -> None:
        self._target = port
        self._sockets = sockets
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._flowing: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self.connections = self.to_server = self.to_client = 0
        self.url = ""

    def __enter__(self) -> Self:
        started: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{started.result(DEADLINE_S)}"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._end is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(DEADLINE_S)

    def hold(self) -> None:
        """Let nothing through any more, and say so to nobody."""
        assert self._loop is not None
        assert self._flowing is not None
        self._loop.call_soon_threadsafe(self._flowing.clear)

    async def _run(self, started: "Future[int]") -> None:
        self._loop, self._end, self._flowing = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._flowing.set()
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        started.set_result(server.sockets[0].getsockname()[1])
        await self._end.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" in head.lower() and not self._sockets:
                writer.close()
                return
            self.connections += 1
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            far_writer.write(head)
            self.to_server += len(head)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer, "to_server"))
                group.create_task(self._pump(far_reader, writer, "to_client"))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        assert self._flowing is not None
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                setattr(self, name, getattr(self, name) + len(data))
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
