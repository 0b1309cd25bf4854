"""A line to the server: one connection or one request, whose news are told as events.

A Line is opened by the device's shell, runs until it ends or is cancelled, and never tries again. This one is a
WebSocket; watch.http has those over HTTP.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gql.transport.exceptions import TransportError, TransportQueryError

from watch import events as on
from watch.address import Address
from watch.documents import Document
from watch.events import Event
from watch.failure import lost
from watch.meter import Meter
from watch.transport import DocumentRequest, Limits, WatchTransport

Tell = Callable[[Event], None]
NOT_FOUND: Final = "PERSISTED_QUERY_NOT_FOUND"


@dataclass(slots=True)
class Party:
    """What all lines of a device share. `by_text`: the server does not know the documents by their ids."""

    address: Address
    documents: Mapping[str, Document]
    limits: Limits
    meter: Meter
    token: str | None = None
    by_text: bool = False

    def learns(self, errors: object) -> bool:
        """Take note if errors say that the server does not know the id; return whether to ask again, by text."""
        codes = [_code(error) for error in errors] if isinstance(errors, (list, tuple)) else []
        learned = NOT_FOUND in codes and not self.by_text
        self.by_text = self.by_text or learned
        return learned


class Line(Protocol):
    """A connection or a request."""

    async def run(self) -> None:
        """Hold it until it ends; cancelling closes it."""


class SocketLine:
    """A WebSocket with one operation at a time, or a few while one takes the place of another."""

    def __init__(self, party: Party, tell: Tell) -> None:
        self._party = party
        self._tell = tell
        self._transport = WatchTransport(
            party.address.socket, party.token, party.limits, party.meter, lambda: tell(on.Heard())
        )
        self._group: asyncio.TaskGroup | None = None
        self._operations: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Connect, tell that it is open, and tell why it ends."""
        async with asyncio.TaskGroup() as self._group:
            try:
                await self._transport.connect()
                self._tell(on.Opened())
                self._tell(lost(await self._transport.until_closed()))
            except (TransportError, OSError) as error:
                self._tell(lost(error))
            finally:
                await self._transport.close()
                for task in list(self._operations.values()):
                    task.cancel()

    def subscribe(self, id: int, document: str, variables: Mapping[str, Any]) -> None:
        """Begin an operation; the line must be open."""
        task = self._start(self._operate(id, self._party.documents[document], variables))
        self._operations[id] = task
        task.add_done_callback(lambda _: self._operations.pop(id, None))

    def complete(self, id: int) -> None:
        """End an operation."""
        if id in self._operations:
            self._operations[id].cancel()

    def ask(self, document: str, told: Callable[[Mapping[str, Any]], None]) -> None:
        """Ask a query beside the operation, and tell its data; nothing where there are none. The line must be open."""
        self._start(self._ask(self._party.documents[document], told))

    def ping(self, payload: Mapping[str, str] | None = None) -> None:
        """Send a ping; the line must be open."""
        self._start(self._ping(payload))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._group is not None
        return self._group.create_task(work)

    async def _ping(self, payload: Mapping[str, str] | None) -> None:
        with suppress(TransportError, OSError):  # `run` tells
            await self._transport.send_ping(payload)

    async def _ask(self, document: Document, told: Callable[[Mapping[str, Any]], None]) -> None:
        request = DocumentRequest(document, {}, by_text=self._party.by_text)
        with suppress(TransportError, OSError):  # `run` tells; an older server does not know the document
            async with aclosing(self._transport.subscribe(request)) as results:
                async for result in results:
                    if result.data is not None:
                        told(result.data)

    async def _operate(self, id: int, document: Document, variables: Mapping[str, Any]) -> None:
        try:
            while True:
                request = DocumentRequest(document, variables, by_text=self._party.by_text)
                try:
                    await self._follow(id, request)
                    self._tell(on.Ended(id))
                except TransportQueryError as error:
                    if self._party.learns(error.errors):
                        continue
                    self._tell(on.Ended(id, error.errors or ()))
                return
        except (TransportError, OSError):
            # `run` tells; and gql tells the server about a cancelled operation: where that fails, its error hides
            # the cancellation.
            return

    async def _follow(self, id: int, request: DocumentRequest) -> None:
        async with aclosing(self._transport.subscribe(request)) as results:
            async for result in results:
                errors: list[Any] = list(result.errors or ())
                if result.data is not None:
                    self._tell(on.Result(id, result.data, errors))
                else:
                    self._tell(on.Errors(id, errors))


def _code(error: object) -> object:
    extensions = error.get("extensions") if isinstance(error, dict) else None
    return extensions.get("code") if isinstance(extensions, dict) else None
