"""Messages of graphql-transport-ws: what a client says, checked for its form, and what it is answered, as frames.

Protocol: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md. What messages mean is known elsewhere.
"""

from typing import Any, Final

import msgspec
from graphql import GraphQLError

from server.documents import fault
from server.frames import text_frame

ACK: Final = text_frame(b'{"type":"connection_ack"}')
PONG: Final = text_frame(b'{"type":"pong"}')

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.encode


class MessageError(Exception):
    """Raised when a message is not of the protocol; the text says what is wrong with it."""


def read_message(data: bytes) -> dict[str, Any]:
    """Return a message, an object; raise MessageError."""
    try:
        message = _decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise MessageError("the message is not JSON") from None
    if not isinstance(message, dict):
        raise MessageError("a message is a JSON object")
    return message


def payload_of_ping(message: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of a ping, {} for none; raise MessageError."""
    payload = message.get("payload")
    if not isinstance(payload, dict | None):
        raise MessageError("the payload of ping is an object")
    return payload or {}


def pong(payload: dict[str, Any]) -> bytes:
    """Return the answer to a ping; it repeats the payload, but never a token. Raise MessageError."""
    if not payload or "token" in payload:
        return PONG
    try:
        return text_frame(_encode({"type": "pong", "payload": payload}))
    except RecursionError:
        raise MessageError("the payload of ping is nested too deeply") from None


def check_subscribe(message: dict[str, Any]) -> None:
    """Raise MessageError where a subscribe message is not of its form."""
    payload = message.get("payload")
    if not (isinstance(message.get("id"), str) and message["id"]):
        raise MessageError("subscribe needs an id, a string that is not empty")
    if not isinstance(payload, dict):
        raise MessageError("subscribe needs a payload, an object")
    wrong = fault(payload)
    if wrong is not None:
        raise MessageError(wrong)


def unknown_type(kind: object) -> str:
    """Return what is wrong with a message of a type that no client sends."""
    shown = repr(kind[:40]) if isinstance(kind, str) else "that is no string"
    return f"a type {shown} is none that a client sends"


def next_head(id: str) -> bytes:
    """Return a `next` message up to its payload."""
    return b'{"id":' + _encode(id) + b',"type":"next","payload":'


def error_frame(id: str, errors: list[GraphQLError]) -> bytes:
    """Return the `error` message that ends an operation."""
    payload = [error.formatted for error in errors]
    return text_frame(_encode({"id": id, "type": "error", "payload": payload}))
