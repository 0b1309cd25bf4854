"""Workers: threads that work on the file, one connection each, and can be broken off."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import duckdb

_T = TypeVar("_T")

_AGAIN_S: Final = 0.05


class Worker:
    """A thread and its connection. One call at a time; who cancels it waits until the thread has stopped."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")

    async def do(self, call: Callable[[], _T]) -> _T:
        """Return what `call` returns, or raise what it raises; it is run in the thread."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                # It may just be between two statements: told again, it does not begin many more.
                self.connection.interrupt()
                await asyncio.wait([future], timeout=_AGAIN_S)
            if not future.cancelled():
                future.exception()
            raise

    def close(self) -> None:
        """End the thread and the connection; nothing may be at work."""
        self._thread.shutdown(wait=True)
        self.connection.close()
