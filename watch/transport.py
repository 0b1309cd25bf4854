"""gql's WebSocket transport, bounded in everything and deaf to nonsense.

GraphQL requests go out and execution results come in, over graphql-transport-ws alone. It never reconnects: that
is the client's task.
"""

from dataclasses import dataclass

from gql.transport.exceptions import TransportError, TransportProtocolError
from gql.transport.websockets import WebsocketsTransport
from graphql import ExecutionResult

from watch.address import is_loopback
from watch.news import printable


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one connection: seconds for each step, bytes for one message."""

    connect_s: float = 10.0
    ack_s: float = 10.0
    close_s: float = 2.0
    ping_s: float = 20.0  # WebSocket pings: a server that vanished is noticed after ping_s + pong_s at the latest
    pong_s: float = 10.0
    message_bytes: int = 64 * 1024


class WatchTransport(WebsocketsTransport):
    """A WebsocketsTransport whose every failure is a TransportError.

    gql 4.4 lets an AttributeError or IndexError end its receiving task where a message is JSON but not of the
    protocol (a list, a number, an empty list of errors); the subscription would then wait for ever.
    """

    def __init__(self, url: str, token: str | None, limits: Limits) -> None:
        connection: dict[str, object] = {
            "open_timeout": limits.connect_s,
            "close_timeout": limits.close_s,
            "ping_interval": limits.ping_s,
            "ping_timeout": limits.pong_s,
            "max_size": limits.message_bytes,
        }
        if is_loopback(url):
            connection["proxy"] = None
        super().__init__(
            url,
            init_payload={"authorization": f"Bearer {token}"} if token else {},
            connect_timeout=limits.connect_s,
            ack_timeout=limits.ack_s,
            close_timeout=limits.close_s,
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
            connect_args=connection,
        )

    def _parse_answer(self, answer: str) -> tuple[str, int | None, ExecutionResult | None]:
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
