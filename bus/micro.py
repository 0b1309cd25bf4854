"""Services on NATS: questions and answers as bytes, found and counted as NATS's own tools expect it (ADR-32).

A service answers on `<name>.<endpoint>`, shares the questions with others of its name (a queue
group), and can be looked at with `nats micro ls`, `info` and `stats`. Who asks gets an answer, or
an error that says why there is none, in bounded time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER, Request, ServiceError
from nats.micro.service import Endpoint, EndpointConfig, Service, ServiceConfig

from bus.client import Bus, connection_of
from bus.errors import BusError, UnavailableError

log = structlog.get_logger(__name__)

Answering = Callable[[bytes], Awaitable[bytes]]
"""Returns the answer to a question. Raises QuestionError, or UnavailableError; what else it raises is masked."""

INTERNAL: Final = "500"
UNAVAILABLE: Final = "503"
_LOST: Final = (NatsError, OSError)


class QuestionError(BusError):
    """Raised when a service refuses a question; the text says what is allowed, `code` which refusal it is."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Endpoint(Endpoint):
    """An endpoint that answers several questions at a time, at most `most` with the others of its service."""

    def __init__(self, service: "_Service", config: EndpointConfig) -> None:
        super().__init__(service, config)
        self._tasks = service.tasks
        self._most = service.most

    async def _handle_request(self, msg: Msg) -> None:
        if not msg.reply:
            return
        if len(self._tasks) >= self._most:
            self._num_requests += 1
            self._num_errors += 1
            text = f"{self._most} questions wait for an answer; ask again in a moment"
            with suppress(*_LOST):
                await Request(msg).respond_error(UNAVAILABLE, text)
            return
        task = asyncio.create_task(self._answer(msg))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, msg: Msg) -> None:
        with suppress(*_LOST):  # who asked over a connection that is gone asks again
            await super()._handle_request(msg)


class _Service(Service):
    def __init__(self, bus: Bus, config: ServiceConfig, most: int) -> None:
        super().__init__(connection_of(bus), config)
        self.tasks: set[asyncio.Task[None]] = set()
        self.most = most

    async def add_endpoint(self, config: EndpointConfig | None = None, **_: Any) -> None:
        assert config is not None
        endpoint = _Endpoint(self, config)
        await endpoint._start()
        self._endpoints.append(endpoint)

    async def stop(self) -> None:
        with suppress(*_LOST):
            await super().stop()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@asynccontextmanager
async def serving(
    bus: Bus,
    name: str,
    endpoints: Mapping[str, Answering],
    *,
    version: str,
    description: str,
    most: int = 32,
    timeout_s: float = 5.0,
) -> AsyncIterator[None]:
    """Answer questions on `<name>.<endpoint>` until the block ends; those that wait then get no answer.

    At most `most` are worked on, the others are told to ask again; an answer has `timeout_s`.
    """
    config = ServiceConfig(name=name, version=version, description=description)
    async with _Service(bus, config, most) as service:
        group = service.add_group(name=name)
        for endpoint, answer in endpoints.items():
            await group.add_endpoint(EndpointConfig(name=endpoint, handler=_handler(answer, timeout_s)))
        with suppress(*_LOST):  # from here on NATS knows of it; if it is away now, when it is back
            await connection_of(bus).flush(2)
        yield


def _handler(answer: Answering, timeout_s: float) -> Callable[[Request], Awaitable[None]]:
    async def handle(request: Request) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                data = await answer(request.data)
        except QuestionError as error:
            raise ServiceError(error.code, str(error)) from error
        except UnavailableError as error:
            raise ServiceError(UNAVAILABLE, str(error)) from error
        except TimeoutError as error:
            text = f"no answer within {timeout_s:g} s; ask for a shorter time, or again in a moment"
            raise ServiceError(UNAVAILABLE, text) from error
        except Exception as error:
            log.exception("question not answered", subject=request.subject)
            raise ServiceError(INTERNAL, "the service failed; its log says why") from error
        await request.respond(data)

    return handle


async def ask(bus: Bus, subject: str, question: bytes, *, timeout_s: float = 8.0) -> bytes:
    """Return a service's answer.

    Raises UnavailableError where there is none in time, QuestionError where the question is
    refused, and BusError where the service failed.
    """
    if not bus.connected:
        raise UnavailableError("NATS is not connected")
    asking = connection_of(bus).request(subject, question, timeout=timeout_s)
    try:
        reply = await bus._answered(asking, subject)
    except NoRespondersError:
        raise UnavailableError(f"nobody answers {subject}") from None
    except (NatsTimeoutError, *_LOST) as error:
        raise UnavailableError(f"no answer to {subject} within {timeout_s:g} s: {error!r}") from error
    headers = reply.headers or {}
    code = headers.get(ERROR_CODE_HEADER)
    if code is None:
        return reply.data
    text = headers.get(ERROR_HEADER, "")
    if code == UNAVAILABLE:
        raise UnavailableError(text)
    if code == INTERNAL:
        raise BusError(text)
    raise QuestionError(code, text)
