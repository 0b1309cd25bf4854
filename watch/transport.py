"""gql's WebSocket transport, bounded in everything, counted, and deaf to nonsense.

GraphQL requests go out and execution results come in, over graphql-transport-ws alone. It never reconnects: that
is the device's task; nor does it ping by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gql import GraphQLRequest
from gql.transport.exceptions import TransportError, TransportProtocolError
from gql.transport.websockets import WebsocketsTransport
from graphql import ExecutionResult

from watch.address import is_loopback
from watch.documents import Document
from watch.meter import Meter, MeteredConnection
from watch.text import printable


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one connection: seconds for each step, bytes for one message or answer.

    `silence_s` and `pong_s` are those of subscriptions of one's own, which ask for no `maxSilence` that we know of: how
    long a silence may last until it is asked whether the server lives, and the answer to that. A device has its own.
    """

    connect_s: float = 15.0
    close_s: float = 2.0
    silence_s: float = 60.0
    pong_s: float = 10.0
    message_bytes: int = 64 * 1024


class DocumentRequest(GraphQLRequest):
    """A request for a document that the server knows by its id; `by_text` sends the text instead."""

    def __init__(self, document: Document, variables: Mapping[str, Any], *, by_text: bool) -> None:
        super().__init__(document.text, variable_values=dict(variables))
        self._known = document
        self._by_text = by_text

    @property
    def payload(self) -> dict[str, Any]:
        """Return what is sent."""
        return parameters(self._known, self.variable_values or {}, by_text=self._by_text)


def parameters(document: Document, variables: Mapping[str, Any], *, by_text: bool) -> dict[str, Any]:
    """Return the parameters of a request (docs/protocol.md)."""
    asked: dict[str, Any] = {"query": document.text} if by_text else {"documentId": document.id}
    if not document.alone:
        asked["operationName"] = document.operation
    if variables:
        asked["variables"] = dict(variables)
    return asked


class WatchTransport(WebsocketsTransport):
    """A WebsocketsTransport whose every failure is a TransportError, and which tells of pongs.

    gql 4.4 lets an AttributeError or IndexError end its receiving task where a message is JSON but not of the
    protocol (a list, a number, an empty list of errors); the subscription would then wait for ever.
    """

    def __init__(self, url: str, token: str | None, limits: Limits, meter: Meter, heard: Callable[[], None]) -> None:
        connection: dict[str, object] = {
            "open_timeout": limits.connect_s,
            "close_timeout": limits.close_s,
            "ping_interval": None,  # the device notices a silence by itself
            "compression": None,  # what a glance has to say is too short for it
            "user_agent_header": None,
            "max_size": limits.message_bytes,
            "create_connection": partial(MeteredConnection, meter),
        }
        if is_loopback(url):
            connection["proxy"] = None
        super().__init__(
            url,
            init_payload={"authorization": f"Bearer {token}"} if token else {},
            connect_timeout=limits.connect_s,
            ack_timeout=limits.connect_s,
            close_timeout=limits.close_s,
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
            connect_args=connection,
        )
        self._meter = meter
        self._heard = heard

    async def until_closed(self) -> Exception | None:
        """Wait for the end of the connection; return why it ended."""
        await self._wait_closed.wait()
        return self.close_exception

    async def _send(self, message: str) -> None:
        self._meter.count(messages=1)
        await super()._send(message)

    async def _receive(self) -> str:
        answer = await super()._receive()
        self._meter.count(messages=1)
        return answer

    async def _handle_answer(self, kind: str, operation: int | None, result: ExecutionResult | None) -> None:
        if result is None:
            self._heard()
        await super()._handle_answer(kind, operation, result)

    def _parse_answer(self, answer: str) -> tuple[str, int | None, ExecutionResult | None]:
        with self._meter.parsing():
            try:
                kind, operation, result = super()._parse_answer(answer)
            except TransportError:
                raise
            except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
                raise TransportProtocolError(f"not a message of the protocol: {printable(answer)}") from error
            if result is not None and not _well_formed(result):
                raise TransportProtocolError(f"not a GraphQL result: {printable(answer)}")
            return kind, operation, result


def _well_formed(result: ExecutionResult) -> bool:
    # What came over the wire need not be what the annotations of graphql-core promise.
    data: object = result.data
    errors: object = result.errors
    if errors is not None and not (isinstance(errors, list) and all(isinstance(e, dict) for e in errors)):
        return False
    return isinstance(data, dict) or (data is None and bool(errors))
