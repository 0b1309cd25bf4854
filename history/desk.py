"""The desk: takes questions and has them answered by a few workers, in bounded time."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import duckdb

from bus.errors import UnavailableError
from bus.micro import QuestionError
from history.metrics import Metrics
from history.questions import Questions
from history.store import Store, is_damage
from history.worker import Worker

_WORKERS: Final = 2
_AGAIN_S: Final = 0.05


class Desk:
    """Answers questions while it is open. `broken` is told the error after which the file is to be opened anew."""

    def __init__(self, metrics: Metrics, broken: Callable[[duckdb.Error], None]) -> None:
        self._metrics = metrics
        self._broken = broken
        self._why = "the history is starting"
        self._questions: Questions | None = None
        self._workers: list[Worker] = []
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()

    @property
    def is_open(self) -> bool:
        """True while questions are answered."""
        return self._questions is not None

    def open(self, store: Store, questions: Questions) -> None:
        """Answer from a file from now on."""
        self._questions = questions
        self._workers = [Worker(store.cursor()) for _ in range(_WORKERS)]
        self._idle = asyncio.Queue()
        for worker in self._workers:
            self._idle.put_nowait(worker)
        self._metrics.ready.set(1)

    def wait_for(self, why: str) -> None:
        """Say why there are no answers yet."""
        self._why = why

    async def close(self, why: str) -> None:
        """Answer no more, for this reason; what is at work is broken off."""
        self._questions, self._why = None, why
        self._metrics.ready.set(0)
        workers, self._workers = self._workers, []
        for _ in workers:
            while self._idle.empty():
                for worker in workers:
                    worker.connection.interrupt()
                await asyncio.sleep(_AGAIN_S)
            self._idle.get_nowait()
        for worker in workers:
            worker.close()

    async def answer(self, endpoint: str, data: bytes) -> bytes:
        """Return the answer to a question; raise QuestionError or UnavailableError."""
        began = time.monotonic()
        try:
            found = await self._answer(endpoint, data)
        except QuestionError:
            self._metrics.refused.labels(endpoint, "refused").inc()
            raise
        except (UnavailableError, asyncio.CancelledError):
            self._metrics.refused.labels(endpoint, "unavailable").inc()
            raise
        except Exception:
            self._metrics.refused.labels(endpoint, "failed").inc()
            raise
        self._metrics.questions.labels(endpoint).observe(time.monotonic() - began)
        return found

    async def _answer(self, endpoint: str, data: bytes) -> bytes:
        idle = self._idle
        if self._questions is None:
            raise UnavailableError(self._why)
        worker = await idle.get()
        try:
            questions = self._questions
            if questions is None:
                raise UnavailableError(self._why)
            return await worker.do(lambda: questions.answer(worker.connection, endpoint, data))
        except duckdb.InterruptException as error:
            raise UnavailableError(self._why) from error
        except duckdb.Error as error:
            if not (is_damage(error) or isinstance(error, duckdb.FatalException)):
                raise
            self._broken(error)
            raise UnavailableError("the history's file is not readable; it is opened anew") from error
        finally:
            idle.put_nowait(worker)
