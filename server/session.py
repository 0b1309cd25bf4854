"""A session: graphql-transport-ws on one connection, without a task of its own.

Protocol: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md. Messages come in one
by one and are answered at once; subscriptions become members of groups; queries run as tasks.
"""

import asyncio
import random
from dataclasses import replace
from typing import Any, Final

import structlog
from graphql import GraphQLError

from resolvers.access import Viewer
from schema.context import Context
from schema.operations import Operation, OperationError
from schema.receipt import Bill
from server.census import FullError, Place
from server.codes import Close
from server.desk import Desk, Wire
from server.documents import is_operator
from server.errands import Errands
from server.gate import counted_token
from server.groups import Member
from server.messages import (
    ACK,
    PONG,
    MessageError,
    check_subscribe,
    error_frame,
    next_head,
    payload_of_ping,
    pong,
    read_message,
    unknown_type,
)
from server.signin import RefusedError, token_of

log = structlog.get_logger(__name__)

SUBPROTOCOL: Final = "graphql-transport-ws"
PHASES: Final = 16
MAX_OWED_BYTES: Final = 64 * 1024
"""Of answers to a client that goes on asking and takes none."""

_OPENING: Final = 0  # before connection_init
_READY: Final = 1
_CLOSING: Final = 2  # closed by us
_OVER: Final = 3


