"""Settings of the server's limits: each the most that a client may take. They hold per process."""

import ipaddress
import json
from dataclasses import fields
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schema.limits import DocumentLimits
from server.limits import Limits

_SERVER: Final = Limits()
_DOCUMENTS: Final = DocumentLimits()

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Seconds = Annotated[float, Field(ge=0.1, le=86_400)]


def _networks(value: Any) -> Any:
    """Read a list of networks, which comes as JSON from the environment."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("not JSON") from None
    if isinstance(value, list | tuple):
        for network in value:
            ipaddress.ip_network(network)
    return value


class LimitSettings(BaseSettings):
    """The part of the settings that is limits."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    max_connections: Annotated[Count, Field(description="connections open at a time; one more gets 503")] = (
        _SERVER.connections
    )
    max_connections_per_address: Annotated[
        Count, Field(description="of them from one address, or one /64 network of IPv6; one more gets 429")
    ] = _SERVER.connections_per_address
    max_connections_per_token: Annotated[
        Count,
        Field(
            description="WebSockets and event streams with one token, but an operator's; one more is closed (1013), "
            "or gets 429"
        ),
    ] = _SERVER.connections_per_token
    trusted_proxies: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_networks),
        Field(
            description="addresses and networks of proxies in front, a JSON list; they tell the client's address by "
            "`X-Forwarded-For`, and by `X-Forwarded-Proto` whether it came over TLS; limits by address are not for them"
        ),
    ] = ("127.0.0.0/8", "::1")
    max_requests_per_second: Annotated[
        Count, Field(description="HTTP requests, WebSockets among them, from one address, over 10 s; one more gets 429")
    ] = _SERVER.requests_per_second
    max_messages_per_second: Annotated[
        Count, Field(description="messages of one WebSocket, over 4 s; one more closes it with 1008")
    ] = _SERVER.messages_per_second
    max_message_bytes: Annotated[
        Count, Field(description="bytes of one WebSocket message; one more closes it with 1009")
    ] = _SERVER.message_bytes
    max_body_bytes: Annotated[Count, Field(description="bytes of the body of an HTTP request; one more gets 413")] = (
        _SERVER.body_bytes
    )
    max_header_bytes: Annotated[
        Annotated[int, Field(ge=1024, le=1_000_000)],
        Field(description="bytes of the target and the headers of an HTTP request; one more gets 431"),
    ] = _SERVER.header_bytes
    max_operations: Annotated[Count, Field(description="operations open on one WebSocket; one more is an error")] = (
        _SERVER.operations
    )
    init_timeout: Annotated[
        Seconds, Field(description="seconds for a WebSocket to send `connection_init`; then it is closed with 4408")
    ] = _SERVER.init_timeout_s
    idle_timeout: Annotated[
        Seconds,
        Field(description="seconds that a WebSocket without operations may be silent; then it is closed (1000)"),
    ] = _SERVER.idle_timeout_s
    request_timeout: Annotated[
        Seconds,
        Field(description="seconds for the head of an HTTP request to arrive, and as many for its body; then 408"),
    ] = _SERVER.request_timeout_s
    max_document_characters: Annotated[Count, Field(description="characters of a document")] = (
        _DOCUMENTS.document_characters
    )
    max_document_tokens: Annotated[Count, Field(description="tokens of a document: names, values and punctuation")] = (
        _DOCUMENTS.document_tokens
    )
    max_document_operations: Annotated[Count, Field(description="operations in a document, of which one is chosen")] = (
        _DOCUMENTS.document_operations
    )
    max_depth: Annotated[Count, Field(description="fields within fields of a document")] = _DOCUMENTS.depth
    max_aliases: Annotated[Count, Field(description="aliases in a document, as often as fragments are spread")] = (
        _DOCUMENTS.aliases
    )
    max_root_fields: Annotated[Count, Field(description="root fields of an operation")] = _DOCUMENTS.root_fields
    max_repeats: Annotated[Count, Field(description="fields named again where the same one stands already")] = (
        _DOCUMENTS.repeats
    )
    max_directives: Annotated[Count, Field(description="directives in a document")] = _DOCUMENTS.directives
    max_variables: Annotated[Count, Field(description="variables in a document")] = _DOCUMENTS.variables
    max_cost: Annotated[
        Count, Field(description="fields that the answer may have, as estimated; lists by their `first`")
    ] = _DOCUMENTS.cost

    @property
    def limits(self) -> Limits:
        """The limits as the server takes them."""
        documents = DocumentLimits(**{one.name: getattr(self, f"max_{one.name}") for one in fields(DocumentLimits)})
        values = {one.name: self._of(one.name) for one in fields(Limits) if one.name != "documents"}
        return Limits(documents, **values)

    def _of(self, name: str) -> Any:
        return getattr(self, name.removesuffix("_s") if name.endswith("_timeout_s") else f"max_{name}")
