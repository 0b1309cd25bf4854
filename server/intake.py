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
STUCK_S: Final = 30.0
"""How long a client may take nothing of an answer, or an end may take."""
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
        self._due_s = math.inf  # when the request that is awaited is late
        self._stuck_s = math.inf  # when what is not taken has had its time
        self._refusal: Refusal | None = None  # of whatever is asked on this connection
        self._wrong: Refusal | None = None  # of the request that is just read
        self._in_head = False
        self._most = gate.limits.header_bytes
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
        self.gate.join_request(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        super().connection_lost(exc)
        self.gate.leave_request(self)
        if self._refusal is not None:
            self._refusal = None
            self.gate.refused -= 1
        if self.place is not None:
            self.place.leave()

    def data_received(self, data: bytes) -> None:
        """Parse, and bound what does not become a head."""
        if self._due_s == math.inf and (self.cycle is None or self.cycle.response_complete):
            self._await()
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head and not self.transport.is_closing():
            self._raw += len(data)
            if self._raw > self._most:
                self._end(head_too_large(self._most))

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head, self._raw = True, 0
        if self._due_s == math.inf:
            self._await()
        self.scope["extensions"] = {EXTENSION: self.place} if self.place is not None else {}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        """Hand the request to the application, or answer it here on a connection that is one too many."""
        self._in_head = False
        if len(self.url) + sum([len(name) + len(value) + _FIELD for name, value in self.headers]) > self._most:
            self._fail(head_too_large(self._most))
        if len(self.pipeline) >= MAX_PIPELINED:
            self._fail(too_many_waiting(MAX_PIPELINED))
        self._await()
        if self._refusal is not None:
            self.app = self._refuse
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the request is there."""
        super().on_message_complete()
        self._due_s = math.inf

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection, and its place, to a WebSocket."""
        if self._refusal is not None:
            self._end(self._refusal)
            return
        self.gate.leave_request(self)
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

    def look(self, now_s: float) -> None:
        """End it if its request, or the first byte of one, is late, or if nothing of its answer is taken."""
        if self.transport.is_closing() or self.flow.write_paused:
            self._stuck_s = min(self._stuck_s, now_s + STUCK_S)
            if self._stuck_s <= now_s:
                self.transport.abort()
            return
        self._stuck_s = math.inf
        if self._due_s <= now_s:
            self._expire()

    # Inside

    def _expire(self) -> None:
        self._due_s = math.inf
        cycle = self.cycle
        if self._in_head or (cycle is not None and cycle.more_body and not cycle.response_started):
            self._end(too_slow(self.gate.limits.request_timeout_s))
        else:
            self.transport.close()

    def _await(self) -> None:
        self._due_s = self.loop.time() + self.gate.limits.request_timeout_s

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