class Session:
    """One connection's side of the protocol."""

    accepts_binary = False
    failure_code = Close.INTERNAL_ERROR
    __slots__ = (
        "_context",
        "_desk",
        "_errands",
        "_header",
        "_init_timer",
        "_members",
        "_offset",
        "_owed",
        "_place",
        "_stage",
        "wire",
    )

    def __init__(self, wire: Wire, desk: Desk, authorization: str | None = None, place: Place | None = None) -> None:
        self.wire = wire
        self._place = place
        self._desk = desk
        self._header = authorization  # of the request that opened the connection
        self._context: Context | None = None
        self._members: dict[str, Member] = {}
        self._errands: Errands | None = None  # made for the first one: most watches have none
        self._stage = _OPENING
        self._offset = -1
        self._owed = 0  # bytes of answers since the connection took no more
        loop = asyncio.get_running_loop()
        self._init_timer: asyncio.TimerHandle | None = loop.call_later(desk.init_timeout_s, self._init_missing)
        desk.opened()

    # --- called by the connection ---

    def on_message(self, data: bytes) -> None:
        """Answer one text message."""
        if self._stage >= _CLOSING:
            return
        try:
            self._answer(read_message(data))
        except MessageError as error:
            self._close(Close.BAD_MESSAGE, str(error))

    def on_drained(self) -> None:
        """The connection takes frames again: those who missed something get the latest."""
        if self._stage >= _CLOSING:
            return
        hub = self._desk.hub
        hub.flowing(self)
        self._owed = 0
        if self._errands is not None:
            self._errands.resume()
        for member in list(self._members.values()):
            if not member.pending or member.group is None:
                continue
            if self.wire.paused:
                hub.stalled(self)
                return
            member.group.drained(member)

    def on_closed(self, code: int) -> None:
        """The connection is over."""
        if self._stage == _OVER:
            return
        self._end(_OVER)
        self._desk.closed()
        if (tally := self.wire.tally) is not None:
            self._desk.tallied(tally)

    @property
    def answering(self) -> bool:
        """True while a query or mutation has no answer yet."""
        return self._errands is not None and self._errands.answering

    @property
    def busy(self) -> bool:
        """True while an operation is open."""
        return bool(self._members) or (self._errands is not None and len(self._errands) > 0)

    @property
    def patience_s(self) -> float:
        """How long a silence the subscriptions ask for, the least of theirs; 0 without any."""
        plans = [member.group.plan for member in self._members.values() if member.group is not None]
        return min((max(plan.every_ms, plan.max_silence_ms) for plan in plans), default=0) / 1000

    # --- called by the guard ---

    @property
    def viewer(self) -> Viewer | None:
        """Who the connection belongs to."""
        return None if self._context is None else self._context.viewer

    def recheck(self) -> None:
        """End the subscriptions to what the viewer may not see any more."""
        if self._stage != _READY or self._context is None:
            return
        shown = {} if self._errands is None else dict(self._errands.scopes)
        for id, member in self._members.items():
            if member.group is not None:
                shown[id] = member.group.plan.scope, member.group.plan.root
        for id, (scope, root) in shown.items():
            try:
                self._desk.hub.planner.check(scope, root, self._context.directory)
            except OperationError as error:
                self._stop(id)
                self._error(id, error.errors)

    def expire(self) -> None:
        """Close the connection: its token has ended or was revoked."""
        if self._stage == _READY:
            self._close(Close.FORBIDDEN, "the token has ended or was revoked: sign in again")

    # --- called by the hub ---

    def offset_ms(self, every_ms: int) -> int:
        """Return this device's offset of slots, in ms: one of 16 phases of the first `every` that it asked for."""
        if self._offset < 0:
            self._offset = random.randrange(PHASES) * every_ms // PHASES  # noqa: S311 - spreads load, guards nothing
        return self._offset % every_ms

    # --- messages ---

    def _answer(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "ping":
            payload = payload_of_ping(message)
            if "token" in payload and self._stage == _READY:
                self._renew(payload["token"])
            else:
                self._say(pong(payload))
        elif kind == "connection_init":
            self._init(message.get("payload"))
        elif kind == "subscribe":
            self._subscribe(message)
        elif kind == "complete":
            self._complete(message.get("id"))
        elif kind != "pong":
            raise MessageError(unknown_type(kind))

    def _init(self, payload: object) -> None:
        if self._stage != _OPENING:
            self._close(Close.TOO_MANY_INITS, "Too many initialisation requests")
            return
        if not isinstance(payload, dict | None):
            raise MessageError("the payload of connection_init is an object")
        header, self._header = self._header, None
        try:
            self._context = self._desk.sign_in.enter(token_of(payload, header))
        except RefusedError:
            self._close(Close.FORBIDDEN, "Forbidden")
            return
        if not self._is_placed():
            return
        self._stage = _READY
        self._stop_timer()
        self._desk.guard.enter(self)
        self._say(ACK)

    def _renew(self, token: object) -> None:
        """Take a newer token of the same viewer; the answer does not repeat it."""
        assert self._context is not None
        try:
            self._context = self._desk.sign_in.renew(self._context, token if isinstance(token, str) else "")
        except RefusedError:
            self._close(Close.FORBIDDEN, "Forbidden")
            return
        if not self._is_placed():
            return
        self._desk.guard.enter(self)
        self._say(PONG)

    def _is_placed(self) -> bool:
        """Count the connection for its token; close it where that is one too many."""
        token = None if self._context is None else counted_token(self._context)
        if self._place is None or token is None:
            return True
        try:
            self._place.name_token(token)
        except FullError as error:
            self._close(Close.TRY_AGAIN_LATER, str(error))
            return False
        return True

    def _subscribe(self, message: dict[str, Any]) -> None:
        check_subscribe(message)
        if self._stage != _READY:
            self._close(Close.UNAUTHORIZED, "Unauthorized")
            return
        id, payload = message["id"], message["payload"]
        errands = self._errands
        if id in self._members or (errands is not None and id in errands):
            self._close(Close.SUBSCRIBER_EXISTS, f"Subscriber for {id[:80]} already exists")
            return
        limit = self._desk.max_operations
        if len(self._members) + (0 if errands is None else len(errands)) >= limit:
            self._error(id, [GraphQLError(f"{limit} operations are open on this connection, as many as are allowed")])
            return
        context = self._context
        assert context is not None
        try:
            request = self._desk.documents.open(payload, operator=is_operator(context))
            operation, scope = request.operation, None
            if operation.is_subscription and not operation.events:
                self._join(id, operation, request.variables, context)
                return
            if operation.is_subscription and context.viewer is not None:
                scope = self._desk.hub.planner.scope(operation, request.variables)
        except OperationError as error:
            self._error(id, error.errors)
            return
        if self._errands is None:
            self._errands = Errands(self.wire, self._desk.work, lambda: self._desk.hub.stalled(self))
        self._errands.start(id, request, replace(context, bill=self._bill), scope)

    def _bill(self) -> Bill | None:
        """Return what the connection has cost so far."""
        tally = self.wire.tally
        return None if tally is None else Bill(tally, round((self._desk.wall() - tally.lasted_s) * 1000))

    def _join(self, id: str, operation: Operation, variables: dict[str, Any] | None, context: Context) -> None:
        member = Member(self, self.wire, next_head(id))
        self._desk.hub.subscribe(operation, variables, member, context.directory)
        if self._stage == _READY:
            self._members[id] = member
        else:  # the first write found the connection broken
            self._desk.hub.leave(member)

    def _complete(self, id: object) -> None:
        if not isinstance(id, str) or not id:
            raise MessageError("complete needs an id, a string that is not empty")
        self._stop(id)

    def _stop(self, id: str) -> None:
        """Let go of an operation, if it is open."""
        member = self._members.pop(id, None)
        if member is not None:
            self._desk.hub.leave(member)
        if self._errands is not None:
            self._errands.stop(id)

    # --- answers ---

    def _error(self, id: str, errors: list[GraphQLError]) -> None:
        self._say(error_frame(id, errors))

    def _say(self, frame: bytes) -> None:
        """Answer at once; end the connection of a client that asks and asks and takes no answer."""
        if self.wire.paused:
            self._owed += len(frame)
            self._desk.hub.stalled(self)
            if self._owed > MAX_OWED_BYTES:
                log.info("client takes no answers, ending its connection", bytes=self._owed)
                self._end(_CLOSING)
                self.wire.abort()
                return
        self.wire.write(frame)

    def _close(self, code: Close, reason: str) -> None:
        self._end(_CLOSING)
        self.wire.close(code, reason)

    def _end(self, stage: int) -> None:
        """Let go of all operations: nothing more is written."""
        self._stage = stage
        self._stop_timer()
        hub = self._desk.hub
        hub.flowing(self)
        self._desk.guard.leave(self)
        members, self._members = self._members, {}
        for member in members.values():
            hub.leave(member)
        if self._errands is not None:
            self._errands.end()

    def _init_missing(self) -> None:
        self._init_timer = None
        self._close(Close.INIT_TIMEOUT, "Connection initialisation timeout")

    def _stop_timer(self) -> None:
        if self._init_timer is not None:
            self._init_timer.cancel()
            self._init_timer = None
