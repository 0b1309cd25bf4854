"""Which media type a client wants, by its Accept header (RFC 9110, 12.5.1), and which encoding."""

import gzip
from collections.abc import Iterable
from typing import Final

import brotli  # type: ignore[import-untyped]  # it has none

RESPONSE: Final = "application/graphql-response+json"
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"

COMPRESS_FROM: Final = 1024
"""Bytes of a body from which compressing is tried: less fits into one packet anyway."""
_WORTH: Final = 0.9


def weights(header: str) -> dict[str, float]:
    """Return what an Accept or Accept-Encoding header lists, in its order, each with its weight."""
    found: dict[str, float] = {}
    for part in header.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if kind:
            found[kind] = max(weight, found.get(kind, 0.0))
    return found


def media_type(accept: str | None, offered: Iterable[str]) -> str | None:
    """Return the offered type that weighs most, None if none is accepted.

    Between equals the one named first wins, and where only a wildcard matches the one offered first.
    No header at all stands for application/graphql-response+json, as the GraphQL over HTTP draft has it.
    """
    listed = weights(RESPONSE if accept is None else accept)
    order = {kind: place for place, kind in enumerate(listed)}
    best: tuple[float, int] | None = None
    chosen = None
    for kind in offered:
        named = next((name for name in (kind, f"{kind.split('/')[0]}/*", "*/*") if name in listed), None)
        if named is None or listed[named] <= 0 or (kind == EVENTS and named != EVENTS):
            continue  # an event stream is for who asks for one
        rank = (-listed[named], order[named])
        if best is None or rank < best:
            best, chosen = rank, kind
    return chosen


def compress(body: bytes, accept_encoding: str | None) -> tuple[str, bytes] | None:
    """Return the coding and the body in it; None where the client takes none or it is not worth it.

    That is brotli (RFC 7932) for who takes it at least as gladly as gzip.
    """
    if len(body) < COMPRESS_FROM or accept_encoding is None:
        return None
    listed = weights(accept_encoding)
    br, zipped = listed.get("br", listed.get("*", 0.0)), listed.get("gzip", listed.get("*", 0.0))
    if max(br, zipped) <= 0:
        return None
    coding, packed = (
        ("br", brotli.compress(body, quality=5)) if br >= zipped else ("gzip", gzip.compress(body, 6, mtime=0))
    )
    return (coding, packed) if len(packed) < _WORTH * len(body) else None
