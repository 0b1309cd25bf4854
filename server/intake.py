"""The intake: uvicorn's HTTP connections, with bounds on how many, on the head of a request, and on its time.

uvicorn itself bounds none of them: a head may be endless, and may take for ever. What is over a
bound is answered here, in GraphQL's form of an error, before any application sees it. A WebSocket
begins here, and takes the place of its connection along.
"""

import asyncio
import math
from typing import Any, Final

from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from server.census import FullError, Place
from server.gate import EXTENSION, Gate
from server.handshake import refusal
from server.refusals import Refusal, head_too_large, too_many_waiting, too_slow

MAX_PIPELINED: Final = 16
_FIELD: Final = 4  # bytes of a header beside its name and value: colon, space, line end


class IntakeError(Exception):
    """Raised within the parser, to end a connection."""


class Intake(HttpToolsProtocol):
    """One HTTP connection. `gate` is that of the server."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        gate: Gate,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.gate = gate
        self.place: Place | None = None
        self.due_s = math.inf
        self._refusal: Refusal | None = None  # of whatever is asked on this connection
        self._wrong: Refusal | None = None  # of the request that is just read
        self._in_head = False
        self._head = 0  # bytes of its target and headers
        self._raw = 0  # bytes that hold no end of a head, where one was open before

    # What the event loop and the parser call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a place; who gets none is told so as soon as their request is there."""
        super().connection_made(transport)
        try:
            self.place = self.gate.enter(self.client[0] if self.client else None)
        except FullError as error:
            if not self.gate.may_refuse():
                transport.abort()
                return
            self._refusal = error.refusal
            self.gate.refused += 1
        self._await()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        super().connection_lost(exc)
        self.gate.arrived(self)
        if self._refusal is not None:
            self._refusal = None
            self.gate.refused -= 1
        if self.place is not None:
            self.place.leave()

    def data_received(self, data: bytes) -> None:
        """Parse, and bound what does not become a head."""
        if self.due_s == math.inf and (self.cycle is None or self.cycle.response_complete):
            self._await()
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head and not self.transport.is_closing():
            self._raw += len(data)
            if self._raw > self.gate.limits.header_bytes:
                self._end(head_too_large(self.gate.limits.header_bytes))

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head, self._head, self._raw = True, 0, 0
        if self.due_s == math.inf:
            self._await()
        self.scope["extensions"] = {EXTENSION: self.place} if self.place is not None else {}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._grow(len(name) + len(value) + _FIELD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request to the application, or answer it here on a connection that is one too many."""
        self._in_head = False
        if len(self.pipeline) >= MAX_PIPELINED:
            self._fail(too_many_waiting(MAX_PIPELINED))
        self.due_s = self.loop.time() + self.gate.limits.request_timeout_s
        if self._refusal is not None:
            self.app = self._refuse
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the request is there."""
        super().on_message_complete()
        self.due_s = math.inf
        self.gate.arrived(self)

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection, and its place, to a WebSocket."""
        if self._refusal is not None:
            self._end(self._refusal)
            return
        self.gate.arrived(self)
        super().handle_websocket_upgrade()
        self.place = None

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser does not take, and end the connection."""
        if self._wrong is not None:
            self._end(self._wrong)
        elif self._may_answer():
            self.transport.write(refusal(400, self.server_state.default_headers, [], msg.encode()))
            self.transport.close()
        else:
            self.transport.close()

    # What the gate calls

    def expire(self) -> None:
        """End it: its request takes too long to arrive, or none comes."""
        self.gate.arrived(self)
        cycle = self.cycle
        if self._in_head or (cycle is not None and cycle.more_body and not cycle.response_started):
            self._end(too_slow(self.gate.limits.request_timeout_s))
        else:
            self.transport.close()

    # Inside

    def _await(self) -> None:
        self.due_s = self.loop.time() + self.gate.limits.request_timeout_s
        self.gate.wait_for(self)

    def _grow(self, size: int) -> None:
        self._head += size
        if self._head > self.gate.limits.header_bytes:
            self._fail(head_too_large(self.gate.limits.header_bytes))

    def _fail(self, wrong: Refusal) -> None:
        """Stop the parser."""
        self._wrong = wrong
        raise IntakeError

    def _may_answer(self) -> bool:
        """Say whether no answer to a request before is under way."""
        return self.cycle is None or self.cycle.response_complete or not self.cycle.response_started

    def _end(self, said: Refusal) -> None:
        """Answer, and end the connection."""
        if self._may_answer() and not self.transport.is_closing():
            if self.cycle is not None:
                self.cycle.disconnected = True  # whatever its application says is not sent any more
            self.transport.write(refusal(said.status, self.server_state.default_headers, said.headers, said.body))
        self.transport.close()

    async def _refuse(self, _: Scope, __: Receive, ___: Send) -> None:
        """Stand for the application on a connection that is one too many."""
        if self._refusal is not None:
            self._end(self._refusal)
